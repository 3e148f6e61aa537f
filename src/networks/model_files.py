"""Model files of strangers, checked by ourselves before Keras sees them: they run no code and stay within bounds.

What was checked is what is loaded: a ``.keras`` file is unpacked into a folder of our own, with the description as it
was read here, and a ``.h5`` file copied; the file itself may change meanwhile.
"""

import contextlib
import errno
import io
import json
import math
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import keras
from keras.src.backend.common import global_state

from src.errors import UserError, shorten_error
from src.inference.network_xml import MAX_OUTPUT_VALUES
from src.networks.model_config import MAX_FILE_BYTES, Refusal, check_config

MAX_CONFIG_BYTES = 16 * 2**20  # NASNetLarge takes 1 MB
# Weights hardly shrink, so that what unpacks to far more than its file is a bomb; small ones may.
MAX_RATIO = 20
ALWAYS_ALLOWED_BYTES = 64 * 2**20
MAX_WEIGHTS = 1_000_000  # arrays and groups of them
# Random generators have states that older files leave out.
SPARE_VALUES = 10_000

_CHUNK = 2**20
_CONFIG, _WEIGHTS, _FACTS = "config.json", "model.weights.h5", "metadata.json"
_HDF5_FILTERS = frozenset({1, 2, 3, 4, 32000})  # deflate, shuffle, fletcher32, szip, lzf; others are plug-ins' code
_REMEDY = "ask its maker for a model of Keras' own layers, or build that network here and load its weights alone"


def read_model_file(path: Path) -> bytes:
    """A model file's bytes; ``UserError`` where they are more than any model's."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(f"{path} is larger than {MAX_FILE_BYTES // 2**30} GB, which no classifier of pictures is")
    return path.read_bytes()


def load_model(content: bytes, path: Path) -> keras.Model:
    """The model in a ``.keras``, ``.h5`` or ``.hdf5`` file, not compiled.

    Args:
        content: the file's.
        path: what the file is called; tells its kind.

    Raises:
        UserError: it is damaged, asks for more than layers of Keras' own, or for more memory than its weights need.
    """
    with _explained(path), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        unpack = _unpack_keras if path.suffix == ".keras" else _unpack_hdf5
        place, stored = unpack(content, Path(name))
        return _load_bounded(lambda: keras.saving.load_model(place, compile=False, safe_mode=True), stored)


def check_weights_file(path: Path) -> None:
    """Raise ``UserError`` where a file of weights (``.h5``) reaches beyond itself, what h5py raises where it is
    damaged."""
    try:
        _check_weights(path)
    except Refusal as refusal:
        raise UserError(f"{path} is refused: {refusal}; get the weights from their maker again") from refusal


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise UserError(f"{path} is refused: {refusal}; {_REMEDY}") from refusal
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _unreadable(path, error) from error
    except Exception as error:  # zipfile, h5py, json and Keras each raise kinds of their own
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is not a Keras model that can be loaded safely ({shorten_error(error)})")


def _unpack_keras(content: bytes, folder: Path) -> tuple[Path, int]:
    """Unpack a ``.keras`` file, checked. Returns the folder, which Keras loads as well, and how many values its
    weights have."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if len(set(names)) < len(names):
            raise Refusal("it holds two members of one name")
        for name in names:
            if name not in (_CONFIG, _WEIGHTS, _FACTS) and not name.startswith("assets/"):
                raise Refusal(f"it holds {name[:60]!r}, which is no part of a Keras model")
        if any(member.flag_bits & 1 for member in members):
            raise Refusal("it is encrypted")
        _unpack_member(archive, _CONFIG, folder, MAX_CONFIG_BYTES)
        _unpack_member(archive, _WEIGHTS, folder, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * len(content)))
    config = _parse_config((folder / _CONFIG).read_bytes())
    (folder / _CONFIG).write_text(json.dumps(config), encoding="utf-8")
    return folder, _check_weights(folder / _WEIGHTS)


def _unpack_member(archive: zipfile.ZipFile, name: str, folder: Path, limit: int) -> None:
    unpacked = 0
    with archive.open(name) as stream, open(folder / name, "wb") as output:
        while chunk := stream.read(_CHUNK):
            unpacked += len(chunk)
            if unpacked > limit:
                raise Refusal(
                    f"its {name} unpacks to more than {limit / 2**20:,.0f} MB, which no model of its size does"
                )
            output.write(chunk)


