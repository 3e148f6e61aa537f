"""Decoded pictures kept in memory within a budget."""

import threading

import numpy as np


class PictureMemory:
    """Pictures by their index, as uint8, within ``budget`` bytes; first come, first kept. Safe in threads.

    Every epoch goes through all pictures once. What was used longest ago is then what is needed next, so that
    replacing it, as caches commonly do, would throw each picture away right before its turn. Whichever share is kept
    saves the same.
    """

    def __init__(self, budget: int):
        self.budget, self.used = budget, 0
        self._pictures: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def recall(self, index: int) -> np.ndarray | None:
        """The picture, read-only, or None where it is not kept."""
        return self._pictures.get(index)

    def keep(self, index: int, picture: np.ndarray) -> None:
        """Keep a copy of a uint8 picture if there is room for it."""
        with self._lock:
            if index not in self._pictures and self.used + picture.nbytes <= self.budget:
                # A copy, because the picture may be a part of a larger array, all of which would stay in memory.
                self._pictures[index] = kept = picture.copy()
                kept.flags.writeable = False
                self.used += kept.nbytes
