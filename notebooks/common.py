"""What the six notebooks share: where their things lie, and what an earlier one would have left."""

import json
import os
import sys
from pathlib import Path

from IPython.display import Image, display

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# A folder or an archive of your own pictures, or a data set's name, as cifar10; drawn ones if not given.
SOURCE = os.environ.get("PICTURES", "shapes")
PLACE = Path(os.environ.get("NOTEBOOKS_OUTPUT", ROOT / "experiments" / "notebooks"), Path(SOURCE).name)
DATA, MODELS, GRADCAM = (str(PLACE / name) for name in ("data", "models", "gradcam"))
FOLDERS = ["--data", DATA, "--models-dir", MODELS]
EPOCHS = os.environ.get("EPOCHS", "15")

# Options of src.baseline_cnn: the two networks of S3, and one of ours.
SIMPLE = ["--network", "simple_cnn", "--name", "simple_cnn", "--no-augment"]
REGULARIZED = [
    "--network",
    "regularized_cnn",
    "--name",
    "regularized_cnn",
    "--rotation",
    "0",
    "--shift",
    "0",
    "--zoom",
    "0",
]
REGULARIZED += ["--crop-padding", "4", "--warmup-epochs", "0.5"]
FAST = ["--network", "fast_cnn", "--name", "fast_cnn", "--width", "0.25", "--rotation", "10"]
FAST += ["--optimizer", "muon", "--rate", "0.01", "--schedule", "linear"]
SIZE = ["--image-size", "48", "--batch-size", "64"]
TRAINING = [*SIZE, "--epochs", EPOCHS, "--patience", EPOCHS]


def run(main, *words: str) -> None:
    """A command of this project, as typed in a shell. Raises ``RuntimeError`` where it fails."""
    if (code := main(list(words))) not in (None, 0, 3):  # 3: done, but for some pictures that could not be read
        raise RuntimeError(f"exit code {code}: the last line above says what to do")


def show(path: str | Path) -> None:
    """A picture that a command has saved."""
    display(Image(filename=str(path)))


def split() -> None:
    """``data/{train,val,test}/<class>/``, unless it is there."""
    from split_dataset import main

    if not Path(DATA, "split.json").is_file():
        drawn = ["--images-per-class", "400"] if SOURCE == "shapes" else []
        run(main, "--source", SOURCE, "--output", DATA, *drawn)


def train(*options: str) -> None:
    """Train by ``src.baseline_cnn`` with these options, unless the model is there and was trained by the same."""
    from src.baseline_cnn import KINDS, main
    from src.settings import recorded_options

    split()
    words = [*FOLDERS, *TRAINING, *options]
    wanted = recorded_options(KINDS, words)
    record = Path(MODELS, wanted["name"], "bundle.json")
    if not record.is_file() or json.loads(record.read_text(encoding="utf-8"))["settings"] != wanted:
        run(main, *words)
