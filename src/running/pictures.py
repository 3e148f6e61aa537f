"""The user's pictures, looked at before anything is written: how many of which class, and how fast they are read."""

import contextlib
import hashlib
import os
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from src.datasets.sources import Listing, open_source
from src.datasets.split import choose_classes, verify_apart
from src.datasets.split_settings import SplitSettings
from src.errors import UserError
from src.imaging import ImageError
from src.running.plan import RunSettings
from src.verification import verify_image

_LEAST = 3  # pictures of a class: one for each part
_SAMPLE = 12


@dataclass(frozen=True)
class Pictures:
    """What was found.

    Attributes:
        counts: pictures of each class, the unreadable ones among them.
        set_aside: how many lie where they belong to no class.
        digest: of their names, sizes and times (of an archive its own), by which it is known that they are the same.
        read_seconds: that a picture takes to be verified, on one core.
    """

    counts: dict[str, int]
    set_aside: int
    digest: str
    read_seconds: float

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def look_at(settings: RunSettings) -> Pictures:
    """Find out what is there. Raises ``UserError`` where no classifier can come of it."""
    source = Path(settings.source)
    splitting = SplitSettings(source=settings.source, output=str(settings.data), seed=settings.seed)
    verify_apart(replace(splitting, output=str(settings.output)), Path(os.path.realpath(settings.output)))
    with tempfile.TemporaryDirectory(prefix="pictures-") as scratch:  # for an archive, which is unpacked twice
        listing = open_source(splitting, Path(scratch))
        choose_classes(listing, None)
        counts = dict(sorted(Counter(picture.class_name for picture in listing.pictures).items()))
        if not listing.parts:
            for name, count in counts.items():
                if count < _LEAST:
                    raise UserError(
                        f"class {name} has {count} pictures; at least {_LEAST} are needed, one each to train, to "
                        "validate and to test, and a figure worth its name takes dozens: add some"
                    )
        digest = _digest(source, listing)
        return Pictures(counts, len(listing.set_aside), digest, _time_reading([p.path for p in listing.pictures]))


def _digest(source: Path, listing: Listing) -> str:
    files = [("", source)] if listing.temporary else [(p.relative, p.path) for p in listing.pictures]
    total = hashlib.sha256()
    for relative, path in files:
        try:
            status = os.stat(path)
            facts = f"{status.st_size}\0{status.st_mtime_ns}"
        except OSError:
            facts = "unreadable"
        total.update(f"{relative}\0{facts}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def _time_reading(paths: list[str]) -> float:
    """The median of pictures from all over the list; those that cannot be read take what they take."""
    sample = paths[:: max(1, len(paths) // _SAMPLE)][:_SAMPLE]
    seconds = []
    for path in [sample[0], *sample]:
        begin = time.perf_counter()
        with contextlib.suppress(ImageError):
            verify_image(path)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])  # the first time, Pillow is loaded
