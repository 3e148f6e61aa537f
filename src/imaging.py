"""The only reader of pictures: files to RGB uint8 arrays, upright, and their resizing.

Colour order is settled here, once: everything behind this module is RGB.
"""

import os
from pathlib import Path

import numpy as np

try:
    import cv2
except ImportError as error:  # pragma: no cover - depends on the machine's system libraries
    if "libGL" in str(error) or "libxcb" in str(error) or "libgthread" in str(error):
        raise SystemExit(
            "error: OpenCV lacks a system library of the desktop "
            f"({error}); run: pip uninstall -y opencv-python && pip install opencv-python-headless"
        ) from error
    raise

from src.errors import UserError, describe_os_error
from src.files import atomic_file

# What is looked for when a folder is read. OpenCV decides by content, not by suffix.
PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".jp2", ".avif",
    ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip

# Two limits, both checked before decoding: a small file can unpack to an enormous picture.
MAX_FILE_BYTES = 200 * 1024 * 1024
MAX_PIXELS = 178_956_970  # Pillow's own bound, about 512 MB as RGB

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")


class ImageError(UserError):
    """A picture that cannot be read; ``path`` and ``reason`` apart, for lists of failures."""

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason


def is_picture_name(name: str) -> bool:
    """Whether a file's name has a suffix of a picture and is not hidden (macOS leaves ``._x.jpg`` beside x.jpg)."""
    return not name.startswith(".") and name.lower().endswith(PICTURE_SUFFIXES)


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a picture as RGB uint8 (H, W, 3), upright by its EXIF orientation.

    Any bit depth, gray, palette, CMYK; transparent places show white. Raises :class:`ImageError`.
    """
    try:
        if os.path.getsize(path) > MAX_FILE_BYTES:
            raise ImageError(path, f"larger than {MAX_FILE_BYTES // 2**20} MB")
        encoded = np.fromfile(path, np.uint8)  # unlike cv2.imread, opens any name that Python opens, also on Windows
    except OSError as error:
        raise ImageError(path, describe_os_error(error)) from error
    return decode_image(encoded, name=path)


def decode_image(encoded: np.ndarray | bytes, name: str | os.PathLike = "picture") -> np.ndarray:
    """Decode an encoded picture (bytes or a uint8 array) to RGB uint8 (H, W, 3); see :func:`read_image`."""
    buffer = np.frombuffer(encoded, np.uint8) if isinstance(encoded, bytes) else encoded
    if buffer.size == 0:
        raise ImageError(name, "the file is empty")
    try:
        if _may_have_alpha(buffer):
            image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
            if image is not None and image.ndim == 3 and image.shape[2] == 4:
                return _over_white(image)
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise ImageError(name, f"not a readable picture ({error.err})") from error
    if image is None:
        raise ImageError(name, "not a readable picture")
    return image


def _may_have_alpha(buffer: np.ndarray) -> bool:
    """Cheap look at the header; JPEG, the usual case, never has transparency."""
    head = buffer[:64].tobytes()
    if head[:2] in (b"\xff\xd8", b"BM"):
        return False
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) > 25:
        return head[25] in (4, 6) or b"tRNS" in buffer[:4096].tobytes()
    return True


def _over_white(image: np.ndarray) -> np.ndarray:
    """BGRA of any depth to RGB uint8, laid over white."""
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    elif image.dtype != np.uint8:
        image = (np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
    color, alpha = image[..., 2::-1].astype(np.uint16), image[..., 3:].astype(np.uint16)
    return ((color * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def resize_image(image: np.ndarray, size: tuple[int, int], interpolation: str = "bilinear") -> np.ndarray:
    """Resize to ``size`` = (height, width), keeping the dtype; the aspect ratio follows the size.

    "bilinear" and "bicubic" average over areas where they shrink in both directions, so that fine texture does not
    alias, and interpolate where they enlarge (OpenCV's INTER_AREA enlarges in blocks, which costs accuracy).
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}. Received: {interpolation}")
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    if interpolation == "nearest":
        method = cv2.INTER_NEAREST_EXACT  # samples at pixel centres, as Pillow does
    elif interpolation == "lanczos":
        method = cv2.INTER_LANCZOS4
    elif shrinks:
        method = cv2.INTER_AREA
    else:
        method = cv2.INTER_CUBIC if interpolation == "bicubic" else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def load_image(path: str | os.PathLike, size: tuple[int, int], interpolation: str = "bilinear") -> np.ndarray:
    """Read and resize: RGB uint8 (height, width, 3)."""
    return resize_image(read_image(path), size, interpolation)


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write RGB or gray uint8 as PNG or JPEG by the suffix, whole or not at all."""
    encoded = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    ok, buffer = cv2.imencode(Path(path).suffix, encoded)
    if not ok:
        raise UserError(f"{path}: OpenCV cannot write this kind of file; use .png or .jpg")
    with atomic_file(path) as temporary:
        temporary.write_bytes(buffer.tobytes())


def verify_image(path: str | os.PathLike) -> tuple[int, int]:
    """Decode the whole file strictly and return its size (height, width) as stored.

    Pillow decides, because OpenCV hands a cut-off JPEG out as a picture with only a warning from C. Raises
    :class:`ImageError` with the reason. Only used where pictures enter (splitting, audit): training decodes once.
    """
    from PIL import Image  # not needed by what only reads

    try:
        if os.path.getsize(path) == 0:
            raise ImageError(path, "the file is empty")
        if os.path.getsize(path) > MAX_FILE_BYTES:
            raise ImageError(path, f"larger than {MAX_FILE_BYTES // 2**20} MB")
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(path, f"{width} x {height} pixels are more than {MAX_PIXELS:,}")
            image.load()
            return height, width
    except ImageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise ImageError(path, "not a picture, whatever its name says") from error
    except Image.DecompressionBombError as error:
        raise ImageError(path, f"more than {MAX_PIXELS:,} pixels") from error
    except OSError as error:
        reason = describe_os_error(error) if error.errno else f"damaged or cut off ({error})"
        raise ImageError(path, reason) from error
    except Exception as error:  # Pillow's plugins raise SyntaxError, struct.error, ValueError ... on damaged files
        raise ImageError(path, f"damaged ({type(error).__name__}: {error})") from error
