"""Whether files are what they seem to be: decoded to their end, strictly, as nothing else here does.

Used where pictures enter, in splitting and in the audit; training decodes once, by :mod:`src.imaging`.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from src.errors import explain_os_error
from src.heif import HeifError, is_heif, measure_heif
from src.imaging import EMPTY, MAX_PIXELS, ImageError, check_file, decode_image, pillow, read_image
from src.jpeg import JPEG_MARKERS, MANY_SCANS, has_many_scans, jpeg_header

# What OpenCV reads as well. Pillow knows more, and for some of it starts other programs (Ghostscript).
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "JPEG2000", "PPM", "AVIF")

_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "JPEG2000": (".jp2",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
# Of the pixels that a JPEG may have. Other formats cannot be decoded at reduced scale, and may hold eight bytes for a
# pixel; HEIF takes five.
_SHARE, _HEIF_SHARE = 3 / 8, 4 / 5
_HEAD = 512  # bytes that tell what a file is
IRREGULAR = "irregular"  # how a reason begins that is mostly none to leave the picture out
_LOST_BYTES = 256  # zeros in a row; disks lose blocks of 512 bytes or more
# What is found under the names of pictures, by how it begins: (place, bytes, what it is).
_STRANGERS = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive, or a document of an office program"),
    (0, b"\x1f\x8b", "a compressed file (gzip)"),
    (4, b"ftyp", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself"),
)


@dataclass(frozen=True)
class Verified:
    """A picture that was decoded to its end.

    Attributes:
        height, width: pixels, as stored.
        format: as Pillow calls it, "JPEG" or "PNG" for instance; MPO, a JPEG with more behind it, counts as JPEG, HEIC
            as HEIF.
        frames: more than one where it moves, or has pages.
    """

    height: int
    width: int
    format: str
    frames: int

    def suits(self, path: str | os.PathLike) -> bool:
        """Whether the file's name ends as names of its format do."""
        return os.path.splitext(path)[1].lower() in _SUFFIXES.get(self.format, ())


def verify_image(path: str | os.PathLike) -> Verified:
    """Decode the whole file strictly.

    Pillow decides, because OpenCV hands a cut-off JPEG out as a picture with only a warning from C; but no picture
    passes that :func:`~src.imaging.read_image` could not read (Pillow fills a PNG whose data end too soon with black),
    and TIFFs unknown to Pillow (floats in colour) are left to it, as is HEIF. Raises :class:`ImageError` with the
    reason.
    """
    check_file(path)
    with _reasons(path):
        with open(path, "rb") as stream:
            head = stream.read(_HEAD)
            if is_heif(head):
                encoded = head + stream.read()
                height, width, frames = _measure_heif(encoded, path, MAX_PIXELS)
                decode_image(encoded, path)
                return Verified(height, width, "HEIF", frames)
        try:
            with _open(path, path, MAX_PIXELS) as image:
                width, height = image.size
                alike = _is_decoded_alike(path, image)
                image.load()
                jpeg = image.format == "MPO"  # its further pictures are previews
                kind = "JPEG" if jpeg else image.format
                verified = Verified(height, width, kind, 1 if jpeg else _count_frames(image))
        except pillow().UnidentifiedImageError as error:
            if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                height, width = read_image(path).shape[:2]
                return Verified(height, width, "TIFF", 1)
            raise ImageError(path, _describe_stranger(head)) from error
        if not alike:
            read_image(path)
        return verified


def verify_upload(encoded: bytes, name: str, max_bytes: int, max_pixels: int) -> None:
    """Decode what a stranger sent to its end, in memory, large JPEGs at reduced scale; formats are those that
    :func:`verify_image` takes. (Of HEIF only what stands before its pixels is looked at: whoever decodes it next is as
    strict.) Raises :class:`ImageError` with the reason."""
    if not encoded:
        raise ImageError(name, EMPTY)
    if len(encoded) > max_bytes:
        raise ImageError(name, f"larger than {max_bytes // 2**20} MB")
    if is_heif(encoded):
        height, width, _ = _measure_heif(encoded, name, max_pixels)
        _verify_share(name, width, height, "HEIC", max_pixels * _HEIF_SHARE)
        return
    with _reasons(name):
        try:
            with _open(io.BytesIO(encoded), name, max_pixels) as image:
                jpeg = image.format in ("JPEG", "MPO")
                if jpeg and has_many_scans(encoded):
                    raise ImageError(name, MANY_SCANS)
                if not jpeg:
                    _verify_share(name, image.width, image.height, image.format, max_pixels * _SHARE)
                image.draft("RGB", (512, 512))
                image.load()
        except pillow().UnidentifiedImageError as error:
            raise ImageError(name, _describe_stranger(encoded[:_HEAD])) from error


def _verify_share(name: str, width: int, height: int, kind: str, most: float) -> None:
    if width * height > most:
        raise ImageError(name, f"{width} x {height} pixels are too many for a {kind}; send a JPEG")


def _measure_heif(encoded: bytes, name: str | os.PathLike, max_pixels: int) -> tuple[int, int, int]:
    try:
        return measure_heif(encoded, max_pixels)
    except HeifError as error:
        raise ImageError(name, str(error)) from error


