"""Which model a command uses, settled before TensorFlow is loaded."""

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from src.errors import Circumstance, UserError, describe_os_error, name_some
from src.files import read_json
from src.locks import hold_lock
from src.settings import PREPROCESSING_MODES

BUNDLE_FILE = "bundle.json"
PLAIN_SUFFIXES = (".keras", ".h5", ".hdf5")
CHECKPOINTS_DIR = ".unfinished"  # beside the bundles: the state of trainings that are not done
FEATURES_DIR = ".features"  # beside the bundles: what frozen layers computed, for the next training on these pictures
ENSEMBLE = "ensemble"  # what several models together are called in folders and results


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


def check_output(models_dir: str | Path, name: str) -> None:
    """Find out before hours of training whether ``models_dir/name`` can take a bundle.

    Raises:
        UserError: the name is no plain folder name, another thing than a bundle stands there, or nothing can be
            written.
    """
    if not name or name.startswith(".") or name != Path(name).name or name == "imagenet":
        raise UserError(f"--name {name!r} will not do: give a plain name, with no separators, no leading dot")
    if name.endswith(PLAIN_SUFFIXES):
        raise UserError(f"--name {name} looks like a file; give a name without {Path(name).suffix}")
    target = Path(models_dir) / name
    free = not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir()))
    if not free and not (target / BUNDLE_FILE).is_file():
        raise UserError(f"{target} holds something else than a model; move it away, or choose another --name")
    existing = Path(models_dir)
    while not existing.exists():
        existing = existing.parent
    try:
        os.rmdir(tempfile.mkdtemp(dir=existing, prefix="."))
    except OSError as error:  # it names the probe, which the user has never heard of
        raise Circumstance(describe_os_error(OSError(error.errno, error.strerror, str(models_dir)))) from error


@contextlib.contextmanager
def hold_bundle(models_dir: str | Path, name: str, *, restart: bool = False) -> Iterator[None]:
    """Keep ``models_dir/name`` and its checkpoint for this process, within the context.

    Args:
        restart: to forget the checkpoint.

    Raises ``UserError``, with the number of the process, where another has it.
    """
    checkpoint = checkpoint_path(models_dir, name)
    made = [] if Path(models_dir).exists() else [Path(models_dir)]
    what = f"another run is training {Path(models_dir, name)}"
    try:
        with hold_lock(checkpoint.with_suffix(".lock"), what, "give another --name"):
            if restart:
                checkpoint.unlink(missing_ok=True)
            yield
    finally:
        for folder in (checkpoint.parent, *made):
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def checkpoint_path(models_dir: str | Path, name: str) -> Path:
    """Where the state of a training lies until its bundle is saved."""
    return Path(models_dir, CHECKPOINTS_DIR, f"{name}.npz")


def model_name(model: str | Path) -> str:
    """What a model is called in folders and results: the name of its folder, or of its file without the suffix."""
    path = Path(os.path.abspath(model))
    return path.stem if path.suffix in PLAIN_SUFFIXES else path.name


def check_model_arguments(arguments: argparse.Namespace) -> None:
    """For commands that keep results of several models. Raises ``UserError`` for two of one name, whose results would
    go to one folder, and as :func:`check_plain_facts` does."""
    names = [model_name(model) for model in arguments.model or ()]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(
            f"two of the models are called {twice.pop()}, and so would be their results; rename one, or link to it by "
            "another name"
        )
    check_plain_facts(arguments)


def check_plain_facts(arguments: argparse.Namespace) -> None:
    """Raise ``UserError`` where the facts of a plain model file are given and ``arguments.model``, names, has none."""
    if not (arguments.classes or arguments.preprocessing):
        return
    if not arguments.model:
        raise UserError("--classes and --preprocessing belong to a plain model file; name it with --model")
    if not any(map(_is_plain, arguments.model)):
        raise UserError("--classes and --preprocessing are for plain .keras and .h5 files; a bundle knows its own")


def plain_facts(name: str, arguments: argparse.Namespace) -> dict:
    """What ``load_bundle`` is told of this model: --classes and --preprocessing where it is a plain file."""
    if not _is_plain(name):
        return {}
    return {"class_names": arguments.classes, "preprocessing": arguments.preprocessing}


def _is_plain(name: str) -> bool:
    return Path(name).suffix in PLAIN_SUFFIXES


def check_members(names: Sequence[str]) -> None:
    """Raise ``UserError`` where models of these names do not make an ensemble."""
    if len(names) < 2:
        there = f"here is only {names[0]}" if names else "here is none"
        raise UserError(f"an ensemble takes at least two models of the same classes, and {there}; name or train more")
    if ENSEMBLE in names:
        raise UserError(
            f"a model called {ENSEMBLE} cannot be part of one, whose results have that name; rename its folder"
        )


def list_bundles(models_dir: str | Path = "models") -> list[str]:
    """Names of the bundles in a folder, sorted; folders with a leading dot are being written."""
    names = (path.parent.name for path in Path(models_dir).glob(f"*/{BUNDLE_FILE}"))
    return sorted(name for name in names if not name.startswith("."))


def list_fitting(models_dir: str | Path, class_names: Sequence[str]) -> list[str]:
    """Names of the bundles that know exactly these classes, sorted."""
    wanted = sorted(class_names)
    return [name for name in list_bundles(models_dir) if wanted and _class_names(models_dir, name) == wanted]


def choose_model(models_dir: str | Path = "models", class_names: Sequence[str] | None = None) -> str:
    """The bundle that is used when none is named: ``transfer``, or else the last by name.

    Args:
        class_names: the classes of the data, where there is data; bundles that know them come first.

    Raises ``UserError`` where there is none.
    """
    names = list_bundles(models_dir)
    if not names:
        raise UserError(
            f"there is no model in {models_dir}; train one with: python -m src.transfer_model "
            "(or take the one of 1,000 classes for single pictures: --model imagenet)"
        )
    names = list_fitting(models_dir, class_names or ()) or names
    return "transfer" if "transfer" in names else names[-1]


def choose_members(models_dir: str | Path = "models") -> tuple[list[str], str]:
    """The bundles that are asked together when none is named, and :func:`choose_model`'s, whose classes they share.

    Raises ``UserError`` where there is none.
    """
    chosen = choose_model(models_dir)
    return list_fitting(models_dir, _class_names(models_dir, chosen)) or [chosen], chosen


def describe_missing(name: str | Path, models_dir: str | Path) -> str:
    """A sentence for a model that is not there."""
    there = list_bundles(models_dir)
    listing = f"there are {', '.join(there)}" if there else "there is none yet"
    return f"no model {name} in {models_dir} ({listing}); train one with: python -m src.transfer_model"


def _class_names(models_dir: str | Path, name: str) -> list[str]:
    try:
        return sorted(read_json(Path(models_dir) / name / BUNDLE_FILE)["class_names"])
    except (UserError, KeyError, TypeError):  # a damaged bundle is reported when it is loaded
        return []


def describe_mismatch(name: str, known: Sequence[str], data_dir: str | Path, class_names: Sequence[str]) -> str:
    """Half a sentence on a model and data of other classes."""
    return f"{name} was trained on the classes {name_some(known)}, while {data_dir} holds {name_some(class_names)}"
