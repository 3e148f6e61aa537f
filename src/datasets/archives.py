"""Zip and tar archives from anywhere, unpacked so that they do no harm: nothing leaves the folder or floods it."""

import bz2
import contextlib
import errno
import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from src.errors import UserError
from src.progress import track

MAX_MEMBERS = 2_000_000
MAX_BYTES = 256 * 2**30
# Pictures hardly shrink, so that an archive which unpacks to far more than its size is a bomb; small ones may.
MAX_RATIO = 200
ALWAYS_ALLOWED_BYTES = 64 * 2**20

_CHUNK = 2**20
_MAX_HEADER = 2**20  # of a tar: long names and what else the format was extended by, all held in memory
# What the standard library raises on archives that are damaged or none: MemoryError where xz asks for 4 GB at once,
# RecursionError where a thousand long names follow each other in a tar.
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, NotImplementedError,
    ValueError, IndexError, OverflowError, struct.error, MemoryError, RecursionError,
)  # fmt: skip
_OPENERS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))


def unpack(archive: str | os.PathLike, folder: Path, keep: Callable[[str], bool]) -> int:
    """Unpack the members whose base name ``keep`` admits into ``folder``; hidden ones and ``__MACOSX`` never.

    The kind of archive is told by its content. A hard link to an earlier member, which tar makes of a file with two
    names, becomes a copy. Returns the number of files that were passed over.

    Raises:
        UserError: not an archive, damaged, encrypted; a member that leaves the folder, is another link, a device or
            sparse, or comes twice; more members or bytes than an archive of pictures has.
    """
    archive, folder = Path(archive), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    passed_over = 0
    with _explained(archive), contextlib.closing(_members(archive, folder)) as members:
        for parts, size, stream in track(members, what=f"Unpacking {archive.name}", unit="files"):
            if any(part.startswith(".") or part == "__MACOSX" for part in parts):
                continue
            if not keep(parts[-1]):
                passed_over += 1
            elif stream is None:
                _refuse_special(archive, "/".join(parts))
            else:
                _write(stream, folder.joinpath(*parts), size, archive)
    return passed_over


class _Budget:
    """Counts members and unpacked bytes; raises ``UserError`` past what an archive of this size may hold."""

    def __init__(self, archive: Path):
        self.archive, self.members, self.bytes = archive, 0, 0
        self.limit = min(MAX_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive.stat().st_size))

    def add_member(self) -> None:
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise UserError(f"{self.archive} has more than {MAX_MEMBERS:,} members; unpack it yourself if you trust it")

    def add_bytes(self, count: int) -> None:
        self.bytes += count
        self.check(self.bytes)

    def check(self, count: int) -> None:
        """Raise ``UserError`` for so many bytes, unpacked or merely claimed."""
        if count > self.limit:
            raise UserError(
                f"{self.archive} unpacks to more than {self.limit / 2**20:,.0f} MB, which no archive of pictures "
                "of its size does; unpack it yourself if you trust it"
            )


class _Counted:
    """A stream for reading that counts what comes out: bounds also what a tar's headers claim."""

    def __init__(self, stream, budget: _Budget):
        self._stream, self._budget = stream, budget

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._budget.add_bytes(len(data))
        return data


class _BoundedInfo(tarfile.TarInfo):
    """A tar's header that is no bomb: the library reads what describes a member into memory, however long."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        info = super().frombuf(buf, encoding, errors)
        if info.type not in tarfile.REGULAR_TYPES and info.size > _MAX_HEADER:
            raise ValueError(f"a header of {info.size:,} bytes")
        return info


def _members(archive: Path, folder: Path) -> Iterator[tuple[tuple[str, ...], int, object]]:
    """Yield (parts of the path, size in bytes, stream) of each regular member, in the archive's order.

    Of a hard link, the stream is that of the earlier member in ``folder``; None where it was not unpacked.
    """
    with open(archive, "rb") as stream:
        head = stream.read(6)
    budget = _Budget(archive)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        yield from _zip_members(archive, budget)
        return
    opener = next((opener for magic, opener in _OPENERS if head.startswith(magic)), open)
    with (
        opener(archive, "rb") as stream,
        tarfile.open(fileobj=_Counted(stream, budget), mode="r|", tarinfo=_BoundedInfo) as tar,
    ):
        for member in tar:
            budget.add_member()
            budget.check(member.size)  # tarfile would step over it piece by piece, even where the file has ended
            parts = _safe_parts(member.name, archive)
            if member.isdir():
                continue
            if member.islnk():
                yield from _hard_link(parts, folder, member.linkname, budget)
            elif not member.isfile() or member.issparse():  # whose zeros come from nowhere and go uncounted
                _refuse_special(archive, member.name)
            else:
                yield parts, member.size, tar.extractfile(member)
            tar.members.clear()  # else every header stays in memory


def _hard_link(
    parts: tuple[str, ...], folder: Path, name: str, budget: _Budget
) -> Iterator[tuple[tuple[str, ...], int, object]]:
    earlier = _parts(name)
    original = folder.joinpath(*earlier) if earlier else None
    if original and original.is_file():
        with open(original, "rb") as stream:
            yield parts, original.stat().st_size, _Counted(stream, budget)
    else:
        yield parts, 0, None


def _zip_members(archive: Path, budget: _Budget) -> Iterator[tuple[tuple[str, ...], int, object]]:
    with zipfile.ZipFile(archive) as container:
        for info in container.infolist():
            budget.add_member()
            parts = _safe_parts(info.filename, archive)
            if info.is_dir():
                continue
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
                _refuse_special(archive, info.filename)
            if info.flag_bits & 1:
                raise UserError(f"{archive} is encrypted; unpack it yourself and give the folder")
            with container.open(info) as stream:
                yield parts, info.file_size, _Counted(stream, budget)


def _refuse_special(archive: Path, name: str) -> None:
    raise UserError(f"{archive} holds {name!r}, a link or device or sparse file, which is refused; pack it without")


def _safe_parts(name: str, archive: Path) -> tuple[str, ...]:
    parts = _parts(name)
    if parts is None:
        raise UserError(f"{archive} holds {name!r}, which would leave the folder; the archive is refused")
    return parts or ("",)


def _parts(name: str) -> tuple[str, ...] | None:
    """The parts of a member's path; None where it would leave the folder. Windows writes backslashes, and drives."""
    name = name.replace("\\", "/")
    parts = tuple(part for part in PurePosixPath(name).parts if part != ".")
    leaves = name.startswith("/") or PureWindowsPath(name).drive or ".." in parts or "\0" in name
    return None if leaves or (os.name == "nt" and ":" in name) else parts


def _write(stream, target: Path, size: int, archive: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        output = open(target, "xb")  # noqa: SIM115 - only the opening is guarded
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{archive} holds two members at {target.name!r}; the archive is refused") from error
    written = 0
    with output:
        while chunk := stream.read(_CHUNK):
            output.write(chunk)
            written += len(chunk)
    if written != size:
        raise UserError(f"{archive} is damaged or cut off ({target.name!r} is incomplete); fetch it again")


@contextlib.contextmanager
def _explained(archive: Path) -> Iterator[None]:
    """What the standard library raises on damaged archives, as one sentence."""
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{archive} is not a zip or tar archive, or is damaged ({error}); fetch it again") from error
    except OSError as error:
        # The operating system's own (disk full, no permission) go on; but a damaged zip asks it for impossible places.
        if error.errno not in (None, errno.EINVAL) or error.filename:
            raise
        raise UserError(f"{archive} is damaged ({error}); fetch it again") from error