def _is_decoded_alike(name: str | os.PathLike, image) -> bool:
    """Whether what Pillow can decode of this file, OpenCV can. Raises :class:`ImageError` for a JPEG of too many scans.

    In a JPEG whose own header is lost Pillow goes on to that of the preview behind it.
    """
    if image.format not in ("JPEG", "MPO"):
        return image.format == "WEBP"
    image.fp.seek(0)
    encoded = image.fp.read()
    if has_many_scans(encoded):
        raise ImageError(name, MANY_SCANS)
    return jpeg_header(np.frombuffer(encoded, np.uint8)) is not None


@contextlib.contextmanager
def _open(source, name: str | os.PathLike, max_pixels: int) -> Iterator:
    """Pillow's picture, of a format and a size that are taken, not decoded yet."""
    Image = pillow()
    with Image.open(source, formats=[kind for kind in _FORMATS if kind in Image.OPEN]) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError(name, f"{width} x {height} pixels are more than {max_pixels:,}")
        yield image


@contextlib.contextmanager
def _reasons(name: str | os.PathLike) -> Iterator[None]:
    """What Pillow raises, as :class:`ImageError`."""
    Image = pillow()
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(name, f"more than {MAX_PIXELS:,} pixels") from error
    except OSError as error:
        reason = explain_os_error(error) if error.errno else f"damaged or cut off ({error})"
        raise ImageError(name, reason) from error
    except Exception as error:  # Pillow's plugins raise SyntaxError, struct.error, ValueError ... on damaged files
        raise ImageError(name, f"damaged ({type(error).__name__}: {error})") from error


def find_damage(path: str | os.PathLike, verified: Verified) -> str | None:
    """What is wrong in a file that decodes all the same, to a picture that is gray or torn from some place on; None
    where nothing is found. Where a JPEG has more data than its pixels take, which is mostly harmless and at times all
    that tells of damage, the reason begins with IRREGULAR.

    Of a JPEG the decoder itself (libjpeg-turbo, by simplejpeg) says so, in warnings that other readers pass over; of a
    PNG the checksums of its chunks do. Other formats have nothing to tell it by.
    """
    if verified.format == "JPEG":
        return _find_jpeg_damage(path)
    if verified.format == "PNG":
        try:
            with pillow().open(path, formats=("PNG",)) as image:
                image.verify()
        except Exception as error:  # SyntaxError for a broken checksum, and others
            return f"damaged ({error})"
    return None


def read_torn(path: str | os.PathLike) -> np.ndarray:
    """A damaged picture as RGB uint8 (H, W, 3), whatever can be seen of it, to be shown. Silent, where OpenCV's decoder
    writes to stderr. Raises ``ImageError``."""
    try:
        with pillow().open(path, formats=("JPEG", "MPO", "PNG")) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:
        raise ImageError(path, f"damaged ({error})") from error


def _find_jpeg_damage(path: str | os.PathLike) -> str | None:
    import simplejpeg

    with open(path, "rb") as stream:
        encoded = stream.read()
    if _has_lost_block(encoded):
        return "damaged (a block of zeros amid its data)"
    try:
        four_colours = simplejpeg.decode_jpeg_header(encoded)[2] in ("CMYK", "YCCK")
        simplejpeg.decode_jpeg(encoded, colorspace="CMYK" if four_colours else "GRAY", strict=True)
    except ValueError as error:
        if "extraneous" in str(error):
            return f"{IRREGULAR} ({error})"
        # what it merely does not support (12 bits, lossless) is no damage
        if any(word in str(error) for word in ("Corrupt", "Premature", "marker")):
            return f"damaged ({error})"
    return None


def _has_lost_block(encoded: bytes) -> bool:
    """Whether so many zeros stand amid a JPEG's compressed data as no picture gives: a lost block of the disk, after
    which the decoder may find its way again and say nothing.

    Bits of 0 alone may stand for a flat picture where they are the code for the end of a block, which is so where that
    is the first symbol of the Huffman tables of kind AC. In other tables they would be coefficients, 63 in each block.
    """
    place, ac_tables = 2, []
    while place + 4 <= len(encoded) and encoded[place] == 0xFF and encoded[place + 1] != 0xDA:
        marker, length = encoded[place + 1], int.from_bytes(encoded[place + 2 : place + 4], "big")
        if marker == 0xC2:  # progressive: its scans have other codes
            return False
        if marker == 0xC4:
            ac_tables += _first_ac_symbols(encoded[place + 4 : place + 2 + length])
        place += 2 + length
    coefficients = any(symbol != 0 for symbol in ac_tables)
    # what comes after the first end is other pictures, films, padding
    end = next((found.start() for found in JPEG_MARKERS.finditer(encoded, place + 2) if found[0] == b"\xff\xd9"), -1)
    return coefficients and encoded.find(bytes(_LOST_BYTES), place, end) >= 0


def _first_ac_symbols(tables: bytes) -> list[int]:
    """Of each AC table in a DHT segment the symbol whose code is of zeros alone (ITU T.81, B.2.4.2)."""
    symbols, place = [], 0
    while place + 17 < len(tables):
        if tables[place] >> 4 == 1:
            symbols.append(tables[place + 17])
        place += 17 + sum(tables[place + 1 : place + 17])
    return symbols


def _count_frames(image) -> int:
    return getattr(image, "n_frames", 1)


def _describe_stranger(head: bytes) -> str:
    for place, beginning, what in _STRANGERS:
        if head[place:].startswith(beginning):
            return f"no picture but {what}"
    if head.lstrip()[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "no picture but a web page or a drawing in XML"
    if not head.strip(b"\0"):
        return "nothing but zeros: its content was lost"
    return "not a picture of a kind that can be read, whatever its name says"
