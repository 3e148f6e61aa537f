"""State dicts in PyTorch's older layout, written by Python's pickle without PyTorch."""

import collections
import os
import pickle
import struct

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C


class Global:
    """Pickles as a reference to ``module.name``, without the module existing."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Storage:
    """Pickles as a reference to the storage ``key`` with so many values."""

    def __init__(self, kind, key, count):
        self.identifier = ("storage", Global("torch", kind), key, "cpu", count, None)


class Call:
    """Pickles as a call of ``function``, a :class:`Global`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class _Pickler(pickle._Pickler):
    """Pure Python, so that what is written can be said byte by byte."""

    def persistent_id(self, value):
        return value.identifier if isinstance(value, Storage) else None

    def save(self, value, *rest, **keywords):
        if isinstance(value, Global):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, *rest, **keywords)


def write_state_dict(path: str | os.PathLike, tensors, storages, *, magic=MAGIC, system=None) -> None:
    """Write ``tensors``, mostly name -> :func:`tensor`, and ``storages``, pairs of key and values."""
    with open(path, "wb") as stream:
        for value in (magic, 1001, system or {"little_endian": True}, tensors, [key for key, _ in storages]):
            _Pickler(stream, 2).dump(value)
        for _, values in storages:
            stream.write(struct.pack("<q", len(values)) + values.tobytes())


def tensor(storage: Storage, offset, size, stride) -> Call:
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, storage, offset, size, stride, False, collections.OrderedDict())


VALUES = np.arange(12, dtype="<f4")
