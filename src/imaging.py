"""The only reader of pictures: files to RGB uint8 arrays, upright, and their resizing.

Colour order is settled here, once: everything behind this module is RGB.
"""

import functools
import io
import itertools
import os
import re
import stat
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from src.atomic import atomic_file
from src.errors import UserError, explain_os_error
from src.heif import HeifError, decode_heif, is_heif
from src.jpeg import JPEG, MANY_SCANS, has_many_scans, jpeg_header
from src.threads import map_threads

# A small file can unpack to an enormous picture: both limits are checked before decoding. OpenCV reads its own once,
# when it is loaded.
MAX_FILE_BYTES = 200 * 1024 * 1024
MAX_PIXELS = 178_956_970  # Pillow's own bound, about 512 MB as RGB

try:
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
    import cv2
except ImportError as error:  # pragma: no cover - depends on the machine's system libraries
    if "libGL" in str(error) or "libxcb" in str(error) or "libgthread" in str(error):
        raise SystemExit(
            "error: OpenCV lacks a system library of the desktop "
            f"({error}); run: pip uninstall -y opencv-python && pip install opencv-python-headless"
        ) from error
    raise

# What is looked for when a folder is read. OpenCV decides by content, not by suffix.
PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff", ".jp2", ".avif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".hif",
)  # fmt: skip

_ROWS = 64  # of a picture that are worked on at a time
# To be raised where the same file would no longer become the same array: stored features and bundles depend on it.
READING_VERSION = 2

_CV2_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST_EXACT,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
INTERPOLATIONS = tuple(_CV2_INTERPOLATIONS)

# A JPEG holds its picture as 8 x 8 blocks of frequencies, of which a reduced decoding takes the lowest only.
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}

EMPTY = "the file is empty"
_PNG = b"\x89PNG\r\n\x1a\n"
_MOVING = (b"acTL", b"fcTL", b"fdAT")  # chunks of a PNG that moves

# What OpenCV's C code says of damaged files comes as an ImageError; on stderr it would only tear progress bars.
if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class ImageError(UserError):
    """A picture that cannot be read; ``path`` and ``reason`` apart, for lists of failures."""

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = str(path), reason


def is_picture_name(name: str) -> bool:
    """Whether a file's name has a suffix of a picture and is not hidden (macOS leaves ``._x.jpg`` beside x.jpg)."""
    return not name.startswith(".") and name.lower().endswith(PICTURE_SUFFIXES)


