"""What the markers of a JPEG tell before it is decoded."""

import re
import struct

import numpy as np

JPEG = b"\xff\xd8"  # how one begins
# Each scan of a JPEG goes over the whole picture, and 92 bytes make one: a small file could take hours.
_MOST_SCANS = 100
MANY_SCANS = f"a JPEG of more than {_MOST_SCANS} scans, which no camera makes"
# What has a length behind it. FF also stands before 00 (a byte of data), D0 to D7 (restarts), and what is stepped over.
JPEG_MARKERS = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]", re.DOTALL)


def has_many_scans(encoded: bytes) -> bool:
    """Whether a JPEG's picture has more scans than any real one; films and previews behind its end do not count."""
    if encoded.count(b"\xff\xda") <= _MOST_SCANS:
        return False
    scans, place = 0, 2
    while scans <= _MOST_SCANS and (found := JPEG_MARKERS.search(encoded, place)) and found[0] != b"\xff\xd9":
        scans += found[0] == b"\xff\xda"
        place = found.end() + int.from_bytes(encoded[found.end() : found.end() + 2], "big")
    return scans > _MOST_SCANS


def jpeg_header(buffer: np.ndarray) -> tuple[int, int, bool] | None:
    """Height and width as stored, and whether EXIF may turn it: of a JPEG; None for other and for damaged files.

    Goes from segment to segment by their lengths, so that the thumbnail within an EXIF segment is passed over.
    """
    if buffer[:2].tobytes() != JPEG:
        return None
    place, may_be_turned = 2, False
    while place + 9 <= buffer.size and buffer[place] == 0xFF:
        marker, length, height, width = struct.unpack_from(">xBHxHH", buffer, place)
        if marker in (0xC0, 0xC1, 0xC2):  # a frame: baseline, extended, progressive
            return height, width, may_be_turned
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if length < 2 or (0xC3 <= marker <= 0xDA and marker not in (0xC4, 0xCC)):
            return None  # frames of other kinds, and what does not stand before a frame
        may_be_turned |= marker == 0xE1  # EXIF, among others
        place += 2 + length
    return None
