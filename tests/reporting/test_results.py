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

pytestmark = pytest.mark.large

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
    assert [answer.path for answer in model.wrong] == ["test/owl/owl_5.png", "test/dog/dog_1.png", "test/cat/cat_0.png"]
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
    assert results.models[0].maps is None and "another network" in results.notes[0]


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
    with pytest.raises(UserError, match="can be reported"):
        _read()
    make_model(OUTPUT, MODELS, "second", DATA, {})
    results = _read()
    assert [model.name for model in results.models] == ["second"] and len(results.notes) == 1


def _change(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "values",
    [{"accuracy": 0.5}, {"accuracy": None}, {"n": 17}, {"interval": []}, {"selective": None}, {"macro": {}}],
    ids=lambda values: next(iter(values)),
)
def test_figures_that_do_not_fit_their_answers_are_left_out(made, values):
    _change(OUTPUT / "first" / "metrics.json", **values)
    with pytest.raises(UserError, match="src.evaluate|the command that wrote it"):
        _read()


def test_confidences_of_another_run_are_told_by_their_loss(made):
    path = OUTPUT / "first" / "predictions.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *(line.rsplit(",", 1)[0] + ",0.5" for line in lines[1:])]) + "\n")
    with pytest.raises(UserError, match="different runs"):
        _read()


@pytest.mark.parametrize("value", ["nan", "inf", ""])
def test_a_confidence_that_is_no_number(made, value):
    path = OUTPUT / "first" / "predictions.csv"
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    path.write_text("\n".join([lines[0], ",".join([*cells[:3], value, *cells[4:]]), *lines[2:]]) + "\n")
    with pytest.raises(UserError, match=r"predictions\.csv is damaged"):
        _read()


@pytest.mark.parametrize("file", ["heatmaps.npz", "explained.json"])
def test_damaged_maps_are_a_note(made, file):
    (OUTPUT / "first" / file).write_bytes(b"PK\x03\x04 cut off")
    results = _read()
    assert results.models[0].maps is None and len(results.notes) == 1


def test_maps_with_flipped_bytes_are_a_note(made):
    path = OUTPUT / "first" / "heatmaps.npz"
    content = bytearray(path.read_bytes())
    for place in range(60, len(content) // 2, 7):
        content[place] ^= 255
    path.write_bytes(content)
    results = _read()
    assert results.models[0].maps is None and "heatmaps.npz" in results.notes[0]


@pytest.mark.parametrize(
    "maps", [np.zeros((18, 0, 7)), np.zeros((18, 5)), np.full((18, 5, 7), np.nan), np.zeros((3, 5, 7)), np.array(["a"])]
)
def test_maps_that_are_none_are_a_note(made, maps):
    path = OUTPUT / "first" / "heatmaps.npz"
    with np.load(path) as stored:
        values = {name: stored[name] for name in stored} | {"heatmaps": maps}
    np.savez(path, **values)
    results = _read()
    assert results.models[0].maps is None and "heatmaps.npz is damaged" in results.notes[0]


@pytest.mark.parametrize("file", ["explained.json", "metrics.json"])
def test_results_of_another_split_are_left_out(made, file):
    _change(OUTPUT / "first" / file, data="another")
    if file == "metrics.json":
        with pytest.raises(UserError, match="another split"):
            _read()
    else:
        results = _read()
        assert results.models[0].maps is None and "other pictures" in results.notes[0]


def test_a_test_part_that_has_changed(made):
    Path("data/test/cat/cat_3.png").unlink()
    with pytest.raises(UserError, match="1 are not among the 17"):
        _read()


def test_results_are_read_from_elsewhere(made, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    results = read_results(*(tmp_path / folder for folder in (DATA, MODELS, OUTPUT)))
    assert results.notes == [] and len(results.models[0].maps.predicted) == 18


def test_an_ensemble_of_what_its_members_were(made):
    make_model(OUTPUT, MODELS, "second", DATA, {}, digest="def")
    make_model(OUTPUT, MODELS, "ensemble", DATA, {}, maps=False, digest="x")
    shutil.rmtree(MODELS / "ensemble")
    path = OUTPUT / "ensemble" / "metrics.json"
    _change(path, network=None, members=["first", "second"], member_networks=["abc", "def"])
    assert [model.name for model in _read().models] == ["ensemble", "first", "second"]
    for members, networks in ((["first", "second"], ["abc", "older"]), (["first", "gone"], ["abc", "def"])):
        _change(path, members=members, member_networks=networks)
        results = _read()
        assert [model.name for model in results.models] == ["first", "second"]
        assert "its members are not what they were" in results.notes[0]


@pytest.mark.parametrize("content", [None, "file,kind\n"])
def test_an_audit_without_its_findings_is_none(made, content):
    make_audit(OUTPUT, DATA, [])
    path = OUTPUT / "audit" / "findings.csv"
    path.unlink() if content is None else path.write_text(content)
    results = _read()
    assert results.data.audit is None and "findings.csv" in results.notes[0]


def test_folders_that_are_being_written_are_no_results(made):
    shutil.copytree(OUTPUT / "first", OUTPUT / ".first-abc")
    assert [model.name for model in _read().models] == ["first"]


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
