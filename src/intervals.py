"""How sure a figure over n pictures is: intervals of shares, of means and of paired differences. NumPy only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from src.settings import random_generator


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` values and where it lies with the asked confidence; NaN where there are too few values."""

    mean: float
    low: float
    high: float
    n: int


def wilson_interval(right: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a share (JASA 1927), 95% by default; sound also at 0, at 1 and for small n."""
    if n == 0:
        return 0.0, 1.0
    share = right / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)


def share_interval(hits: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Wilson's interval of the share of hits, which is not of width 0 where all of a few pictures are hits.

    Args:
        hits: (n,) of 0 and 1, or bool; NaN stands for "not defined" and is left out of ``n``.
        confidence: 0..1, exclusive.

    Raises:
        ValueError: a value is neither 0 nor 1.
    """
    kept = _shares(hits)
    kept = kept[~np.isnan(kept)]
    if not len(kept):
        return Interval(math.nan, math.nan, math.nan, 0)
    return Interval(float(kept.mean()), *wilson_interval(int(kept.sum()), len(kept), _quantile(confidence)), len(kept))


def bootstrap_interval(
    values: Sequence[float], *, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """The percentile bootstrap interval of a mean (Efron 1979).

    Drawn again, equal values stay equal, so that their interval has width 0, and that of a few pictures is too narrow.
    For hits and misses take ``share_interval``.

    Args:
        values: (n,) one for each picture; NaN stands for "not defined" and is left out of ``n``.
        confidence: 0..1, exclusive.
        draws: how often the values are drawn with replacement.
        seed: of the draws.

    Returns:
        The mean, its interval and the number of values behind it; NaN for the bounds where there are fewer than two,
        and for the mean where there is none.
    """
    kept = np.asarray(values, np.float64).ravel()
    return _bootstrap(kept[~np.isnan(kept)], confidence, draws, seed)


def paired_interval(
    values: Sequence[float],
    control_values: Sequence[float],
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The bootstrap interval of the mean difference ``values`` - ``control_values``, both of the same pictures.

    A method has the larger mean than its control, with the asked confidence, where ``low`` is above 0, and the smaller
    one where ``high`` is below. That holds for one comparison: of twenty methods no better, one would pass by chance.

    Args:
        values, control_values: (n,) in one order; a picture where either is NaN is left out of ``n``.
        confidence, draws, seed: as for ``bootstrap_interval``, whose docstring holds for the differences.

    Raises:
        ValueError: the lengths differ.
    """
    first, second = _pairs(np.asarray(values, np.float64), np.asarray(control_values, np.float64))
    return _bootstrap(first - second, confidence, draws, seed)


def paired_share_interval(
    hits: Sequence[float], control_hits: Sequence[float], *, confidence: float = 0.95
) -> Interval:
    """The interval of the difference of two shares of hits among the same pictures.

    Newcombe's (Statistics in Medicine 1998, 17:2635, method 10), which is not of width 0 where both always agree.

    Args:
        hits, control_hits: (n,) of 0 and 1, or bool; a picture where either is NaN is left out of ``n``.
        confidence: 0..1, exclusive.

    Raises:
        ValueError: the lengths differ, or a value is neither 0 nor 1.
    """
    first, second = _pairs(_shares(hits), _shares(control_hits))
    if not len(first):
        return Interval(math.nan, math.nan, math.nan, 0)
    return _newcombe(first > 0, second > 0, _quantile(confidence))


def _shares(hits: Sequence[float]) -> np.ndarray:
    values = np.asarray(hits, np.float64).ravel()
    strange = values[~np.isin(values, (0, 1)) & ~np.isnan(values)]
    if len(strange):
        raise ValueError(f"hits are 0 or 1. Received: {strange[0]}")
    return values


def _pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both without the pictures where either is NaN."""
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"expected as many control values as values. Received: {second.shape}, {first.shape}")
    kept = ~np.isnan(first - second)
    return first[kept], second[kept]


def _quantile(confidence: float) -> float:
    """How many standard deviations the normal distribution needs on both sides for ``confidence``."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _bootstrap(values: np.ndarray, confidence: float, draws: int, seed: int) -> Interval:
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    if n < 2:
        return Interval(mean, math.nan, math.nan, n)
    generator = random_generator(seed)
    means = [values[generator.integers(n, size=n)].mean() for _ in range(draws)]
    low, high = np.quantile(means, (0.5 - confidence / 2, 0.5 + confidence / 2))
    return Interval(mean, float(low), float(high), n)


def _newcombe(first: np.ndarray, second: np.ndarray, z: float) -> Interval:
    """Difference of two shares of the same n pictures: their Wilson intervals, joined with their correlation."""
    n, both = len(first), int((first & second).sum())
    right_first, right_second = int(first.sum()), int(second.sum())
    share_first, share_second = right_first / n, right_second / n
    low_first, high_first = wilson_interval(right_first, n, z)
    low_second, high_second = wilson_interval(right_second, n, z)
    # The phi coefficient, in the numerator with a correction for continuity where it is positive.
    neither = n - right_first - right_second + both
    numerator = both * neither - (right_first - both) * (right_second - both)
    numerator = max(numerator - n / 2, 0) if numerator > 0 else numerator
    product = right_first * (n - right_first) * right_second * (n - right_second)
    phi = numerator / math.sqrt(product) if product else 0.0

    def join(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    difference = share_first - share_second
    low = difference - join(share_first - low_first, high_second - share_second)
    high = difference + join(high_first - share_first, share_second - low_second)
    return Interval(difference, low, high, n)
