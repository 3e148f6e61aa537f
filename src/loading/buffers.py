"""Memory for batches, used again as soon as nothing refers to a batch any more."""

import weakref
from collections import deque

import numpy as np

_ALIGNMENT = 64  # TensorFlow takes over memory that begins at a multiple of this, and copies a batch that does not
_KEPT = 4  # buffers: more batches are seldom alive at once


class BatchBuffers:
    """Arrays like those of ``np.empty``, in memory that earlier ones have left. Safe in threads.

    Memory fresh from the system costs a page fault every 4 KB when it is first written: for a batch of floats as much
    as warping its pictures. An array's memory is given out again only after the array and all its views are gone,
    TensorFlow's hold on it included.
    """

    def __init__(self):
        # No lock: a batch may be collected at any moment, also inside these methods, and deques are safe by themselves.
        self._free: deque[np.ndarray] = deque(maxlen=_KEPT)

    def __reduce__(self):
        return BatchBuffers, ()  # a copy in another process has memory of its own

    def empty(self, shape: tuple[int, ...], dtype) -> np.ndarray:
        """An array of undefined values, aligned to 64 bytes."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = None
        if buffer is None or not size <= len(buffer) <= 2 * size:
            memory = np.empty(size + _ALIGNMENT, np.uint8)
            start = -memory.ctypes.data % _ALIGNMENT
            buffer = memory[start : start + size]
        # Over a memoryview, so that the base of every view of the result is ``flat`` and not the buffer below it: the
        # buffer is free when ``flat`` goes, and not before.
        flat = np.frombuffer(memoryview(buffer)[:size], dtype)
        weakref.finalize(flat, self._free.append, buffer).atexit = False
        return flat.reshape(shape)
