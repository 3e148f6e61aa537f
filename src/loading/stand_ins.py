"""Pictures that turn out to be unreadable while they are loaded: another one of their class stands in for each."""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from src.errors import Circumstance
from src.imaging import ImageError
from src.progress import say

MAX_UNREADABLE = 0.05  # of the pictures of a part that a training passes over
_REMEDY = "python -m src.audit (of the same --data) lists them all, and moves them away with --quarantine"


class StandIns:
    """Reads pictures; where one cannot be read, the next of its class that can takes its place. Safe in threads.

    So a batch has as many pictures as ever, and which ones is a function of the files. Each unreadable picture is named
    once, on stderr.

    Args:
        paths: of the pictures (N).
        classes: int (N,).
        most: share of the pictures that may be unreadable, but at least one picture; 0: none, the first raises.

    Attributes:
        reasons: why, by the paths of those that were found unreadable.
        lost: whether one of them could not be read for another reason than its content, as where it has gone since:
            what is computed then is not what the same files would give.
    """

    def __init__(self, paths: Sequence[str], classes: np.ndarray, most: float):
        self.paths, self.classes = paths, classes
        self.most = max(1, int(most * len(paths))) if most else 0
        self.reasons: dict[str, str] = {}
        self.lost = False
        self._lock = threading.Lock()

    def read(self, index: int, read: Callable[[str], np.ndarray]) -> np.ndarray:
        """What ``read`` makes of a picture, or of the one that stands in for it.

        Raises:
            ImageError: it cannot be read, and none may be.
            Circumstance: too many cannot be read, or none of a class can.
        """
        for path in self._candidates(index):
            if path in self.reasons:
                continue
            try:
                return read(path)
            except ImageError as error:
                if not self.most:
                    raise
                self._note(path, error)
        raise Circumstance(f"no picture of the class of {self.paths[index]} can be read; {_REMEDY}")

    def _candidates(self, index: int) -> Iterator[str]:
        yield self.paths[index]  # nearly always the only one that is asked for
        members = np.flatnonzero(self.classes == self.classes[index])
        for member in np.roll(members, -np.searchsorted(members, index))[1:]:
            yield self.paths[member]

    def _note(self, path: str, error: ImageError) -> None:
        with self._lock:
            if path in self.reasons:
                return
            self.reasons[path] = error.reason
            self.lost = self.lost or _is_of_the_system(error)
            say(f"Unreadable, and another of its class taken instead: {' '.join(str(error).split())}")
            if len(self.reasons) > self.most:
                raise Circumstance(
                    f"{len(self.reasons)} of {len(self.paths)} pictures cannot be read, {path} the last of them (all "
                    f"are named above); {_REMEDY}"
                )

    def record(self) -> dict[str, str]:
        """The reasons by the pictures' numbers, for JSON."""
        return {str(self._numbers[path]): reason for path, reason in dict(self.reasons).items()}

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {path: number for number, path in enumerate(self.paths)}

    def recall(self, record: dict[str, str]) -> None:
        """Take note of what an earlier run had found, of which stored features or a state tell."""
        for number, reason in record.items():
            if number.isdigit() and int(number) < len(self.paths) and self.paths[int(number)] not in self.reasons:
                self.reasons[self.paths[int(number)]] = reason
                say(f"Unreadable, and another of its class was taken instead: {self.paths[int(number)]}: {reason}")


def _is_of_the_system(error: BaseException) -> bool:
    """Whether an error of the operating system is behind it."""
    cause = error.__cause__
    return isinstance(error, OSError) or (cause is not None and _is_of_the_system(cause))
