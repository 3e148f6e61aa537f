"""The way of a picture from bytes to pixels: seeds of every format, spoilt by structure, and what must hold of each."""

import functools
import struct
import zlib
from pathlib import Path
from random import Random

import cv2
import numpy as np
from PIL import Image

from src import imaging, verification
from src.imaging import ImageError, decode_image, read_image
from src.verification import find_damage, read_torn, verify_image
from src.webapp.uploads import SHOWN_SIDE, Upload
from tests.encoded import GRAY, RGB, RGBA, heic, pillow, with_orientation
from tests.faults.fuzz import MOST_PIXELS
from tests.faults.fuzz_mutations import EXTREMES, spoil_bytes, spoil_pieces

NEEDED = (4, 5)  # so small that a seed of 20 x 30 comes at a quarter

Pieces = list[tuple[bytes, bytes]]


def prepare() -> None:
    """Lower the bounds. OpenCV's own is set where the process is started."""
    imaging.MAX_PIXELS = verification.MAX_PIXELS = MOST_PIXELS


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Small pictures of all formats that are read, in their variants."""
    smooth = cv2.resize(RGB, (90, 60), interpolation=cv2.INTER_CUBIC)
    palette, frames = Image.fromarray(RGB).quantize(16), [Image.fromarray(np.roll(RGB, 5, axis=0))]
    moving = {"save_all": True, "append_images": frames}
    found = [
        pillow(smooth, "JPEG"),
        pillow(smooth, "JPEG", progressive=True, exif=with_orientation(6)),
        pillow(Image.fromarray(smooth).convert("CMYK"), "JPEG"),
        pillow(GRAY, "JPEG", optimize=True, exif=with_orientation(3)),
        pillow(smooth, "JPEG", subsampling=2, restart_marker_blocks=2),
        pillow(RGB, "MPO", **moving),
        *(pillow(image, "PNG") for image in (GRAY, RGB, RGBA, palette, Image.fromarray(GRAY > 99))),
        *(pillow(palette, "PNG", bits=bits) for bits in (2, 4)),
        pillow(palette, "PNG", transparency=3, exif=with_orientation(8)),
        pillow(RGBA, "PNG", exif=with_orientation(5), save_all=True, append_images=[Image.fromarray(RGBA)]),
        cv2.imencode(".png", RGBA.astype(np.uint16) * 257)[1].tobytes(),
        interlaced(),
        pillow(RGB, "GIF", **moving),
        pillow(palette, "GIF", transparency=3),
        pillow(RGB, "WEBP", exif=with_orientation(7)),
        pillow(RGBA, "WEBP", lossless=True, exif=with_orientation(2)),
        pillow(RGBA, "WEBP", **moving),
        *(pillow(RGB, "TIFF", compression=name) for name in ("raw", "tiff_lzw", "jpeg", "packbits", "tiff_deflate")),
        pillow(RGBA, "TIFF", exif=with_orientation(6)),
        pillow(Image.fromarray(GRAY > 99), "TIFF", compression="group4"),
        *(cv2.imencode(".tiff", GRAY.astype(kind) / 300)[1].tobytes() for kind in (np.float32, np.float64)),
        *(pillow(image, "BMP") for image in (GRAY, RGB, RGBA, Image.fromarray(GRAY > 99))),
        *(pillow(image, "JPEG2000") for image in (GRAY, RGB, RGBA)),
        *(pillow(image, "PPM") for image in (GRAY, RGB, Image.fromarray(GRAY > 99))),
        b"P3 2 2 255 1 2 3 4 5 6 7 8 9 10 11 12\n",
        *(cv2.imencode(suffix, RGB)[1].tobytes() for suffix in (".hdr", ".ras", ".pfm")),
    ]
    found += [pillow(image, "AVIF", quality=50) for image in (RGB, RGBA) if "AVIF" in Image.SAVE]
    turned, gray = {"exif": with_orientation(6).tobytes()}, {"matrix_coefficients": 6}
    found += [heic(RGB), heic(smooth, tile_size=64, quality=50, **turned), heic(RGBA, "RGBA"), heic(GRAY, "L", **gray)]
    found += [heic(RGB.astype(np.uint16) * 257, "RGB;16")]
    return tuple(found)


def interlaced() -> bytes:
    """A gray PNG of 8 x 8 pixels with Adam7, which no library at hand writes: seven passes, each a picture itself."""
    passes = ((1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4))  # width, height
    raw = b"".join(bytes([0, *range(width)]) * height for width, height in passes)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    return join_png([(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")])


# ------------------------------------------------------------------------------------------------ pieces of formats


def split_png(data: bytes) -> Pieces:
    pieces, place = [], 8
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        pieces.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return pieces


def join_png(pieces: Pieces) -> bytes:
    chunks = (
        struct.pack(">I", len(content)) + tag + content + struct.pack(">I", zlib.crc32(tag + content))
        for tag, content in pieces
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def split_jpeg(data: bytes) -> Pieces:
    """Segments by their markers; what follows the last header is one piece without a tag."""
    pieces, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        pieces.append((data[place : place + 2], data[place + 4 : place + 2 + length]))
        place += 2 + length
    return [*pieces, (b"", data[place:])]


def join_jpeg(pieces: Pieces) -> bytes:
    segments = (
        tag + struct.pack(">H", (len(content) + 2) % 65536) + content if tag else content for tag, content in pieces
    )
    return b"\xff\xd8" + b"".join(segments)


def split_riff(data: bytes) -> Pieces:
    pieces, place = [], 12
    while place + 8 <= len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        pieces.append((data[place : place + 4], data[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    return pieces


def join_riff(pieces: Pieces) -> bytes:
    chunks = b"".join(
        tag + struct.pack("<I", len(content)) + content + bytes(len(content) % 2) for tag, content in pieces
    )
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def split_boxes(data: bytes) -> Pieces:
    """The boxes of JPEG 2000, AVIF and HEIC, the outermost ones."""
    pieces, place = [], 0
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big") or len(data) - place
        pieces.append((data[place + 4 : place + 8], data[place + 8 : place + length]))
        place += max(8, length)
    return pieces


def join_boxes(pieces: Pieces) -> bytes:
    return b"".join(struct.pack(">I", len(content) + 8) + tag + content for tag, content in pieces)


_FORMS = (
    (b"\x89PNG", split_png, join_png),
    (b"\xff\xd8", split_jpeg, join_jpeg),
    (b"RIFF", split_riff, join_riff),
    (b"\0\0\0\x0cjP", split_boxes, join_boxes),
    (b"\0\0\0", split_boxes, join_boxes),
)
_MORE_CHUNKS = (
    (b"tRNS", bytes(6)), (b"acTL", bytes(8)), (b"fcTL", bytes(26)), (b"gAMA", b"\0\0\0\1"), (b"sBIT", b"\x09\0\0"),
    (b"PLTE", bytes(3)), (b"zTXt", b"x\0\0" + zlib.compress(bytes(99))), (b"iCCP", b"x\0\0" + zlib.compress(bytes(99))),
    (b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"), (b"pHYs", bytes(9)), (b"IEND", b""),
)  # fmt: skip
_MORE_SEGMENTS = (
    (b"\xff\xdd", b"\0\1"), (b"\xff\xee", b"Adobe\0d\0\0\0\0\0"), (b"\xff\xc9", bytes(15)), (b"\xff\xe2", b"MPF\0"),
    (b"\xff\xe1", b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"), (b"\xff\xda", b"\1\1\0\0\x3f\0"),
    (b"\xff\xdc", b"\0\5"),
)  # fmt: skip


def make(random: Random) -> bytes:
    """A seed, as a rule spoilt in its structure, in its bytes or in both."""
    data = random.choice(seeds())
    way = random.random()
    if data[:2] in (b"II", b"MM") and way < 0.5:
        data = _spoil_tiff(random, data)
    elif way < 0.7:
        for beginning, split, join in _FORMS:
            if data.startswith(beginning):
                pieces = split(data)
                _set_header(random, pieces)
                if random.random() < 0.8:
                    more = {split_png: _MORE_CHUNKS, split_jpeg: _MORE_SEGMENTS}.get(split, ())
                    spoil_pieces(random, pieces, more)
                data = join(pieces)
                break
    return spoil_bytes(random, data, seeds()) if way > 0.6 else data


def _set_header(random: Random, pieces: Pieces) -> None:
    """Now and then give the picture another size, depth or kind, with all checksums right."""
    for place, (tag, content) in enumerate(pieces):
        frame = tag[:1] == b"\xff" and tag[1:] in (b"\xc0", b"\xc1", b"\xc2")
        if (tag in (b"IHDR", b"VP8X", b"fcTL", b"ihdr") or frame) and random.random() < 0.4:
            changed = bytearray(content)
            for _ in range(random.choice((1, 1, 2))):
                at, size = random.randrange(len(changed) + 1), random.choice((1, 2, 4))
                changed[at : at + size] = (random.choice((*EXTREMES, 2047, 2048)) % 256**size).to_bytes(size, "big")
            pieces[place] = (tag, bytes(changed[: len(content)]))


def _spoil_tiff(random: Random, data: bytes) -> bytes:
    """Change entries of the first directory: tag, type, count or value; or where the next directory is."""
    order = "<" if data[:2] == b"II" else ">"
    result = bytearray(data)
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for _ in range(random.choice((1, 1, 2, 3))):
        entry = start + 2 + 12 * random.randrange(count + 1)
        field, kind = random.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (8, "H")))
        most = 256 ** struct.calcsize(kind)
        value = random.choice(
            (*EXTREMES, start, 8, 3, 4, 5, 7, 16, 64, 2048, random.choice((256, 257, 258, 259, 277, 322)))
        )
        if entry + field + struct.calcsize(kind) <= len(result):
            struct.pack_into(f"{order}{kind}", result, entry + field, value % most)
    return bytes(result)


# -------------------------------------------------------------------------------------------------- what must hold


def check(data: bytes, folder: Path) -> bool:
    """Whether it is a picture. Raises ``AssertionError`` where what is promised does not hold."""
    path = folder / "x.png"
    path.write_bytes(data)
    image = _try(lambda: read_image(path))
    if image is not None:
        _check_array(image)
    reduced = _try(lambda: decode_image(data, needed=NEEDED))
    if reduced is not None:
        _check_array(reduced)
        assert image is None or min(reduced.shape[:2]) >= min(*NEEDED, *image.shape[:2]), (reduced.shape, image.shape)
    verified = _try(lambda: verify_image(path))
    if verified:
        assert image is not None, f"{verified} passes, and cannot be read"
        sides = sorted((verified.height, verified.width))
        # where a TIFF says its size twice, each reader believes another
        assert verified.format == "TIFF" or sides == sorted(image.shape[:2]), (verified, image.shape)
        assert verified.frames >= 1
        damage = find_damage(path, verified)
        assert damage is None or isinstance(damage, str)
    torn = _try(lambda: read_torn(path))
    assert torn is None or (torn.ndim == 3 and torn.dtype == np.uint8)
    upload = _try(lambda: Upload.open(data))
    if upload:
        _check_array(upload.shown)
        assert max(upload.shown.shape) <= SHOWN_SIDE
    return verified is not None


def _try(read):
    try:
        return read()
    except ImageError as error:
        assert error.reason and "\n" not in error.reason, error
        return None


def _check_array(image: np.ndarray) -> None:
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3, (image.dtype, image.shape)
    assert image.flags["C_CONTIGUOUS"] and 0 < image.shape[0] * image.shape[1] <= MOST_PIXELS, image.shape
