"""The reader against files written here by Python's pickle in PyTorch's older layout."""

import collections
import pickle
import struct

import numpy as np
import pytest

from src.errors import UserError
from src.networks.torch_pickle import read_state_dict


class _Global:
    """Pickles as a reference to ``module.name``, without the module existing."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class _Storage:
    def __init__(self, kind, key, count):
        self.identifier = ("storage", _Global("torch", kind), key, "cpu", count, None)


class _Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class _Pickler(pickle._Pickler):
    """Pure Python, so that what is written can be said byte by byte."""

    def persistent_id(self, value):
        return value.identifier if isinstance(value, _Storage) else None

    def save(self, value, *rest, **keywords):
        if isinstance(value, _Global):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, _Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, *rest, **keywords)


def _write(path, tensors, storages, *, magic=0x1950A86A20F9469CFC6C):
    with open(path, "wb") as stream:
        for value in (magic, 1001, {"little_endian": True}, tensors, [key for key, _ in storages]):
            _Pickler(stream, 2).dump(value)
        for _, values in storages:
            stream.write(struct.pack("<q", len(values)) + values.tobytes())


def _tensor(storage, offset, size, stride):
    rebuild = _Global("torch._utils", "_rebuild_tensor_v2")
    return _Call(rebuild, storage, offset, size, stride, False, collections.OrderedDict())


VALUES = np.arange(12, dtype="<f4")


def test_strides_and_offsets_are_honoured(tmp_path):
    storage = _Storage("FloatStorage", "7", 12)
    tensors = {
        "plain": _tensor(storage, 0, (3, 4), (4, 1)),
        "transposed": _tensor(storage, 0, (4, 3), (1, 4)),
        "part": _tensor(storage, 5, (2,), (3,)),
        "scalar": _tensor(storage, 11, (), ()),
    }
    _write(tmp_path / "a.pth", tensors, [("7", VALUES)])
    state = read_state_dict(tmp_path / "a.pth")
    np.testing.assert_array_equal(state["plain"], VALUES.reshape(3, 4))
    np.testing.assert_array_equal(state["transposed"], VALUES.reshape(3, 4).T)
    np.testing.assert_array_equal(state["part"], [5, 8])
    assert state["scalar"] == 11
    assert state["transposed"].flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("name", [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("numpy", "dtype")])
def test_any_other_name_is_refused_and_nothing_runs(tmp_path, name):
    marker = tmp_path / "ran"
    _write(tmp_path / "a.pth", {"x": _Call(_Global(*name), f"touch {marker}")}, [])
    with pytest.raises(UserError, match="asks for"):
        read_state_dict(tmp_path / "a.pth")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("size", "stride"), [((4, 4), (4, 1)), ((13,), (1,)), ((2,), (-1,)), ((10**9,), (0,)), ((3,), (1, 1))]
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, size, stride):
    storage = _Storage("FloatStorage", "7", 12)
    _write(tmp_path / "a.pth", {"x": _tensor(storage, 0, size, stride)}, [("7", VALUES)])
    with pytest.raises(UserError, match="cannot be|that can be read safely"):
        read_state_dict(tmp_path / "a.pth")


def test_damaged_files_are_refused(tmp_path):
    storage = _Storage("FloatStorage", "7", 12)
    _write(tmp_path / "a.pth", {"x": _tensor(storage, 0, (12,), (1,))}, [("7", VALUES)])
    whole = (tmp_path / "a.pth").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(UserError):
            read_state_dict(tmp_path / "cut.pth")
    _write(tmp_path / "b.pth", {}, [], magic=1)
    with pytest.raises(UserError, match="magic"):
        read_state_dict(tmp_path / "b.pth")
