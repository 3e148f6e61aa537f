"""How far a classifier's confidences can be believed, and the one temperature that mends them. NumPy; SciPy to fit.

Probabilities stand for logits here: log p equals the logits up to a constant for each picture, which softmax drops.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.intervals import paired_interval

BINS = 15  # as in the paper
TEMPERATURES = (0.01, 100.0)  # the fit's bounds
# About here softmax underflows in float32. What is less is taken for this, or one answer could make a loss infinite.
LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Reliability:
    """Answers sorted into bins of equal width by confidence; bin m of M holds those in ((m - 1) / M, m / M].

    Attributes:
        counts, right: int (M,), how many answers, and how many of them right.
        confidence: float (M,), their mean; NaN where there are none.
    """

    counts: np.ndarray
    right: np.ndarray
    confidence: np.ndarray

    @property
    def gaps(self) -> np.ndarray:
        """float (M,) in 0..1, share of right answers against mean confidence; 0 where there are none."""
        shares = self.right / np.maximum(self.counts, 1)
        return np.where(self.counts > 0, np.abs(shares - np.nan_to_num(self.confidence)), 0.0)


@dataclass(frozen=True)
class Calibration:
    """How honest probabilities are.

    Attributes:
        ece: expected calibration error, 0..1: the mean gap of the bins, weighted by their counts (Guo et al., ICML
            2017, eq. 3). Of few pictures it is above 0 even for a perfectly honest model.
        mce: the greatest gap of a bin (ibid., eq. 5).
        brier: mean over pictures of the squared distance from the true answer, summed over classes, 0..2 (Brier 1950).
        nll: mean of -log p of the true class, in nats.
        reliability: what ``ece`` and ``mce`` are made of.
    """

    ece: float
    mce: float
    brier: float
    nll: float
    reliability: Reliability


@dataclass(frozen=True)
class TemperatureFit:
    """The temperature, and a sentence where it is not an ordinary minimum ("" where it is)."""

    temperature: float
    note: str = ""


def measure_calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Calibration:
    """All figures from probabilities (N, C) and true labels int (N,), N >= 1. Raises ``ValueError`` otherwise."""
    probabilities, labels = _check(probabilities, labels)
    reliability = sort_into_bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, bins)
    gaps = reliability.gaps
    truth = np.eye(probabilities.shape[1])[labels]
    return Calibration(
        ece=float((reliability.counts * gaps).sum() / len(labels)),
        mce=float(gaps.max()),
        brier=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
        nll=float(losses(probabilities, labels).mean()),
        reliability=reliability,
    )


def sort_into_bins(confidences: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """Confidences (N,) in 0..1 and whether the answers are right, bool (N,), in ``bins`` bins of equal width."""
    confidences, right = np.asarray(confidences, np.float64), np.asarray(right, bool)
    places = np.clip(np.ceil(confidences * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = np.bincount(places, confidences, minlength=bins)
    means = np.divide(sums, counts, out=np.full(bins, np.nan), where=counts > 0)
    return Reliability(counts, np.bincount(places[right], minlength=bins), means)


def losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """-log p of the true class, float64 (N,), at most 87.34 (see :data:`LEAST_PROBABILITY`)."""
    return -_logarithms(np.take_along_axis(np.asarray(probabilities), np.asarray(labels)[:, None], axis=1))[:, 0]


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> TemperatureFit:
    """The temperature T of softmax(logits / T) with the least mean -log p (Guo et al., ICML 2017, section 4.2).

    The loss is convex in 1 / T, so that a search over log T within :data:`TEMPERATURES` finds its one minimum. Where
    no answer puts another class ahead it has none, since any sharpening lowers it; then T stays 1.

    It also stays 1 where the gain may be chance, which of few pictures makes confidences worse: unless the 95% interval
    (``intervals.paired_interval``) of the mean of each picture's -log p before less after lies above 0.

    Args:
        probabilities: (N, C) on pictures that the network was not trained on, N >= 1.
        labels: int (N,).

    Raises:
        ValueError: other shapes.
    """
    from scipy.optimize import minimize_scalar  # prediction needs this module, and no SciPy
    from scipy.special import logsumexp

    probabilities, labels = _check(probabilities, labels)
    logits = _logarithms(probabilities)
    logits -= logits.max(axis=1, keepdims=True)
    of_truth = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    if (of_truth == 0).all():
        alone = ((logits == 0).sum(axis=1) == 1).sum()
        note = f"all {len(labels)} answers are right" if alone == len(labels) else "no answer puts a wrong class ahead"
        note = note if alone else "the answers do not tell the classes apart"
        return TemperatureFit(1.0, f"{note}, from which no temperature can be told; it stays 1")

    def losses_at(log_temperature: float) -> np.ndarray:
        scale = math.exp(-log_temperature)
        return logsumexp(logits * scale, axis=1) - of_truth * scale

    low, high = map(math.log, TEMPERATURES)
    search = minimize_scalar(
        lambda value: float(losses_at(value).mean()), bounds=(low, high), method="bounded", options={"xatol": 1e-7}
    )
    found = float(search.x)
    if not paired_interval(losses_at(0.0), losses_at(found)).low > 0:  # of one picture it is NaN
        best = f"{math.exp(found):.3g}, the best for them,"
        return TemperatureFit(
            1.0, f"{len(labels)} answers do not show that the temperature {best} is better than 1; it stays 1"
        )
    if min(found - low, high - found) > 1e-3:
        return TemperatureFit(math.exp(found))
    temperature = TEMPERATURES[0] if found < 0 else TEMPERATURES[1]
    reason = "the answers are no better than chance" if found > 0 else "the answers hardly differ from each other"
    return TemperatureFit(temperature, f"{reason}; the temperature is at its bound, {temperature:g}")


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / T): above 1 less sure, below 1 surer, the class with the most is the same.

    Args:
        probabilities: (N, C), 0..1; zeros stand for :data:`LEAST_PROBABILITY`.
        temperature: above 0; 1 leaves everything as it is.

    Returns:
        float32 (N, C).

    Raises:
        ValueError: the temperature is no positive finite number.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"a temperature is a finite number above 0. Received: {temperature}")
    probabilities = np.asarray(probabilities)
    if temperature == 1:
        return probabilities.astype(np.float32, copy=False)
    logits = _logarithms(probabilities)
    with np.errstate(over="ignore"):  # -inf is as good
        result = softmax((logits - logits.max(axis=1, keepdims=True)) / temperature)
    # Where rounding makes two classes equal, the one that was ahead stays so.
    ahead, rows = probabilities.argmax(axis=1), np.arange(len(result))
    tied = rows[result.argmax(axis=1) != ahead]
    result[tied, ahead[tied]] = np.nextafter(result[tied].max(axis=1), np.float32(2))
    return result


def average_logits(answers: Sequence[np.ndarray]) -> np.ndarray:
    """Several answers to the same pictures as one: the softmax of the mean of their logits.

    The mean is taken of log p. Each is its logits less a number that is the same for all classes of a picture (their
    logsumexp); so the means too differ from the mean logits by one number for each picture, which softmax drops.

    Args:
        answers: probabilities (N, C) each, with classes and pictures in one order, at least one.

    Returns:
        float32 (N, C).
    """
    total = sum(map(_logarithms, answers))
    return softmax(total / len(answers))


def _check(probabilities, labels) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels, int)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            f"expected probabilities (N, C) and labels (N,). Received: {probabilities.shape}, {labels.shape}"
        )
    return probabilities, labels


def _logarithms(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST_PROBABILITY))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities float32 (N, C) of logits (N, C), computed as float64."""
    logits = np.asarray(logits, np.float64)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)
