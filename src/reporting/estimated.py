"""The section on what the pictures are worth: of ``estimate.json``, where it is of these pictures."""

from pathlib import Path

from src.errors import UserError
from src.estimating.described import (
    MEANING,
    describe_accuracy,
    describe_choice,
    describe_curve,
    describe_needs,
    describe_weakest,
)
from src.estimation_plotting import draw_learning_curve
from src.reporting.charts import draw_chart
from src.reporting.results import Results
from src.reporting.schema import COUNT, INTERVAL, SHARE, Each, Maybe, Row, Within, conform, read_checked

ESTIMATE = "python -m src.estimate"
CANDIDATES = 12  # that are shown; choices.csv has all
_PICTURES = Within(float, 1e-3, 1e9)  # of a class: drawn on a scale without 0
_BY_LAW = Within(float, -1, 2)  # a law that is fitted knows no bounds, and yet stays near them
_BOUNDS = Row(float, 2)
_CLASS = {"recall": SHARE, "interval": INTERVAL, "n": COUNT}
_FOUND = {
    "accuracy": SHARE,
    "interval": INTERVAL,
    "n": COUNT,
    "folds": COUNT,
    "repeats": COUNT,
    "log_loss": float,
    "per_class": Each(_CLASS),
}
_CANDIDATE = {
    "backbone": str,
    "views": COUNT,
    "schedule": str,
    "l2": Maybe(float),
    "log_loss": float,
    "accuracy": SHARE,
    "difference": float,
    "low": Maybe(float),
    "high": Maybe(float),
    "chosen": bool,
}
_CHOICE = {
    "words": [str],
    "description": str,
    "chosen_on": [str],
    "n": COUNT,
    "accuracy": SHARE,
    "interval": INTERVAL,
    "candidates": [_CANDIDATE],
}
_TWICE = {
    "pictures_per_class": _PICTURES,
    "pictures": COUNT,
    "gain": float,
    "gain_interval": _BOUNDS,
    "can_be_told": bool,
}
_CURVE = {
    "points": [{"pictures_per_class": _PICTURES, "accuracy": SHARE, "interval": INTERVAL}],
    "pictures_per_class": _PICTURES,
    "twice": Maybe(_TWICE),
    "band": [Row(float, 4)],
}
_NEED = {"class": str, "loss": float, "interval": _BOUNDS, "recall_loss": float, "can_be_told": bool}
SCHEMA = {
    "class_names": [str],
    "choice": _CHOICE,
    "cross_validated": _FOUND,
    "learning_curve": _CURVE,
    "needs": [_NEED],
    "data": Maybe(str),
    "command": Maybe(str),
}


def describe_estimated(results: Results, output: Path) -> dict | None:
    """What the section says; None where there is no estimate, or it does not belong, which is noted."""
    path = output / "estimate" / "estimate.json"
    if not path.is_file():
        return None
    try:
        found = read_checked(path, SCHEMA)
        _check(found)
    except (UserError, ValueError) as error:
        results.notes.append(f"{path} is left out ({error}); run {ESTIMATE}")
        return None
    if found["data"] != results.data.fingerprint or found["class_names"] != results.data.class_names:
        results.notes.append(f"{path} is of another split than {results.data.folder} holds now; run {ESTIMATE}")
        return None
    accuracy, curve = found["cross_validated"], found["learning_curve"]
    weakest = sorted(accuracy["per_class"].items(), key=lambda item: (item[1]["recall"], item[0]))
    return {
        "command": found["command"],
        "accuracy": accuracy,
        "sentences": [
            f"Accuracy {describe_accuracy(accuracy)}. {describe_weakest(accuracy)}",
            MEANING,
            describe_choice(found["choice"]),
        ],
        "more": [text for text in (describe_curve(curve), describe_needs(found["needs"])) if text],
        "choice": found["choice"],
        "candidates": found["choice"]["candidates"][:CANDIDATES],
        "left_out": max(0, len(found["choice"]["candidates"]) - CANDIDATES),
        "classes": weakest,
        "needs": found["needs"],
        "curve": draw_chart(lambda axes: draw_learning_curve(axes, curve), _describe_curve(curve)),
    }


def _check(found: dict) -> None:
    """Raise ``ValueError`` where parts of it do not fit each other."""
    if not found["learning_curve"]["points"]:
        raise ValueError("a curve that is none")
    for n, *accuracies in found["learning_curve"]["band"]:
        conform(n, _PICTURES, "learning_curve.band")
        conform(accuracies, [_BY_LAW], "learning_curve.band")
    if not found["cross_validated"]["per_class"]:
        raise ValueError("no classes")


def _describe_curve(curve: dict) -> str:
    first, last = curve["points"][0], curve["points"][-1]
    return (
        f"Learning curve: accuracy {first['accuracy']:.3f} with {first['pictures_per_class']:.0f} training pictures of "
        f"a class, {last['accuracy']:.3f} with {last['pictures_per_class']:.0f}"
    )
