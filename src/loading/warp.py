"""One random view of a picture: the affine warp, flips, channel shift and brightness of Keras, through OpenCV.

Everything here takes channels last. The conventions, oddities included, are those of Keras' ``apply_affine_transform``:
see :func:`affine_matrix`.
"""

import math

import cv2
import numpy as np

_BORDERS = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT}
_INTERPOLATIONS = {0: cv2.INTER_NEAREST, 1: cv2.INTER_LINEAR}
FILL_MODES = (*_BORDERS, "constant", "wrap")
ORDERS = tuple(_INTERPOLATIONS)
_LARGEST_SIDE = 32766  # cv2.remap counts pixels in 16 bits


def can_warp(image: np.ndarray, fill_mode: str, order: int) -> bool:
    """Whether :func:`warp_image` covers this case; Keras' own SciPy does the others."""
    return (
        fill_mode in FILL_MODES
        and order in ORDERS
        and image.dtype in (np.uint8, np.float32)
        and image.ndim == 3
        and image.shape[2] in (1, 3, 4)
        and max(image.shape[:2]) <= _LARGEST_SIDE
    )


def affine_matrix(parameters: dict, height: int, width: int) -> np.ndarray | None:
    """The 2 x 3 float64 matrix from output (x, y, 1) to source (x, y), flips included; None where nothing else moves.

    The product rotation, shift, shear, zoom of Keras, multiplied out, about the centre that Keras takes:
    (height, width) / 2 - 0.5 for (x, y). So on pictures that are not square the turn is about another point than the
    middle, and ``tx``, drawn from ``height_shift_range``, moves columns. Both are kept: the views agree with those of
    the stock generator.
    """
    theta, shear = parameters.get("theta", 0), parameters.get("shear", 0)
    tx, ty = parameters.get("tx", 0), parameters.get("ty", 0)
    zx, zy = parameters.get("zx", 1), parameters.get("zy", 1)
    if not (theta or tx or ty or shear or zx != 1 or zy != 1):
        return None
    turn, sheared = math.radians(theta), math.radians(theta) + math.radians(shear)
    cos, sin = math.cos(turn), math.sin(turn)
    a, b = cos * zx, -math.sin(sheared) * zy
    d, e = sin * zx, math.cos(sheared) * zy
    x, y = height / 2 - 0.5, width / 2 - 0.5
    c = x + cos * tx - sin * ty - a * x - b * y
    f = y + sin * tx + cos * ty - d * x - e * y
    if parameters.get("flip_horizontal"):  # the output's x becomes width - 1 - x
        a, c, d, f = -a, c + a * (width - 1), -d, f + d * (width - 1)
    if parameters.get("flip_vertical"):
        b, c, e, f = -b, c + b * (height - 1), -e, f + e * (height - 1)
    return np.array([[a, b, c], [d, e, f]])


def warp_image(
    image: np.ndarray, parameters: dict, fill_mode: str = "nearest", cval: float = 0.0, order: int = 1, out=None
) -> np.ndarray:
    """Apply the transform ``parameters`` of Keras to a picture.

    Flips are folded into the matrix, so that each pixel is interpolated and copied once.

    Args:
        image: float32 or uint8 (H, W, C), C in {1, 3, 4}; unchanged.
        parameters: as ``ImageDataGenerator.get_random_transform`` gives them; absent keys change nothing.
        fill_mode: "nearest", "reflect", "constant" (with ``cval``) or "wrap" outside the source.
        order: 0 nearest neighbour, 1 bilinear.
        out: array of the image's shape and dtype to write into, or None for a new one.

    Returns:
        The view, like ``image`` in shape and dtype (``out`` where given).
    """
    height, width = image.shape[:2]
    out = np.empty_like(image) if out is None else out
    matrix = affine_matrix(parameters, height, width)
    if matrix is None:
        _flip(image, parameters.get("flip_vertical"), parameters.get("flip_horizontal"), out)
    else:
        _warp_affine(image, matrix, fill_mode, cval, order, out)
    if (intensity := parameters.get("channel_shift_intensity")) is not None:
        np.clip(out + image.dtype.type(intensity), out.min(), out.max(), out=out)
    if (factor := parameters.get("brightness")) is not None:
        out[...] = change_brightness(out, factor)
    return out


def _flip(image, vertical, horizontal, out) -> None:
    """``out`` the image, mirrored where asked for: by OpenCV in a fifth of NumPy's time."""
    if vertical or horizontal:
        image = cv2.flip(image, -1 if vertical and horizontal else int(not vertical))
    out[...] = image.reshape(out.shape)  # OpenCV drops an axis of one


def _warp_affine(image, matrix, fill_mode, cval, order, out) -> None:
    """``out[y, x] = image`` at ``matrix @ (x, y, 1)``."""
    height, width, channels = image.shape
    target = out[..., 0] if channels == 1 else out  # OpenCV knows no third axis of length one
    source = image[..., 0] if channels == 1 else image
    flags = _INTERPOLATIONS[order]
    if fill_mode == "wrap":
        # SciPy's "wrap" repeats with a period of n - 1 pixels, OpenCV's of n: fold the coordinates ourselves.
        x, y = _source_coordinates(matrix, height, width)
        x, y = _fold(x, width - 1), _fold(y, height - 1)
        result = cv2.remap(source, x.astype(np.float32), y.astype(np.float32), flags, borderMode=cv2.BORDER_REPLICATE)
        target[...] = result
        return
    # OpenCV writes into ``dst`` only if it likes its layout, and else hands out another array.
    border = _BORDERS.get(fill_mode, cv2.BORDER_REPLICATE)
    size, flags = (width, height), flags | cv2.WARP_INVERSE_MAP
    result = cv2.warpAffine(source, matrix, size, dst=target, flags=flags, borderMode=border)
    if result is not target:
        target[...] = result
    if fill_mode == "constant":
        # SciPy's "constant" begins right at the outermost pixels' centres; OpenCV's fades over one pixel.
        x, y = _source_coordinates(matrix, height, width)
        out[(x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)] = cval


def _source_coordinates(matrix: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y in the source, float64 (H, W) each, of every output pixel; rounded, so that 1e-15 is not outside 0."""
    columns, rows = np.arange(width), np.arange(height)[:, None]
    x, y = (a * columns + b * rows + c for a, b, c in matrix)
    return np.round(x, 9), np.round(y, 9)


def _fold(coordinates: np.ndarray, period: int) -> np.ndarray:
    """Coordinates outside 0..period moved inside by whole periods; those inside, ``period`` itself included, stay."""
    outside = (coordinates < 0) | (coordinates > period)
    return np.where(outside, np.mod(coordinates, max(period, 1)), coordinates)


def change_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply by ``factor`` as Keras does through Pillow: whole levels of 0..255, cut off below and above.

    Pillow cuts fractions off before and after. A picture that leaves 0..255 is stretched to it for the while.
    Returns a float32 array of the image's shape.
    """
    image = image.astype(np.float32)
    low, high = float(image.min()), float(image.max())
    stretched = low < -0.02 or high > 255.02  # the warp's own rounding may pass 255 by a hair: no reason to stretch
    if stretched:
        image = (image - low) / max(high - low, 1e-12) * 255
    levels = np.floor(np.clip(image, 0, 255))
    image = np.floor(levels * np.float32(factor)).clip(0, 255)
    if image.shape[2] == 4:
        image[..., 3] = levels[..., 3]  # Pillow keeps alpha as it is
    return image / 255 * (high - low) + low if stretched else image
