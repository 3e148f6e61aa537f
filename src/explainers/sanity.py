"""Is a map about the network, and does it stay where the picture hardly changes? Pure NumPy, and scikit-image for SSIM.

A map that passes is not thereby right: these find methods that cannot be right.
"""

from collections.abc import Sequence

import numpy as np

from src.explainers.faithfulness import correlate
from src.heatmap_drawing import enlarge_heatmap
from src.settings import random_generator

_GRID = (14, 14)  # cells on which maps of all sizes are compared
_SSIM_WINDOW = 7  # cells of a side, scikit-image's own; smaller where a map is


def noisy_copies(
    picture: np.ndarray,
    *,
    radius_share: float = 0.02,
    count: int = 10,
    seed: int = 0,
    value_range: tuple[float, float] = (0.0, 255.0),
) -> np.ndarray:
    """``count`` copies of a picture with uniform noise, float32 (count, H, W, 3), clipped to ``value_range``.

    Args:
        picture: (H, W, 3) as the network takes it.
        radius_share: the greatest change of a value, as a share of the range (0.02: 5 of 255).
        seed: of the noise.
        value_range: (lowest, highest) of what the network takes.
    """
    lowest, highest = value_range
    radius = np.float32(radius_share * (highest - lowest))
    noise = random_generator(seed, 4).random((count, *picture.shape), dtype=np.float32)
    return np.clip(picture + radius * (2 * noise - 1), lowest, highest).astype(np.float32, copy=False)


def max_sensitivity(heatmap: np.ndarray, noisy_heatmaps: Sequence[np.ndarray]) -> float:
    """How far a map moves under small noise: max ||phi(x + d) - phi(x)|| / ||phi(x)||, Euclidean; small is good.

    Max-sensitivity of Yeh et al. 2019 ("On the (in)fidelity and sensitivity of explanations"), its maximum taken over
    the drawn noise, which is a lower bound; of one copy it is that copy's change. It is divided by the map's length,
    which the definition is not, so that methods of different scales compare.

    What it cannot tell: a constant map has the best value, 0. And where the noise changes the network's answer, a map
    that moves is right; explain the same class in all copies.

    Args:
        heatmap: (h, w), raw, of the picture.
        noisy_heatmaps: (count, h, w), raw, of its ``noisy_copies``.

    Returns:
        At least 0; NaN for a map that is 0 everywhere, which has no length to compare with, and without copies.
    """
    heatmap, noisy = np.asarray(heatmap, np.float64), np.asarray(noisy_heatmaps, np.float64)
    length = np.linalg.norm(heatmap)
    if length == 0 or not len(noisy):
        return float("nan")
    return float(max(np.linalg.norm(other - heatmap) for other in noisy) / length)


def map_similarity(first: np.ndarray, second: np.ndarray, *, absolute: bool = False) -> float:
    """Spearman's rank correlation of two maps of one picture, -1..1, as Adebayo et al. 2018 compare maps.

    For the comparison of methods take ``map_likeness``, which does not depend on the maps' size.

    Args:
        first, second: (h, w), raw, at their own resolution.
        absolute: compare absolute values. The paper reports both; the default keeps the sign, which in raw maps says
            for or against the class.

    Returns:
        The correlation, equal values at their mean rank; NaN where a map is constant (to 1e-6 of its values).

    Raises:
        ValueError: the sizes differ.
    """
    first, second = _of_one_size(first, second)
    if absolute:
        first, second = np.abs(first), np.abs(second)
    if any(np.ptp(values) <= 1e-6 * np.abs(values).max() for values in (first, second)):
        return float("nan")
    return correlate(_ranks(first), _ranks(second))


def map_likeness(first: np.ndarray, second: np.ndarray) -> float:
    """The amount of two maps' rank correlation, 0..1, both brought to 14 x 14 cells.

    Between a trained network's map and that of one with randomised layers it should be low: a map that stays is about
    the picture alone, as an edge detector's is. So is one that is exactly inverted, hence the amount. Adebayo et al.
    2018 report rank correlations both with and without the maps' absolute values; here the maps keep their sign.

    On one grid maps of single pixels, whose noise alone makes them unlike, are compared as coarsely as those of a layer
    (cells are averaged, or interpolated).

    What it cannot tell: smooth maps that share a bright centre are alike without any network. Nor is it 0 by chance:
    400 pairs of random maps had 0.13 on average where they were of 7 x 7 cells, 0.06 of 14 x 14 or more.

    Args:
        first, second: (h, w), raw, of any size.

    Returns:
        NaN where a map is constant or not finite.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    return abs(map_similarity(*(enlarge_heatmap(one, _GRID) for one in (first, second))))


def map_structure(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity (SSIM) of two maps, -1..1, Adebayo et al.'s other measure; each map brought to 0..1 first.

    It looks at windows of 7 x 7 cells (smaller for smaller maps), so it depends on the maps' size: compare among maps
    of one size. Enlarged maps are smooth, and alike by that alone.

    Args:
        first, second: (h, w), raw, of at least 3 x 3.

    Returns:
        The mean over the windows; 0.0 where a map is constant.

    Raises:
        ValueError: the sizes differ, or a side is shorter than 3.
    """
    from skimage.metrics import structural_similarity  # it takes SciPy along, which the other measures do without

    first, second = _of_one_size(first, second)
    if min(first.shape) < 3:
        raise ValueError(f"SSIM needs maps of at least 3 x 3. Received: {first.shape}")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    first, second = ((values - values.min()) / np.ptp(values) for values in (first, second))
    window = min(_SSIM_WINDOW, (min(first.shape) - 1) // 2 * 2 + 1)  # the largest odd number that fits
    return float(structural_similarity(first, second, win_size=window, data_range=1.0))


def _of_one_size(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"both maps must be of one size (h, w). Received: {first.shape}, {second.shape}")
    return first, second


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of all values as one row, equal ones at their mean."""
    _, places, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
