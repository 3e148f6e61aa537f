"""The reader against files written here by Python's pickle in PyTorch's older layout."""

import pickle

import numpy as np
import pytest

from src.errors import UserError
from src.networks.torch_pickle import read_state_dict
from tests.networks.state_dicts import VALUES, Call, Global, Storage, tensor, write_state_dict


def test_strides_and_offsets_are_honoured(tmp_path):
    storage = Storage("FloatStorage", "7", 12)
    tensors = {
        "plain": tensor(storage, 0, (3, 4), (4, 1)),
        "transposed": tensor(storage, 0, (4, 3), (1, 4)),
        "part": tensor(storage, 5, (2,), (3,)),
        "scalar": tensor(storage, 11, (), ()),
    }
    write_state_dict(tmp_path / "a.pth", tensors, [("7", VALUES)])
    state = read_state_dict(tmp_path / "a.pth")
    np.testing.assert_array_equal(state["plain"], VALUES.reshape(3, 4))
    np.testing.assert_array_equal(state["transposed"], VALUES.reshape(3, 4).T)
    np.testing.assert_array_equal(state["part"], [5, 8])
    assert state["scalar"] == 11
    assert state["transposed"].flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("name", [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("numpy", "dtype")])
def test_any_other_name_is_refused_and_nothing_runs(tmp_path, name):
    marker = tmp_path / "ran"
    write_state_dict(tmp_path / "a.pth", {"x": Call(Global(*name), f"touch {marker}")}, [])
    with pytest.raises(UserError, match="asks for"):
        read_state_dict(tmp_path / "a.pth")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("size", "stride"), [((4, 4), (4, 1)), ((13,), (1,)), ((2,), (-1,)), ((10**9,), (0,)), ((3,), (1, 1))]
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, size, stride):
    storage = Storage("FloatStorage", "7", 12)
    write_state_dict(tmp_path / "a.pth", {"x": tensor(storage, 0, size, stride)}, [("7", VALUES)])
    with pytest.raises(UserError, match="cannot be|that can be read safely"):
        read_state_dict(tmp_path / "a.pth")


def test_damaged_files_are_refused(tmp_path):
    storage = Storage("FloatStorage", "7", 12)
    write_state_dict(tmp_path / "a.pth", {"x": tensor(storage, 0, (12,), (1,))}, [("7", VALUES)])
    whole = (tmp_path / "a.pth").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(UserError):
            read_state_dict(tmp_path / "cut.pth")
    write_state_dict(tmp_path / "b.pth", {}, [], magic=1)
    with pytest.raises(UserError, match="magic"):
        read_state_dict(tmp_path / "b.pth")


def test_no_attribute_is_ever_set(tmp_path):
    """A pickle may give attributes to what it has made, and so exchange what is checked for something else."""
    storage = Storage("FloatStorage", "7", 12)
    write_state_dict(tmp_path / "a.pth", {"x": tensor(storage, 0, (12,), (1,))}, [("7", VALUES)])
    whole = (tmp_path / "a.pth").read_bytes()
    place = whole.rindex(b"R") + 1  # where the tensor has just been made
    for name in (b"size", b"read", b"storage"):
        change = b"}U" + bytes([len(name)]) + name + b"K\5sb"
        (tmp_path / "b.pth").write_bytes(whole[:place] + change + whole[place:])
        np.testing.assert_array_equal(read_state_dict(tmp_path / "b.pth")["x"], VALUES)


@pytest.mark.parametrize(
    "program",
    [
        b"r\xff\xff\xff\x7f",  # a memo of 2 ** 31 places
        b"X\xff\xff\xff\x7f",  # a text of 2 GB that is not there
        b"(" + b")" + b"\x85" * 10**5 + b"K\1d",  # a dictionary with a key that is nested without end
        b"}" + b")" + b"\x85" * 10**5 + b"K\1s",
        b"\x8b\xff\xff\xff\x7f",  # a number of 2 GB
        b"ccollections\nOrderedDict\n)\x81",  # NEWOBJ, which no such file needs
        b"]",  # no dictionary of tensors
    ],
)
def test_programs_that_no_state_dict_is_are_refused(tmp_path, program):
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    (tmp_path / "a.pth").write_bytes(head + b"\x80\2" + program + b"." + pickle.dumps([], 2))
    with pytest.raises(UserError, match="cannot be|that can be read safely"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("size", "stride"), [((2**40,) * 33, (1,) * 33), (("x",), (1,)), ((True,), (1,)), (3, 1), ((2**70,), (0,))]
)
def test_sizes_that_are_none_are_refused(tmp_path, size, stride):
    write_state_dict(
        tmp_path / "a.pth", {"x": tensor(Storage("FloatStorage", "7", 12), 0, size, stride)}, [("7", VALUES)]
    )
    with pytest.raises(UserError, match="read safely"):
        read_state_dict(tmp_path / "a.pth")


def test_one_storage_makes_no_flood_of_tensors(tmp_path):
    storage = Storage("FloatStorage", "7", 12_000)
    tensors = {str(number): tensor(storage, 0, (12_000,), (1,)) for number in range(20)}
    write_state_dict(tmp_path / "a.pth", tensors, [("7", np.zeros(12_000, "<f4"))])
    with pytest.raises(UserError, match="larger than the file"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "tensors", [{3: tensor(Storage("FloatStorage", "7", 12), 0, (1,), (1,))}, {"x": 3}, {"x": None}]
)
def test_what_is_no_tensor_by_its_name_is_refused(tmp_path, tensors):
    write_state_dict(tmp_path / "a.pth", tensors, [("7", VALUES)])
    with pytest.raises(UserError, match="something else than tensors"):
        read_state_dict(tmp_path / "a.pth")
