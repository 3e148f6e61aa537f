"""RandAugment (Cubuk et al. 2020, arXiv:1909.13719): a few operations of fourteen, all of one magnitude.

The paper's scale of magnitudes: at 10 each operation does its most. The ranges and signs are those of torchvision's
``RandAugment``, whose scale ends at 30 (its default of 9 is 3 here). The operations are Pillow's, to one level of 255.

Departures from torchvision: turns and shears interpolate linearly (there the nearest pixel is the default, and linear
what its reference trainings use); and ``solarize`` at magnitude 0, which there turns white to black, changes nothing.
"""

import math

import cv2
import numpy as np

_LEVELS = np.arange(256, dtype=np.float32)
_SMOOTH = np.float32([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13  # Pillow's SMOOTH, the far end of its sharpness
_CUT_OFF = -0.499  # added before OpenCV rounds: so fractions are cut off, as in Pillow, and whole levels stay
_TRANSLATION = 150 / 331  # AutoAugment's 150 pixels of its pictures of 331


def draw_operations(
    draw: np.random.Generator, count: int, magnitude: float, height: int, width: int
) -> tuple[tuple[str, float], ...]:
    """``count`` operations, each any of :data:`OPERATIONS` with its strength: half of the signed ones are negative."""
    chosen = []
    for _ in range(count):
        name, negative = OPERATIONS[int(draw.random() * len(OPERATIONS))], draw.random() < 0.5
        strength = strength_at(name, magnitude, height, width)
        chosen.append((name, -strength if negative and name not in _UNSIGNED else strength))
    return tuple(chosen)


def strength_at(name: str, magnitude: float, height: int, width: int) -> float:
    """What ``magnitude``, 0 to 10, means for an operation on a picture of this size, in the operation's own unit."""
    share = magnitude / 10
    if name == "posterize":
        return 8 - round(4 * share)  # bits that stay
    if name == "solarize":
        return 256 * (1 - share)  # the level from which on pixels are inverted
    if name in ("translate_x", "translate_y"):
        return int(share * _TRANSLATION * (width if name == "translate_x" else height))  # pixels
    most = {"rotate": 30, "shear_x": 0.3, "shear_y": 0.3, "autocontrast": 0, "equalize": 0, "identity": 0}
    return share * most.get(name, 0.9)  # degrees; pixels a pixel; by how much the factor of an enhancement leaves 1


def apply_operations(image: np.ndarray, operations) -> np.ndarray:
    """Apply ``operations``, pairs (name, strength), in their order.

    Args:
        image: (H, W, C), C in {1, 3}, uint8, or floats that are first rounded to the levels 0..255; unchanged.

    Returns:
        uint8 (H, W, C). What comes in from outside the picture is black.

    Raises:
        ValueError: another number of channels.
    """
    if image.shape[2] not in (1, 3):
        raise ValueError(f"RandAugment takes pictures of 1 or 3 channels. Received: {image.shape[2]}")
    levels = image[..., 0] if image.shape[2] == 1 else image  # OpenCV's gray pictures have two axes
    if levels.dtype != np.uint8:
        levels = cv2.addWeighted(levels, 1, levels, 0, 0, dtype=cv2.CV_8U)  # rounds and cuts off, in one pass
    for name, strength in operations:
        levels = _OPERATIONS[name](levels, strength)
    return levels.reshape(image.shape)


# --- Each operation: uint8 (H, W) or (H, W, 3) and its strength to the same shape ---


def _identity(image, _):
    return image


def _autocontrast(image, _):
    """Each channel stretched to 0..255."""
    tables = []
    # Axis after axis: both at once take fifty times as long.
    for low, high in zip(np.atleast_1d(image.min(axis=0).min(axis=0)), np.atleast_1d(image.max(axis=0).max(axis=0))):
        scale = 255 / (int(high) - int(low)) if high > low else 1
        # In this form and in float64, as Pillow computes it: what is cut off depends on the last bit.
        tables.append(np.arange(256) * scale - low * scale if high > low else _LEVELS)
    return _look_up(image, *tables)


def _equalize(image, _):
    """Each channel with as many pixels at every level as can be."""
    tables = []
    for counts in _histograms(image):
        step = (counts.sum() - counts[np.flatnonzero(counts)[-1]]) // 255
        before = np.cumsum(counts) - counts
        tables.append((before + step // 2) // step if step else _LEVELS)
    return _look_up(image, *tables)


def _rotate(image, degrees):
    """Against the clock, about the middle."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    y, x = (side / 2 for side in image.shape[:2])
    return _warp(image, cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def _solarize(image, threshold):
    return _look_up(image, np.where(threshold > _LEVELS, _LEVELS, 255 - _LEVELS))


def _posterize(image, bits):
    return image & np.uint8(256 - 2 ** (8 - bits))


def _color(image, change):
    """From gray at -1 by the picture at 0 to stronger colours."""
    if image.ndim == 2:
        return image
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, 1 + change, gray, -change, _CUT_OFF)


def _contrast(image, change):
    """From the mean gray at -1."""
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mean = int(cv2.mean(gray)[0] + 0.5)
    return _look_up(image, mean + np.float32(1 + change) * (_LEVELS - mean))


def _brightness(image, change):
    """From black at -1."""
    return _look_up(image, np.float32(1 + change) * _LEVELS)


def _sharpness(image, change):
    """From smooth at -1; the outermost pixels stay as they are, as in Pillow."""
    kernel = -change * _SMOOTH
    kernel[1, 1] += 1 + change
    result = cv2.filter2D(image, -1, kernel, delta=_CUT_OFF)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        result[edge] = image[edge]
    return result


def _shear_x(image, slope):
    return _warp(image, 1, slope, 0, 0, 1, 0)


def _shear_y(image, slope):
    return _warp(image, 1, 0, 0, slope, 1, 0)


def _translate_x(image, pixels):
    """To the right."""
    result = np.zeros_like(image)
    width = image.shape[1]
    result[:, max(pixels, 0) : width + min(pixels, 0)] = image[:, max(-pixels, 0) : width - max(pixels, 0)]
    return result


def _translate_y(image, pixels):
    """Downward."""
    return _translate_x(image.swapaxes(0, 1), pixels).swapaxes(0, 1)


_OPERATIONS = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "color": _color,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
OPERATIONS = tuple(_OPERATIONS)
_UNSIGNED = {"identity", "autocontrast", "equalize", "solarize", "posterize"}


def _histograms(image: np.ndarray) -> list[np.ndarray]:
    """How many pixels have each of the 256 levels, int64, channel by channel."""
    channels = range(1 if image.ndim == 2 else 3)
    return [cv2.calcHist([image], [c], None, [256], [0, 256]).ravel().astype(np.int64) for c in channels]


def _look_up(image: np.ndarray, *tables: np.ndarray) -> np.ndarray:
    """Replace every level by its entry, whose fraction is cut off as in Pillow; one table, or one for each channel."""
    table = np.stack(tables, axis=-1).clip(0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


def _warp(image: np.ndarray, a, b, c, d, e, f) -> np.ndarray:
    """Output (x, y) shows the source's (ax + by + c, dx + ey + f), in Pillow's coordinates: pixel 0 has its centre at
    one half, OpenCV's at zero."""
    matrix = np.array([[a, b, c + (a + b - 1) / 2], [d, e, f + (d + e - 1) / 2]], np.float64)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
