# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 4. Where it is wrong
#
# One number says little. Which classes, which pictures, and does the network know when it does not know?

# %%
from pathlib import Path

from common import FOLDERS, GRADCAM, SIMPLE, run, show, train

from src.evaluate import main as evaluate

train(*SIMPLE)
run(evaluate, *FOLDERS, "--output", GRADCAM, "--model", "simple_cnn", "--gap")
place = Path(GRADCAM, "simple_cnn")

# %% [markdown]
# `--gap` asks the training part in the same way as the test part: without augmentation, without dropout. Only so can
# the two be compared.

# %%
show(place / "confusion_matrix.png")
show(place / "per_class.png")

# %% [markdown]
# The pictures of the largest loss. Often they say more about the data than about the network.

# %%
show(place / "top_losses.png")

# %% [markdown]
# Confidences beside the truth: of answers given with 90% confidence, 90% should be right.

# %%
show(place / "reliability.png")
show(place / "coverage.png")
