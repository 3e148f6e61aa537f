"""Which pictures can be read, and their digests: many at once, and nothing of a picture kept but its digest."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from src.datasets.assign import shuffle
from src.datasets.sources import Picture
from src.errors import explain_os_error
from src.files import sha256_file
from src.imaging import ImageError, verify_image
from src.progress import track

_WORKERS = min(16, os.cpu_count() or 1)  # Pillow and hashlib let go of the GIL
_WINDOW = 8 * _WORKERS


def check_pictures(
    pictures: Sequence[Picture], seed: int, limit: int | None = None
) -> tuple[list[Picture], list[tuple[str, str]]]:
    """Read every picture to its end; set ``digest`` of those that can be read.

    With a ``limit``, at most so many of each class and part are taken, in the order of the seed; those that cannot be
    read are made up for by the next.

    Returns:
        The readable pictures sorted by path, and (relative path, reason) of the others.
    """
    good: list[Picture] = []
    set_aside: list[tuple[str, str]] = []
    waiting: dict[tuple[str, str | None], deque[Picture]] = {}
    for picture in shuffle(pictures, seed) if limit else pictures:
        waiting.setdefault((picture.class_name, picture.part), deque()).append(picture)
    lacking = {key: limit or len(queue) for key, queue in waiting.items()}
    while batch := [waiting[key].popleft() for key in waiting for _ in range(min(lacking[key], len(waiting[key])))]:
        for picture, reason in track(_inspect(batch), total=len(batch), what="Reading pictures"):
            if reason:
                set_aside.append((picture.relative, reason))
            else:
                good.append(picture)
                lacking[picture.class_name, picture.part] -= 1
    return sorted(good, key=lambda picture: picture.relative), sorted(set_aside)


def _inspect(pictures: Iterable[Picture]) -> Iterator[tuple[Picture, str | None]]:
    """Yield (picture, reason it cannot be read or None), in order; few are in flight, so that memory stays flat."""
    window: deque[Future] = deque()
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="check") as pool:
        try:
            for picture in pictures:
                if len(window) >= _WINDOW:
                    yield window.popleft().result()
                window.append(pool.submit(_inspect_one, picture))
            while window:
                yield window.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _inspect_one(picture: Picture) -> tuple[Picture, str | None]:
    try:
        verify_image(picture.path)
        picture.digest = sha256_file(picture.path)
    except ImageError as error:
        return picture, error.reason
    except OSError as error:
        return picture, explain_os_error(error)
    return picture, None
