# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 1. The pictures
#
# Before any network: what is there, how much of it, and what does the training see of it? Drawn shapes, unless the
# environment variable `PICTURES` names a folder, an archive or a data set (`cifar10`).

# %%
import json
from pathlib import Path

import numpy as np
from common import DATA, FOLDERS, GRADCAM, run, show, split

from src.data_loader import get_data_generators
from src.data_loader import main as data_loader

split()

# %% [markdown]
# Three parts that share no picture: one to learn from, one to choose by, one that is looked at once. What could not be
# read or was there twice is in `split.json`.

# %%
record = json.loads(Path(DATA, "split.json").read_text())
{key: value for key, value in record.items() if key in ("source", "settings", "counts")}

# %%
run(data_loader, *FOLDERS[:2], "--output", GRADCAM)
show(Path(GRADCAM, "data", "augmentation.png"))

# %% [markdown]
# The generators are Keras' own kind: `next` gives pictures and one-hot labels.

# %%
train, val, test = get_data_generators(DATA, img_size=48, batch_size=64)
pictures, labels = next(train)
print(pictures.shape, pictures.dtype, f"{pictures.min():.0f} to {pictures.max():.0f}", labels.shape)
print("classes:", train.class_indices)
print("pictures of each:", np.bincount(train.classes))

# %% [markdown]
# Are the classes of equal size? Then a share of right answers means what it says. Where they are not, see `--balance`.
