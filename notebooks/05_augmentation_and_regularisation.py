# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 5. Against learning by heart
#
# RegularizedCNN on mirrored and shifted pictures. While it trains, its accuracy is measured under dropout and on varied
# pictures; the curve beside it is of the same network on training pictures as they are, to be compared with validation.

# %%
from pathlib import Path

from common import FAST, FOLDERS, GRADCAM, MODELS, REGULARIZED, SIMPLE, run, show, train

from src.evaluate import main as evaluate

train(*SIMPLE)
train(*REGULARIZED)
show(Path(MODELS, "regularized_cnn", "training_curves.png"))

# %% [markdown]
# Does it learn at all? Of the drawn shapes next to nothing: dropout and shifted pictures keep it from learning by
# heart, which was all that SimpleCNN did, and teach it nothing else.
#
# A network of another make: no dense layer that has a weight for every place, BatchNormalization after each
# convolution, a first layer that whitens, and a learning rate that falls to zero.

# %%
train(*FAST)
show(Path(MODELS, "fast_cnn", "training_curves.png"))

# %% [markdown]
# All on the same test pictures. The intervals of each alone may overlap although the difference is clear: what counts
# is on which pictures only one of them is right (McNemar's test).

# %%
run(evaluate, *FOLDERS, "--output", GRADCAM, "--model", "simple_cnn", "regularized_cnn", "fast_cnn", "--gap")
show(Path(GRADCAM, "comparison.png"))
