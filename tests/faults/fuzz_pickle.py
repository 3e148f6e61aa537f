"""The reader of PyTorch's weights: files of opcodes changed one by one, and programs of opcodes at random."""

import functools
import io
import os
import pickletools
import sys
import tempfile
from pathlib import Path
from random import Random

import numpy as np

from src.errors import UserError
from src.networks.torch_pickle import read_state_dict
from tests.faults.fuzz_mutations import spoil_bytes
from tests.networks.state_dicts import VALUES, Storage, tensor, write_state_dict

_GLOBALS = (
    b"os\nsystem\n", b"builtins\neval\n", b"builtins\nexec\n", b"posix\nsystem\n", b"subprocess\nPopen\n",
    b"torch\nload\n", b"numpy\ndtype\n", b"torch\nFloatStorage\n", b"torch\nLongStorage\n", b"torch\nIntStorage\n",
    b"collections\nOrderedDict\n", b"collections\ndefaultdict\n", b"torch._utils\n_rebuild_tensor_v2\n",
    b"src.files\nwrite_json\n",
)  # fmt: skip
_COUNTS = (0, 1, 2, 3, 4, 12, 13, 255, 256, 65535, 2**31 - 1)
_MOST_BYTES = 2**22  # of what a file of a few hundred bytes may come to
_seen: list[str] = []


def prepare() -> None:
    """From here on note what the process does besides computing."""
    read_state_dict(_write_seed())  # what is imported on first use
    watched = ("os.", "subprocess.", "socket.", "import", "exec", "compile", "open", "shutil.", "ctypes.")
    sys.addaudithook(lambda event, values: _seen.append(f"{event} {values}") if event.startswith(watched) else None)


def _write_seed() -> str:
    storages = {"7": VALUES, "8": np.arange(3, dtype="<i8")}
    first, second = Storage("FloatStorage", "7", 12), Storage("LongStorage", "8", 3)
    tensors = {
        "features.weight": tensor(first, 0, (3, 4), (1, 3)),
        "features.bias": tensor(first, 5, (2,), (3,)),
        "steps": tensor(second, 0, (3,), (1,)),
        "scalar": tensor(second, 2, (), ()),
    }
    handle, path = tempfile.mkstemp()
    os.close(handle)
    write_state_dict(path, tensors, list(storages.items()))
    return path


@functools.cache
def seed() -> bytes:
    path = Path(_write_seed())
    try:
        return path.read_bytes()
    finally:
        path.unlink()


@functools.cache
def _programs() -> tuple[list[bytes], ...]:
    """The five pickles of the seed as lists of opcodes, and what follows them."""
    data, stream, programs = seed(), io.BytesIO(seed()), []
    for _ in range(5):
        places = [place for _, _, place in pickletools.genops(stream)]
        programs.append([data[a:b] for a, b in zip(places, [*places[1:], stream.tell()])])
    return (*programs, [data[stream.tell() :]])


def make(random: Random) -> bytes:
    programs = [list(program) for program in _programs()]
    way = random.random()
    if way < 0.55:
        program = programs[random.choice((2, 3, 3, 3, 3, 4))]
        for _ in range(random.choice((1, 1, 2, 3, 5))):
            _change(random, program)
    elif way < 0.85:
        programs[random.choice((0, 2, 3, 3, 3, 4))] = _invent(random)
    data = b"".join(piece for program in programs for piece in program)
    return spoil_bytes(random, data, (seed(),)) if way > 0.75 else data


def _change(random: Random, program: list[bytes]) -> None:
    place = random.randrange(len(program))
    change = random.choice(("drop", "double", "move", "replace", "replace", "insert", "insert", "build", "many"))
    if change == "drop":
        del program[place]
    elif change == "double":
        program[place:place] = [program[place]] * random.choice((1, 2, 100))
    elif change == "move":
        program.insert(random.randrange(len(program)), program.pop(place))
    elif change == "replace":
        program[place] = _opcode(random)
    elif change == "build":  # give attributes to whatever has just been made
        name = random.choice((b"read", b"size", b"storage", b"dtype", b"values", b"count", b"__defaults__", b"stride"))
        program[place:place] = [b"}", b"U" + bytes([len(name)]) + name, _opcode(random), b"s", b"b"]
    elif change == "many":
        program[place:place] = [random.choice((b"\x85", b"(", b"]", b"0", b"2", b"}", b")"))] * random.choice(
            (9, 5000, 10**5)
        )
    else:
        program.insert(place, _opcode(random))
    if not program:
        program.append(b".")


def _invent(random: Random) -> list[bytes]:
    """A program of opcodes that can mostly run: what they take off the stack is put there first."""
    program = [b"\x80" + bytes([random.choice((2, 2, 4, 5))])]
    for _ in range(random.randrange(1, 40)):
        opcode = random.choice(pickletools.opcodes)
        for kind in opcode.stack_before:
            if random.random() < 0.9:
                program.append(b"(" if kind is pickletools.markobject else _opcode(random, simple=True))
        program.append(_opcode(random, opcode))
    return [*program, b"."]


def _opcode(random: Random, opcode=None, simple: bool = False) -> bytes:
    """An opcode with an argument that it can have, or all but can."""
    if simple:
        return random.choice((b"N", b"K\1", b"K\0", b"]", b"}", b")", b"U\1x", b"K\1K\2\x86", b"h\0", b"h\1", b"h\5",
                              b"c" + random.choice(_GLOBALS)))  # fmt: skip
    opcode = opcode or random.choice(pickletools.opcodes)
    code, argument = opcode.code.encode("latin-1"), opcode.arg
    if argument is None:
        return code
    if argument.name == "stringnl_noescape_pair":
        return code + random.choice(_GLOBALS)
    if "nl" in argument.name:
        return code + random.choice((b"1", b"-1", b"'x'", b"9" * 5000, b"1L", b"x", b"")) + b"\n"
    if argument.n > 0:
        return code + (random.choice(_COUNTS) % 256**argument.n).to_bytes(argument.n, "little")
    size = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT8U: 8}.get(argument.n, 4)
    content = random.choice((b"", b"x", b"7", b"\xff" * 9, b"os", b"a" * 200))
    length = len(content) if random.random() < 0.8 else random.choice((255, 2**31 - 1, 2**40, 2**62)) % 256**size
    return code + length.to_bytes(size, "little") + content


def check(data: bytes, folder: Path) -> bool:
    """Whether it is a state dict. Raises ``AssertionError`` where something else came of it, or something was done."""
    path = folder / "weights.pth"
    path.write_bytes(data)
    _seen.clear()
    try:
        state = read_state_dict(path)
    except UserError:
        state = None
    done = [event for event in _seen if not event.startswith("open") or str(path) not in event]
    _seen.clear()
    assert not done, done
    if state is None:
        return False
    assert type(state) is dict, type(state)
    for name, values in state.items():
        assert isinstance(name, str), name
        assert isinstance(values, np.ndarray) and values.dtype in ("<f4", "<i8") and values.flags["C_CONTIGUOUS"]
    assert sum(values.nbytes for values in state.values()) <= _MOST_BYTES
    return True
