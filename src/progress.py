"""Progress with the time left, on stderr: a moving bar on a terminal, a line every ten seconds in a log."""

import contextlib
import sys
from collections.abc import Iterable
from typing import TextIO

from tqdm import tqdm

from src.errors import show_control


class _Lines:
    """What tqdm writes, a line each: in a log its carriage returns would glue everything into one. Where nobody reads
    it any more, nothing: that ends no training."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> None:
        if text := text.strip():
            with contextlib.suppress(OSError):
                self._stream.write(f"{text}\n")

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def track(
    iterable: Iterable | None = None, *, total: int | None = None, done: int = 0, what: str, unit: str = "pictures"
) -> tqdm:
    """A tqdm bar over ``iterable`` (or driven by ``update``), quiet for work that is over in a moment.

    Args:
        iterable: what to go through; None to call ``update`` oneself.
        total: number of items, where ``iterable`` has no length.
        done: how many of them an earlier run has done.
        what: the work, as a noun phrase ("Reading pictures").
        unit: what is counted.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        iterable,
        total=total,
        initial=done,
        desc=what,
        unit=f" {unit}",
        file=sys.stderr if terminal else _Lines(sys.stderr),
        leave=terminal,
        delay=1.0,
        mininterval=0.2 if terminal else 10.0,
        dynamic_ncols=terminal,
        ncols=None if terminal else 100,
        ascii=not terminal,
    )


def say(message: str) -> None:
    """One line for the user on stderr; stdout is kept for results. What in it would steer a terminal, as the name of a
    file may, is shown instead."""
    with contextlib.suppress(OSError):  # a terminal or a pipe that is gone
        tqdm.write(show_control(message), file=sys.stderr)
