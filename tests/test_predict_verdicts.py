"""What predict says beside its answers: unlike pictures, unsure answers, possible classes; evaluate measures it."""

import csv
import io
import json
import shutil

import keras
import numpy as np
import pytest

from src.bundle import load_bundle, save_bundle
from src.errors import UserError
from src.evaluate import main as evaluate
from src.frozen_bundle import load_frozen_bundle
from src.held_out import FILE_NAME, HeldOut, load_held_out
from src.imaging import read_image, write_image
from src.judging import rate_unknown
from src.loading.parts import get_data_generators
from src.networks.heads import add_head, find_features
from src.predict import _record, main
from src.verdicts import Verdict, create_judge
from tests.conftest import write_data_folder

CLASSES = ["dark", "light"]


def _build(size=24, sharpness=4.0):
    """A network that knows light pictures from dark ones, by the mean colours of 4 x 4 cells."""
    inputs = keras.Input((size, size, 3))
    cells = keras.layers.AveragePooling2D(size // 4)(keras.layers.Rescaling(1 / 255, name="target")(inputs))
    model = keras.Model(inputs, add_head(keras.layers.Flatten()(cells), 2))
    weight = sharpness / 16
    model.get_layer("logits").set_weights([np.array([[-weight, weight]] * 48), np.array([1.5, -1.5]) * sharpness])
    return model


def _save(folder, name, data, evidence=True, **options):
    train, val, _ = get_data_generators(data, 24, 16)
    held = {"train": train, "val": val} if evidence else {}
    return save_bundle(
        name, folder, _build(**options), class_names=CLASSES, image_size=(24, 24), interpolation="bilinear",
        target_layer="target", info={}, **held,
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """data/, models/known with its record and models/plain without; pictures: dark, in the middle, red."""
    folder = tmp_path_factory.mktemp("verdicts")
    data = write_data_folder(folder / "data", {"train": 20, "val": 20, "test": 10})
    _save(folder / "models", "known", data)
    _save(folder / "models", "plain", data, evidence=False)
    for name, color in (("dark", (60, 60, 60)), ("middle", (127, 127, 127)), ("red", (230, 20, 20))):
        noise = np.random.default_rng(5).normal(0, 12, (24, 24, 3))
        write_image(folder / "pictures" / f"{name}.png", np.clip(np.array(color) + noise, 0, 255).astype(np.uint8))
    return folder


def _rows(capsys, place, *options, model="known") -> dict[str, dict]:
    pictures = [str(place / "pictures" / f"{name}.png") for name in ("dark", "middle", "red")]
    assert main([*pictures, "--model", model, "--models-dir", str(place / "models"), "--json", *options]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)["predictions"]
    return {row["path"].split("/")[-1][:-4]: row for row in rows}


def test_the_bundle_says_what_its_thresholds_are(place):
    info = json.loads((place / "models" / "known" / "bundle.json").read_text())
    assert info["held_out"]["n"] == 40 and info["held_out"]["origin"] == "validation"
    assert info["held_out"]["known_up_to"] > 0 and 0.5 < info["held_out"]["sure_from"] < 1
    assert FILE_NAME in info["sha256"] and not (place / "models" / "plain" / FILE_NAME).exists()


def test_both_forms_give_the_same_features(place):
    inputs = np.random.default_rng(0).uniform(0, 255, (5, 24, 24, 3)).astype(np.float32)
    bundle, frozen = load_bundle("known", place / "models"), load_frozen_bundle("known", place / "models")
    expected = inputs.reshape(5, 4, 6, 4, 6, 3).mean(axis=(2, 4)).reshape(5, 48) / 255
    for each in (bundle, frozen):
        probabilities, features = each.answer_with_features(inputs, flips=True)
        np.testing.assert_allclose(features, expected, atol=1e-5)
        np.testing.assert_allclose(probabilities, each.answer(inputs, flips=True), atol=1e-6)


def test_without_openvino_the_record_is_the_same(place, tmp_path, monkeypatch):
    monkeypatch.setattr("src.bundle.save_frozen_form", lambda *arguments: ())
    _save(tmp_path, "known", place / "data")
    ours, theirs = (load_held_out(load_bundle("known", folder)) for folder in (tmp_path, place / "models"))
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-3)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-5)
    assert load_frozen_bundle("known", tmp_path) is None and ours.scores.std() > 0


