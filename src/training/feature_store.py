"""Features on disk: rows of numbers for each view of each picture, appended in order, mapped into memory to be read.

    <root>/<key>/store.json     what the rows are a function of, and how many are safely written
    <root>/<key>/<name>.rows    float16 or float32, view after view, in each view picture after picture

The key is a digest of all that the rows depend on, so that a store fits or is not found. What a crash or Ctrl-C leaves
is gone on with; more views are appended to those that are there.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.errors import UserError
from src.files import read_json, write_json
from src.locks import lock_file

_RECORD = "store.json"
_LOCK = "lock"
_SECONDS_BETWEEN_CHECKPOINTS = 10.0
_FREE_BYTES = 2**30  # what is left free on the disk, for all else


@dataclass(frozen=True)
class Column:
    """One stored tensor: its name, its shape without the pictures' axis, and "float16" or "float32"."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class StoreKey:
    """What a store holds.

    Attributes:
        origin: all that the rows depend on, as JSON can write it.
        columns: what a row consists of.
        pictures: how many rows make one view.
    """

    origin: dict
    columns: tuple[Column, ...]
    pictures: int

    def as_json(self) -> dict:
        columns = [[column.name, list(column.shape), column.dtype] for column in self.columns]
        return {"origin": self.origin, "columns": columns, "pictures": self.pictures}

    @property
    def folder_name(self) -> str:
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:20]

    def size(self, views: int) -> int:
        """Bytes of so many views."""
        return views * self.pictures * sum(column.row_bytes for column in self.columns)


class HalfOverflow(Exception):
    """A column of float16 cannot hold a finite value."""


class FeatureStore:
    """The rows of some pictures in any number of views. Made by :func:`open_store`.

    Attributes:
        rows: how many rows are written; row v * pictures + i is view v of picture i.
        unreadable: why, by their numbers, pictures could not be read, for which others stood in; set by who appends.
    """

    def __init__(self, folder: Path, key: StoreKey):
        self.folder, self.key = folder, key
        self._streams, self._saved, self._disowned = {}, time.monotonic(), False
        self.unreadable: dict[str, str] = {}
        self.rows = self._recorded_rows()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.rows"

    def _recorded_rows(self) -> int:
        """What the record says, unless a file is shorter: the record is only written after the rows. Sets
        ``unreadable``."""
        try:
            record = read_json(self.folder / _RECORD)
            rows, self.unreadable = int(record["rows"]), dict(record.get("unreadable", {}))
            written = [os.path.getsize(self._path(column.name)) // column.row_bytes for column in self.key.columns]
        except (UserError, OSError, KeyError, TypeError, ValueError, OverflowError):
            return 0
        return max(0, min(rows, *written))

    def append(self, values: dict[str, np.ndarray]) -> None:
        """Write the next rows: for each column (n, *shape).

        Raises:
            HalfOverflow: float16 cannot hold a value.
            UserError: a value is not a finite number at all.
        """
        rows = {column.name: self._converted(values[column.name], column) for column in self.key.columns}
        if not self._streams:
            self._begin()
        for name, converted in rows.items():
            self._streams[name].write(converted.data)
        self.rows += len(next(iter(rows.values())))
        if time.monotonic() - self._saved > _SECONDS_BETWEEN_CHECKPOINTS:
            self.checkpoint()

    @staticmethod
    def _converted(values: np.ndarray, column: Column) -> np.ndarray:
        with np.errstate(over="ignore"):
            converted = np.ascontiguousarray(values, column.dtype)
        if np.isfinite(converted).all():
            return converted
        if np.isfinite(values).all():
            raise HalfOverflow(f"{column.name} has values that float16 cannot hold")
        raise UserError("the frozen layers answer with NaN or infinity; take other weights, or --views 0")

    def _begin(self) -> None:
        """Open the files for writing, cut to the rows that are recorded."""
        for column in self.key.columns:
            self._path(column.name).touch()
            stream = self._streams[column.name] = open(self._path(column.name), "r+b")  # noqa: SIM115 closed by close
            stream.truncate(self.rows * column.row_bytes)
            stream.seek(0, os.SEEK_END)

    def checkpoint(self) -> None:
        """Make all rows so far last, whatever happens next."""
        for stream in self._streams.values():
            stream.flush()
            os.fsync(stream.fileno())
        rows = 0 if self._disowned else self.rows
        write_json(self.folder / _RECORD, {"rows": rows, "unreadable": self.unreadable, **self.key.as_json()})
        self._saved = time.monotonic()

    def disown(self) -> None:
        """Let no other run find the rows: they are not what the key says, as those of pictures that have gone since."""
        self._disowned = True

    def close(self) -> None:
        """End writing. The rows stay readable."""
        streams = self._streams
        try:
            if streams:
                self.checkpoint()
        finally:
            self._streams = {}
            for stream in streams.values():
                with contextlib.suppress(OSError):  # a full disk, which the checkpoint has reported
                    stream.close()

    def view(self, name: str, view: int) -> np.ndarray:
        """The rows of one view, mapped read-only: (pictures, *shape) of the column's dtype."""
        column = next(column for column in self.key.columns if column.name == name)
        shape = (self.key.pictures, *column.shape)
        start = view * self.key.pictures * column.row_bytes
        return np.memmap(self._path(name), column.dtype, mode="r", offset=start, shape=shape)


@contextlib.contextmanager
def open_store(root: Path, key: StoreKey, views: int) -> Iterator[FeatureStore]:
    """The store for ``key`` under ``root``, new or as far as it got; writing ends with the context, however it ends.

    One process writes a store at a time. Where another has this one open, the caller reads with it if so many views are
    there already (and then must not append), and else gets a private store that is removed at the end.
    """
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        folder = root / key.folder_name
        folder.mkdir(exist_ok=True)
        stack.callback(_remove_unused, folder)
        alone = stack.enter_context(lock_file(folder / _LOCK))
        store = FeatureStore(folder, key)
        if not alone and store.rows < views * key.pictures:
            folder = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=root))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.enter_context(lock_file(folder / _LOCK))
            store = FeatureStore(folder, key)
        os.utime(folder)  # its last use, by which make_room goes
        stack.callback(store.close)
        yield store


