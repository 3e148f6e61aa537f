"""How sure a figure over n pictures is: intervals of shares, of means and of paired differences. NumPy and SciPy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` values and where it lies with the asked confidence; NaN where there are too few values."""

    mean: float
    low: float
    high: float
    n: int


def wilson_interval(right: float, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
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


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Student's t interval of a mean (Biometrika 1908): mean -+ t(n - 1) * standard deviation / sqrt(n).

    It holds for values that are about normal, at every n; of values that are bounded it may reach beyond their bounds.
    Where all values are equal it has width 0: for hits and misses take ``share_interval``.

    Args:
        values: (n,) one for each picture; NaN stands for "not defined" and is left out of ``n``.
        confidence: 0..1, exclusive.

    Returns:
        The mean, its interval and the number of values behind it; NaN for the bounds where there are fewer than two,
        and for the mean where there is none.
    """
    kept = np.asarray(values, np.float64).ravel()
    return _student(kept[~np.isnan(kept)], confidence)


def standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> float:
    """Of the mean of the values (n,); NaN of fewer than two groups.

    Args:
        groups: int (n,); those of one number are not independent: the variance is that of sums over groups (Liang and
            Zeger, Biometrika 1986), but not below that of independent values. None: each is by itself.
    """
    n = len(values)
    if n < 2:
        return math.nan
    alone = float(values.std(ddof=1)) / math.sqrt(n)
    if groups is None:
        return alone
    sums = _sum_groups(values - values.mean(), groups)
    count = len(sums)
    return max(alone, math.sqrt(count / (count - 1) * (sums**2).sum()) / n) if count > 1 else math.nan


def design_effect(values: np.ndarray, groups: np.ndarray) -> float:
    """By how much groups of values that are alike make the variance of a share larger (Kish, Survey Sampling, 1965,
    section 5.4): n pictures tell as much as n / effect independent ones. At least 1.

    One group of the usual size that is wrong throughout stands beside the others: where all values are equal, which
    tells nothing of how alike they are, they count as alike within a group, sum of squared sizes / n.

    Args:
        values: (n,) in 0..1, n at least 1.
        groups: int (n,).
    """
    sizes = _sum_groups(np.ones(len(values)), groups)
    usual, rest = float((sizes**2).sum() / len(values)), values - values.mean()
    return max(1.0, float(((_sum_groups(rest, groups) ** 2).sum() + usual**2) / ((rest**2).sum() + usual)))


def _sum_groups(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return np.bincount(np.unique(groups, return_inverse=True)[1], weights=values)


def paired_interval(
    values: Sequence[float],
    control_values: Sequence[float],
    *,
    confidence: float = 0.95,
    groups: np.ndarray | None = None,
) -> Interval:
    """Student's t interval of the mean difference ``values`` - ``control_values``, both of the same pictures.

    A method has the larger mean than its control, with the asked confidence, where ``low`` is above 0, and the smaller
    one where ``high`` is below. That holds for one comparison: of forty methods no better, one would pass by chance.

    Args:
        values, control_values: (n,) in one order; a picture where either is NaN is left out of ``n``.
        confidence: as for ``mean_interval``, whose docstring holds for the differences.
        groups: int (n,), as for :func:`standard_error`; Student's t then has groups less one degrees of freedom.

    Raises:
        ValueError: the lengths differ.
    """
    values, control = np.asarray(values, np.float64), np.asarray(control_values, np.float64)
    first, second = _pairs(values, control)
    if groups is not None:
        groups = np.asarray(groups)[~np.isnan(values - control)]
    return _student(first - second, confidence, groups)


def paired_share_interval(
    hits: Sequence[float], control_hits: Sequence[float], *, confidence: float = 0.95
) -> Interval:
    """The interval of the difference of two shares of hits among the same pictures.

    Newcombe's (Statistics in Medicine 1998, 17:2635, method 10), which is not of width 0 where both always agree.
    Where the control was drawn many times, and has a share of hits on each picture instead of one hit or miss, its mean
    is taken as known: Wilson's interval of ``hits`` less that mean, which makes no use of the pairing.

    Args:
        hits: (n,) of 0 and 1, or bool; a picture where either is NaN is left out of ``n``.
        control_hits: (n,) the same, or shares in 0..1.
        confidence: 0..1, exclusive.

    Raises:
        ValueError: the lengths differ, a hit is neither 0 nor 1, or a share not in 0..1.
    """
    control = np.asarray(control_hits, np.float64).ravel()
    if len(strange := control[(control < 0) | (control > 1)]):
        raise ValueError(f"hits are 0 or 1, shares of hits in 0..1. Received: {strange[0]}")
    first, second = _pairs(_shares(hits), control)
    if not len(first):
        return Interval(math.nan, math.nan, math.nan, 0)
    if are_hits(second):
        return _newcombe(first > 0, second > 0, _quantile(confidence))
    found, known = share_interval(first, confidence=confidence), float(second.mean())
    return Interval(found.mean - known, found.low - known, found.high - known, found.n)


def share_difference_interval(
    right: int, n: int, control_right: int, control_n: int, *, confidence: float = 0.95
) -> Interval:
    """The interval of the difference of two shares among different pictures: ``right`` of ``n`` less the control's.

    Newcombe's (Statistics in Medicine 1998, 17:873, method 10), of the Wilson intervals of both shares.

    Args:
        right, n, control_right, control_n: counts; without any pictures on either side all is NaN.
        confidence: 0..1, exclusive.

    Returns:
        The difference and its interval; its ``n`` counts both sides.
    """
    if not n or not control_n:
        return Interval(math.nan, math.nan, math.nan, 0)
    z = _quantile(confidence)
    share, known = right / n, control_right / control_n
    low, high = wilson_interval(right, n, z)
    known_low, known_high = wilson_interval(control_right, control_n, z)
    difference = share - known
    return Interval(
        difference,
        difference - math.hypot(share - low, known_high - known),
        difference + math.hypot(high - share, known - known_low),
        n + control_n,
    )


def are_hits(values: Sequence[float]) -> bool:
    """Whether all values are 0 or 1, but for NaN."""
    values = np.asarray(values, np.float64)
    return bool((np.isin(values, (0.0, 1.0)) | np.isnan(values)).all())


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


def _student(values: np.ndarray, confidence: float, groups: np.ndarray | None = None) -> Interval:
    from scipy.special import stdtrit  # Student's quantiles; importing scipy.stats takes three times as long

    n = len(values)
    mean = float(values.mean()) if n else math.nan
    independent = n if groups is None else len(np.unique(groups))
    if independent < 2:
        return Interval(mean, math.nan, math.nan, n)
    half = float(stdtrit(independent - 1, 0.5 + confidence / 2)) * standard_error(values, groups)
    return Interval(mean, mean - half, mean + half, n)


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
