"""Read a PyTorch state dict in the older (pre-zip) format without PyTorch, and without running anyone's code.

The file is five pickles (magic number, protocol, system information, the tensors, the storages' keys) and then each
storage as an int64 count and raw little-endian values. A tensor is a view (offset, size, stride) of a storage; many
are stored transposed, so strides are honoured: reading them contiguously loads garbage without an error.

A pickle is a program for a small machine. This one has only the instructions that state dicts are written in, four
names, dictionaries with plain keys, and no way to set an attribute.
"""

import math
import os
import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from src.errors import UserError, shorten_error

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_FILE_BYTES = 4 * 2**30
_MAX_AXES = 32
_MOST_OF_FILE = 4  # times the file's size, for all tensors together: those that share a storage are copied apart
# The magic number, the tensors' names and the like: what is longer is no such thing.
_MAX_TEXT_BYTES = 2**20


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

    @property
    def nbytes(self) -> int:
        return math.prod(self.size) * self.storage.dtype.itemsize

    def read(self) -> np.ndarray:
        values, itemsize = self.storage.values, self.storage.dtype.itemsize
        if values is None:
            raise ValueError("a tensor's storage is missing")
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
    shape = (size, stride)
    if not isinstance(storage, _Storage) or not all(isinstance(each, (tuple, list)) for each in shape):
        raise pickle.UnpicklingError("a tensor that is no view of a storage")
    if len(size) != len(stride) or len(size) > _MAX_AXES:
        raise pickle.UnpicklingError(f"a tensor of {len(size)} axes and {len(stride)} strides")
    if not all(type(n) is int and 0 <= n < 2**62 for n in (offset, *size, *stride)):
        raise pickle.UnpicklingError("a tensor whose size, strides or offset are no counts")
    return _View(storage, offset, tuple(size), tuple(stride))


def _make_dict(pairs: Iterable = ()) -> dict:
    """In the place of an OrderedDict; Python 2 wrote its pairs as an argument."""
    made = {}
    for key, value in pairs:
        _put(made, key, value)
    return made


def _put(target: dict, key, value) -> None:
    # Python hashes nested tuples by recursion without end, which may end the process.
    if type(target) is not dict or type(key) not in (str, int):
        raise pickle.UnpicklingError("a dictionary whose keys are neither text nor numbers")
    target[key] = value


# The only four names that a file may call on; anything else is refused before it is looked up.
_ADMITTED = {
    ("collections", "OrderedDict"): _make_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}
# What protocol 2 writes for numbers, text, tuples, lists, dictionaries and references to them.
_INSTRUCTIONS = (
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "SHORT_BINSTRING", "BINSTRING", "BINUNICODE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST",
    "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
    "GLOBAL", "REDUCE", "BUILD", "BINPERSID",
)  # fmt: skip


class _Machine(pickle._Unpickler):
    """The standard library's unpickler in Python, whose instructions can be narrowed and whose memo is a dictionary:
    that in C takes 32 GB for a number of ten digits."""

    dispatch = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in map(pickle.__dict__.get, _INSTRUCTIONS)}

    def __init__(self, stream: BinaryIO, storages: dict[str, _Storage]):
        super().__init__(_Bounded(stream))
        self.storages = storages

    def find_class(self, module, name):
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"the file asks for {module[:99]}.{name[:99]}, which no plain state dict needs"
            ) from None

    def persistent_load(self, identifier):
        kind, dtype, key, _location, count = identifier[:5]
        if (
            kind != "storage"
            or not isinstance(dtype, np.dtype)
            or type(key) not in (str, int)
            or type(count) is not int
        ):
            raise pickle.UnpicklingError("an unknown kind of storage")
        return self.storages.setdefault(str(key), _Storage(dtype, count))

    def load_build(self):
        self.stack.pop()  # attributes, as PyTorch gives its dictionaries: of no use here, and never set

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], key, value)

    def load_setitems(self):
        items = self.pop_mark()
        for place in range(0, len(items), 2):
            _put(self.stack[-1], items[place], items[place + 1])

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems


class _Bounded:
    """A stream that hands out no text of absurd length, nor sets memory aside for it."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream

    def readline(self) -> bytes:
        return self._stream.readline(_MAX_TEXT_BYTES)

    def read(self, count: int) -> bytes:
        if count > _MAX_TEXT_BYTES:
            raise pickle.UnpicklingError("a text of absurd length")
        return _exactly(self._stream, count)


@dataclass
class _Reader:
    stream: BinaryIO
    storages: dict[str, _Storage] = field(default_factory=dict)

    def unpickle(self):
        return _Machine(self.stream, self.storages).load()


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
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        ValueError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{path} is not a PyTorch state dict that can be read safely ({shorten_error(error)}); get the file again"
        ) from error


def _read(reader: _Reader, file_size: int) -> dict[str, np.ndarray]:
    if reader.unpickle() != _MAGIC or reader.unpickle() != _PROTOCOL:
        raise ValueError("the magic number of the older format is missing")
    if not reader.unpickle().get("little_endian", True):
        raise ValueError("written on a big-endian machine")
    views, keys = reader.unpickle(), reader.unpickle()
    named = type(views) is dict and all(type(k) is str and type(v) is _View for k, v in views.items())
    if not named or type(keys) is not list or not all(type(key) is str for key in keys):
        raise ValueError("it holds something else than tensors by their names")
    if sum(view.nbytes for view in views.values()) > _MOST_OF_FILE * file_size:
        raise ValueError("its tensors are larger than the file")
    for key in keys:
        storage = reader.storages[key]
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
