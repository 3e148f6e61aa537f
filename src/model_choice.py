"""Which model a command uses, settled before TensorFlow is loaded."""

import argparse
from pathlib import Path

from src.errors import UserError
from src.settings import PREPROCESSING_MODES

BUNDLE_FILE = "bundle.json"


def add_model_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add --model, --models-dir, --classes and --preprocessing: a bundle, or a plain model file with its facts."""
    parser.add_argument(
        "--model",
        nargs="+" if several else None,
        help="name in --models-dir, a bundle's folder, a plain .keras/.h5 file, or 'imagenet'",
    )
    parser.add_argument("--models-dir", default="models", help="where the bundles are")
    parser.add_argument("--classes", nargs="+", help="class names of a plain model file, in order")
    parser.add_argument("--preprocessing", choices=PREPROCESSING_MODES, help="what a plain model file takes")


def list_bundles(models_dir: str | Path = "models") -> list[str]:
    """Names of the bundles in a folder, sorted; folders with a leading dot are being written."""
    names = (path.parent.name for path in Path(models_dir).glob(f"*/{BUNDLE_FILE}"))
    return sorted(name for name in names if not name.startswith("."))


def choose_model(models_dir: str | Path = "models") -> str:
    """The bundle that is used when none is named: ``transfer``, or else the last by name.

    Raises ``UserError`` where there is none.
    """
    names = list_bundles(models_dir)
    if not names:
        raise UserError(f"there is no model in {models_dir}; train one with: python -m src.transfer_model")
    return "transfer" if "transfer" in names else names[-1]
