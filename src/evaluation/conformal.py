"""Sets of classes that hold the true one as often as was asked, by split conformal prediction. NumPy only.

The promise needs no model of the errors, only that the held-out pictures and the new ones come from one source: over
many draws of n held-out pictures the true class is in the set in at least the share asked, and at most 1 / (n + 1) more
often (Vovk et al. 2005; Lei et al., JASA 2018). It is of all pictures together, not of each class.
"""

import math
from dataclasses import dataclass

import numpy as np

from src.intervals import wilson_interval


@dataclass(frozen=True)
class SetFigures:
    """How sets of classes did on n pictures.

    Attributes:
        covered: how many of the sets hold the true class.
        mean_size: classes in a set, on average.
        singletons: how many sets are of one class.
    """

    n: int
    covered: int
    mean_size: float
    singletons: int

    def as_json(self) -> dict:
        """Shares and the coverage's 95% Wilson interval, plain Python values."""
        return {
            "coverage": self.covered / self.n,
            "interval": list(wilson_interval(self.covered, self.n)),
            "mean_size": self.mean_size,
            "singletons": self.singletons / self.n,
            "n": self.n,
        }


def conformal_quantile(scores: np.ndarray, share: float) -> float:
    """The bound that a new score of the same source exceeds with a probability of at most 1 - ``share``.

    It is the k-th smallest of n scores, k = ceil((n + 1) * share) (Lei et al. 2018, lemma 2.1); infinite where k > n,
    that is where n scores are too few to say.

    Args:
        scores: (n,), n >= 1, none of them NaN.
        share: above 0 and below 1.

    Raises:
        ValueError: otherwise.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not len(scores) or np.isnan(scores).any():
        raise ValueError(f"expected n scores, at least one. Received: {scores.shape}")
    if not 0 < share < 1:
        raise ValueError(f"a share is above 0 and below 1. Received: {share}")
    rank = math.ceil((len(scores) + 1) * share - 1e-9)
    return math.inf if rank > len(scores) else float(np.partition(scores, rank - 1)[rank - 1])


def fit_sets(probabilities: np.ndarray, labels: np.ndarray, coverage: float) -> float:
    """The threshold of :func:`predict_sets` for the coverage asked: that of the least ambiguous sets (LAC: Sadinle et
    al., JASA 2019), whose score is 1 less the probability of the true class.

    Args:
        probabilities: (n, C) on pictures that the classifier was not trained on, n >= 1.
        labels: int (n,), their classes.
        coverage: the share of sets that are to hold the true class, above 0 and below 1.

    Returns:
        0..1; infinite where n is too small, so that every set is of all classes (0.95 takes 19 pictures, 0.9 takes 9).

    Raises:
        ValueError: other shapes or shares.
    """
    probabilities, labels = _check(probabilities, labels)
    return conformal_quantile(1 - np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0], coverage)


def predict_sets(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Sets of classes, bool (N, C): the classes whose probability is at least 1 - ``threshold``.

    Where none is, the set is of the likeliest class, not empty: an answer of no class helps nobody, and the coverage
    can only grow by it. Of a classifier that is right more often than was asked the coverage is therefore its accuracy.

    Args:
        probabilities: (N, C), from the same classifier as those that the threshold is of.
    """
    probabilities = np.asarray(probabilities, np.float64)
    sets = 1 - probabilities <= threshold
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets


def measure_sets(sets: np.ndarray, labels: np.ndarray) -> SetFigures:
    """Figures of sets bool (N, C) against the true classes int (N,), N >= 1. Raises ``ValueError`` otherwise."""
    sets, labels = _check(sets, labels)
    sizes = sets.sum(axis=1)
    covered = int(np.take_along_axis(sets, labels[:, None], axis=1).sum())
    return SetFigures(len(labels), covered, float(sizes.mean()), int((sizes == 1).sum()))


def _check(rows, labels) -> tuple[np.ndarray, np.ndarray]:
    rows, labels = np.asarray(rows, np.float64), np.asarray(labels, int)
    if rows.ndim != 2 or labels.shape != rows.shape[:1] or not len(labels):
        raise ValueError(f"expected rows (N, C) and labels (N,). Received: {rows.shape}, {labels.shape}")
    return rows, labels
