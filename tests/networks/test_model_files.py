"""Model files of strangers: attacks that are known, each with a canary that must stay unmade, and sound files."""

import io
import json
import struct
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from src.bundle import load_bundle
from src.errors import UserError
from src.networks import model_config, model_files
from src.networks.model_files import load_model, read_model_file
from src.networks.weights import load_keras_weights


def _small() -> keras.Model:
    return keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten(name="flat"), layers.Dense(2, name="out")])


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> dict[str, bytes]:
    """The members of a sound .keras file."""
    path = tmp_path_factory.mktemp("sound") / "sound.keras"
    _small().save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _pack(path: Path, members: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _with_config(path: Path, members: dict[str, bytes], config) -> Path:
    return _pack(path, members | {"config.json": json.dumps(config).encode()})


def _with_layer(path: Path, members: dict[str, bytes], layer: dict) -> Path:
    """The sound file with ``layer`` before its last."""
    config = json.loads(members["config.json"])
    config["config"]["layers"].insert(-1, layer)
    return _with_config(path, members, config)


def _load(path: Path) -> keras.Model:
    return load_model(read_model_file(path), path)


def _layer(class_name: str, module: str | None = "keras.layers", **config) -> dict:
    settings = {"name": "evil", **config}
    return {"module": module, "class_name": class_name, "config": settings, "registered_name": None}


def _function(name: str, module: str) -> dict:
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


def _gadget(module: str, name: str, **arguments) -> dict:
    """A Lambda over a function of a module, as CVE-2025-1550 and those after it use."""
    return _layer("Lambda", function=_function(name, module), arguments=arguments)


ATTACKS = {
    "os.system": (_layer("system", "os", command="touch canary"), "'system' from 'os'"),
    "a class of another package": (_layer("Popen", "subprocess", args="touch canary"), "'Popen' from 'subprocess'"),
    "switching safe mode off": (_gadget("keras.config", "enable_unsafe_deserialization"), "'evil' is a Lambda"),
    "get_file": (_gadget("keras.utils", "get_file", origin="file:///etc/passwd"), "'evil' is a Lambda"),
    "load_model": (_gadget("keras.models", "load_model", safe_mode=False), "'evil' is a Lambda"),
    "a function as an activation": (
        _layer("Activation", activation=_function("get_file", "keras.utils")),
        "calls the function 'get_file' of 'keras.utils'",
    ),
    "a function in a layer's place": (
        _layer("get_file", "keras.utils", origin="file:///etc/passwd"),
        "'get_file' from 'keras.utils'",
    ),
    "another saved model": (_layer("TFSMLayer", filepath="evil"), "'evil' is a TFSMLayer"),
    "a pickle of PyTorch": (_layer("TorchModuleWrapper"), "'evil' is a TorchModuleWrapper"),
    "JAX": (_layer("JaxLayer", call_fn=None), "'evil' is a JaxLayer"),
    "a vocabulary": (_layer("StringLookup", vocabulary="/etc/passwd"), "may read any file of yours"),
    "a vocabulary of numbers": (_layer("IntegerLookup", vocabulary="/etc/passwd"), "may read any file of yours"),
    "a vocabulary of words": (_layer("TextVectorization", vocabulary="/etc/passwd"), "may read any file of yours"),
    "a registered class": (
        _layer("Dense", units=2) | {"registered_name": "evil_package>Dense"},
        "'evil_package>Dense', a class from outside Keras",
    ),
    "a class of one's own": (_layer("Own", None), "'Own', which is no layer of Keras"),
    "a type of TensorFlow": (
        {"class_name": "__typespec__", "spec_name": "system", "module": "os", "registered_name": None, "config": []},
        "'__typespec__' from 'os'",
    ),
    "a lambda deep within": (
        _layer(
            "TimeDistributed", layer=_layer("Conv2D", kernel_initializer={"class_name": "__lambda__", "config": {}})
        ),
        "'evil' holds a lambda",
    ),
    "a class that is no text": (_layer(["Dense"]), "whose class is no text"),
    "a module that is no text": (_layer("Dense", ["keras.layers"]), "whose class is no text"),
}


@pytest.mark.parametrize("what", ATTACKS)
def test_descriptions_that_ask_for_more_than_layers_are_refused(tmp_path, monkeypatch, sound, what):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keras.saving, "load_model", lambda *_, **__: pytest.fail("Keras was given the file"))
    layer, reason = ATTACKS[what]
    path = _with_layer(tmp_path / "evil.keras", sound, layer)
    with pytest.raises(UserError) as caught:
        _load(path)
    message = str(caught.value)
    assert reason in message and message.startswith(f"{path} is refused") and "\n" not in message
    assert not Path("canary").exists()


