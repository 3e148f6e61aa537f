"""Locks between processes, which end with the process that holds them, however it ends."""

import contextlib
import errno
import itertools
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from src.errors import Circumstance

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# What file systems say that know no locks, or no flushing, as some network drives.
NOT_KNOWN = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


def _lock(handle: int) -> bool | None:
    """Lock an open file without waiting: True where that is done, False where another process holds it, None where the
    file system knows no locks. The system lets go of the lock when the process ends, however it ends."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            os.lseek(handle, 2**30, os.SEEK_SET)  # beyond the content, which others are to read
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in NOT_KNOWN:
            raise
        return None
    return True


def lock_path(path: Path) -> tuple[bool | None, contextlib.AbstractContextManager]:
    """Lock what lies at a path, a file or a folder.

    Returns:
        Whether it is locked now (True; False where another process holds it or it has gone; None where that cannot be
        told), and the hold of the lock.
    """
    if fcntl is None:
        return None, contextlib.nullcontext()  # Windows moves no file that is open
    hold = contextlib.ExitStack()
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        hold.callback(os.close, handle)
        locked = _lock(handle)
        if not os.path.samestat(os.fstat(handle), os.lstat(path)):
            locked = False
    except FileNotFoundError:
        locked = False
    except OSError:
        locked = None
    if not locked:
        hold.close()
    return locked, hold


@contextlib.contextmanager
def lock_file(path: str | os.PathLike) -> Iterator[bool]:
    """Try to lock a file for this process, without waiting; yields False where another holds it.

    The system lets go of the lock when the process ends, however it ends. The file itself stays. On a file system
    without locks nothing is locked, and True is yielded.
    """
    with open(path, "ab") as stream:
        yield _lock(stream.fileno()) is not False


@contextlib.contextmanager
def hold_lock(path: str | os.PathLike, what: str, remedy: str) -> Iterator[None]:
    """Hold a lock file, made with its folder, which says who holds it, and is removed at the end.

    A file that a killed process left locks nothing. (On a file system without locks it is told by its process, which no
    longer runs on this machine.)

    Args:
        what: "another run is writing data".
        remedy: "give another --output".

    Raises ``Circumstance`` with the other's process number where another process holds it.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        for attempt in itertools.count():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                stream = stack.enter_context(open(path, "a+", encoding="utf-8"))
            except FileNotFoundError:  # the other run ended just now, and removed the folder
                if attempt == _MOST_ATTEMPTS:  # no folder can be made there, as in /proc, or a link leads to nowhere
                    raise
                continue
            locked = _lock(stream.fileno())
            stream.seek(0)
            owner = stream.read(_OWNER_LENGTH).split()
            if locked is False or (locked is None and _is_running(owner)):
                untold = f" (or remove {path}, if it does not run any more)" if locked is None else ""
                raise Circumstance(f"{what} ({_describe_owner(owner)}); wait until it ends{untold}, or {remedy}")
            if _is_at(path, stream.fileno()):
                break
            stream.close()  # the other run ended just now, and removed the file
        with contextlib.suppress(OSError):  # a full disk, on which the lock holds all the same
            stream.truncate(0)
            os.write(stream.fileno(), f"{os.getpid()} {platform.node()}\n".encode())
        try:
            yield
        finally:
            if fcntl is None:  # Windows removes no file that is open
                stream.close()
            with contextlib.suppress(OSError):
                path.unlink()


def _is_at(path: Path, handle: int) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return fcntl is None or os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


_OWNER_LENGTH = 300
_MOST_ATTEMPTS = 100


def _describe_owner(owner: list[str]) -> str:
    if not owner:
        return "its process has just begun"
    host = f" on {owner[1]}" if owner[1:] and owner[1] != platform.node() else ""
    return f"process {owner[0]}{host}"


def _is_running(owner: list[str]) -> bool:
    """Whether the process that a lock file names runs, as far as can be told; one of another machine may."""
    if len(owner) != 2 or not owner[0].isdigit() or fcntl is None:  # where asking would mean to send a signal
        return False
    if owner[1] != platform.node():
        return True
    try:
        os.kill(int(owner[0]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return int(owner[0]) != os.getpid()
