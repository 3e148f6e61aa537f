"""Settings: frozen dataclasses, the command line over them, the saved JSON beside each result; and seeding.

A field made with :func:`option` is at once a default, a command-line option (``image_size`` -> ``--image-size``)
and a key of the saved JSON. Unknown keys are refused, so that a misspelt setting never passes silently.
"""

import argparse
import dataclasses
import json
import logging
import math
import os
import shlex
import sys
import types
import typing
from collections.abc import Callable, Sequence

from src.errors import UserError

if typing.TYPE_CHECKING:
    import numpy as np

PARTS = ("train", "val", "test")  # of a data folder, in this order
SPLIT_IN_PROGRESS = ".split-in-progress"  # hidden in a data folder while split_dataset.py works on it
COLORMAPS = ("inferno", "viridis", "magma", "turbo", "jet")  # the first three are perceptually uniform
EXPLAINERS = (  # the methods of explainers/registry.py
    "gradcam",
    "gradcam++",
    "hirescam",
    "layercam",
    "xgradcam",
    "eigencam",
    "scorecam",
    "ablationcam",
    "saliency",
    "gradient_x_input",
    "smoothgrad",
    "integrated_gradients",
    "guided_gradcam",
    "occlusion",
    "rise",
    "lime",
    "kernel_shap",
)
# What inference/engine.py and networks/preprocessing.py can do, named here so that a parser need not load Keras.
ENGINES = ("auto", "openvino", "keras")
# of networks/scratch.py
NETWORKS = ("baseline", "simple_cnn", "regularized_cnn", "resnet18", "resnet18_small", "fast_cnn")
PREPROCESSING_MODES = ("none", "0-1", "tf", "caffe", "torch")


def option(default, help: str, **argparse_keywords):
    """A dataclass field with its default, its help text and further keywords for ``add_argument``."""
    return dataclasses.field(default=default, metadata={"help": help, "argparse": argparse_keywords})


def create_parser(description: str, examples: str) -> argparse.ArgumentParser:
    """A parser with defaults (but None and False) shown in its help and ``examples`` below it."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action):
            return action.help if action.default in (None, False) else super()._get_help_string(action)

    return argparse.ArgumentParser(
        description=description, epilog=f"examples:\n{examples}", formatter_class=Formatter, allow_abbrev=False
    )


def flag_of(name: str) -> str:
    """A field's option on the command line: ``image_size`` -> ``--image-size``."""
    return f"--{name.replace('_', '-')}"


def add_options(parser: argparse.ArgumentParser, settings_class: type) -> None:
    """Add one option for each field of ``settings_class`` that was made with :func:`option`."""
    hints = typing.get_type_hints(settings_class)
    for field in dataclasses.fields(settings_class):
        keywords = {"default": field.default, "help": field.metadata["help"]} | field.metadata["argparse"]
        kind = hints[field.name]
        if typing.get_origin(kind) in (types.UnionType, typing.Union):  # "int | None": the type without None
            kind = next(a for a in typing.get_args(kind) if a is not types.NoneType)
        if kind is bool:
            keywords["action"] = argparse.BooleanOptionalAction
        else:
            keywords.setdefault("type", kind)
        parser.add_argument(flag_of(field.name), **keywords)


def add_rate_finding(parser: argparse.ArgumentParser) -> None:
    """Add what both trainings have to find a learning rate with, ``--find-rate`` and ``--output``."""
    parser.add_argument(
        "--find-rate",
        action="store_true",
        help="train nothing; draw the loss against the learning rate (in the first phase that has epochs)",
    )
    parser.add_argument("--output", default="gradcam", help="folder that --find-rate draws into")


def add_restart(parser: argparse.ArgumentParser) -> None:
    """Add what both trainings have to forget an interrupted one, ``--restart``."""
    parser.add_argument(
        "--restart", action="store_true", help="begin anew instead of going on with an interrupted training"
    )


def read_options(settings_class: type, arguments: argparse.Namespace):
    """The settings that the parsed command line stands for."""
    names = [field.name for field in dataclasses.fields(settings_class)]
    return settings_class(**{name: getattr(arguments, name) for name in names})


def parse_options(kinds: Sequence[type], words: Sequence[str]) -> list:
    """Settings of each kind from a command line that has no other options."""
    parser = argparse.ArgumentParser()
    for kind in kinds:
        add_options(parser, kind)
    arguments = parser.parse_args(list(words))
    return [read_options(kind, arguments) for kind in kinds]


def recorded_options(kinds: Sequence[type], words: Sequence[str]) -> dict:
    """The same by field name, in one dictionary, as a bundle's JSON records them."""
    settings = (dataclasses.asdict(each) for each in parse_options(kinds, words))
    return json.loads(json.dumps({name: value for each in settings for name, value in each.items()}))


def command_line(module: str, settings: Sequence) -> str:
    """The command that has these settings, its options as short as they can be: only what is not the default.

    Args:
        module: as ``src.baseline_cnn``, or a script's name with its ``.py``.
        settings: instances of settings classes, as :func:`parse_options` returns them.
    """
    words = ["python", module] if module.endswith(".py") else ["python", "-m", module]
    for each in settings:
        for field in dataclasses.fields(each):
            value = getattr(each, field.name)
            if value != field.default and value is not None:
                words += _words_of(flag_of(field.name), value, field.metadata["argparse"])
    return shlex.join(words)


