# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 6. Why
#
# Grad-CAM: the activations of the last convolution, weighed by what each channel does for the class.

# %%
from pathlib import Path

import numpy as np
from common import FAST, FOLDERS, GRADCAM, MODELS, run, show, train

from src.bundle import load_bundle
from src.gradcam import main as gradcam
from src.gradcam import make_gradcam_heatmap

train(*FAST)
run(gradcam, *FOLDERS, "--output", GRADCAM, "--model", "fast_cnn", "--samples", "2")
place = Path(GRADCAM, "fast_cnn")
show(place / "gradcam_samples.png")

# %% [markdown]
# Wrong answers, explained twice: what spoke for the class that was predicted, and what for the true one?

# %%
if (place / "errors_explained.png").is_file():
    show(place / "errors_explained.png")

# %% [markdown]
# The same by hand: one picture in, one map out.

# %%
bundle = load_bundle("fast_cnn", MODELS)
record = np.load(place / "heatmaps.npz")
path = record["paths"][0]
heatmap = make_gradcam_heatmap(bundle.prepare([path]), bundle.model, bundle.target_layer)
print(path, heatmap.shape, f"largest raw value {heatmap.max():.3g}")

# %% [markdown]
# Whether a map can be believed is a question of measures, not of taste: `python -m src.gradcam --compare` on a model of
# your own, and docs/explainers.md.

# %%
run(gradcam, *FOLDERS, "--output", GRADCAM, "--model", "fast_cnn", "--image", path, "--method", "all")
show(sorted(place.glob("methods/*.png"))[0])
