"""Results are read again, and what does not belong together is not mixed."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from src.errors import UserError
from src.reporting.results import read_results
from tests.reporting.made import make_audit, make_bundle, make_data, make_model

DATA, MODELS, OUTPUT = Path("data"), Path("models"), Path("out")


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """Made once, by relative paths, so that copies of it are whole."""
    root = tmp_path_factory.mktemp("results")
    with contextlib.chdir(root):
        make_data(DATA)
        return root, make_model(OUTPUT, MODELS, "first", DATA, {0: 1, 7: 2, 17: 0})


@pytest.fixture
def made(original, tmp_path, monkeypatch):
    """The maps, and the results in the working folder."""
    shutil.copytree(original[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return original[1]


def _read():
    return read_results(DATA, MODELS, OUTPUT)


def test_everything_comes_back(made):
    make_audit(OUTPUT, DATA, [("train/cat/cat_0.png", "dark", "0.9", "dark, nearly", "", "")])
    results = _read()
    assert results.notes == []
    (model,) = results.models
    assert model.metrics["accuracy"] == pytest.approx(15 / 18) and len(model.answers) == 18
    # confidences rise from the first picture to the last: the surest wrong one is 17
    assert [answer.path.rsplit("/", 1)[1] for answer in model.wrong] == ["owl_5.png", "dog_1.png", "cat_0.png"]
    assert model.history["val_accuracy"] == [0.3, 0.6] and model.facts["training_seconds"] == 12.5
    first = model.answers[0].path
    np.testing.assert_array_equal(model.maps.predicted[first], made[0])
    np.testing.assert_array_equal(model.maps.true[first], made[0][:, ::-1])
    assert len(model.maps.predicted) == 18 and len(model.maps.true) == 3
    assert results.data.counts["test"] == {"cat": 6, "dog": 6, "owl": 6}
    assert results.data.findings == [("train/cat/cat_0.png", "dark", "0.9", "dark, nearly", "", "")]


def test_transfer_comes_first(made):
    make_model(OUTPUT, MODELS, "transfer", DATA, {})
    assert [model.name for model in _read().models] == ["transfer", "first"]


def test_a_network_that_was_trained_anew_is_not_mixed_in(made):
    make_bundle(MODELS / "first", ["cat", "dog", "owl"], "another")
    results = _read()
    assert results.models[0].facts is None and results.models[0].history == {}
    assert results.models[0].maps is not None  # of the network that was evaluated
    assert len(results.notes) == 1 and "trained anew" in results.notes[0] and "src.evaluate" in results.notes[0]


def test_maps_of_another_network_are_left_out(made):
    path = OUTPUT / "first" / "explained.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"network": "another"}))
    results = _read()
    assert results.models[0].maps is None and "another training" in results.notes[0]


def test_maps_of_a_class_that_was_asked_for_are_left_out(made):
    path = OUTPUT / "first" / "explained.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"explained_class": "owl"}))
    results = _read()
    assert results.models[0].maps is None and "asked for" in results.notes[0]


def test_answers_of_another_run_are_not_believed(made):
    path = OUTPUT / "first" / "predictions.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(UserError, match="different runs"):
        _read()


@pytest.mark.parametrize(
    "file, content",
    [
        ("metrics.json", "{"),
        ("metrics.json", "[]"),
        ("metrics.json", '{"accuracy": 1.0}'),
        ("predictions.csv", "path,true\na,b\n"),
        ("predictions.csv", "path,true,predicted,confidence,probability_of_true,loss\na,cat,cat,x,y,z\n"),
    ],
)
def test_damaged_figures_are_a_sentence(made, file, content):
    (OUTPUT / "first" / file).write_text(content)
    with pytest.raises(UserError, match="can be read"):
        _read()
    make_model(OUTPUT, MODELS, "second", DATA, {})
    results = _read()
    assert [model.name for model in results.models] == ["second"] and len(results.notes) == 2  # and it is not evaluated


@pytest.mark.parametrize("file", ["heatmaps.npz", "explained.json"])
def test_damaged_maps_are_a_note(made, file):
    (OUTPUT / "first" / file).write_bytes(b"PK\x03\x04 cut off")
    results = _read()
    assert results.models[0].maps is None and len(results.notes) == 1


@pytest.mark.parametrize("file", ["bundle.json", "history.csv"])
def test_a_damaged_bundle_is_a_note(made, file):
    (MODELS / "first" / file).write_bytes(b"phase,loss\n1,two\n")
    results = _read()
    assert results.models[0].history == {} and len(results.notes) == 1


def test_an_audit_of_other_pictures_is_left_out(made):
    make_audit(OUTPUT, DATA, [])
    (DATA / "train" / "cat" / "cat_0.png").unlink()
    results = _read()
    assert results.data.audit is None and "audit" in results.notes[0]


def test_models_of_other_classes_are_left_out(made):
    make_data(Path("other"), ("cat", "dog"))
    make_model(OUTPUT, MODELS, "older", Path("other"), {})
    results = _read()
    assert [model.name for model in results.models] == ["first"]
    assert any("older" in note and "other classes" in note for note in results.notes)


def test_nothing_to_report_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="python -m src.evaluate"):
        read_results(tmp_path / "data", tmp_path / "models", tmp_path / "out")


def test_a_bundle_that_was_not_evaluated_is_named(made):
    make_bundle(MODELS / "newer", ["cat", "dog", "owl"], "d")
    assert any("newer is trained and not in this report" in note for note in _read().notes)
