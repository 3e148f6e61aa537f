"""Memory that is used again: of batches, as soon as nothing refers to them any more, and what the C library keeps."""

import ctypes
import functools
import weakref
from collections import deque

import numpy as np

_ALIGNMENT = 64  # TensorFlow takes over memory that begins at a multiple of this, and copies a batch that does not
_KEPT = 4  # buffers: more batches are seldom alive at once
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
_LARGEST_ARRAY = 32 << 20  # glibc itself goes up to this, and to twice as much for the other


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


def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed arrays of up to 32 MB for the next ones, as it does by itself.

    At the first ``Dataset.from_generator``, which is how ``fit`` draws from an iterator, TensorFlow 2.21 has glibc map
    every array above 128 KB afresh for the rest of the process. A decoded photograph is one, twice in OpenCV, and
    so costs hundreds of page faults. To be called after that; does nothing under another C library.
    """
    if mallopt := _mallopt():
        mallopt(_MMAP_THRESHOLD, _LARGEST_ARRAY)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_ARRAY)


@functools.cache
def _mallopt():
    try:
        library = ctypes.CDLL(None)
        return library.mallopt if library.gnu_get_libc_version else None  # to others the numbers mean something else
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return None
