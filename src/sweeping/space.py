"""What a sweep varies: ``NAME=a,b,c`` are choices, ``NAME=lo..hi`` is a range."""

import argparse
import difflib
import hashlib
import itertools
import json
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from src.errors import UserError
from src.settings import add_options, create_parser, flag_of, read_options

OWN = ("name", "models_dir")  # the sweep's own options, which say where its trials go
_LOGARITHMIC_FROM = 10 * (1 - 1e-9)  # a range whose ends differ by this factor; 0.3 / 0.03 is a little below 10


@dataclass(frozen=True)
class SweptCommand:
    """A training command as a sweep sees it.

    Attributes:
        name: of the command, as typed.
        kinds: the classes of its settings, in the order of ``train``'s arguments; the first has data, models_dir, name.
        train: (settings of each kind, listeners=[...]) -> the bundle's folder and the kept epoch's figures.
        verify: (settings of each kind) -> None; raises ``UserError`` for settings that contradict each other.
    """

    name: str
    kinds: tuple[type, ...]
    train: Callable
    verify: Callable

    def read(self, arguments: Sequence[str]) -> dict:
        """All options but ``OWN`` by field name, as the command's own parser reads them.

        Raises ``UserError`` where it refuses one.
        """
        parser = create_parser(f"Options of src.{self.name} that all trials share.", "  see the command's own --help")
        parser.prog = f"{self.name} within a sweep"
        for kind in self.kinds:
            add_options(parser, kind)
        parser.error = _refuse  # which would print the usage of all options
        found = vars(parser.parse_args(list(arguments)))
        given = {word.partition("=")[0] for word in arguments}
        if wrong := sorted(given & {flag_of(name) for name in OWN}):
            raise UserError(f"{wrong[0]} is an option of the sweep: it stands before the --")
        return {name: value for name, value in found.items() if name not in OWN}

    def settings(self, values: dict, models_dir: str, name: str) -> list:
        """Settings of each kind from options by field name."""
        arguments = argparse.Namespace(**values, models_dir=models_dir, name=name)
        return [read_options(kind, arguments) for kind in self.kinds]

    def find_field(self, name: str):
        """The field and its types, without None, of an option named as on the command line or as a field.

        Raises ``UserError`` where there is none.
        """
        known = {}
        for kind in self.kinds:
            hints = typing.get_type_hints(kind)
            for field in fields(kind):
                hint = hints[field.name]
                united = typing.get_origin(hint) in (types.UnionType, typing.Union)
                known[field.name] = field, {*(typing.get_args(hint) if united else [hint])} - {types.NoneType}
        wanted = name.replace("-", "_")
        if wanted in OWN or wanted not in known:
            near = difflib.get_close_matches(wanted, known.keys() - {*OWN}, 1)
            hint = f"did you mean {near[0].replace('_', '-')}?" if near else f"see python -m src.{self.name} --help"
            raise UserError(f"{name} is no option of {self.name} that can be varied; {hint}")
        return known[wanted]


def _refuse(message: str):
    raise UserError(message)


@dataclass(frozen=True)
class Choices:
    """An option with its values as they were typed."""

    name: str
    texts: tuple[str, ...]

    @property
    def record(self) -> list:
        """As JSON."""
        return list(self.texts)

    def suggest(self, trial) -> str:
        """The value of an Optuna trial, as text."""
        return trial.suggest_categorical(self.name, self.texts)


@dataclass(frozen=True)
class Range:
    """An option with the bounds of its values, both within it: two ints, or two floats."""

    name: str
    low: float
    high: float

    @property
    def record(self) -> dict:
        """As JSON."""
        return {"low": self.low, "high": self.high}

    @property
    def is_logarithmic(self) -> bool:
        """Whether the logarithm is drawn uniformly instead of the value."""
        return self.low > 0 and self.high / self.low >= _LOGARITHMIC_FROM

    def suggest(self, trial) -> str:
        """The value of an Optuna trial, as text."""
        suggest = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return as_text(suggest(self.name, self.low, self.high, log=self.is_logarithmic))


def as_text(value) -> str:
    """A value of an Optuna trial as it would be typed."""
    return value if isinstance(value, str) else repr(value)


def parse_space(words: Sequence[str], command: SweptCommand) -> list[Choices | Range]:
    """What ``NAME=VALUES`` says, for each word. Raises ``UserError`` for what the command would refuse."""
    space = [_parse_word(word, command) for word in words]
    names = [parameter.name for parameter in space]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"{twice.pop()} is given twice; list all its values at once")
    return space


def _parse_word(word: str, command: SweptCommand) -> Choices | Range:
    typed, _, values = word.partition("=")
    if not typed or not values:
        raise UserError(f"expected NAME=a,b,c or NAME=lo..hi. Received: {word}")
    field, kinds = command.find_field(typed)
    low, dots, high = values.partition("..")
    if dots and kinds & {int, float} and bool not in kinds and "/" not in values:
        return _parse_range(field.name, low, high, kinds, command)
    texts = tuple(text.strip() for text in values.split(","))
    parsed = [_read_one(field, kinds, text, command) for text in texts]
    if len({repr(value) for value in parsed}) < len(parsed):
        raise UserError(f"{typed} has a value twice. Received: {values}")
    return Choices(field.name, texts)


def _parse_range(name: str, low: str, high: str, kinds: set[type], command: SweptCommand) -> Range:
    ends = [command.read([f"{flag_of(name)}={text}"])[name] for text in (low, high)]
    if not all(isinstance(end, (int, float)) for end in ends) or not ends[0] < ends[1]:
        raise UserError(f"expected a range from a lower number to a higher one. Received: {name}={low}..{high}")
    kind = float if float in kinds else int
    return Range(name, *map(kind, ends))


def _read_one(field, kinds: set[type], text: str, command: SweptCommand):
    return command.read(_as_arguments(field, kinds, text))[field.name]


def _as_arguments(field, kinds: set[type], text: str) -> list[str]:
    """A value as the command line has it; "none" leaves out an option that is None by itself."""
    flag = flag_of(field.name)
    if text == "none" and field.default is None:
        return []
    if bool in kinds:
        if text not in ("true", "false"):
            raise UserError(f"{field.name} is true or false. Received: {text}")
        return [flag if text == "true" else f"--no-{flag[2:]}"]
    return [f"{flag}={text}"]


def read_trial(command: SweptCommand, fixed: Sequence[str], parameters: dict[str, str]) -> dict:
    """All options of one trial by field name: those that all trials share, and its own."""
    own = [_as_arguments(*command.find_field(name), text) for name, text in parameters.items()]
    return command.read([*fixed, *itertools.chain(*own)])


def check_fixed(command: SweptCommand, fixed: Sequence[str], space: Sequence[Choices | Range]) -> dict:
    """The options that all trials share, by field name. Raises ``UserError`` for one that is varied as well."""
    found = command.read(fixed)
    given = {word.partition("=")[0] for word in fixed}
    for name in (parameter.name for parameter in space):
        if given & {flag_of(name), f"--no-{flag_of(name)[2:]}"}:
            raise UserError(f"{flag_of(name)} is given for all trials, and varied as well; leave one of them out")
        del found[name]
    return found


def grid_of(space: Sequence[Choices]) -> list[dict[str, str]]:
    """All combinations in the order of the values, the last parameter changing fastest."""
    names = [parameter.name for parameter in space]
    return [dict(zip(names, texts)) for texts in itertools.product(*(parameter.texts for parameter in space))]


def digest_of(parameters: dict[str, str]) -> str:
    """Twelve hexadecimal digits that name a trial's files."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:12]