@pytest.fixture
def unsafe_mode():
    """Safe mode off for the whole process, as another part of a program may leave it."""
    from keras.src.backend.common import global_state

    keras.config.enable_unsafe_deserialization()
    yield
    global_state.set_global_attribute("safe_mode_saving", None)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_that_would_run_is_not_run(tmp_path, unsafe_mode, suffix):
    """The real thing: marshalled code, which Keras with its safe mode off does run on loading."""
    canary = tmp_path / "canary"
    code = f"lambda x: (open({str(canary)!r}, 'w').close(), x)[1]"
    function = eval(code)  # of this file, not of a stranger's
    inputs = keras.Input((4, 4, 3))
    path = tmp_path / f"lambda{suffix}"
    outputs = layers.Dense(2)(layers.Flatten()(layers.Lambda(function, name="evil", output_shape=(4, 4, 3))(inputs)))
    keras.Model(inputs, outputs).save(path)
    canary.unlink(missing_ok=True)
    model = keras.saving.load_model(path, compile=False, safe_mode=None if suffix == ".keras" else False)
    model(np.zeros((1, 4, 4, 3), np.float32))
    assert canary.exists(), "the attack works on plain Keras"
    canary.unlink()
    with pytest.raises(UserError, match=r"is refused: its layer 'evil' is a Lambda, Python code"):
        load_bundle(path, class_names=["a", "b"], preprocessing="none")
    if suffix == ".keras":
        with pytest.raises(UserError, match="is a Lambda"):
            load_keras_weights(_small(), [_small], path)
    else:
        load_keras_weights(_small(), [_small], path)  # takes the weights alone
    assert not canary.exists()


def test_what_a_training_was_set_to_is_left_out(tmp_path, sound):
    """A compiled model names losses and metrics, which may be anyone's and are not needed; so may one within it."""
    config = json.loads(sound["config.json"])
    compiled = {"optimizer": _layer("system", "os"), "loss": _function("get_file", "keras.utils")}
    inner = config | {"compile_config": compiled}
    outer = {"module": "keras", "class_name": "Sequential", "registered_name": None, "compile_config": compiled}
    outer["config"] = {"name": "outer", "layers": [config["config"]["layers"][0], inner]}
    model_config.check_config(outer)
    assert "compile_config" not in json.dumps(outer)
    assert _load(_with_config(tmp_path / "a.keras", sound, config | {"compile_config": compiled})).count_params() == 98


@pytest.mark.parametrize(
    "config, reason",
    [
        ([], "no model"),
        ({}, "no model"),
        ("Dense", "no model"),
        ({"class_name": "Dense"}, "safely"),
        ({"class_name": "Sequential", "module": "keras", "config": {"layers": [0]}}, "safely"),
    ],
)
def test_descriptions_of_no_model_are_refused(tmp_path, sound, config, reason):
    with pytest.raises(UserError, match=reason):
        _load(_with_config(tmp_path / "a.keras", sound, config))


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"class_name":"Dense","config":' + b"[" * 500 + b"]" * 500 + b"}"])
def test_descriptions_nested_without_end_are_refused(tmp_path, sound, text):
    with pytest.raises(UserError, match="nested too deeply"):
        _load(_pack(tmp_path / "a.keras", sound | {"config.json": text}))


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "evil.py", "assets", "model.weights.npz", "CONFIG.JSON"])
def test_members_that_no_model_has_are_refused(tmp_path, sound, name):
    with pytest.raises(UserError, match="no part of a Keras model"):
        _load(_pack(tmp_path / "a.keras", sound | {name: b"x"}))


def test_assets_are_never_unpacked(tmp_path, sound):
    _load(_pack(tmp_path / "deep.keras", sound | {"assets/../../evil": b"x"}))
    assert not list(tmp_path.rglob("evil"))


def test_two_members_of_one_name_are_refused(tmp_path, sound):
    path = _pack(tmp_path / "a.keras", sound)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", sound["config.json"])
    with pytest.raises(UserError, match="two members of one name"):
        _load(path)


def test_an_encrypted_file_is_refused(tmp_path, sound):
    path = _pack(tmp_path / "a.keras", sound)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UserError, match="encrypted"):
        load_model(bytes(content), path)


def test_what_unpacks_to_far_more_than_the_file_is_refused(tmp_path, sound, monkeypatch):
    monkeypatch.setattr(model_files, "ALWAYS_ALLOWED_BYTES", 100_000)
    bomb = sound | {"model.weights.h5": sound["model.weights.h5"] + bytes(10_000_000)}
    path = _pack(tmp_path / "a.keras", bomb, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"model.weights.h5 unpacks to more than 0 MB"):
        _load(path)
    monkeypatch.setattr(model_files, "MAX_CONFIG_BYTES", 1000)
    with pytest.raises(UserError, match=r"config.json unpacks to more than"):
        _load(_pack(path, sound | {"config.json": sound["config.json"] + b" " * 1000}))


def test_a_header_that_claims_less_than_is_there_is_refused(tmp_path, sound):
    path = _pack(tmp_path / "a.keras", sound, compression=zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24  # of the central directory, whose last is that of the weights
    content[place : place + 4] = struct.pack("<I", 10)
    with pytest.raises(UserError, match="safely"):
        load_model(bytes(content), path)


def test_a_file_beyond_all_bounds_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "sparse.keras"
    with open(path, "wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(UserError, match="larger than 8 GB"):
        load_bundle(path, class_names=["a", "b"], preprocessing="none")


def _hdf5(change) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        change(file)
    return buffer.getvalue()


def _loop(file):
    group = file.create_group("a")
    group["again"] = group


def _plug_in(file):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4,))
    settings.set_filter(32768, h5py.h5z.FLAG_OPTIONAL)
    h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((4,)), settings)


