"""Which pictures can be read, and their digests: many at once, and nothing kept but digests and thumbnails."""

import functools
from collections import deque
from collections.abc import Sequence

from src.datasets.assign import shuffle
from src.datasets.near_copies import read_thumbnail
from src.datasets.sources import Picture
from src.errors import explain_os_error
from src.files import sha256_file
from src.imaging import ImageError
from src.progress import track
from src.threads import map_threads
from src.verification import verify_image

_Key = tuple[str, str | None]  # class and part


def check_pictures(
    pictures: Sequence[Picture], seed: int, limit: int | None = None, *, thumbnails: bool = False
) -> tuple[list[Picture], list[tuple[str, str]]]:
    """Read every picture to its end; set ``digest`` of those that can be read, with ``thumbnails`` also ``thumbnail``.

    With a ``limit``, at most so many of each class and part are taken, in the order of the seed; those that cannot be
    read are made up for by the next.

    Returns:
        The readable pictures sorted by path, and (relative path, reason) of the others.
    """
    inspect = functools.partial(_inspect, thumbnails=thumbnails)
    good: list[Picture] = []
    set_aside: list[tuple[str, str]] = []
    waiting: dict[_Key, deque[Picture]] = {}
    for picture in shuffle(pictures, seed) if limit else pictures:
        waiting.setdefault((picture.class_name, picture.part), deque()).append(picture)
    lacking = {key: limit or len(queue) for key, queue in waiting.items()}
    while batch := _next_batch(waiting, lacking):
        for picture, reason in track(map_threads(inspect, batch), total=len(batch), what="Reading pictures"):
            if reason:
                set_aside.append((picture.relative, reason))
            else:
                good.append(picture)
                lacking[picture.class_name, picture.part] -= 1
    return sorted(good, key=lambda picture: picture.relative), sorted(set_aside)


def _next_batch(waiting: dict[_Key, deque[Picture]], lacking: dict[_Key, int]) -> list[Picture]:
    """Take from each queue as many as are lacking, or all that it has."""
    batch = []
    for key, queue in waiting.items():
        batch += [queue.popleft() for _ in range(min(lacking[key], len(queue)))]
    return batch


def _inspect(picture: Picture, thumbnails: bool) -> tuple[Picture, str | None]:
    """The picture with its digest, and the reason why it cannot be read or None."""
    try:
        verify_image(picture.path)
        picture.digest = sha256_file(picture.path)
        if thumbnails:
            picture.thumbnail = read_thumbnail(picture.path)
    except ImageError as error:
        return picture, error.reason
    except OSError as error:
        return picture, explain_os_error(error)
    return picture, None
