"""What is gained when the unsure answers are refused: accuracy against coverage."""

import math
from dataclasses import dataclass

import numpy as np

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.5)


@dataclass(frozen=True)
class OperatingPoint:
    """Answers of at least this confidence are given, the others refused.

    Attributes:
        coverage: the share of pictures that get an answer, 0..1.
        n, right: how many pictures that are, and how many of the answers are right.
        threshold: the least confidence among them.
    """

    coverage: float
    n: int
    right: int
    threshold: float

    @property
    def accuracy(self) -> float:
        return self.right / self.n


@dataclass(frozen=True)
class RiskCoverage:
    """The curve; its points stand in the order of falling thresholds, one for each confidence that occurs.

    Attributes:
        points: all there is to choose from; the last has coverage 1.
        aurc: area under the curve of risk (share of wrong answers) against coverage, 0..1, the less the better: the
            mean of the risk over the n surest answers, n = 1..N (Geifman & El-Yaniv, NeurIPS 2017; the name is of
            ICLR 2019). Where confidences tie it is the mean over all orders of the tied.
    """

    points: list[OperatingPoint]
    aurc: float

    def at(self, coverage: float) -> OperatingPoint:
        """The first point that covers at least this share, above 0 and at most 1. Ties may take it further."""
        if not 0 < coverage <= 1:
            raise ValueError(f"a coverage is above 0 and at most 1. Received: {coverage}")
        needed = math.ceil(coverage * self.points[-1].n - 1e-9)
        return next(point for point in self.points if point.n >= needed)


def trade_coverage(confidences: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """The curve of confidences float (N,) and whether the answers are right, bool (N,), N >= 1.

    Answers of equal confidence are given or refused together. Raises ``ValueError`` for other shapes.
    """
    confidences, right = np.asarray(confidences), np.asarray(right, bool)
    if confidences.shape != right.shape or confidences.ndim != 1 or not len(right):
        raise ValueError(f"expected N confidences and N answers. Received: {confidences.shape}, {right.shape}")
    thresholds, places, sizes = np.unique(-confidences, return_inverse=True, return_counts=True)
    wrong = np.bincount(places, ~right)
    ends, all_wrong = sizes.cumsum(), wrong.cumsum()
    points = [
        OperatingPoint(float(end / len(right)), int(end), int(end - errors), float(-threshold))
        for end, errors, threshold in zip(ends, all_wrong, thresholds)
    ]
    # The expected number of wrong answers among the n surest grows by the group's share of them from one to the next.
    expected = np.repeat(wrong / sizes, sizes).cumsum()
    return RiskCoverage(points, float((expected / np.arange(1, len(right) + 1)).mean()))


def confidence_threshold(confidences: np.ndarray, right: np.ndarray, error_rate: float) -> float | None:
    """The least confidence from which on an answer may be called sure.

    Of the n held-out answers of at least this confidence w are wrong, and (w + 1) / (n + 1) is at most ``error_rate``:
    as if the next answer were wrong, too. Of all confidences for which that holds the least is taken, so that a single
    wrong label among the surest answers does not make all the others unsure. It is an estimate and no guarantee: the
    choice among many thresholds makes it a little too good, and of a classifier that is hardly ever sure, with few
    held-out answers, clearly so (docs/few_pictures.md).

    Args:
        confidences: float (N,), N >= 1, of answers to pictures that the model was not trained on.
        right: bool (N,).
        error_rate: the share of wrong answers among the sure ones that is still acceptable, above 0 and below 1.

    Returns:
        Infinity where no threshold will do; None where N answers are too few to tell even if all are right: fewer than
        1 / ``error_rate`` - 1, 19 for 0.05.

    Raises:
        ValueError: other shapes or rates.
    """
    if not 0 < error_rate < 1:
        raise ValueError(f"an error rate is above 0 and below 1. Received: {error_rate}")
    points = trade_coverage(confidences, right).points
    if points[-1].n < 1 / error_rate - 1 - 1e-9:
        return None
    accepted = (p.threshold for p in points if p.n - p.right + 1 <= error_rate * (p.n + 1) + 1e-9)
    return min(accepted, default=math.inf)