def _parse_config(text: bytes | str) -> dict:
    try:
        config = json.loads(text)
    except RecursionError:
        raise Refusal("its description is nested too deeply") from None
    check_config(config)
    return config


def _unpack_hdf5(content: bytes, folder: Path) -> tuple[Path, int]:
    """Copy a ``.h5`` file, checked. Returns the copy and how many values its weights have."""
    copy = folder / "model.h5"
    copy.write_bytes(content)
    stored = _check_weights(copy)
    with h5py.File(copy, "r+") as file:
        text = file.attrs.get("model_config")
        if text is None:
            raise Refusal("it holds weights alone, no network")
        if not isinstance(text, str | bytes) or len(text) > MAX_CONFIG_BYTES:
            raise Refusal("its description is no text, or too long")
        file.attrs["model_config"] = json.dumps(_parse_config(text))
    return copy, stored


def _check_weights(path: Path) -> int:
    """The number of values in a HDF5 file. Raises ``Refusal`` where it has more than plain arrays, links to anything,
    or claims more bytes than a file of its size holds."""
    limit = max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * path.stat().st_size)
    values = claimed = 0
    with h5py.File(path, "r") as file:
        waiting, met = [file], set()
        while waiting:
            group = waiting.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise Refusal(f"its weights {name[:60]!r} are a link to somewhere else")
                item = group[name]
                place = h5py.h5o.get_info(item.id).addr
                if place in met or len(met) > MAX_WEIGHTS:
                    raise Refusal("its weights are listed twice, or without end")
                met.add(place)
                if isinstance(item, h5py.Group):
                    waiting.append(item)
                    continue
                claimed += _check_array(item, name)
                if claimed > limit:
                    raise Refusal(f"its weights claim more than {limit / 2**20:,.0f} MB, which is not in the file")
                values += item.size
    return values


def _is_of_numbers(dtype) -> bool:
    """Keras stores bfloat16 as two bytes without a name."""
    return dtype.kind in "fiub" or (dtype.kind == "V" and dtype.itemsize == 2 and not dtype.names)


def _check_array(item: object, name: str) -> int:
    """The bytes that reading an array of weights takes."""
    plain = isinstance(item, h5py.Dataset) and item.shape is not None and _is_of_numbers(item.dtype)
    if not plain or item.external or item.is_virtual:
        raise Refusal(f"its weights {name[:60]!r} are no plain array, or lie in another file")
    settings = item.id.get_create_plist()
    if not {settings.get_filter(i)[0] for i in range(settings.get_nfilters())} <= _HDF5_FILTERS:
        raise Refusal(f"its weights {name[:60]!r} are packed in a way that needs a plug-in")
    return item.dtype.itemsize * max(math.prod(item.shape), math.prod(item.chunks or ()))


def _load_bounded(load: Callable[[], keras.Model], stored: int) -> keras.Model:
    """Load a model so that no memory is asked for before it is known that its weights are those in the file.

    Within Keras' stateless scope variables have shapes and no values, and what is assigned to them is kept aside.

    Args:
        stored: how many values the file holds.
    """
    scope = keras.StatelessScope(initialize_variables=False)
    try:
        with scope:
            try:
                model = load()
            finally:
                _check_size(stored)
            _check_outputs(model)
            scope.initialize_variables = True
    finally:
        global_state.set_global_attribute(_PENDING, [])  # else the next model would make those of a refused one
    for variable in model.variables:
        value = scope.get_current_value(variable)
        if value is not None:
            variable.assign(value)
    return model


_PENDING = "uninitialized_variables"  # what Keras calls the list of variables that have no values yet


def _check_size(stored: int) -> None:
    asked = sum(math.prod(variable.shape) for variable in global_state.get_global_attribute(_PENDING, []))
    if asked > stored + SPARE_VALUES:
        raise Refusal(f"its network has {asked:,} weights, but the file holds {stored:,}")


def _check_outputs(model: keras.Model) -> None:
    """Raise ``Refusal`` where a layer, also of a nested model, makes more of one picture than memory is for."""
    for layer in getattr(model, "operations", model.layers):
        for node in layer._inbound_nodes:
            for tensor in node.output_tensors:
                if math.prod(side or 1 for side in tensor.shape[1:]) > MAX_OUTPUT_VALUES:
                    raise Refusal(f"its layer {layer.name[:60]!r} makes {tuple(tensor.shape)} of every picture")
        if isinstance(layer, keras.Model):
            _check_outputs(layer)
