"""What verdicts on answers are worth: on test pictures and, where there are any, on pictures of no known class."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from src.evaluation.conformal import SetFigures, measure_sets, predict_sets
from src.evaluation.novelty import auroc
from src.intervals import wilson_interval

COVERAGES = (0.9, 0.95)  # of the sets that are measured
LEAST_LIKE = 12  # test pictures that are listed
_BINS, _LAST = 20, 2.0  # of the histogram; what is beyond counts in the last one


@dataclass(frozen=True)
class Answered:
    """Verdicts on N test pictures.

    Attributes:
        labels: int (N,), the true classes.
        probabilities: (N, C), at the temperature.
        novelties: float64 (N,), as shares of the threshold; None without a score.
        sure: bool (N,); None where that cannot be told.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    novelties: np.ndarray | None
    sure: np.ndarray | None


@dataclass(frozen=True)
class Trust:
    """Figures of one model's verdicts.

    Attributes:
        thresholds: as of ``verdicts.Judge.as_json``.
        n: test pictures.
        known: how many of them count as like the training pictures; None without a score.
        sure, sure_right: how many answers are sure, and how many of those right; None where it cannot be told.
        sets: by the coverage asked.
        unknown, refused: pictures of no known class, and how many of them count as unlike; None where there are none.
        unknown_auroc: how well novelty tells them from the test pictures.
        least_like: (place, novelty) of the test pictures of the highest novelty, that first.
        histogram: ``edges`` and, for ``held_out``, ``test`` and ``unknown``, counts of novelties, where there are any.
    """

    thresholds: dict
    n: int
    known: int | None
    sure: int | None
    sure_right: int | None
    sets: dict[float, SetFigures]
    unknown: int | None
    refused: int | None
    unknown_auroc: float | None
    least_like: list[tuple[int, float]]
    histogram: dict[str, list] | None

    def as_json(self) -> dict:
        """Shares with their 95% Wilson intervals, plain Python values."""
        return {
            "thresholds": self.thresholds,
            "known": _share(self.known, self.n),
            "sure": _share(self.sure, self.n),
            "right_of_sure": _share(self.sure_right, self.sure),
            "sets": [{"asked": asked} | found.as_json() for asked, found in self.sets.items()],
            "unknown": None
            if self.unknown is None
            else {"auroc": self.unknown_auroc, "refused": _share(self.refused, self.unknown)},
            "least_like": [list(entry) for entry in self.least_like],
            "histogram": self.histogram,
        }


def measure_trust(
    thresholds: dict,
    set_thresholds: Mapping[float, float],
    answered: Answered,
    held_out: np.ndarray | None = None,
    unknown: np.ndarray | None = None,
) -> Trust:
    """All figures.

    Args:
        thresholds: for the record.
        set_thresholds: of :func:`~src.evaluation.conformal.predict_sets`, by the coverage asked.
        held_out: novelties of the pictures that the threshold comes from; None without a score.
        unknown: novelties of pictures of no known class; None for none.
    """
    novelties, sure = answered.novelties, answered.sure
    right = answered.probabilities.argmax(axis=1) == answered.labels
    scored = novelties is not None
    told = scored and unknown is not None and len(unknown) > 0
    order = np.argsort(-novelties, kind="stable")[:LEAST_LIKE] if scored else []
    return Trust(
        thresholds=thresholds,
        n=len(answered.labels),
        known=int((novelties <= 1).sum()) if scored else None,
        sure=None if sure is None else int(sure.sum()),
        sure_right=None if sure is None else int(right[sure].sum()),
        sets={
            asked: measure_sets(predict_sets(answered.probabilities, threshold), answered.labels)
            for asked, threshold in set_thresholds.items()
        },
        unknown=len(unknown) if told else None,
        refused=int((unknown > 1).sum()) if told else None,
        unknown_auroc=auroc(novelties, unknown) if told else None,
        least_like=[(int(place), float(novelties[place])) for place in order],
        histogram=_count({"held_out": held_out, "test": novelties, "unknown": unknown}) if scored else None,
    )


def _share(count: int | None, total: int | None) -> dict | None:
    if count is None or total is None:
        return None
    return {"count": count, "n": total, "share": count / total if total else None,
            "interval": list(wilson_interval(count, total))}  # fmt: skip


def _count(groups: Mapping[str, np.ndarray | None]) -> dict[str, list]:
    """A novelty that is an upper edge belongs below it, as the threshold itself counts as known."""
    edges = np.linspace(0, _LAST, _BINS + 1).round(6)
    counted = {
        name: np.bincount(np.searchsorted(edges[1:-1], values), minlength=_BINS).tolist()
        for name, values in groups.items()
        if values is not None and len(values)
    }
    return {"edges": edges.tolist(), **counted}
