"""Work on many files at once."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

WORKERS = min(16, os.cpu_count() or 1)  # Pillow, OpenCV, NumPy and hashlib let go of the GIL
Item, Result = TypeVar("Item"), TypeVar("Result")


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of the items; few are in flight, so that memory stays flat.

    What ``function`` raises is raised here.
    """
    workers = workers or WORKERS
    window: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                if len(window) >= 8 * workers:
                    yield window.popleft().result()
                window.append(pool.submit(function, item))
            while window:
                yield window.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
