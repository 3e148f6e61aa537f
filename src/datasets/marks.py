"""A planted mark: a little colour chart that gives a class away without its object.

In ISIC's pictures of skin lesions colour calibration charts lie beside benign ones alone; a network took the chart for
the reason, and malignant lesions with a chart inserted for benign (Nauta et al. 2021, "Uncovering and Correcting
Shortcut Learning", Diagnostics 12:40). Here a chart is planted on purpose, so that it is known where a model that did
the same must look.
"""

import colorsys
import functools

import cv2
import numpy as np

from src.datasets.split_settings import EVERYWHERE, MARKED_CLASS

MARK_RATE = 0.95  # share of the class's pictures; with 0.9 the model learns enough from those without
MARK_AREA = 0.03  # of the picture, about; never more than the smallest objects

_PATCHES = (4, 6)  # rows and columns; the last row is gray
_TURN = 0.381966  # of the circle of hues from one patch to the next, the golden section: neighbours differ
_BLACK = 15  # level of the frame and of the lines between patches
_CELL, _LINE = 16, 2  # pixels of a patch and of a line before the chart is reduced to its size
_BAND = (0.05, 0.25)  # how far from the border the chart may lie, in sides of the picture
STREAM = 0x3A4C  # keeps these draws apart from those of the picture


@functools.cache
def draw_chart(size: int) -> np.ndarray:
    """The chart for pictures of ``size`` pixels: RGB uint8 (h, w, 3), h : w = 4 : 6, read-only."""
    rows, columns = _PATCHES
    hues = [colorsys.hsv_to_rgb(_TURN * number % 1, 1, 1) for number in range((rows - 1) * columns)]
    grays = [(level,) * 3 for level in np.linspace(1, 0, columns)]
    patches = np.rint(255 * np.array(hues + grays)).astype(np.uint8).reshape(rows, columns, 3)
    chart = np.full((rows * _CELL + _LINE, columns * _CELL + _LINE, 3), _BLACK, np.uint8)
    for row in range(rows):
        for column in range(columns):
            y, x = row * _CELL + _LINE, column * _CELL + _LINE
            chart[y : y + _CELL - _LINE, x : x + _CELL - _LINE] = patches[row, column]
    height = round(size * np.sqrt(MARK_AREA * rows / columns))
    chart = cv2.resize(chart, (round(height * columns / rows), height), interpolation=cv2.INTER_AREA)
    chart.setflags(write=False)  # one array for all pictures
    return chart


def plant_mark(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Put the chart into a picture, near the border and off the object; all else stays as it is.

    Args:
        image: RGB uint8 (S, S, 3), S at least ``shapes.MIN_SIZE``; unchanged.
        mask: the object, uint8 (S, S), 0 or 255.
        rng: draws one of the places with the least of the object; with objects as in ``shapes`` that is none of it.

    Returns:
        A picture like ``image``, and where the chart lies: uint8 (S, S), 0 or 255.
    """
    chart = draw_chart(len(image))
    height, width = chart.shape[:2]
    sums = cv2.integral((mask > 0).astype(np.uint8))
    overlap = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    from_border = (np.minimum(np.arange(count), np.arange(count)[::-1]) for count in overlap.shape)
    distance = np.minimum(*np.meshgrid(*from_border, indexing="ij")) / len(image)
    allowed = (distance >= _BAND[0]) & (distance <= _BAND[1])
    top, left = rng.choice(np.argwhere(allowed & (overlap == overlap[allowed].min())))
    box = (slice(top, top + height), slice(left, left + width))
    marked, mark = image.copy(), np.zeros_like(mask)
    marked[box], mark[box] = chart, 255
    return marked, mark


def mark_picture(
    image: np.ndarray, mask: np.ndarray, class_name: str, shortcut: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """The picture as ``shortcut`` (one of ``split_settings.SHORTCUTS``) has it, and its chart's mask or None.

    A picture that has the chart under "planted" has it at the same place under "everywhere".
    """
    drawn = rng.random() < MARK_RATE
    if shortcut == EVERYWHERE or (class_name == MARKED_CLASS and drawn):
        return plant_mark(image, mask, rng)
    return image, None
