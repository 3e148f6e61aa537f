"""The temperature of a bundle: fitted on the validation part, kept, applied, refused where it is none."""

import json

import keras
import numpy as np
import pytest

from src.bundle import load_bundle, save_bundle
from src.calibrate import calibrate
from src.errors import UserError
from src.evaluation.calibration import apply_temperature, fit_temperature, measure_calibration
from src.frozen_bundle import NETWORK_FILES, load_frozen_bundle
from src.loading.parts import get_data_generator
from src.networks.baseline import BASELINE_TARGET_LAYER, build_baseline_model


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    network = build_baseline_model(2, (24, 24))
    logits = network.get_layer("logits")
    logits.set_weights([24 * weights for weights in logits.get_weights()])  # surer than it can be of anything
    return network


def _val(data, **options):
    return get_data_generator(data, "val", 24, 5, **options)


def _save(folder, model, val=None, name="m"):
    return save_bundle(
        name, folder, model, class_names=["dark", "light"], image_size=(24, 24), interpolation="bilinear",
        target_layer=BASELINE_TARGET_LAYER, info={"backbone": None}, val=val,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(model, small_data, tmp_path_factory):
    return _save(tmp_path_factory.mktemp("models"), model, _val(small_data))


def _inputs():
    return np.random.default_rng(0).uniform(0, 255, (3, 24, 24, 3)).astype(np.float32)


def test_it_is_fitted_on_the_validation_part_by_the_network_that_is_saved(folder, model, small_data):
    info = json.loads((folder / "bundle.json").read_text())
    val = _val(small_data)
    before = model.predict(np.concatenate([val[index][0] for index in range(len(val))]), verbose=0)
    expected = fit_temperature(before, val.classes).temperature
    assert info["temperature"] == pytest.approx(expected, rel=1e-2) and expected != 1
    figures = info["calibration"]
    assert figures["n"] == 12 and figures["part"] == "val"
    assert figures["nll_before"] == pytest.approx(measure_calibration(before, val.classes).nll, rel=1e-3)
    after = measure_calibration(apply_temperature(before, expected), val.classes)
    assert figures["nll_after"] == pytest.approx(after.nll, rel=1e-3) and after.nll < figures["nll_before"]
    assert {"ece_before", "ece_after"} <= figures.keys()


def test_both_forms_apply_it(folder, model):
    plain = np.asarray(model(_inputs()))
    for bundle in (load_bundle(folder), load_frozen_bundle(folder)):
        expected = apply_temperature(plain, bundle.temperature)
        np.testing.assert_allclose(bundle.predict(_inputs()), expected, atol=1e-4)
        np.testing.assert_allclose(bundle.answer(_inputs()), plain, atol=1e-4)
        assert np.abs(expected - plain).max() > 0.01, "or nothing would be seen of it"


def test_without_openvino_keras_answers(folder, model, small_data, tmp_path, monkeypatch):
    monkeypatch.setattr("src.bundle.save_frozen_form", lambda *arguments: ())
    other = _save(tmp_path, model, _val(small_data))
    assert not (other / NETWORK_FILES[0]).exists()
    ours, theirs = (json.loads((path / "bundle.json").read_text())["temperature"] for path in (other, folder))
    assert ours == pytest.approx(theirs, rel=1e-2)


def test_without_a_validation_part_it_is_one(model, tmp_path):
    folder = _save(tmp_path, model)
    assert json.loads((folder / "bundle.json").read_text())["temperature"] == 1.0
    np.testing.assert_array_equal(load_bundle(folder).predict(_inputs()), load_bundle(folder).answer(_inputs()))


def test_an_older_bundle_has_one_and_a_damaged_one_is_refused(model, tmp_path):
    path = _save(tmp_path, model) / "bundle.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in info.items() if key != "temperature"}))
    assert load_bundle("m", tmp_path).temperature == load_frozen_bundle("m", tmp_path).temperature == 1.0
    for wrong in (0, -1.5, float("nan"), float("inf"), 10**400, "1", True, None, [1.0]):
        path.write_text(json.dumps(info | {"temperature": wrong}))
        for load in (load_bundle, load_frozen_bundle):
            with pytest.raises(UserError, match="not a bundle's description|not valid JSON"):
                load("m", tmp_path)


def test_a_note_is_said_and_kept(capsys):
    right = np.float32([[0.9, 0.1], [0.2, 0.8]] * 6)
    found = calibrate(right, np.tile([0, 1], 6))
    assert found["temperature"] == 1.0 and "all 12 answers are right" in found["calibration"]["note"]
    assert "validation part: all 12 answers are right" in capsys.readouterr().err
    assert calibrate(right, np.tile([0, 1], 6), "cross-validation")["calibration"]["part"] == "cross-validation"
    assert "pictures of the cross-validation: all 12" in capsys.readouterr().err


def test_flips_average_with_the_mirror_image(folder):
    bundle, inputs = load_frozen_bundle(folder), _inputs()
    plain, mirrored = bundle.answer(inputs), bundle.answer(inputs[:, :, ::-1])
    assert np.abs(plain - mirrored).max() > 1e-3, "or nothing would be seen of it"
    logits = (np.log(plain.astype(float)) + np.log(mirrored.astype(float))) / 2 / bundle.temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(bundle.predict(inputs, flips=True), expected, rtol=1e-4)
    np.testing.assert_allclose(bundle.predict(inputs[:, :, ::-1], flips=True), expected, rtol=1e-4)
    symmetric = np.maximum(inputs, inputs[:, :, ::-1])
    np.testing.assert_allclose(bundle.predict(symmetric, flips=True), bundle.predict(symmetric), rtol=1e-5)
