"""The commands on a few drawn pictures: estimate, a training by what it chose, evaluate beside it, the report."""

import csv
import json
import shutil
from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pytest

from src.errors import UserError
from src.estimate import _suggest
from src.estimate import main as estimate
from src.estimating.estimator import _list_backbones, _score_novelty, _verify
from src.estimating.of_bundle import CrossValidatedModels
from src.estimating.pictures import Pictures
from src.evaluate import main as evaluate
from src.imaging import read_image
from src.intervals import wilson_interval
from src.report import main as report
from src.transfer_model import main as train
from tests.conftest import write_data_folder
from tests.reporting.made import make_model

pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Drawn pictures, estimated."""
    folder = tmp_path_factory.mktemp("estimated")
    write_data_folder(folder / "data", {"train": 6, "val": 3, "test": 3})
    places = ["--data", str(folder / "data"), "--models-dir", str(folder / "models")]
    code = estimate([*places, "--output", str(folder / "out"), "--seed", "3"])
    return folder, json.loads((folder / "out" / "estimate" / "estimate.json").read_text()), code


def test_the_estimate_says_what_is_of_what(workplace):
    folder, record, code = workplace
    assert code == 0
    found, choice = record["cross_validated"], record["choice"]
    assert (found["n"], choice["n"]) == (24, 18), "test pictures took no part in the choice"
    assert found["accuracy"] == 1.0, "dark and light differ by their mean alone"
    assert found["interval"] == pytest.approx(wilson_interval(16, 16)) and set(found["per_class"]) == {"dark", "light"}
    assert record["data"] is None and record["class_names"] == ["dark", "light"]
    assert choice["words"][:4] == ["--backbone", "efficientnet_lite0", "--phase1-epochs", "exact"]
    assert sum(row["chosen"] for row in choice["candidates"]) == 1
    assert {row["schedule"] for row in choice["candidates"]} == {"exact", "gradient"}
    with open(folder / "out" / "estimate" / "choices.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(choice["candidates"]) and [row["chosen"] for row in rows].count("yes") == 1
    assert read_image(folder / "out" / "estimate" / "learning_curve.png").std() > 1
    assert {need["class"] for need in record["needs"]} == {"dark", "light"}
    assert record["learning_curve"]["pictures_per_class"] == 12


def test_the_same_seed_gives_the_same_from_stored_features(workplace, capsys, monkeypatch):
    folder, record, _ = workplace
    monkeypatch.setattr("src.estimating.pictures.create_engine", None)  # nothing is to be computed
    words = ["--data", str(folder / "data"), "--models-dir", str(folder / "models"), "--output", str(folder / "again")]
    assert estimate([*words, "--seed", "3", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again | {"command": ""} == record | {"command": ""}


@pytest.mark.slow
def test_a_training_by_its_words_is_evaluated_beside_cross_validation(workplace, capsys):
    folder, record, _ = workplace
    places = ["--data", str(folder / "data"), "--models-dir", str(folder / "trained")]
    assert train([*places, *record["choice"]["words"], "--image-size", "64"]) == 0
    info = json.loads((folder / "trained" / "transfer" / "bundle.json").read_text())
    assert info["metrics"]["phase"] == 1 and info["l2"] == info["settings"]["l2"]
    assert evaluate([*places, "--output", str(folder / "judged")]) == 0
    assert "so few test pictures tell little; accuracy 100.0%" in capsys.readouterr().out
    metrics = json.loads((folder / "judged" / "transfer" / "metrics.json").read_text())
    assert metrics["n"] == 6 and metrics["cross_validated"]["n"] == 24
    assert metrics["cross_validated"]["backbone"] == "efficientnet_lite0"
    low, high = metrics["cross_validated"]["interval"]
    assert high - low < metrics["interval"][1] - metrics["interval"][0]


def test_the_report_has_the_section_where_it_belongs(workplace, tmp_path):
    folder, _, _ = workplace
    output = tmp_path / "out"
    make_model(output, tmp_path / "models", "net", folder / "data", {0: 1}, maps=False)
    shutil.copytree(folder / "out" / "estimate", output / "estimate")
    words = ["--data", str(folder / "data"), "--models-dir", str(tmp_path / "models"), "--output", str(output)]
    assert report(words) == 0
    page = (output / "report.html").read_text()
    assert "How good with these pictures" in page and "by cross-validation of all 24 pictures" in page
    assert "test pictures took no part" in page and "python -m src.estimate" in page and "net, one test part" in page
    path = output / "estimate" / "estimate.json"
    record = json.loads(path.read_text())
    for broken in (record | {"data": "another"}, record | {"needs": 5}, record | {"learning_curve": {}}):
        path.write_text(json.dumps(broken))
        assert report(words) == 0
        page = (output / "report.html").read_text()
        assert "How good with these pictures" not in page and "estimate.json is" in page


class _Model:
    name, image_size = "m", (64, 64)

    def __init__(self, **info):
        self.info = info


def test_models_without_pretrained_weights_at_hand_are_left_alone(workplace, capsys, monkeypatch):
    folder, _, _ = workplace
    models = CrossValidatedModels(folder / "data", ["dark", "light"], folder / "models")
    assert models.find(_Model(), 6) is None
    assert models.find(_Model(backbone="resnet50", weights={"origin": "none"}), 6) is None
    for weights in ("imagenet", {"origin": 5}, {"origin": None}, {"origin": "x", "sha256": []}):  # a stranger's
        assert models.find(_Model(backbone="efficientnet_lite0", weights=weights), 6) is None
    assert models.find(_Model(backbone=[], weights={"origin": "imagenet"}), 6) is None
    known = {"backbone": "efficientnet_lite0", "weights": {"origin": "imagenet (x)"}}
    assert models.find(_Model(**known), 100) is None and not capsys.readouterr().err
    monkeypatch.setenv("KERAS_HOME", str(folder))
    for origin in ("imagenet (keras.applications)", "gone.h5"):
        assert models.find(_Model(backbone="resnet50", weights={"origin": origin}), 6) is None
        assert "m is not cross-validated: the " in capsys.readouterr().err


def test_a_class_of_copies_is_named(workplace):
    labels = np.array([0, 0, 1, 1])
    pictures = Pictures(["a"] * 4, np.array(["train"] * 4), labels, np.array([0, 1, 2, 2]), ["cat", "dog"])
    with pytest.raises(UserError, match="dog has fewer than two different pictures in train and val"):
        _verify(pictures, np.arange(4))


def test_two_pictures_of_each_class_tell_no_novelty():
    labels, rows = np.array([0, 0, 1, 1]), np.random.default_rng(0).random((16, 8))
    pictures = Pictures(["a"] * 4, np.array(["train"] * 4), labels, np.arange(4), ["cat", "dog"])
    assert _score_novelty(rows[:4], pictures) is None
    many = Pictures(["a"] * 16, np.array(["train"] * 16), labels.repeat(4), np.arange(16), ["cat", "dog"])
    assert np.isfinite(_score_novelty(rows, many)).all()


def test_the_next_command_is_of_the_same_folders_and_seed():
    usual = Namespace(data="data", models_dir="models", seed=42)
    assert _suggest(usual, ["--views", "1"]) == "python -m src.transfer_model --views 1"
    other = _suggest(Namespace(data="my data", models_dir="m", seed=3), ["--views", "1"])
    assert other == "python -m src.transfer_model --seed 3 --models-dir m --data 'my data' --views 1"


def test_of_many_pictures_one_backbone_is_asked_for_before_anything_is_computed(monkeypatch, capsys):
    monkeypatch.setattr("src.estimating.estimator.get_backbone", lambda _: SimpleNamespace(is_at_hand=lambda: True))
    assert len(_list_backbones("auto", 1500)) == 5 and not capsys.readouterr().err
    assert _list_backbones("auto", 1501) == ["mobilenet_v2"] and "only mobilenet_v2" in capsys.readouterr().err
    assert _list_backbones("resnet50", 1501) == ["resnet50"] and not capsys.readouterr().err


def test_an_estimate_of_the_same_split_and_backbone_is_taken(workplace, monkeypatch, tmp_path):
    folder, record, _ = workplace
    (tmp_path / "estimate").mkdir()
    (tmp_path / "estimate" / "estimate.json").write_text(json.dumps(record | {"data": "this"}))
    monkeypatch.setattr(CrossValidatedModels, "_compute", lambda *_: {"computed": True})

    def find(fingerprint="this", names=("dark", "light"), size=224, origin="imagenet (x)", backbone=None):
        monkeypatch.setattr("src.estimating.of_bundle.read_fingerprint", lambda _: fingerprint)
        models = CrossValidatedModels(folder / "data", list(names), folder / "models", tmp_path)
        model = _Model(backbone=backbone or "efficientnet_lite0", weights={"origin": origin})
        model.image_size = (size, size)
        return models.find(model, 6)

    assert find() == record["cross_validated"] | {"backbone": "efficientnet_lite0"}
    others = [{"fingerprint": "other"}, {"fingerprint": None}, {"names": ("a", "b")}, {"size": 64}]
    others += [{"origin": "my.h5"}, {"backbone": "resnet50"}]
    assert all(find(**other) == {"computed": True} for other in others)
