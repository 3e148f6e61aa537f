"""The command as users run it, with a network that finds coloured squares by construction."""

import csv
import gc
import json
import shutil
import subprocess
import sys
import weakref
from argparse import Namespace
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

from src.bundle import load_bundle, save_bundle
from src.drawing import draw_contact_sheet
from src.errors import UserError
from src.explainers.cam import ClassActivationMap
from src.explainers.graph import GradientModel
from src.explaining import make_engine
from src.gradcam import main, make_gradcam_heatmap
from src.imaging import read_image, write_image
from src.inference.engine import create_engine
from tests.explainers.networks import HAND_INPUT, hand_weighted, random_inputs, random_network

pytestmark = pytest.mark.large

CLASS_NAMES = ["green", "red"]


def colour_network() -> keras.Model:
    """Channels (green, red) of the picture, their averages, two logits."""
    inputs = keras.Input((16, 16, 3))
    convolution = layers.Conv2D(2, 1, use_bias=False, name="colours")
    logits = layers.Dense(2, name="logits")
    x = layers.GlobalAveragePooling2D()(layers.ReLU(name="features")(convolution(inputs)))
    model = keras.Model(inputs, layers.Softmax(name="probabilities")(logits(x)))
    convolution.set_weights([np.array([[0, 1], [1, 0], [0, 0]], np.float32).reshape(1, 1, 3, 2)])
    logits.set_weights([np.eye(2) * 0.2, np.array([0.0, 0.1])])  # a black picture is a weak "red"
    return model


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """data/test with six pictures of each class and masks, models/transfer."""
    folder = tmp_path_factory.mktemp("gradcam")
    for label, name in enumerate(CLASS_NAMES):
        for i in range(6):
            picture, mask = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)
            square = (slice(4 * i, 4 * i + 8), slice(10, 20))
            picture[(*square, 1 - label if i else label)] = 200  # the first of each class has the other's colour
            mask[square] = 255
            write_image(folder / f"data/test/{name}/{i}.png", picture)
            write_image(folder / f"data/masks/test/{name}/{i}.png", mask)
    save_bundle(
        "transfer",
        folder / "models",
        colour_network(),
        class_names=CLASS_NAMES,
        image_size=(16, 16),
        interpolation="bilinear",
        target_layer="features",
        info={},
    )
    return folder


