# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 3. SimpleCNN learns by heart
#
# No augmentation, no dropout. First: which learning rate? The test raises it from batch to batch and watches the loss.

# %%
import csv
from pathlib import Path

from common import FOLDERS, GRADCAM, MODELS, SIMPLE, SIZE, run, show, split, train

from src.baseline_cnn import main as baseline_cnn

split()
run(baseline_cnn, *FOLDERS, *SIZE, *SIMPLE, "--output", GRADCAM, "--find-rate")
show(Path(GRADCAM, "simple_cnn", "learning_rate.png"))

# %%
train(*SIMPLE)
show(Path(MODELS, "simple_cnn", "training_curves.png"))

# %% [markdown]
# Where training accuracy goes on rising while validation stands still, pictures are learnt by heart: overfitting. The
# best epoch by validation loss is the one that is kept.

# %%
with open(Path(MODELS, "simple_cnn", "history.csv"), newline="") as stream:
    epochs = list(csv.DictReader(stream))
for row in epochs:
    print({key: row[key] for key in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")})
