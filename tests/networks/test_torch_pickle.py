"""The reader against files written here by Python's pickle in PyTorch's older layout."""

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