def test_evidence_may_come_from_elsewhere(tmp_path):
    labels = np.arange(600) % 2
    probabilities = np.where(np.eye(2)[labels] > 0, 0.999, 0.001).astype(np.float32)
    probabilities[:60] = probabilities[:60, ::-1]  # wrong, and sure of it
    evidence = HeldOut(labels, probabilities, "cross-validation")
    save_bundle(
        "m", tmp_path, _build(), class_names=CLASSES, image_size=(24, 24), interpolation="bilinear",
        target_layer="target", info={}, evidence=lambda answer: evidence,
    )  # fmt: skip
    bundle = load_bundle("m", tmp_path)
    assert bundle.temperature > 2 and bundle.info["calibration"]["part"] == "cross-validation"
    assert bundle.info["held_out"]["origin"] == "cross-validation" and bundle.info["held_out"]["known_up_to"] is None
    np.testing.assert_array_equal(load_held_out(bundle).probabilities, probabilities)


def test_features_are_those_before_the_head():
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D(name="pooling")(inputs)
    dense = keras.layers.Dense(5, name="dense")(pooled)
    assert find_features(keras.Model(inputs, add_head(dense, 2))) is pooled
    cells = keras.layers.Flatten()(inputs)
    assert find_features(keras.Model(inputs, add_head(cells, 2))) is cells
    assert find_features(keras.Model(inputs, keras.layers.Dense(2)(cells))) is None
    maps = keras.layers.MaxPooling2D(name="pooling")(inputs)
    assert find_features(keras.Model(inputs, add_head(keras.layers.Flatten()(maps), 2))) is None


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_unlike_unsure_and_ordinary_pictures(place, capsys, engine):
    rows = _rows(capsys, place, "--engine", engine)
    assert [rows[name]["known"] for name in ("dark", "red")] == [True, False]
    assert rows["red"]["novelty"] > 1 > rows["dark"]["novelty"] > 0
    assert [rows[name]["sure"] for name in ("dark", "middle", "red")] == [True, False, False]
    assert [entry["class"] for entry in rows["dark"]["classes"]] == ["dark"]
    assert rows["dark"]["classes"][0]["confidence"] == rows["dark"]["confidence"]


def test_limits_move_the_verdicts(place, capsys):
    usual, strict = _rows(capsys, place), _rows(capsys, place, "--keep", "0.2")
    assert strict["dark"]["novelty"] > usual["dark"]["novelty"]
    assert _rows(capsys, place, "--accept-errors", "0.01")["middle"]["sure"] is None, "40 pictures are too few"
    assert len(_rows(capsys, place, "--coverage", "0.99")["dark"]["classes"]) == 2, "too few: every class is possible"


