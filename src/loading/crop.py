"""Random crop: a part of the padded picture, as large as the picture itself."""

import cv2
import numpy as np

_BORDERS = {"reflect": cv2.BORDER_REFLECT_101, "constant": cv2.BORDER_CONSTANT}


def draw_crop(draw: np.random.Generator, padding: int) -> tuple[int, int]:
    """(top, left) of the part, seen from the picture's own corner: whole pixels from -padding to padding."""
    side = 2 * padding + 1
    place = int(draw.random() * side * side)  # one number for both, because drawing takes longer than dividing
    return place // side - padding, place % side - padding


def crop_padded(image: np.ndarray, top: int, left: int, fill: str) -> np.ndarray:
    """The part of (H, W, C) that begins at (top, left) and has its size; ``image`` stays as it is.

    ``fill`` is what lies outside: "reflect" the picture mirrored at the centres of its outermost pixels, as
    ``np.pad`` has it, "constant" black, as torchvision's ``RandomCrop``.
    """
    if not (top or left):
        return image
    height, width = image.shape[:2]
    above, beside = max(-top, 0), max(-left, 0)
    padded = cv2.copyMakeBorder(image, above, max(top, 0), beside, max(left, 0), _BORDERS[fill])
    first, second = top + above, left + beside
    return padded[first : first + height, second : second + width].reshape(image.shape)  # OpenCV drops an axis of one