def run(place, capsys, *arguments):
    folders = ["--data", place / "data", "--models-dir", place / "models", "--output", place / "gradcam"]
    code = main([str(part) for part in (*folders, *arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_whole_test_part_is_explained(place, capsys):
    code, out, err = run(place, capsys, "--json", "--samples", 2, "--batch-size", 5)
    assert code == 0 and len(out.splitlines()) == 1 and "Model: transfer" in err
    record = json.loads(out)
    assert record["model"] == "transfer" and record["target_layer"] == "features"
    assert record["n"] == record["n_masks"] == 12 and record["accuracy"] == pytest.approx(10 / 12)
    assert record["pointing_game"] == 1.0 and record["energy_in_mask"] == pytest.approx(1.0)
    assert record["blob_pointing_game"] == pytest.approx(1 / 3) and record["blob_energy_in_mask"] < 0.3
    strength = record["activation_strength"]
    assert (strength["correct"]["n"], strength["wrong"]["n"]) == (10, 2)
    # 200 x 0.2 / 256: raw, as eq. 1 and 2 give it
    assert strength["correct"]["max_median"] == pytest.approx(200 * 0.2 / 256, rel=1e-4)
    folder = place / "gradcam" / "transfer"
    with np.load(folder / "heatmaps.npz") as kept:
        assert kept["heatmaps"].shape == (12, 16, 16) and len(set(kept["paths"].tolist())) == 12
    with open(folder / "activation_strength.csv", newline="") as stream:
        assert [(row["predictions"], row["n"]) for row in csv.DictReader(stream)] == [("correct", "10"), ("wrong", "2")]
    for name in CLASS_NAMES:  # of two drawings one is right and one wrong
        assert [len(list((folder / part / name).glob("*.png"))) for part in ("correct", "wrong")] == [1, 1]
    sheet = (folder / "gradcam_samples.png").read_bytes()
    assert (place / "gradcam" / "gradcam_sample.png").read_bytes() == sheet
    assert read_image(folder / "gradcam_samples.png").std() > 20


def test_wrong_answers_are_explained_for_the_predicted_and_the_true_class(place, tmp_path, capsys, monkeypatch):
    place = shutil.copytree(place, tmp_path / "place", ignore=shutil.ignore_patterns("gradcam"))
    sheets = []

    def recorded(*given, **more):
        sheets.append((given, more))
        draw_contact_sheet(*given, **more)

    monkeypatch.setattr("src.explainers.gallery.draw_contact_sheet", recorded)
    code, out, err = run(place, capsys, "--json", "--samples", 1)
    (tiles, captions, path), more = sheets[-1]
    assert code == 0 and "2 wrong answers once more" in err
    assert json.loads(out)["errors_sheet"] == str(path) == str(place / "gradcam/transfer/errors_explained.png")
    assert len(tiles) == 2 and "2 of 2 wrong answers" in more["title"] and read_image(path).std() > 10
    # The first red picture is a green square, and the other way round.
    for caption, predicted, true in zip(captions, ("red", "green"), ("green", "red")):
        lines = caption.split("\n")
        assert lines[0].endswith(predicted) and lines[1].endswith(true)
        assert lines[2] == f"no positive evidence for {true}"
    for tile in tiles:
        picture, for_predicted, for_true = np.split(tile, 3, axis=1)
        assert not np.array_equal(picture, for_predicted) and np.array_equal(picture, for_true)
    for name in CLASS_NAMES:
        (place / f"data/test/{name}/0.png").unlink()
    record = json.loads(run(place, capsys, "--json", "--samples", 1)[1])
    assert record["accuracy"] == 1 and record["errors_sheet"] is None and not path.exists()


def test_the_confidences_beside_a_map_are_those_of_prediction(place, tmp_path, capsys):
    place = shutil.copytree(place, tmp_path / "place")
    found = []
    for temperature in (1.0, 4.0):
        record = place / "models/transfer/bundle.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"temperature": temperature}))
        picture = place / "data/test/red/1.png"
        explained = json.loads(run(place, capsys, "--image", picture, "--json")[1])["pictures"][0]
        bundle = load_bundle("transfer", place / "models")
        assert explained["confidence"] == pytest.approx(bundle.predict(bundle.prepare([picture])).max(), abs=1e-6)
        found.append(explained)
    assert found[0]["confidence"] > found[1]["confidence"] + 1e-4 and found[0]["max"] == found[1]["max"]


def _without_network(place):
    """As a bundle of a network that OpenVINO does not take."""
    record = place / "models/transfer/bundle.json"
    info = json.loads(record.read_text())
    info["sha256"] = {"model.keras": info["sha256"]["model.keras"]}
    record.write_text(json.dumps(info))


@pytest.mark.parametrize("saved, engine_from, made, whole", [(True, 1, 0, 0), (False, 12, 1, 0), (False, 13, 0, 1)])
def test_the_network_in_the_bundle_or_an_engine_for_many_gives_the_same_maps(
    place, tmp_path, capsys, monkeypatch, saved, engine_from, made, whole
):
    place = shutil.copytree(place, tmp_path / "place")
    if not saved:
        _without_network(place)
    calls = {"made": 0, "whole": 0}

    def counted(key, function):
        def call(*arguments, **options):
            calls[key] += 1
            return function(*arguments, **options)

        return call

    monkeypatch.setattr("src.explaining.ENGINE_FROM", engine_from)
    monkeypatch.setattr("src.explaining.create_engine", counted("made", create_engine))
    monkeypatch.setattr(GradientModel, "__call__", counted("whole", GradientModel.__call__))
    assert run(place, capsys, "--samples", 1, "--no-covering")[0] == 0
    assert calls == {"made": made, "whole": whole}
    with np.load(place / "gradcam/transfer/heatmaps.npz") as kept:
        strongest = kept["heatmaps"].max(axis=(1, 2))
    np.testing.assert_allclose(strongest, np.full(12, 200 * 0.2 / 256), rtol=1e-4)


@pytest.mark.parametrize(
    ("layer", "info", "used"), [("features", {}, True), ("colours", {}, False), ("features", {"sha256": {}}, False)]
)
def test_a_saved_network_of_another_layer_or_training_is_not_used(place, layer, info, used):
    """Its activations would be no less plausible, and wrong."""
    bundle = load_bundle("transfer", place / "models")
    bundle = replace(bundle, info=bundle.info | info)
    arguments = Namespace(engine="auto", models_dir=place / "models")
    engine = partial(make_engine, bundle=bundle, name="transfer", arguments=arguments, count=1)
    assert ClassActivationMap(bundle.model, target_layer=layer, engine=engine).uses_engine == used


def test_a_changed_network_in_the_bundle_is_said_and_not_used(place, tmp_path, capsys):
    place = shutil.copytree(place, tmp_path / "place")
    with open(place / "models/transfer/network.bin", "ab") as stream:
        stream.write(b"x")
    code, _, err = run(place, capsys, "--samples", 1)
    assert code == 0 and "network.bin cannot be read or was changed" in err and "it is not used" in err


def test_table_for_people_and_a_named_class(place, tmp_path, capsys):
    folder = tmp_path / "transfer"
    folder.mkdir()
    earlier = {name: folder / name for name in ("errors_explained.png", "class_focus.png", "kept.png")}
    for path in earlier.values():
        path.write_bytes(b"of an earlier run")
    code, out, _ = run(place, capsys, "--model", "transfer", "--class", "RED", "--samples", 2, "--output", tmp_path)
    assert [name for name, path in earlier.items() if path.exists()] == ["kept.png"]
    assert code == 0 and "for the class red, 12 test pictures (83.3% predicted correctly)" in out
    assert "peak on the object (no tolerance)" in out
    correct = next(line.split() for line in out.splitlines() if line.startswith("  correct"))
    assert correct[1:3] == ["10", "5"]  # green pictures hold nothing for red: maps of zeros


def test_planted_marks_are_measured_where_there_are_any(place, tmp_path, capsys):
    """Two pictures have a mark: the one where the colour lies, the other in an empty corner."""
    data = shutil.copytree(place / "data", tmp_path / "data")
    write_image(data / "marks/test/red/3.png", read_image(data / "masks/test/red/3.png"))
    corner = np.zeros((32, 32), np.uint8)
    corner[28:, 28:] = 255
    write_image(data / "marks/test/red/0.png", corner)
    record = json.loads(run(place, capsys, "--json", "--samples", 1, "--data", data, "--output", tmp_path)[1])
    assert record["n_marks"] == 2 and record["n_masks"] == 12
    assert record["pointing_on_mark"] == 0.5 and record["energy_on_mark"] == pytest.approx(0.5)
    assert record["mark_area"] == pytest.approx((80 + 16) / 2 / 1024)
    assert record["marked_energy_in_mask"] == pytest.approx(1.0)


def test_single_pictures_need_no_data(place, capsys, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    write_image(tmp_path / "black.png", np.zeros((20, 30, 3), np.uint8))
    picture = place / "data/test/green/3.png"
    arguments = ("--data", tmp_path / "none", "--image", picture, tmp_path)
    code, out, err = run(place, capsys, *arguments)
    assert code == 3 and f"not read: {tmp_path / 'broken.jpg'}: " in err
    first, second = sorted(out.splitlines(), key=lambda line: "black" in line)
    saved = place / "gradcam/transfer/pictures/3.png"
    assert first.startswith(f"{picture}: green ") and first.endswith(f"-> {saved}") and saved.exists()
    assert "red 52.5%, no positive evidence" in second
    code, out, _ = run(place, capsys, "--image", picture, "--class", "red", "--json")
    row = json.loads(out)["pictures"][0]
    assert code == 0 and (row["class"], row["explained_class"], row["max"]) == ("green", "red", 0.0)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--class", "gren"], "no class gren; near it are green"),
        (["--layer", "logits"], "has no spatial output; these can be explained: colours, features"),
        (["--model", "nobody"], "train one with: python -m src.transfer_model"),
        (["--models-dir", "/nowhere"], "train one with: python -m src.transfer_model"),
        (["--data", "/nowhere"], "no data folder"),
        (["--image", "/nowhere.jpg"], "none of the 1 pictures could be read"),
    ],
)
def test_errors_are_one_sentence(place, capsys, arguments, reason):
    code, out, err = run(place, capsys, *arguments)
    assert code == 2 and out == "" and reason in err and "Traceback" not in err


def test_data_of_other_classes_are_refused(place, capsys, tmp_path):
    for name in ("green", "blue"):
        write_image(tmp_path / "test" / name / "0.png", np.zeros((8, 8, 3), np.uint8))
    code, _, err = run(place, capsys, "--data", tmp_path)
    assert code == 2 and "transfer was trained on the classes green, red, while" in err and "holds blue, green" in err


def test_several_models_are_one_json_line_and_names_are_told_apart(place, capsys):
    other = place / "other" / "second"
    shutil.copytree(place / "models" / "transfer", other, dirs_exist_ok=True)
    code, out, _ = run(place, capsys, "--json", "--samples", 1, "--model", "transfer", other)
    assert code == 0 and len(out.splitlines()) == 1
    models = json.loads(out)["models"]
    assert list(models) == ["transfer", "second"]
    assert models["transfer"]["pointing_game"] == models["second"]["pointing_game"]
    code, out, err = run(place, capsys, "--json", "--samples", 1, "--model", "transfer", place / "models" / "transfer")
    assert code == 2 and out == "" and "two of the models are called transfer" in err


def test_single_pictures_leave_the_sheet_of_the_test_part(place, capsys):
    run(place, capsys, "--samples", 1)
    sheet = (place / "gradcam/transfer/gradcam_samples.png").read_bytes()
    assert run(place, capsys, "--image", place / "data/test/red/2.png")[0] == 0
    assert (place / "gradcam/transfer/gradcam_samples.png").read_bytes() == sheet
    assert read_image(place / "gradcam/transfer/pictures.png").std() > 5


def test_help_loads_neither_tensorflow_nor_matplotlib():
    loaded = "import sys, src.gradcam; print([m for m in ('tensorflow', 'keras', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout.strip() == "[]"


class TestMakeGradcamHeatmap:
    def test_it_is_the_raw_map_of_the_logit(self):
        model = hand_weighted()
        for array in (HAND_INPUT, HAND_INPUT[0]):
            heatmap = make_gradcam_heatmap(array, model, "conv")
            assert heatmap.dtype == np.float32
            np.testing.assert_allclose(heatmap, HAND_INPUT[0, ..., 0] / 4, rtol=1e-6)
        assert make_gradcam_heatmap(HAND_INPUT, model, "conv", pred_index=1).max() == 0

    def test_layer_and_class_count(self):
        model, inputs = random_network(), random_inputs(1)
        expected = ClassActivationMap(model, target_layer="conv1").explain(inputs, 2).heatmaps[0]
        np.testing.assert_allclose(make_gradcam_heatmap(inputs, model, "conv1", 2), expected, atol=1e-7)
        assert make_gradcam_heatmap(inputs, model).shape == (4, 4)
        with pytest.raises(UserError, match="one picture"):
            make_gradcam_heatmap(random_inputs(2), model)

    def test_what_is_kept_for_a_model_goes_with_it(self):
        model = hand_weighted()
        make_gradcam_heatmap(HAND_INPUT, model)
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None
