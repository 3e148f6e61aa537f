"""Random Erasing (Zhong et al. 2020, arXiv:1708.04896): noise in a rectangle of the picture."""

import math

import numpy as np

from src.settings import random_generator

AREAS = 0.02, 0.33  # of the rectangle, as shares of the picture; both bounds are torchvision's
ASPECTS = 0.3, 3.3  # height / width
_TRIES = 10  # torchvision's


def draw_rectangle(draw: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int, int] | None:
    """Where to erase: (top, left, height, width, seed of the noise), or None where ten tries do not fit.

    Area uniform, aspect uniform in its logarithm (as in torchvision: upright and lying ones are alike frequent), place
    uniform. Rounded to whole pixels the rectangle still lies within :data:`AREAS` and :data:`ASPECTS`.
    """
    low, high = map(math.log, ASPECTS)
    for _ in range(_TRIES):
        area = (AREAS[0] + (AREAS[1] - AREAS[0]) * draw.random()) * height * width
        aspect = math.exp(low + (high - low) * draw.random())
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if not (0 < rows < height and 0 < columns < width):
            continue
        in_area = AREAS[0] <= rows * columns / (height * width) <= AREAS[1]
        if in_area and ASPECTS[0] <= rows / columns <= ASPECTS[1]:
            top = int(draw.random() * (height - rows + 1))
            left = int(draw.random() * (width - columns + 1))
            return top, left, rows, columns, int(draw.random() * 2**32)
    return None


def erase(image: np.ndarray, top: int, left: int, rows: int, columns: int, seed: int) -> None:
    """Overwrite the rectangle of (H, W, C) with whole levels of 0..255, drawn for each pixel and channel.

    Noise is what the paper fills with; the mean colour of the data set would have to be measured first.
    """
    noise = random_generator(seed).integers(0, 256, (rows, columns, image.shape[2]), np.uint8)
    image[top : top + rows, left : left + columns] = noise
