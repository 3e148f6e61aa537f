"""HEIF, of which HEIC is what phones make: read by pillow-heif (libheif), which is loaded only where a file is one.

AVIF, a HEIF by its boxes, is left to OpenCV.
"""

import contextlib
import functools
import struct
from collections.abc import Iterator

import numpy as np

MISSING = (
    "a HEIC photograph, for which the package pillow-heif is needed; install it with: pip install -r requirements.txt"
)
# The brands (ISO/IEC 23008-12) of pictures coded by HEVC, of sequences of them, and of HEIF whatever its coding.
_HEVC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_ANY = (b"mif1", b"mif2", b"msf1")
_AVIF = (b"avif", b"avis")
_MOST_BRANDS = 64
_WHOLE = (b"meta", b"mdat", b"moov", b"idat")  # boxes that hold what a picture is made of


class HeifError(Exception):
    """A HEIF file that cannot be read; the message is the reason."""


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so (64 bytes are enough for all known writers) is a HEIF of another kind than AVIF."""
    if head[4:8] != b"ftyp":
        return False
    if head[8:12] in _HEVC:
        return True
    end = min(int.from_bytes(head[:4], "big"), len(head), 4 * _MOST_BRANDS)
    others = {head[place : place + 4] for place in range(16, end, 4)}
    return head[8:12] in _ANY and not others & {*_AVIF}


@functools.cache
def _library():
    """pillow-heif, set to hand out the picture and nothing beside it, by one thread: whoever reads many has threads."""
    try:
        import pillow_heif
    except ImportError as error:
        raise HeifError(MISSING) from error
    options = pillow_heif.options
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    options.DECODE_THREADS = 1
    return pillow_heif


def measure_heif(content: bytes, max_pixels: int) -> tuple[int, int, int]:
    """Height and width as it is shown, and how many pictures the file holds, with nothing decoded.

    Raises :class:`HeifError` for what is cut off, has more than ``max_pixels`` pixels or more tiles than its size
    takes, or is no HEIF.
    """
    with _reasons():
        image, count = _open(content, max_pixels)
    width, height = image.size
    return height, width, count


def decode_heif(content: bytes, max_pixels: int) -> tuple[np.ndarray, bool]:
    """The main picture: (H, W) gray, (H, W, 3) BGR or (H, W, 4) BGRA, uint8, gray of more than 8 bits uint16 in its
    upper bits; and whether its colours are multiplied by alpha.

    libheif turns and mirrors it by the boxes irot and imir. The EXIF orientation, which phones write as well, means
    nothing in HEIF (ISO/IEC 23008-12, 6.5.10) and is not applied a second time. Raises :class:`HeifError`, also for
    what :func:`measure_heif` refuses.
    """
    with _reasons():
        image, _ = _open(content, max_pixels)
        pixels = np.asarray(image)
        if pixels.ndim == 3 and pixels.shape[2] == 2:  # gray with alpha
            pixels = pixels[..., [0, 0, 0, 1]]
        return pixels, image.premultiplied_alpha


def _open(content: bytes, max_pixels: int):
    """pillow-heif's main picture, with what is to be found out about it before it is decoded, and the number of all."""
    _verify_whole(content)
    file = _library().open_heif(content, bgr_mode=True)
    image = file[file.primary_index]
    width, height = image.size
    if width * height > max_pixels:
        raise HeifError(f"{width} x {height} pixels are more than {max_pixels:,}")
    tiling = image.info.get("tiling")
    if tiling and not all(
        (tiling[f"num_{lines}"] - 1) * tiling[f"tile_{side}"] < tiling[f"image_{side}"] <= max_pixels
        for lines, side in (("columns", "width"), ("rows", "height"))
    ):
        # libheif decodes tiles, of which one may be named a thousand times, also where nothing of them is shown
        raise HeifError("damaged (more tiles than its size takes)")
    return image, len(file)


def _verify_whole(content: bytes) -> None:
    """Raise :class:`HeifError` where a box with a part of the picture ends beyond the file: libheif leaves the tiles
    black whose data are cut off, and phones make tiles of all they take. Boxes: ISO/IEC 14496-12, 4.2."""
    place = 0
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        if size == 1 and place + 16 <= len(content):
            size = struct.unpack_from(">8xQ", content, place)[0]
        if size == 0:  # to the end of the file
            return
        if size < 8:
            break
        if place + size > len(content) and kind in _WHOLE:
            raise HeifError(f"cut off ({place + size - len(content):,} bytes are missing)")
        place += size


@contextlib.contextmanager
def _reasons() -> Iterator[None]:
    """What pillow-heif raises, as :class:`HeifError`."""
    try:
        yield
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError, IndexError) as error:
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise HeifError(f"damaged or of a kind that cannot be read ({reason})") from error