def typed_command(module: str, argv: Sequence[str] | None) -> str:
    """The command as it was typed, which a result keeps, so that it can be made again.

    Args:
        argv: what ``main`` was given; None for the process's own.
    """
    return shlex.join(["python", "-m", module, *map(str, sys.argv[1:] if argv is None else argv)])


def _words_of(flag: str, value, keywords: dict) -> list[str]:
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    if not isinstance(value, (tuple, list)):
        return [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]
    if keywords.get("type") is picture_size:
        return [flag, "x".join(map(str, value))]
    return [flag, *map(str, value)]


def load_settings(settings_class: type, values: dict):
    """Settings from saved JSON. Raises ``UserError`` for a key that ``settings_class`` lacks."""
    known = {field.name for field in dataclasses.fields(settings_class)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return settings_class(**values)


def _number(kind: type, fits: Callable[[float], bool], meaning: str, *words: str) -> Callable:
    """A command-line type for numbers of one kind within bounds, or for one of ``words`` in their place."""

    def convert(text: str):
        if text in words:
            return text
        try:
            if fits(value := kind(text)):
                return value
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"expected {meaning}. Received: {text}")

    return convert


def whole_up_to(most: int) -> Callable:
    """A command-line type: whole numbers from 0 to ``most``."""
    return _number(int, lambda value: 0 <= value <= most, f"a whole number from 0 to {most}")


positive_int = _number(int, lambda value: value >= 1, "a whole number of at least 1")
auto_or_count = _number(int, lambda value: value >= 0, "'auto' or a whole number of at least 0", "auto")
auto_exact_or_count = _number(
    int, lambda value: value >= 0, "'auto', 'exact' or a whole number of at least 0", "auto", "exact"
)
auto_or_positive = _number(int, lambda value: value >= 1, "'auto' or a whole number of at least 1", "auto")
natural_int = _number(int, lambda value: value >= 0, "a whole number of at least 0")
seed_int = _number(int, lambda value: 0 <= value < 2**32, "a whole number from 0 to 4294967295")
positive_float = _number(float, lambda value: 0 < value < math.inf, "a number greater than 0")
auto_or_positive_float = _number(float, lambda value: 0 < value < math.inf, "'auto' or a number greater than 0", "auto")
natural_float = _number(float, lambda value: 0 <= value < math.inf, "a number of at least 0")
share = _number(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")
share_below_one = _number(float, lambda value: 0 <= value < 1, "a number from 0 to below 1")
up_to_ten = _number(float, lambda value: 0 <= value <= 10, "a number from 0 to 10")


def picture_size(text: str) -> int | tuple[int, int]:
    """A command-line type: ``64`` for squares of 64 pixels, ``48x64`` for 48 high and 64 wide."""
    sides = text.lower().split("x")
    if len(sides) <= 2 and all(side.isdecimal() and int(side) for side in sides):
        return int(text) if len(sides) == 1 else (int(sides[0]), int(sides[1]))
    raise argparse.ArgumentTypeError(f"expected pixels, as 64 or as HEIGHTxWIDTH. Received: {text}")


def height_and_width(size: int | typing.Sequence[int]) -> tuple[int, int]:
    """(height, width) of a size given as one number or as both."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def check_options(settings) -> None:
    """Hold the fields of ``settings`` to the types and choices of their options, which only the command line checks.

    Raises ``UserError`` with the field's name.
    """
    hints = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        keywords, value = field.metadata.get("argparse", {}), getattr(settings, field.name)
        if value not in keywords.get("choices", [value]):
            known = ", ".join(map(str, keywords["choices"]))
            raise UserError(f"{field.name}: expected one of {known}. Received: {value}")
        if value is None and types.NoneType in typing.get_args(hints[field.name]):
            continue
        try:
            keywords.get("type", str)(str(value))
        except argparse.ArgumentTypeError as error:
            raise UserError(f"{field.name}: {error}") from error


def random_generator(seed: int, *key: int) -> "np.random.Generator":
    """A generator that is a function of ``(seed, *key)`` alone, e.g. of (seed, epoch, index of the picture)."""
    import numpy as np  # here, because every parser needs this module, and --help no arrays

    # The length goes in as well, because NumPy takes [42] and [42, 0] for the same seed.
    words = [len(key), int(seed) & 0xFFFFFFFFFFFFFFFF, *map(int, key)]
    if max(words) < 2**32:
        words = np.array(words, np.uint32)  # the same seed; of a list NumPy converts every number by itself
    return np.random.Generator(np.random.PCG64(words))  # what default_rng makes; all in half its time


def quiet_tensorflow() -> None:
    """Import TensorFlow, set up for speed and without its start-up messages. Call before what else imports Keras.

    Its C++ part writes them before it reads any setting, so the file descriptor itself is turned away meanwhile.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow's faster convolutions, which it turns on by itself only for CPUs with AVX-512 (docs/performance.md).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    # Its Python part warns of functions traced anew, which 17 methods of explanation do by their nature.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
