"""What a pixel is replaced by when it is taken away: a choice that every perturbation explains itself by."""

import cv2
import numpy as np

from src.errors import UserError

REMOVALS = ("mean", "blur", "black")


def removed_picture(picture: np.ndarray, kind: str = "mean", black: np.ndarray | float = 0.0) -> np.ndarray:
    """The picture with all of it taken away, float32 (H, W, 3), in the input's own units.

    Args:
        picture: float32 (H, W, 3), as the network takes it.
        kind: "mean", the picture's mean colour: no edges, and as bright as the picture; "blur", the picture after a
            Gaussian of a tenth of its longer side: places and colours stay, details go; "black", the customary zero,
            which itself is evidence for classes that are dark.
        black: the input's values of black, a number or (3,).

    Raises:
        UserError: no such kind.
    """
    picture = np.asarray(picture, np.float32)
    if kind == "mean":
        return np.broadcast_to(picture.mean(axis=(0, 1), dtype=np.float64).astype(np.float32), picture.shape).copy()
    if kind == "blur":
        blurred = cv2.GaussianBlur(picture, (0, 0), max(picture.shape[:2]) / 10, borderType=cv2.BORDER_REFLECT)
        return blurred.reshape(picture.shape)
    if kind == "black":
        return np.broadcast_to(np.asarray(black, np.float32), picture.shape).copy()
    raise UserError(f"pixels can be removed by {', '.join(REMOVALS)}. Received: {kind}")
