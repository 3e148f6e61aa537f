"""What the page needs of saved JSON, and nothing else of it: checked before anything is made of it.

A schema is a type, for a value of that type (float: a finite number; int: a whole one); a dictionary of schemas, for an
object with these keys; a list of one schema, for a list of such values; :class:`Each`, for an object with any keys;
:class:`Row`, for a list of so many values; :class:`Within`, for a number within bounds; or :class:`Maybe`, for a value
that may be missing or null.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from src.errors import UserError
from src.files import read_json


@dataclass(frozen=True)
class Each:
    """An object whose every value fits."""

    schema: object


@dataclass(frozen=True)
class Maybe:
    """A value that fits, or None."""

    schema: object


@dataclass(frozen=True)
class Row:
    """A list of so many values that fit."""

    schema: object
    length: int


@dataclass(frozen=True)
class Within:
    """A number of that type from ``low`` to ``high``; of these a share may miss by its rounding."""

    kind: type
    low: float
    high: float

    def check(self, value: float, name: str) -> float:
        """The value. Raises ``ValueError`` where it is beyond the bounds."""
        if not self.low - _ROUNDING <= value <= self.high + _ROUNDING:
            raise ValueError(f"{name or 'it'} is not within {self.low:g} and {self.high:g}")
        return value


_ROUNDING = 1e-6
SHARE, COUNT = Within(float, 0, 1), Within(int, 0, 1e12)
INTERVAL = Row(SHARE, 2)  # of a share

_CLASS = {"precision": float, "recall": float, "f1": float, "support": int}
_POINT = {"coverage": float, "n": int, "accuracy": float, "interval": [float], "threshold": float}
_BIN = {"n": int, "right": int, "confidence": Maybe(float)}
_FOUND = {"count": COUNT, "n": COUNT, "share": Maybe(SHARE), "interval": INTERVAL}
_SET = {"asked": SHARE, "coverage": SHARE, "interval": INTERVAL, "mean_size": float, "singletons": SHARE, "n": COUNT}
_COUNTS = Maybe([COUNT])
# Of metrics.json, as evaluation.trust writes it.
_TRUST = {
    "thresholds": {
        "n": COUNT,
        "origin": str,
        "keep": SHARE,
        "accept_errors": SHARE,
        "sure_from": Maybe(float),
    },
    "known": Maybe(_FOUND),
    "sure": Maybe(_FOUND),
    "right_of_sure": Maybe(_FOUND),
    "sets": [_SET],
    "unknown": Maybe({"auroc": SHARE, "refused": _FOUND}),
    "least_like": [Row(float, 2)],
    "histogram": Maybe({"edges": [Within(float, 0, 100)], "held_out": _COUNTS, "test": _COUNTS, "unknown": _COUNTS}),
}
METRICS = {
    "n": int,
    "accuracy": float,
    "interval": [float],
    "macro": {"f1": float},
    "roc_auc": Maybe(float),
    "per_class": Each(_CLASS),
    "confusion_matrix": [[int]],
    "calibration": {"ece": float, "ece_before": float, "brier": float, "nll": float, "reliability": [_BIN]},
    "selective": {"at": [_POINT]},
    "gap": Maybe({"train_accuracy": float, "gap": float, "gap_interval": [float]}),
    "temperature": Maybe(float),
    "collapsed_class": Maybe(str),
    "seen_in_training": Maybe(
        {"identical": [str], "near_copies": [str], "n_others": int, "accuracy_on_others": Maybe(float)}
    ),
    "trust": Maybe(_TRUST),
    "members": Maybe([str]),
    "member_networks": Maybe([Maybe(str)]),
    "network": Maybe(str),
    "data": Maybe(str),
    "command": Maybe(str),
}
_STRENGTH = {"n": int, "max_mean": Maybe(float)}
EXPLAINED = {
    "title": str,
    "target_layer": Maybe(str),
    "explained_class": Maybe(str),
    "versus": Maybe(str),
    "n_pictures": int,
    "n_masks": int,
    "pointing_game": Maybe(float),
    "blob_pointing_game": Maybe(float),
    "energy_in_mask": Maybe(float),
    "blob_energy_in_mask": Maybe(float),
    "activation_strength": Each(_STRENGTH),
    "network": Maybe(str),
    "data": Maybe(str),
    "command": Maybe(str),
}
# The cells of a method stand under the names of the measures, and so are not listed here.
COMPARISON = {
    "n": int,
    "flips": Maybe(bool),
    "methods": Each(dict),
    "network": Maybe(str),
    "data": Maybe(str),
    "command": Maybe(str),
}
METHOD = {
    "title": str,
    "control": bool,
    "mean_rank": Maybe(float),
    "intervals": Each([Maybe(float)]),
    "beats_controls": Maybe(Each(bool)),
}
BUNDLE = {
    "sha256": Each(str),
    "settings": dict,
    "command": Maybe(str),
    "metrics": Maybe({"epoch": Maybe(int)}),
    "training_seconds": Maybe(float),
    "calibration": Maybe({"note": Maybe(str)}),
    "versions": Maybe(Each(str)),
}
AUDIT = {"pictures": int, "counts": Each(Each(int))}


def read_checked(path: Path, schema: dict) -> dict:
    """The values of a JSON file that ``schema`` names. Raises ``UserError`` where it lacks one, or is no JSON."""
    try:
        return conform(read_json(path), schema)
    except ValueError as error:
        raise UserError(
            f"{path} is damaged or of another version ({error}); make it anew with the command that wrote it"
        ) from error


def conform(value, schema, name: str = ""):
    """``value`` with what ``schema`` names, missing values as None. Raises ``ValueError`` where it does not fit."""
    if isinstance(schema, Maybe):
        return None if value is None else conform(value, schema.schema, name)
    if isinstance(schema, Each):
        found = _expect(value, dict, name)
        return {key: conform(inner, schema.schema, f"{name}.{key}") for key, inner in found.items()}
    if isinstance(schema, dict):
        found = _expect(value, dict, name)
        return {key: conform(found.get(key), inner, f"{name}.{key}".strip(".")) for key, inner in schema.items()}
    if isinstance(schema, Row):
        if len(_expect(value, list, name)) != schema.length:
            raise ValueError(f"{name or 'it'} has not {schema.length} values")
        return [conform(inner, schema.schema, name) for inner in value]
    if isinstance(schema, list):
        return [conform(inner, schema[0], name) for inner in _expect(value, list, name)]
    if isinstance(schema, Within):
        return schema.check(_expect(value, schema.kind, name), name)
    return _expect(value, schema, name)


def _expect(value, kind: type, name: str):
    whole = type(value) is int
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:  # which NaN is not
        return float(value)
    if kind is int and whole or kind not in (float, int) and isinstance(value, kind):
        return value
    raise ValueError(f"{name or 'it'} is {'missing' if value is None else 'no ' + kind.__name__}")
