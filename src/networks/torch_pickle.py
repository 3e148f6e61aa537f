"""Read a PyTorch state dict in the older (pre-zip) format without PyTorch, and without running anyone's code.

The file is five pickles (magic number, protocol, system information, the tensors, the storages' keys) and then each
storage as an int64 count and raw little-endian values. A tensor is a view (offset, size, stride) of a storage; many
are stored transposed, so strides are honoured: reading them contiguously loads garbage without an error.
"""

import collections
import io
import math
import os
import pickle
from dataclasses import dataclass, field

import numpy as np

from src.errors import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_FILE_BYTES = 4 * 2**30


@dataclass
class _Storage:
    dtype: np.dtype
    count: int
    values: np.ndarray | None = None


@dataclass(frozen=True)
class _View:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> np.ndarray:
        values, itemsize = self.storage.values, self.storage.dtype.itemsize
        if any(n < 0 for n in (self.offset, *self.size, *self.stride)) or len(self.size) != len(self.stride):
            raise ValueError(f"a tensor with size {self.size} and stride {self.stride}")
        if 0 in self.size:
            return np.zeros(self.size, self.storage.dtype)
        if math.prod(self.size) > values.size:  # a stride of 0 would repeat values without end
            raise ValueError("a tensor is larger than its storage")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if last >= values.size:
            raise ValueError("a tensor reaches beyond its storage")
        strides = tuple(step * itemsize for step in self.stride)
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.size, strides).copy()


def _rebuild_tensor(storage, offset, size, stride, requires_grad=False, backward_hooks=None):
    return _View(storage, int(offset), tuple(map(int, size)), tuple(map(int, stride)))


# The only four names that a file may call on; anything else is refused before it is looked up.
_ADMITTED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


@dataclass
class _Reader:
    stream: io.BufferedIOBase
    storages: dict[str, _Storage] = field(default_factory=dict)

    def unpickle(self):
        unpickler = _Unpickler(self.stream)
        unpickler.storages = self.storages
        return unpickler.load()


class _Unpickler(pickle.Unpickler):
    storages: dict[str, _Storage]

    def find_class(self, module, name):
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"the file asks for {module}.{name}, which no plain state dict needs"
            ) from None

    def persistent_load(self, identifier):
        kind, dtype, key, _location, count = identifier[:5]
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("an unknown kind of storage")
        return self.storages.setdefault(str(key), _Storage(dtype, int(count)))


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Name -> array (float32 or int64, contiguous) of a state dict saved by ``torch.save`` before its zip format.

    Raises ``UserError`` for a file that is no such state dict, is cut off, or asks for any other Python name.
    """
    try:
        size = os.path.getsize(path)
        if size > _MAX_FILE_BYTES:
            raise ValueError(f"larger than {_MAX_FILE_BYTES // 2**30} GB")
        with open(path, "rb") as stream:
            return _read(_Reader(stream), size)
    except (pickle.UnpicklingError, ValueError, EOFError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(
            f"{path} is not a PyTorch state dict that can be read safely ({error}); get the file again"
        ) from error


def _read(reader: _Reader, file_size: int) -> dict[str, np.ndarray]:
    if reader.unpickle() != _MAGIC or reader.unpickle() != _PROTOCOL:
        raise ValueError("the magic number of the older format is missing")
    if not reader.unpickle().get("little_endian", True):
        raise ValueError("written on a big-endian machine")
    views = reader.unpickle()
    for key in reader.unpickle():
        storage = reader.storages[str(key)]
        (count,) = np.frombuffer(_exactly(reader.stream, 8), "<i8")
        if count != storage.count or count < 0 or count * storage.dtype.itemsize > file_size:
            raise ValueError("a storage's length disagrees with its description")
        storage.values = np.frombuffer(_exactly(reader.stream, int(count) * storage.dtype.itemsize), storage.dtype)
    return {name: view.read() for name, view in views.items()}


def _exactly(stream, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError("the file is cut off")
    return data
