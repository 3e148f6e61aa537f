"""Does a map point at the object? Measures against masks, in pure NumPy.

They say nothing of why the network answered: one that looks at the background is explained rightly by a map that misses
the object. What the network itself makes of a map stands in ``faithfulness`` and ``sanity``.

Zhang et al. 2016 ("Top-down neural attention by excitation backprop") count a hit within 15 pixels of the object; here
there is no tolerance. A map without positive values points nowhere: it is a miss, with no energy on the object.
"""

from collections.abc import Iterable

import numpy as np


def peak_position(heatmap: np.ndarray) -> tuple[int, int] | None:
    """(row, column) of the largest value; None where no value is positive.

    Several equal peaks (a map enlarged beyond its border cells is flat there) count as the one nearest to their mean,
    since the first one in memory would lie towards a corner.
    """
    greatest = heatmap.max()
    if not greatest > 0:
        return None
    peaks = np.argwhere(heatmap == greatest)
    nearest = ((peaks - peaks.mean(axis=0)) ** 2).sum(axis=1).argmin()
    return int(peaks[nearest, 0]), int(peaks[nearest, 1])


def peak_on_object(heatmap: np.ndarray, mask: np.ndarray) -> bool:
    """The pointing game: whether the peak of ``heatmap`` (H, W) lies on ``mask`` bool (H, W)."""
    _check_sizes(heatmap, mask)
    position = peak_position(heatmap)
    return position is not None and bool(mask[position])


def energy_on_object(heatmap: np.ndarray, mask: np.ndarray) -> float:
    """Share 0..1 of the map's positive values that lies on ``mask`` (Wang et al. 2020, Score-CAM, sec. 4.3)."""
    _check_sizes(heatmap, mask)
    positive = np.maximum(heatmap, 0).astype(np.float64)
    total = positive.sum()
    return float(positive[mask.astype(bool)].sum() / total) if total > 0 else 0.0


def describe_strength(heatmaps: Iterable[np.ndarray]) -> dict[str, float]:
    """Raw activation strength of n maps (h, w), which may come one by one: quartiles of each map's mean and maximum.

    Returns:
        ``n``, ``zero_maps``, and for each of "mean" and "max" its mean, lower quartile, median and upper quartile over
        the maps (NaN where n is 0).
    """
    figures = np.array([(heatmap.mean(), heatmap.max()) for heatmap in heatmaps]).reshape(-1, 2)
    strengths = dict(zip(("mean", "max"), figures.T)) if len(figures) else {}
    summary = {"n": len(figures), "zero_maps": int(np.sum(figures[:, 1] <= 0))}
    for name in ("mean", "max"):
        values = strengths.get(name, np.full(1, np.nan))
        quartiles = np.percentile(values, (25, 50, 75))
        described = zip(("mean", "lower", "median", "upper"), (values.mean(), *quartiles))
        summary |= {f"{name}_{key}": float(value) for key, value in described}
    return summary


def _check_sizes(heatmap: np.ndarray, mask: np.ndarray) -> None:
    if heatmap.shape != mask.shape or heatmap.ndim != 2:
        raise ValueError(f"map and mask must be of one size (H, W). Received: {heatmap.shape}, {mask.shape}")
