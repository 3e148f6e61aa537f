"""The form of a bundle that needs no TensorFlow: the same answers, used only as it was saved."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from src.bundle import load_bundle, save_bundle
from src.errors import UserError
from src.frozen_bundle import NETWORK_FILES, FrozenBundleError, load_frozen_bundle
from src.networks.baseline import BASELINE_TARGET_LAYER, build_baseline_model
from src.networks.heads import add_head

NAMES = ["cat", "dog", "fox"]


def _save(folder, model, target_layer=BASELINE_TARGET_LAYER):
    return save_bundle(
        "transfer", folder, model, class_names=NAMES, image_size=(32, 32), interpolation="bilinear",
        target_layer=target_layer, info={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_baseline_model(3, (32, 32))


@pytest.fixture
def folder(model, tmp_path):
    return _save(tmp_path, model)


def _inputs(count):
    return np.random.default_rng(count).uniform(0, 255, (count, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 5])
def test_its_answers_are_those_of_keras(folder, count):
    frozen, whole = load_frozen_bundle(folder), load_bundle(folder)
    inputs = _inputs(count)
    expected = whole.predict(inputs)
    np.testing.assert_allclose(frozen.predict(inputs), expected, atol=1e-4)
    assert expected.std() > 1e-3, "the answers must differ, or agreement means nothing"
    for facts in ("name", "class_names", "image_size", "interpolation", "target_layer", "preprocessing", "info"):
        assert getattr(frozen, facts) == getattr(whole, facts)


def test_its_outputs_are_named_and_hold_the_target_layers_activations(folder, model):
    outputs = load_frozen_bundle("transfer", folder.parent).engine.run(_inputs(2))
    assert set(outputs) == {BASELINE_TARGET_LAYER, "logits", "probabilities", "features"}
    for name in (BASELINE_TARGET_LAYER, "logits"):
        expected = keras.Model(model.inputs, model.get_layer(name).output)(_inputs(2))
        np.testing.assert_allclose(outputs[name], expected, atol=1e-4 * np.abs(expected).max())


def test_a_target_layer_inside_a_nested_model_is_left_out(tmp_path):
    inner_inputs = keras.Input((32, 32, 3))
    inner = keras.Model(inner_inputs, layers.Conv2D(4, 3, name="inside")(inner_inputs))
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, add_head(layers.GlobalAveragePooling2D()(inner(inputs)), 3))
    frozen = load_frozen_bundle(_save(tmp_path, model, "inside"))
    assert set(frozen.engine.run(_inputs(1))) == {"logits", "probabilities", "features"}


def test_where_there_is_none(folder):
    assert load_frozen_bundle("imagenet", folder.parent) is None
    description = folder / "bundle.json"
    info = json.loads(description.read_text())
    description.write_text(json.dumps(info | {"sha256": {"model.keras": info["sha256"]["model.keras"]}}))
    assert load_frozen_bundle(folder) is None, "a bundle saved before there was this form"
    assert load_bundle(folder).class_names == tuple(NAMES)


@pytest.mark.parametrize("name", NETWORK_FILES)
def test_a_changed_cut_off_or_missing_file_is_refused(folder, name):
    path = folder / name
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], None):
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        with pytest.raises(FrozenBundleError, match=f"{name} cannot be read or was changed"):
            load_frozen_bundle(folder, required=True)
        if damaged is None:
            path.touch()
    path.write_bytes(whole)
    assert load_frozen_bundle(folder).predict(_inputs(1)).shape == (1, 3)


def test_without_openvino_it_is_of_no_use(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "src.inference.openvino_engine", None)
    with pytest.raises(FrozenBundleError, match="OpenVINO does not run the network"):
        load_frozen_bundle(folder, required=True)


def test_a_network_for_pictures_of_another_size_is_refused(folder):
    description = folder / "bundle.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"image_size": [32, 48]}))
    for load in (load_frozen_bundle, load_bundle):
        with pytest.raises(UserError, match=r"takes pictures of \(32, 32\)"):
            load(folder)


def test_files_that_change_later_change_nothing(folder):
    """The bytes that are checked are those that are used: nothing of the files is read or mapped afterwards."""
    frozen, inputs = load_frozen_bundle(folder), _inputs(2)
    expected = frozen.predict(inputs)
    mapped = Path("/proc/self/maps")
    assert not (mapped.exists() and "network.bin" in mapped.read_text())
    for name in NETWORK_FILES:
        path = folder / name
        with open(path, "r+b") as stream:
            stream.write(b"\x7f" * path.stat().st_size)
    np.testing.assert_array_equal(frozen.predict(inputs), expected)


def test_an_older_bundle_is_said_to_read_pictures_otherwise(folder, capsys):
    load_frozen_bundle(folder)
    assert "resized" not in capsys.readouterr().err
    description = folder / "bundle.json"
    info = json.loads(description.read_text())
    del info["reading"]
    description.write_text(json.dumps(info))
    load_frozen_bundle(folder)
    load_bundle(folder)
    assert capsys.readouterr().err.count("may have resized pictures") == 1


def test_a_damaged_description_is_the_users_error(folder):
    description = folder / "bundle.json"
    info = json.loads(description.read_text())
    description.write_text(json.dumps(info | {"class_names": ["cat", "dog"]}))
    with pytest.raises(UserError, match="3 outputs but 2 class names"):
        load_frozen_bundle(folder)
    for digests in ("x", {"model.keras": None}, None):
        description.write_text(json.dumps(info | {"sha256": digests}))
        with pytest.raises(UserError, match="not a bundle's description"):
            load_frozen_bundle(folder)


def test_a_network_that_does_not_agree_is_saved_without_the_form(model, tmp_path, capsys):
    twin = keras.models.clone_model(model)
    twin.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    folder = _save(tmp_path, twin)
    assert capsys.readouterr().err.count("Saved without the form") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model.keras"]
    assert load_frozen_bundle(folder) is None


def test_where_writing_the_form_fails_nothing_of_it_is_left(model, tmp_path, monkeypatch, capsys):
    def save(engine, path):
        path.with_suffix(".bin").write_bytes(b"half")
        raise RuntimeError("iostream error")

    monkeypatch.setattr("src.inference.openvino_engine.OpenVINOEngine.save", save)
    folder = _save(tmp_path, model)
    assert "Saved without the form" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", "model.keras"]
    assert load_bundle(folder).predict(_inputs(1)).shape == (1, 3)
