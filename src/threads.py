"""Work on many files at once, and calls that must not take for ever."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

WORKERS = min(16, os.cpu_count() or 1)  # Pillow, OpenCV, NumPy and hashlib let go of the GIL
Item, Result = TypeVar("Item"), TypeVar("Result")


def call_within(seconds: float, function: Callable[[], Result]) -> Result:
    """``function()``, given up after ``seconds``: for calls without a time-out of their own, as name resolution is.

    Raises ``TimeoutError``, or what ``function`` raises. Its thread is left behind, and does not keep the process.
    """
    outcome: Future = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result(seconds)


def map_threads(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None, ahead: int = 0
) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of the items; few are in flight, so that memory stays flat.

    What ``function`` raises is raised here.

    Args:
        ahead: so many items at least are worked on, or done, beyond the one that is waited for.
    """
    workers = workers or WORKERS
    most = max(8 * workers, ahead + 1)
    window: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                if len(window) >= most:
                    yield window.popleft().result()
                window.append(pool.submit(function, item))
            while window:
                yield window.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
