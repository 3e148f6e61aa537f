"""Pictures for the tests of imaging, and how they are encoded."""

import io

import numpy as np
import pillow_heif
from PIL import Image

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (20, 30)).astype(np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
RGBA = np.dstack([RGB, GRAY])


def pillow(image, kind, **options) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def with_orientation(orientation) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


def heic(pixels: np.ndarray, mode: str = "RGB", **options) -> bytes:
    """A HEIC, lossless unless the options of pillow-heif's encoder say otherwise."""
    stream = io.BytesIO()
    height, width = pixels.shape[:2]
    exact = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
    pillow_heif.encode(mode, (width, height), np.ascontiguousarray(pixels).tobytes(), stream, **(exact | options))
    return stream.getvalue()
