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
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.errors import UserError
from src.files import lock_file, read_json, write_json

_RECORD = "store.json"
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


class FeatureStore:
    """The rows of some pictures in any number of views. Made by :func:`open_store`.

    Attributes:
        rows: how many rows are written; row v * pictures + i is view v of picture i.
    """

    def __init__(self, folder: Path, key: StoreKey):
        self.folder, self.key = folder, key
        self._streams, self._saved = {}, time.monotonic()
        self.rows = self._recorded_rows()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.rows"

    def _recorded_rows(self) -> int:
        """What the record says, unless a file is shorter: the record is only written after the rows."""
        try:
            rows = int(read_json(self.folder / _RECORD)["rows"])
            written = [os.path.getsize(self._path(column.name)) // column.row_bytes for column in self.key.columns]
        except (UserError, OSError, KeyError, TypeError, ValueError):
            return 0
        return min(rows, *written)

    def append(self, values: dict[str, np.ndarray]) -> None:
        """Write the next rows: for each column (n, *shape). Raises ``OverflowError`` where float16 cannot hold them."""
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
        if column.dtype == "float16" and not np.isfinite(converted).all():
            raise OverflowError(f"{column.name} has values that float16 cannot hold")
        return converted

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
        write_json(self.folder / _RECORD, {"rows": self.rows, **self.key.as_json()})
        self._saved = time.monotonic()

    def close(self) -> None:
        """End writing. The rows stay readable."""
        if self._streams:
            self.checkpoint()
        for stream in self._streams.values():
            stream.close()
        self._streams = {}

    def view(self, name: str, view: int) -> np.ndarray:
        """The rows of one view, mapped read-only: (pictures, *shape) of the column's dtype."""
        column = next(column for column in self.key.columns if column.name == name)
        shape = (self.key.pictures, *column.shape)
        start = view * self.key.pictures * column.row_bytes
        return np.memmap(self._path(name), column.dtype, mode="r", offset=start, shape=shape)


@contextlib.contextmanager
def open_store(root: Path, key: StoreKey) -> Iterator[FeatureStore]:
    """The store for ``key`` under ``root``, new or as far as it got; writing ends with the context, however it ends.

    One process writes at a time. Where another has this store, the caller gets a private one that is removed at the
    end.
    """
    folder = root / key.folder_name
    folder.mkdir(parents=True, exist_ok=True)
    with lock_file(folder / "lock") as free:
        if not free:
            folder = root / f"{folder.name}-{os.getpid()}"
            folder.mkdir(exist_ok=True)
        store = FeatureStore(folder, key)
        try:
            yield store
        finally:
            try:
                store.close()
            finally:
                if not free:
                    shutil.rmtree(folder, ignore_errors=True)


def make_room(root: Path, sizes: dict[str, int], bound: int) -> str:
    """Remove the stores that were not used for longest, until those that are wanted fit within ``bound`` and the disk.

    Args:
        sizes: the bytes that each wanted store will take in the end, by the name of its folder.
        bound: bytes for all stores together.

    Returns:
        "" where there is room now, else why not; then nothing was removed.
    """
    present = {path.parent: os.path.getmtime(path) for path in root.glob(f"*/{_RECORD}")}
    taken = {folder: sum(path.stat().st_size for path in folder.iterdir()) for folder in present}
    others = sorted((folder for folder in present if folder.name not in sizes), key=present.get)
    wanted = sum(sizes.values())
    missing = wanted - sum(taken.get(root / name, 0) for name in sizes)
    existing = root
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free - _FREE_BYTES
    left = sum(taken[folder] for folder in others)
    if wanted > bound:
        return f"it would take {format_bytes(wanted)}, more than the bound of {format_bytes(bound)} (--cache-gb)"
    if missing > free + left:
        return f"it would take {format_bytes(missing)} more, and the disk has {format_bytes(max(free, 0))} to spare"
    for folder in others:
        if left + wanted <= bound and missing <= free:
            break
        shutil.rmtree(folder, ignore_errors=True)
        left, free = left - taken[folder], free + taken[folder]
    return ""


def format_bytes(count: float) -> str:
    """As "350 MB" or "2.1 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
