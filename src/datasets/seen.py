"""The pictures that a model was trained on, kept with it: so that later it can be told which test pictures it knows."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.datasets.near_copies import SIDE, find_near_copies_of, read_thumbnail
from src.errors import UserError
from src.files import sha256_file
from src.imaging import ImageError, check_file
from src.progress import track
from src.threads import map_threads

FILE_NAME = "pictures.npz"


@dataclass(frozen=True)
class PictureRecord:
    """Pictures by what tells them again.

    Attributes:
        digests: uint64 (N,), the first 64 bits of each file's SHA-256; 0 of a file that cannot be read.
        thumbnails: uint8 (N, 32, 32), as near-copies are found by; zeros of a picture that cannot be read.
    """

    digests: np.ndarray
    thumbnails: np.ndarray

    def save(self, path: str | os.PathLike) -> None:
        """Write the record, about 800 bytes for each picture."""
        np.savez_compressed(path, digests=self.digests, thumbnails=self.thumbnails)


@dataclass(frozen=True)
class Seen:
    """Which pictures of a test part a model was trained on.

    Attributes:
        identical, near_copies: places of the pictures whose bytes it knows, and of those of which it knows a copy.
    """

    identical: tuple[int, ...]
    near_copies: tuple[int, ...]


def record_pictures(paths: Sequence[str]) -> PictureRecord:
    """Read the pictures' digests and thumbnails, in threads."""
    entries = list(track(map_threads(_read, paths), total=len(paths), what="Recording pictures"))
    thumbnails = np.zeros((len(entries), SIDE, SIDE), np.uint8)
    for place, (_, thumbnail) in enumerate(entries):
        if thumbnail is not None:
            thumbnails[place] = thumbnail
    return PictureRecord(np.array([digest for digest, _ in entries], np.uint64), thumbnails)


def _read(path: str) -> tuple[int, np.ndarray | None]:
    try:
        check_file(path)
        return int(sha256_file(path)[:16], 16), read_thumbnail(path)
    except (ImageError, OSError):
        return 0, None


def load_record(path: str | os.PathLike) -> PictureRecord:
    """Read what :meth:`PictureRecord.save` wrote. Raises ``UserError`` where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as content:
            record = PictureRecord(content["digests"], content["thumbnails"])
        kinds, count = (record.digests.dtype, record.thumbnails.dtype), record.digests.size
    except Exception as error:  # NumPy, zipfile and zlib raise whatever the damage leads them to
        raise UserError(f"{path} is missing or damaged; train the model anew") from error
    shapes = record.digests.shape, record.thumbnails.shape
    if kinds != (np.uint64, np.uint8) or shapes != ((count,), (count, SIDE, SIDE)):
        raise UserError(f"{path} is no record of pictures; train the model anew")
    return record


def find_seen(tested: PictureRecord, trained: PictureRecord) -> Seen:
    """Which of ``tested`` are among ``trained``, byte for byte or as near-copies."""
    known = set(trained.digests[trained.digests != 0].tolist())
    identical = [place for place, digest in enumerate(tested.digests.tolist()) if digest in known]
    others = np.setdiff1d(np.arange(len(tested.digests)), identical)
    copies = find_near_copies_of(tested.thumbnails[others], trained.thumbnails, "Comparing with training pictures")
    return Seen(tuple(identical), tuple(sorted({int(others[copy.first]) for copy in copies})))
