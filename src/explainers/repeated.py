"""Does a class rest on the same mark again and again: a logo, a date, a colour chart?

Things of one class look alike and are never the same pixels; a mark is. (Lapuschkin et al. 2019, "Unmasking Clever
Hans predictors", found a photographer's tag in a fifth of the pictures of horses.) So the patch around the peak of each
map is looked for near the peaks of the class's other pictures, by normalised cross-correlation of fine structure alone:
smooth patches are alike everywhere, and mean nothing.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from src.explanation_drawing import crop_peak
from src.intervals import Interval, share_interval
from src.settings import random_generator

SIDE = 112  # pixels that pictures are reduced to: finer than the evidence, and the patches' positions need not fit
_PATCH, _WINDOW = 0.2, 0.5  # sides of what is looked for, and of where, as shares of the picture
_COARSE = 3.0  # standard deviation in pixels of what is taken away from the picture
_ALIKE = 0.7  # correlation; docs/explainers.md has what drawn pictures and photographs reach
_LEAST_CONTRAST = 3.0  # gray levels: below, what is left of a smooth patch is its rounding
_MOST = 80  # pictures of a class


def find_repeated(
    images: Sequence[np.ndarray], heatmaps: np.ndarray, groups: Sequence[int] | None = None, seed: int = 42
) -> tuple[Interval, int | None]:
    """How many pictures of one class have the same patch at the peak of their maps.

    Args:
        images: n pictures, RGB uint8 (112, 112, 3).
        heatmaps: (n, h, w), raw, for that class. Maps without positive values have no peak; of more than 80 pictures
            so many are drawn by the seed.
        groups: (n,), equal for near-copies, as of a burst, which have all their patches in common: of each group one
            picture counts, drawn by the seed. None for none.

    Returns:
        The share 0..1 of the other pictures in which the patch that recurs most often is found, with Wilson's interval,
        and which picture that patch is from; NaN and None of fewer than two pictures, or groups.
    """
    able = np.flatnonzero(np.max(heatmaps, axis=(1, 2)) > 0) if len(heatmaps) else np.empty(0, np.int64)
    drawn = random_generator(seed, 7).permutation(able)
    if groups is not None:
        drawn = drawn[np.sort(np.unique(np.asarray(groups)[drawn], return_index=True)[1])]
    chosen = np.sort(drawn[:_MOST])
    fine = [_fine_structure(images[place]) for place in chosen]
    patches, windows = (
        [np.ascontiguousarray(crop_peak(each, heatmaps[place], share)) for each, place in zip(fine, chosen)]
        for share in (_PATCH, _WINDOW)
    )
    if len(chosen) < 2:
        return share_interval([]), None
    alike = np.array([[_likeness(patch, window) >= _ALIKE for window in windows] for patch in patches])
    np.fill_diagonal(alike, False)
    best = int(alike.sum(axis=1).argmax())
    return share_interval(np.delete(alike[best], best)), int(chosen[best])


def _fine_structure(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, np.float32)
    return image - cv2.GaussianBlur(image, (0, 0), _COARSE)


def _likeness(patch: np.ndarray, window: np.ndarray) -> float:
    """The largest correlation -1..1 of a patch with its like in a window; 0 where either is flat."""
    if patch.std() < _LEAST_CONTRAST:
        return 0.0
    found = cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED)
    return float(np.max(found, where=np.isfinite(found) & (np.abs(found) <= 1 + 1e-6), initial=0.0))