def check_file(path: str | os.PathLike) -> None:
    """Raise :class:`ImageError` for what is no file (a pipe would be waited for, a device has no end), empty, or larger
    than any picture."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise ImageError(path, explain_os_error(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(path, "no file, but a folder, a pipe or a device")
    if status.st_size == 0:
        raise ImageError(path, EMPTY)
    if status.st_size > MAX_FILE_BYTES:
        raise ImageError(path, f"larger than {MAX_FILE_BYTES // 2**20} MB")


def read_image(path: str | os.PathLike, needed: tuple[int, int] | None = None) -> np.ndarray:
    """Read a picture as RGB uint8 (H, W, 3), upright by its EXIF orientation.

    Any bit depth, gray, palette, CMYK; transparent places show white. ``needed`` = (height, width), the size that it
    will be shrunk to, lets a much larger JPEG come at a half, a quarter or an eighth of its size, several times
    faster; see :func:`load_image`. Raises :class:`ImageError`.
    """
    check_file(path)
    try:
        encoded = Path(path).read_bytes()  # unlike cv2.imread, opens any name that Python opens, also on Windows
    except OSError as error:
        raise ImageError(path, explain_os_error(error)) from error
    return decode_image(encoded, name=path, needed=needed)


def decode_image(
    encoded: np.ndarray | bytes, name: str | os.PathLike = "picture", needed: tuple[int, int] | None = None
) -> np.ndarray:
    """Decode an encoded picture (bytes or a uint8 array) to RGB uint8 (H, W, 3); see :func:`read_image`.

    Values wider than 8 bits keep their upper bits. Float and 32-bit pictures have no fixed range: it is taken to end
    at the first of 1 (floats only), 255, 65535 and the picture's own maximum that no value exceeds.
    """
    buffer = np.frombuffer(encoded, np.uint8) if isinstance(encoded, bytes) else encoded
    if buffer.size == 0:
        raise ImageError(name, EMPTY)
    content = encoded if isinstance(encoded, bytes) else encoded.tobytes()
    if is_heif(content):
        return _decode_heif(content, name)
    if content.startswith(JPEG) and has_many_scans(content):
        raise ImageError(name, MANY_SCANS)
    if content.startswith(_PNG) and (still := _without_animation(content)):
        buffer = np.frombuffer(still, np.uint8)
    try:
        if needed and (reduced := _decode_reduced(buffer, needed)) is not None:
            return reduced
        if not _is_plain(buffer):
            image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
            if image is not None and image.ndim == 3 and image.shape[2] == 4:
                return _over_white(image, buffer)
            if image is not None and image.dtype not in (np.uint8, np.uint16):
                gray = image.ndim == 2 or image.shape[2] == 1
                return cv2.cvtColor(_to_uint8(image), cv2.COLOR_GRAY2RGB if gray else cv2.COLOR_BGR2RGB)
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        too_large = "MAX_IMAGE" in str(error)
        reason = f"more than {MAX_PIXELS:,} pixels" if too_large else f"not a readable picture ({error.err})"
        raise ImageError(name, reason) from error
    if image is None:
        raise ImageError(name, "not a readable picture, or cut off")
    return image


def _without_animation(content: bytes) -> bytes | None:
    """A PNG without the chunks that make it move, so that its first picture is decoded as any other; None where it has
    none.

    In those that move, OpenCV 4.12 and 5.0 answer damage with the end of the process (opencv/opencv#27744).
    """
    chunks, place = [], 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        chunks.append((place, place + 12 + length, kind))
        place += 12 + length
    if not any(kind in _MOVING for _, _, kind in chunks):
        return None
    return _PNG + b"".join(content[start:end] for start, end, kind in chunks if kind not in _MOVING)


def _is_plain(buffer: np.ndarray) -> bool:
    """Whether the header already excludes transparency and floats, as of any JPEG, so that one decoding is enough."""
    head = buffer[:64].tobytes()
    if head[:2] in (JPEG, b"BM"):
        return True
    if head[:8] == _PNG and len(head) > 25:
        return head[25] not in (4, 6) and b"tRNS" not in buffer.tobytes().partition(b"IDAT")[0]
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) > 20:
        return head[12:16] == b"VP8 " or (head[12:16] == b"VP8X" and not head[20] & 0x10)
    return False


def _decode_reduced(buffer: np.ndarray, needed: tuple[int, int]) -> np.ndarray | None:
    """A JPEG at an eighth, a quarter or half its size, ``needed`` or more whichever way up it is shown; None where that
    is not to be had, as for other kinds of files."""
    height, width, may_be_turned = jpeg_header(buffer) or (0, 0, False)
    if height * width > MAX_PIXELS:
        return None
    for factor, flag in _REDUCED.items():
        # The last row and column of a reduced picture may lie partly outside: they are kept if more than half inside.
        # A turned picture has them elsewhere.
        fits = not may_be_turned or (height % factor == 0 and width % factor == 0)
        if fits and min(height, width) >= factor * max(needed):
            image = cv2.imdecode(buffer, flag)
            if image is None or image.shape[:2] not in _reduced_shapes(height, width, factor, may_be_turned):
                return None  # as with EXIF behind the frame's header, which is legal and hardly ever seen
            if not may_be_turned:
                image = image[: round(height / factor), : round(width / factor)]
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return None


def _reduced_shapes(height: int, width: int, factor: int, may_be_turned: bool) -> list[tuple[int, int]]:
    """What a decoded JPEG of this size may measure at a part of it."""
    shape = -(-height // factor), -(-width // factor)
    return [shape, shape[::-1]] if may_be_turned else [shape]


def _to_uint8(image: np.ndarray) -> np.ndarray:
    """Any depth to uint8; :func:`decode_image` tells the rule."""
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    values = np.nan_to_num(image.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    greatest = float(values.max())
    ends = (1, 255, 65535, greatest) if image.dtype.kind == "f" else (255, 65535, greatest)
    end = next(end for end in ends if greatest <= end)
    return np.rint(np.clip(values / end, 0, 1) * 255).astype(np.uint8)


def _decode_heif(content: bytes, name: str | os.PathLike) -> np.ndarray:
    try:
        image, premultiplied = decode_heif(content, MAX_PIXELS)
    except HeifError as error:
        raise ImageError(name, str(error)) from error
    image = _to_uint8(image)
    if image.ndim == 3 and image.shape[2] == 4:
        return _blend_with_white(image, premultiplied=premultiplied)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)


def _over_white(image: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    """BGRA of any depth, decoded from ``buffer``, to RGB uint8 laid over white and turned upright."""
    tiff = buffer[:2].tobytes() in (b"II", b"MM")
    # libtiff's RGBA reader multiplies, whatever the file says
    result = _blend_with_white(_to_uint8(image), premultiplied=tiff and image.dtype == np.uint8)
    # Read with its alpha channel, a PNG or WebP comes as it is stored; all others come upright from OpenCV.
    if not tiff and re.search(rb"eXIf|EXIF", buffer.tobytes()):
        result = _upright(result, buffer)
    return result


def _blend_with_white(image: np.ndarray, *, premultiplied: bool) -> np.ndarray:
    """BGRA uint8 to RGB uint8 laid over white; ``premultiplied``: its colours are multiplied by alpha already."""
    result = np.empty((*image.shape[:2], 3), np.uint8)
    for top in range(0, len(image), _ROWS):  # what is between, in 16 bits, never takes more than a few rows
        rows = image[top : top + _ROWS]
        color, alpha = rows[..., 2::-1].astype(np.uint16), rows[..., 3:].astype(np.uint16)
        if not premultiplied:
            color = (color * alpha + 127) // 255
        result[top : top + _ROWS] = np.minimum(color + (255 - alpha), 255)
    return result


def _upright(image: np.ndarray, buffer: np.ndarray) -> np.ndarray:
    """Turn and mirror by the EXIF orientation 1 to 8 that stands in ``buffer``."""
    try:
        with pillow().open(io.BytesIO(buffer.tobytes()), formats=("PNG", "WEBP")) as header:
            orientation = header.getexif().get(0x112, 1)
    except Exception:  # Pillow raises kinds of many sorts on damaged EXIF, which damages no pixel
        orientation = 1
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def crop_to_aspect(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The largest centred part of (H, W, ...) with the aspect ratio of ``size`` = (height, width), as a view."""
    (height, width), (target_height, target_width) = image.shape[:2], size
    crop_height = max(1, min(height, width * target_height // target_width))
    crop_width = max(1, min(width, height * target_width // target_height))
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return image[top : top + crop_height, left : left + crop_width]


def resize_image(image: np.ndarray, size: tuple[int, int], interpolation: str = "bilinear") -> np.ndarray:
    """Resize to ``size`` = (height, width), keeping the dtype; the aspect ratio follows the size.

    "nearest" samples at pixel centres as Pillow does. The others first average blocks of whole pixels, as many as leave
    ``size`` or more, so that the fine texture of large pictures does not alias, and interpolate the rest, a factor
    below 2. Averaging all the way is softer than what networks were trained on: with EfficientNet-Lite0's features the
    loss on dogs and cats was a seventh higher, and it took four times as long (docs/performance.md). Rows and columns
    that fill no block are left out, half of them at each edge. Raises ``ValueError`` for an unknown interpolation.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}. Received: {interpolation}")
    if image.shape[:2] == tuple(size):
        return image
    if interpolation != "nearest":
        image = _average_blocks(image, *(max(1, side // wanted) for side, wanted in zip(image.shape, size)))
    return cv2.resize(image, (size[1], size[0]), interpolation=_CV2_INTERPOLATIONS[interpolation])


def _average_blocks(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The means of blocks of so many rows and columns, of as many blocks as fit, in the middle."""
    if rows == columns == 1:
        return image
    height, width = image.shape[0] // rows, image.shape[1] // columns
    top, left = (image.shape[0] - height * rows) // 2, (image.shape[1] - width * columns) // 2
    inner = image[top : top + height * rows, left : left + width * columns]
    # Halfway between two pixels, linear interpolation is their mean, in a third of INTER_AREA's time.
    method = cv2.INTER_LINEAR if max(rows, columns) == 2 else cv2.INTER_AREA
    return cv2.resize(inner, (width, height), interpolation=method)


def load_image(
    path: str | os.PathLike,
    size: tuple[int, int],
    interpolation: str = "bilinear",
    keep_aspect_ratio: bool = False,
) -> np.ndarray:
    """Read and resize to RGB uint8 (height, width, 3): the one way from a file to a network, in training and after.

    ``keep_aspect_ratio`` cuts off what does not fit. Unless "nearest" asks for single pixels, a JPEG is decoded at the
    smallest of the scales 1, 1/2, 1/4, 1/8 that leaves ``size`` each way, which takes the place of averaging blocks of
    as many pixels. Raises :class:`ImageError`.
    """
    image = read_image(path, needed=None if interpolation == "nearest" else size)
    if keep_aspect_ratio:
        image = crop_to_aspect(image, size)
    return resize_image(image, size, interpolation)


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write RGB, gray or (PNG only) RGBA uint8 as PNG or JPEG by the suffix, whole or not at all."""
    encoded = encode_image(image, Path(path).suffix)
    if encoded is None:
        raise UserError(f"{path}: OpenCV cannot write this kind of file; use .png or .jpg")
    with atomic_file(path, durable=False) as temporary:
        temporary.write_bytes(encoded)


def encode_image(image: np.ndarray, suffix: str, options: Sequence[int] = ()) -> bytes | None:
    """RGB, gray or RGBA uint8 as a file of the kind that ``suffix`` names; None where OpenCV cannot write it so.

    Args:
        options: pairs of OpenCV's IMWRITE constants and values.
    """
    to_bgr = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    stored = cv2.cvtColor(image, to_bgr[image.shape[2]]) if image.ndim == 3 else image
    ok, buffer = cv2.imencode(suffix, stored, list(options))
    return buffer.tobytes() if ok else None


@functools.cache
def pillow():
    """Pillow's Image module, imported only where it is needed; its warnings would only tear progress bars."""
    from PIL import Image

    warnings.filterwarnings("ignore", module=r"PIL\.")
    Image.init()
    return Image


def read_in_batches(
    paths: Sequence[str], read: Callable[[str], np.ndarray], batch_size: int
) -> Iterator[tuple[list[int], np.ndarray, list[ImageError]]]:
    """Read many pictures of one size, batch by batch, by ``read`` in threads; while a batch is worked on, they read the
    whole of the next one.

    Yields:
        The places in ``paths`` of those that could be read, their arrays (n, H, W, 3), and the errors of the others.
    """

    def attempt(path: str) -> np.ndarray | ImageError:
        try:
            return read(path)
        except ImageError as error:
            return error

    def gather(start: int, results: list) -> tuple[list[int], np.ndarray, list[ImageError]]:
        failures = [result for result in results if isinstance(result, ImageError)]
        good = [index for index, result in enumerate(results) if not isinstance(result, ImageError)]
        images = np.stack([results[index] for index in good]) if good else np.empty((0, 0, 0, 3))
        return [start + index for index in good], images, failures

    results = map_threads(attempt, paths, ahead=batch_size)
    for start in range(0, len(paths), batch_size):
        yield gather(start, list(itertools.islice(results, batch_size)))
