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


def bootstrap_interval(
    values: Sequence[float], *, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """The percentile bootstrap interval of a mean (Efron 1979); Wilson's for values that are all 0 or 1.

    Drawn again, equal values stay equal: a hit in 20 of 20 pictures would be certain. So shares get Wilson's interval.
    Other equal values still get an interval of width 0, and those of few pictures one that is too narrow.

    Args:
        values: (n,) one for each picture; NaN stands for "not defined" and is left out of ``n``.
        confidence: 0..1, exclusive.
        draws: how often the values are drawn with replacement.

    Returns:
        The mean, its interval and the number of values behind it; all NaN without a value, the bounds NaN with one
        value that is neither 0 nor 1.
    """
    kept = np.asarray(values, np.float64).ravel()
    kept = kept[~np.isnan(kept)]
    if len(kept) and np.isin(kept, (0, 1)).all():
        bounds = wilson_interval(int(kept.sum()), len(kept), _quantile(confidence))
        return Interval(float(kept.mean()), *bounds, len(kept))
    return _bootstrap(kept, confidence, draws, seed)


def paired_interval(
    values: Sequence[float],
    control_values: Sequence[float],
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """The interval of the mean difference ``values`` - ``control_values``, both of the same pictures in one order.

    A method beats its control with the asked confidence where ``low`` is above 0 (below: where ``high`` is under 0).
    Where one compares many methods, some will by chance; the interval knows of one comparison.

    Values that are all 0 or 1 get Newcombe's interval for paired shares (Statistics in Medicine 1998, 17:2635, method
    10), which is not of width 0 where both are always equal; others the percentile bootstrap over the pictures.

    Args:
        values, control_values: (n,); a picture where either is NaN is left out of ``n``.

    Raises:
        ValueError: the lengths differ.
    """
    first, second = (np.asarray(column, np.float64).ravel() for column in (values, control_values))
    if len(first) != len(second):
        raise ValueError(f"expected as many control values as values. Received: {len(second)}, {len(first)}")
    kept = ~np.isnan(first - second)
    first, second = first[kept], second[kept]
    if len(first) and np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all():
        return _newcombe(first > 0, second > 0, _quantile(confidence))
    return _bootstrap(first - second, confidence, draws, seed)


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