def _virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "a", (4,))
    file.create_virtual_dataset("a", layout)


WEIGHTS = {
    "a link to another file": (lambda f: f.__setitem__("a", h5py.ExternalLink("/etc/passwd", "/")), "a link"),
    "a link within": (lambda f: f.__setitem__("a", h5py.SoftLink("/a")), "a link"),
    "a group within itself": (_loop, "twice, or without end"),
    "bytes of another file": (
        lambda f: f.create_dataset("a", (4,), "u1", external=[("/etc/passwd", 0, 4)]),
        "lie in another file",
    ),
    "a view of another file": (_virtual, "lie in another file"),
    "terabytes of nothing": (lambda f: f.create_dataset("a", (2**40,), "f4", chunks=(1024,)), "not in the file"),
    "packed terabytes": (
        lambda f: f.create_dataset("a", (2**40,), "f4", chunks=(2**20,), compression="gzip"),
        "not in the file",
    ),
    "many that claim a little": (
        lambda f: [f.create_dataset(str(i), (2**20,), "f4", chunks=(64,)) for i in range(20)],
        "not in the file",
    ),
    "a chunk beyond memory": (
        lambda f: f.create_dataset("a", (1,), "f4", maxshape=(None,), chunks=(2**29,)),
        "not in the file",
    ),
    "objects": (lambda f: f.create_dataset("a", (1,), h5py.string_dtype()), "no plain array"),
    "references": (lambda f: f.create_dataset("a", (1,), h5py.ref_dtype), "no plain array"),
    "nothing at all": (lambda f: f.create_dataset("a", data=h5py.Empty("f4")), "no plain array"),
    "a type": (lambda f: f.__setitem__("a", np.dtype("f4")), "no plain array"),
    "a plug-in": (_plug_in, "needs a plug-in"),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights_that_reach_beyond_their_file_are_refused(tmp_path, sound, what):
    change, reason = WEIGHTS[what]
    content = _hdf5(change)
    with pytest.raises(UserError, match=rf"a\.keras is refused.*{reason}"):
        _load(_pack(tmp_path / "a.keras", sound | {"model.weights.h5": content}))
    for name in ("a.h5", "a.weights.h5"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=rf"{name} is refused.*{reason}"):
            load_keras_weights(_small(), [_small], tmp_path / name)
    with pytest.raises(UserError, match=rf"a\.h5 is refused.*{reason}"):
        load_bundle(tmp_path / "a.h5", class_names=["a", "b"], preprocessing="none")


@pytest.mark.parametrize("units", [10**6, 10**9, 10**12])
def test_a_network_larger_than_its_weights_is_refused_before_it_is_made(tmp_path, sound, units):
    config = json.loads(sound["config.json"])
    config["config"]["layers"][-1]["config"]["units"] = units
    with pytest.raises(UserError, match=rf"asks for {49 * units:,} weights, but its file|has {49 * units:,} weights"):
        _load(_with_config(tmp_path / "a.keras", sound, config))
    assert _load(_pack(tmp_path / "b.keras", sound)).count_params() == 98, "nothing of it is left in Keras"


def test_a_layer_that_is_no_part_of_the_network_is_not_made(tmp_path, sound):
    config = json.loads(sound["config.json"])
    hidden = _layer("Dense", units=10**6) | {"build_config": {"input_shape": [None, 10**6]}}
    config["config"]["layers"][-1]["config"]["activation"] = hidden
    with pytest.raises(UserError, match=r"has 1,000,00\d,\d+,\d+ weights, but the file holds 98"):
        _load(_with_config(tmp_path / "a.keras", sound, config))


@pytest.mark.parametrize("layer", [_layer("ZeroPadding2D", padding=10**6), _layer("UpSampling2D", size=[9999, 9999])])
def test_a_layer_beyond_memory_is_refused(tmp_path, layer):
    model = keras.Sequential([keras.Input((4, 4, 3)), layers.GlobalMaxPooling2D(), layers.Dense(2)])
    model.save(tmp_path / "a.keras")
    config = json.loads(zipfile.ZipFile(tmp_path / "a.keras").read("config.json"))
    config["config"]["layers"].insert(1, layer)
    members = {name: zipfile.ZipFile(tmp_path / "a.keras").read(name) for name in ("config.json", "model.weights.h5")}
    with pytest.raises(UserError, match="'evil' makes .* of every picture"):
        _load(_with_config(tmp_path / "a.keras", members, config))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("seed", range(25))
def test_damaged_files_are_one_sentence(tmp_path, suffix, seed):
    """Cut off, or one byte changed: refused in a sentence, or still the same kind of model."""
    path = tmp_path / f"a{suffix}"
    _small().save(path)
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    if seed % 2:
        content = content[: rng.integers(len(content))]
    else:
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    try:
        assert load_model(bytes(content), path).output_shape[0] is None
    except UserError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
