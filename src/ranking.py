"""Methods beside each other by several measures: their ranks within each measure, and over all of them. NumPy only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_DIGITS = 6  # significant ones; what differs beyond them differs by the order of additions


@dataclass(frozen=True)
class Measure:
    """A column of a table: its title, which way is better (None: neither), how its values are written."""

    title: str
    higher_is_better: bool | None = None
    format: str = "{:.2f}"


@dataclass(frozen=True)
class Score:
    """A cell.

    Attributes:
        value: NaN where the measure is not defined.
        low, high: the bounds of its interval; None or NaN where there is none.
        beats_controls: whether it is better than those of all controls; None where that cannot be said or is not
            asked.
        n: the number of values behind it; None where it is no mean.
    """

    value: float
    low: float | None = None
    high: float | None = None
    beats_controls: bool | None = None
    n: int | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether it has an interval."""
        return all(bound is not None and math.isfinite(bound) for bound in (self.low, self.high))


@dataclass(frozen=True)
class Compared:
    """A row: a method or a control, with one score for each column; None where there is none."""

    title: str
    scores: Sequence[Score | None]
    is_control: bool = False

    def has(self, column: int) -> bool:
        """Whether there is a finite value."""
        score = self.scores[column]
        return score is not None and score.value is not None and math.isfinite(score.value)


def rank_scores(rows: Sequence[Compared], columns: Sequence[Measure]) -> np.ndarray:
    """Ranks within each column, float (rows, columns): 1 is the best, equal values share the mean of their ranks.

    Values are compared to six significant digits. Those that do not beat the controls come after all others, also after
    those of which it cannot be said. NaN where there is no score, where the column has no better way, and for controls,
    which are not ranked.
    """
    ranks = np.full((len(rows), len(columns)), np.nan)
    for column, measure in enumerate(columns):
        ranked = [row for row, compared in enumerate(rows) if not compared.is_control and compared.has(column)]
        if measure.higher_is_better is None or not ranked:
            continue
        sign = 1 if measure.higher_is_better else -1
        scores = [rows[row].scores[column] for row in ranked]
        keys = [(score.beats_controls is not False, sign * _round(score.value)) for score in scores]
        ranks[ranked, column] = [sum(other > key for other in keys) + (keys.count(key) + 1) / 2 for key in keys]
    return ranks


def mean_ranks(ranks: np.ndarray) -> np.ndarray:
    """Each row's mean over the columns in which it has a rank, float (rows,); NaN for rows that have none."""
    counts = (~np.isnan(ranks)).sum(axis=1)
    return np.where(counts > 0, np.nansum(ranks, axis=1) / np.maximum(counts, 1), np.nan)


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS - 1}e}")