def test_words_for_people(place, capsys):
    pictures = [str(place / "pictures" / f"{name}.png") for name in ("dark", "middle", "red")]
    options = ["--model", "known", "--models-dir", str(place / "models")]
    assert main([*pictures, *options]) == 0
    dark, middle, red = capsys.readouterr().out.splitlines()
    assert ": dark " in dark and "unsure" not in dark and "(then light " in dark
    assert "middle.png: unsure: " in middle
    assert "red.png: unlike the pictures this model was trained on (nearest: dark " in red
    assert main([*pictures, *options, "--coverage", "0.99", "--accept-errors", "0.03"]) == 0
    said = capsys.readouterr()
    assert "middle.png: unsure: " in said.out and " or " in said.out.splitlines()[1]
    assert "Every class is possible: 40 held-out pictures are too few for this --coverage" in said.err
    assert main([*pictures, *options, "--csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["known"], row["sure"]) for row in table][::2] == [("yes", "yes"), ("no", "no")]
    assert float(table[2]["novelty"]) > 1 and table[0]["classes"].startswith("dark 0.")


def test_nothing_is_said_without_a_record(place, tmp_path, capsys):
    for row in _rows(capsys, place, "--keep", "0.9", model="plain").values():
        assert row["known"] is row["novelty"] is row["sure"] is row["classes"] is None
    picture = str(place / "pictures" / "red.png")
    assert main([picture, "--model", "plain", "--models-dir", str(place / "models")]) == 0
    said = capsys.readouterr()
    assert "unlike" not in said.out + said.err and "unsure" not in said.out
    shutil.copytree(place / "models" / "known", tmp_path / "known")
    (tmp_path / "known" / FILE_NAME).write_bytes(b"spoilt")
    assert main([picture, "--model", str(tmp_path / "known")]) == 0
    said = capsys.readouterr()
    assert "unlike the pictures" not in said.out and said.err.count("is not used: it is cut off or changed") == 1


def test_several_together_say_what_is_unlike(place, capsys):
    models = place / "together"
    for name in ("known", "plain"):
        shutil.copytree(place / "models" / name, models / name, dirs_exist_ok=True)
    pictures = [str(place / "pictures" / f"{name}.png") for name in ("dark", "red")]
    assert main([*pictures, "--ensemble", "--models-dir", str(models), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["known"] for row in rows] == [True, False] and all(row["sure"] is None for row in rows)


@pytest.mark.large
def test_evaluate_measures_them(place, tmp_path, capsys):
    for number in range(6):
        color = np.array([230, 20, 20]) + 4 * number
        picture = np.broadcast_to(np.clip(color, 0, 255).astype(np.uint8), (24, 24, 3))
        write_image(tmp_path / "red" / f"{number}.png", np.ascontiguousarray(picture))
    (tmp_path / "red" / "broken.png").write_text("no picture")
    options = ["--data", place / "data", "--models-dir", place / "models", "--output", tmp_path / "out", "--json"]
    assert evaluate([*map(str, options), "--unknown", str(tmp_path / "red")]) == 3, "broken.png"
    said = capsys.readouterr()
    models = json.loads(said.out.splitlines()[-1])["models"]
    trust = models["known"]["trust"]
    assert models["plain"]["trust"] is None and "plain has no record by which --unknown" in said.err
    assert trust["unknown"]["auroc"] == 1 and trust["unknown"]["refused"]["count"] == 6
    assert "broken.png" in said.err and "unknown pictures: AUROC 1.000, told as unlike 6 of 6" in said.err
    assert trust["known"]["n"] == 20 and trust["known"]["count"] >= 17
    assert trust["right_of_sure"]["count"] == trust["sure"]["count"] > 0
    assert sum(trust["histogram"]["test"]) == 20 and sum(trust["histogram"]["unknown"]) == 6
    judged = {row["path"]: row["novelty"] for row in _judge_test_part(capsys, place)}
    with open(tmp_path / "out" / "known" / "predictions.csv", newline="") as stream:
        paths = [row["path"] for row in csv.DictReader(stream)]
    for index, novelty in trust["least_like"]:
        assert novelty == pytest.approx(judged[paths[index]], rel=1e-3)
    assert read_image(tmp_path / "out" / "known" / "novelty.png").std() > 10
    assert not (tmp_path / "out" / "plain" / "novelty.png").exists()


def test_a_folder_that_is_not_there_is_one_sentence(place, tmp_path, capsys):
    options = ["--data", str(place / "data"), "--models-dir", str(place / "models"), "--output", str(tmp_path)]
    assert evaluate([*options, "--unknown", str(tmp_path / "nowhere")]) == 2
    assert "nowhere: there is no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert evaluate([*options, "--unknown", str(tmp_path / "empty")]) == 2
    assert "no pictures in" in capsys.readouterr().err


def test_unknown_pictures_of_which_none_can_be_read(place, tmp_path, capsys):
    (tmp_path / "broken").mkdir()
    for name in ("a.png", "b.jpg"):
        (tmp_path / "broken" / name).write_text("no picture")
    bundle, paths = load_bundle("known", place / "models"), [str(tmp_path / "broken" / "a.png")]
    with pytest.raises(UserError, match="none of the --unknown pictures can be read"):
        rate_unknown(bundle, create_judge(bundle), paths, 8)
    paths.append(str(place / "pictures" / "red.png"))
    rated, unread = rate_unknown(bundle, create_judge(bundle), paths, 8)
    assert rated.shape == (1,) and rated[0] > 1 and [failure.path for failure in unread] == paths[:1]
    options = ["--data", str(place / "data"), "--models-dir", str(place / "models"), "--output", str(tmp_path / "out")]
    assert evaluate([*options, "--model", "known", "--unknown", str(tmp_path / "broken")]) == 2
    said = capsys.readouterr().err
    assert "none of the --unknown pictures can be read" in said and "no record" not in said


def test_of_a_tie_the_first_class_is_named_everywhere():
    verdict = Verdict(known=True, novelty=0.5, sure=False, classes=(0, 1, 2))
    found = _record(("a", "b", "c"), "x.png", np.full(3, 1 / 3, np.float32), 3, verdict)
    assert found["class"] == "a" and found["class_index"] == 0
    assert [row["class"] for row in found["top"]] == [row["class"] for row in found["classes"]] == ["a", "b", "c"]


def _judge_test_part(capsys, place) -> list[dict]:
    options = [place / "data" / "test", "--model", "known", "--models-dir", place / "models", "--json"]
    assert main(list(map(str, options))) == 0
    return json.loads(capsys.readouterr().out)["predictions"]
