"""Archives: headers changed with their checksums mended, also within a compression that is whole."""

import bz2
import functools
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path
from random import Random

from src.datasets import archives
from src.errors import UserError
from src.imaging import is_picture_name
from tests.faults.fuzz_mutations import TEXTS, spoil_bytes

_BLOCK = 512
_MOST_BYTES = 2**20
_NAMES = (
    "cat/a.png", "../evil.png", "/evil.png", "cat/../../evil.png", "C:\\evil.png", "cat/a.png/b.png", "cat", "",
    "x" * 255 + ".png", "a/" * 2000 + "a.png", "\x00.png", ".hidden/a.png", "cat/=1+1.png", "victim.png",
)  # fmt: skip


def prepare() -> None:
    archives.ALWAYS_ALLOWED_BYTES, archives.MAX_RATIO = _MOST_BYTES, 2


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Zips of every compression, and tars of every layout."""
    members = {"set/cat/a.png": b"one" * 50, "set/dog/b.png": bytes(range(256)), "notes.txt": b"x"}
    found = []
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", kind) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name), data, kind)
        found.append(stream.getvalue())
    for layout in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=layout) as archive:
            more = {} if layout == tarfile.USTAR_FORMAT else {f"set/cat/{'é' * 80}.png": b"long"}
            for name, data in (members | more).items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            link = tarfile.TarInfo("set/cat/link.png")
            link.type, link.linkname = tarfile.LNKTYPE, "set/cat/a.png"
            archive.addfile(link)
        found.append(stream.getvalue())
    return tuple(found)


def make(random: Random) -> bytes:
    data = random.choice(seeds())
    if data[:2] == b"PK":
        if random.random() < 0.6:
            data = _change_zip(random, data)
        return data if random.random() < 0.5 else spoil_bytes(random, data, seeds())
    if random.random() < 0.8:
        data = _change_tar(random, data)
    if random.random() < 0.3:
        data = spoil_bytes(random, data, seeds())
    if random.random() < 0.4:
        data = random.choice((gzip.compress, bz2.compress, lzma.compress))(data)
        data = data if random.random() < 0.5 else spoil_bytes(random, data)
    return data


def _change_tar(random: Random, data: bytes) -> bytes:
    """Fields of one header or two set to something else, and the checksums right again."""
    result = bytearray(data)
    headers = [place for place in range(0, len(data), _BLOCK) if data[place + 257 : place + 262] == b"ustar"]
    for place in random.choices(headers, k=random.choice((1, 1, 2))):
        start, length = random.choice(
            ((0, 100), (100, 8), (124, 12), (124, 12), (156, 1), (156, 1), (157, 100), (345, 155))
        )
        if length == 1:
            value = random.choice((b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"K", b"S", b"x", b"g", b"D", b"M"))
        elif length in (8, 12):
            value = random.choice(
                (b"7" * 11, b"-1", b"", b"\xff" * 12, b"\x80" + b"\xff" * 11, b"\x80" + bytes(11), b"9", b"100000")
            )
        else:
            value = random.choice((*_NAMES, *TEXTS)).encode(errors="surrogatepass")
        result[place + start : place + start + length] = value[:length].ljust(length, b"\0")
        result[place + 148 : place + 156] = b" " * 8
        result[place + 148 : place + 156] = b"%06o\0 " % sum(result[place : place + _BLOCK])
    if random.random() < 0.2:
        place = random.choice(headers)
        result[place:place] = result[place : place + _BLOCK] * random.choice((1, 2, 400))
    return bytes(result)


def _change_zip(random: Random, data: bytes) -> bytes:
    """A field of a header, here or in the directory at the end; or other names."""
    result = bytearray(data)
    if random.random() < 0.3:
        old = b"set/cat/a.png"
        new = random.choice(_NAMES).encode()[: len(old)].ljust(len(old), b"a")
        return bytes(result.replace(old, new))
    kinds = ((b"PK\3\4", 30), (b"PK\1\2", 46), (b"PK\5\6", 22))
    beginning, length = random.choice(kinds)
    places = [place for place in range(len(data) - 4) if data[place : place + 4] == beginning]
    for place in random.choices(places, k=random.choice((1, 1, 2))):
        at, size = place + random.randrange(4, length, 2), random.choice((2, 4))
        value = random.choice(
            (0, 1, 8, 9, 12, 14, 95, 99, 0x0800, 0x0001, 0x0040, 0x7FFF, 0xFFFF, 0xFFFFFFFF, 0x80000000, 300)
        )
        if at + size <= len(result):
            struct.pack_into("<H" if size == 2 else "<I", result, at, value % 256**size)
    return bytes(result)


def check(data: bytes, folder: Path) -> bool:
    """Whether it was unpacked. Raises ``AssertionError`` where something came to lie elsewhere, or too much."""
    archive, victim, target = folder / "a.zip", folder / "victim.png", folder / "in" / "side" / "out"
    archive.write_bytes(data)
    victim.write_bytes(b"mine")
    try:
        archives.unpack(archive, target, is_picture_name)
        whole = True
    except UserError:
        whole = False
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    outside = {name for name in found if not name.startswith("in/side/out")} - {"a.zip", "victim.png", "in", "in/side"}
    assert not outside and victim.read_bytes() == b"mine", outside
    files = [path for path in target.rglob("*") if not path.is_dir()]
    assert all(path.is_file() and not path.is_symlink() and is_picture_name(path.name) for path in files)
    assert sum(path.stat().st_size for path in files) <= max(_MOST_BYTES, 2 * len(data)) + 2**20
    return whole
