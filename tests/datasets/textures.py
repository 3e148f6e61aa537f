"""Pictures with structure enough to be told again after they are altered."""

import cv2
import numpy as np


def texture(number: int, side: int = 64) -> np.ndarray:
    """RGB uint8 (side, side, 3), unlike that of any other number."""
    coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