def make_room(root: Path, sizes: dict[str, int], bound: int) -> str:
    """Remove the stores that were not used for longest, until those that are wanted fit within ``bound`` and the disk.

    Stores that a process has open alone or first stay. (One that is only read beside it goes with the first; where the
    system lets files go that are mapped, the reader keeps them to its end.)

    Args:
        sizes: the bytes that each wanted store will take in the end, by the name of its folder.
        bound: bytes for all stores together.

    Returns:
        "" where there is room now, else why not.
    """
    wanted = sum(sizes.values())
    if wanted > bound:
        return f"it would take {format_bytes(wanted)}, more than the bound of {format_bytes(bound)} (--cache-gb)"
    taken = {folder: _size(folder) for folder in root.iterdir() if folder.is_dir()} if root.is_dir() else {}
    others = sorted((folder for folder in taken if folder.name not in sizes), key=_last_use)
    missing = sum(max(0, size - taken.get(root / name, 0)) for name, size in sizes.items())
    existing = root
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free - _FREE_BYTES if missing else 0
    total = sum(taken.values()) + missing
    if missing <= free + sum(taken[folder] for folder in others):
        for folder in others:
            if total <= bound and missing <= free:
                break
            if _remove(folder):
                total, free = total - taken[folder], free + taken[folder]
    if missing > free:
        return f"it would take {format_bytes(missing)} more, and the disk has {format_bytes(max(free, 0))} to spare"
    return ""


def _remove_unused(folder: Path) -> None:
    """Remove a store that nothing was written to, as where the pictures could not be read."""
    with contextlib.suppress(OSError):
        if [path.name for path in folder.iterdir()] == [_LOCK]:
            _remove(folder)


def _size(folder: Path) -> int:
    size = 0
    with contextlib.suppress(FileNotFoundError):  # another process's private store, which has just gone
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # its temporary file
                size += path.stat().st_size
    return size


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(folder: Path) -> bool:
    """Remove a store unless a process has it open; returns whether it is gone."""
    try:
        with lock_file(folder / _LOCK) as ours:
            if ours:
                with contextlib.suppress(OSError):  # Windows moves no folder with an open file
                    # Where the lock ends nobody may find the folder any more and begin to write.
                    folder = folder.rename(folder.with_name(f"{folder.name}-removed"))
                for path in folder.iterdir():
                    if path.name != _LOCK:
                        path.unlink(missing_ok=True)
    except OSError:
        return False
    if ours:
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def format_bytes(count: float) -> str:
    """As "350 MB" or "2.1 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
