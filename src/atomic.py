"""Files and folders written whole or not at all.

What is being written lies beside its target under a name that begins with ``.partial-``, and is locked: what a killed
process left there is told by its lock, which ended with the process, and is removed when something is next written
into the same folder.
"""

import contextlib
import os
import platform
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from src.locks import NOT_KNOWN, lock_path

_UMASK = os.umask(0)  # only setting it tells it: done here, before there are threads, which it would change for all
os.umask(_UMASK)

PARTIAL = ".partial-"  # begins the names of what is not whole yet
_swept: set[str] = set()  # folders that this process has looked through for what others left
_sweeping = threading.Lock()


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; rename it to ``path`` on success, remove it on failure.

    The temporary name keeps the target's suffix, because writers choose the format by it.

    Args:
        durable: to have the content on the disk before it has its name, so that a machine that loses its power leaves
            the old file or the new one, not one of no bytes. It takes milliseconds, which are many for 10,000 pictures.
    """
    path = Path(path)
    _prepare(path.parent)
    with _named(path), _partial(path, _make_file) as temporary:
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~_UMASK)  # mkstemp makes files private to the owner
            if durable:
                _flush(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _make_file(path: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=f"-{path.stem[:40]}{path.suffix}", dir=path.parent)
    os.close(handle)
    return name


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it takes the place of ``path``, on failure it goes.

    An older folder at ``path`` stands untouched until the new one is whole, and there is no moment without either.
    (Where the system cannot exchange two folders at once there is: the older one is then put back by the next writer.)
    Where ``path`` is a link, it stays, and what it leads to is replaced.
    """
    path = Path(os.path.realpath(path))
    _prepare(path.parent)
    with _named(path), _partial(path, _make_folder) as temporary:
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_UMASK)
            for place, _, names in os.walk(temporary):
                for name in names:
                    _flush(os.path.join(place, name))
            if not os.path.lexists(path):
                os.rename(temporary, path)
            elif not exchange(temporary, path):
                _replace_folder(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _make_folder(path: Path) -> str:
    return tempfile.mkdtemp(prefix=PARTIAL, suffix=f"-{path.name[:40]}", dir=path.parent)


def _replace_folder(new: Path, path: Path) -> None:
    """``new`` in the place of ``path`` by two renames; what was there goes, or comes back where the second fails."""
    old = new.with_name(new.name.replace(PARTIAL, _REPLACED, 1))
    old.mkdir()
    try:
        os.rename(path, old / path.name)
        os.rename(new, path)
    finally:
        # Ctrl-C may come before or after any rename: what is there tells which were done.
        _put_back(old)
        shutil.rmtree(old, ignore_errors=True)


# Begins the name of the folder in which that lies which is being replaced; other names have eight letters there.
_REPLACED = f"{PARTIAL}old-"
_DAY = 24 * 3600.0  # after which nobody writes any more, where that cannot be told


def _put_back(old: Path) -> None:
    for inside in old.iterdir():
        if not os.path.lexists(old.parent / inside.name):
            os.rename(inside, old.parent / inside.name)


def exchange(first: Path, second: Path) -> bool:
    """Let two paths of one file system change places in one step; False where this system cannot.

    On Linux (renameat2, RENAME_EXCHANGE) and macOS (renamex_np, RENAME_SWAP); neither is in Python's ``os``.
    """
    import ctypes

    one, other = os.fsencode(first), os.fsencode(second)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if platform.system() == "Linux":
            at_cwd, swap = -100, 2
            failed = library.renameat2(at_cwd, one, at_cwd, other, ctypes.c_uint(swap))
        else:
            failed = library.renamex_np(one, other, ctypes.c_uint(2))
    except (AttributeError, OSError, TypeError):  # no such function, or, on Windows, no such library
        return False
    return not failed


def _flush(path: str | os.PathLike) -> None:
    """Have a file's content on the disk; where the file system knows no such thing, nothing."""
    if os.name == "nt":  # which flushes only what is open for writing
        return
    with open(path, "rb") as stream:
        try:
            os.fsync(stream.fileno())
        except OSError as error:
            if error.errno not in NOT_KNOWN:
                raise


@contextlib.contextmanager
def _partial(path: Path, make: Callable[[Path], str]) -> Iterator[Path]:
    """Make what is to become ``path``, and keep it locked within the context."""
    while True:
        temporary = Path(make(path))
        locked, hold = lock_path(temporary)
        if locked is not False:
            break
        # Another process took it for a leftover in the moment before it was locked.
    with hold:
        yield temporary


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let errors of the operating system name ``path`` instead of a hidden file that the user has never heard of."""
    try:
        yield
    except OSError as error:
        if PARTIAL in str(error.filename):
            error.filename = str(path)
        raise


def _prepare(folder: Path) -> None:
    """Make a folder; in one that is there remove what killed processes left."""
    folder.mkdir(parents=True, exist_ok=True)
    with _sweeping:
        if (key := os.path.abspath(folder)) in _swept:
            return
        _swept.add(key)
    with contextlib.suppress(OSError):
        remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed had begun to write into a folder; put back what they had moved away.

    Where the system does not tell whose lock it is, what is a day old is taken for left over.
    """
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if entry.name.startswith(PARTIAL) and not entry.is_symlink()]
    for path in (folder / name for name in sorted(found, key=lambda name: name.startswith(_REPLACED))):
        locked, hold = lock_path(path)
        if locked is False:
            continue  # it is being written
        with hold:
            if path.name.startswith(_REPLACED):
                if locked and os.path.lexists(path.with_name(path.name.replace(_REPLACED, PARTIAL, 1))):
                    continue  # its process may be amid the two renames
                _put_back(path)
            if locked or (locked is None and time.time() - path.stat().st_mtime > _DAY):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
