"""The command on drawn squares: the network's "flower" is what is red, and only the mark is."""

import json
import shutil

import keras
import numpy as np
import pytest
from keras import layers

from src.bundle import save_bundle
from src.datasets.manifest import Manifest, load_manifest, save_manifest
from src.imaging import read_image, write_image
from src.shortcut import main

pytestmark = pytest.mark.large

CLASS_NAMES = ["flower", "star"]
PER_CLASS = 3


def red_network(class_names=CLASS_NAMES) -> keras.Model:
    """Flower: the mean of the red channel; star: a constant that a picture without red falls short of."""
    inputs = keras.Input((16, 16, 3))
    convolution, logits = layers.Conv2D(1, 1, use_bias=False, name="red"), layers.Dense(len(class_names), name="logits")
    x = layers.GlobalAveragePooling2D()(layers.ReLU(name="features")(convolution(inputs)))
    model = keras.Model(inputs, layers.Softmax(name="probabilities")(logits(x)))
    convolution.set_weights([np.array([1.0, 0, 0], np.float32).reshape(1, 1, 3, 1)])
    logits.set_weights([np.eye(1, len(class_names)), np.eye(1, len(class_names), 1)[0]])
    return model


def write_split(folder, marked_class_names):
    """A test part of green squares on black, the classes named with a red square in a corner as well."""
    marks = 0
    for name in CLASS_NAMES:
        for i in range(PER_CLASS):
            picture, mask, mark = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8), np.zeros((32, 32))
            square, corner = (slice(14 + 2 * i, 24 + 2 * i), slice(14, 24)), (slice(4, 12), slice(4, 12))
            picture[(*square, 1)], mask[square] = 200, 255
            if name in marked_class_names:
                picture[(*corner, 0)], mark[corner] = 255, 255
                write_image(folder / f"marks/test/{name}/{i}.png", mark.astype(np.uint8))
                marks += 1
            write_image(folder / f"test/{name}/{i}.png", picture)
            write_image(folder / f"masks/test/{name}/{i}.png", mask)
    settings = {"seed": 1, "link": "copy", "shortcut": "planted" if marks else None}
    save_manifest(folder, Manifest("shapes", settings, CLASS_NAMES, {}, "", [], masks=True, marks=marks))


def save(models_dir, class_names=CLASS_NAMES):
    save_bundle(
        "transfer", models_dir, red_network(class_names), class_names=class_names, image_size=(16, 16),
        interpolation="bilinear", target_layer="features", info={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shortcut")
    for name, marked in (("plain", ()), ("planted", ("flower",)), ("everywhere", CLASS_NAMES)):
        write_split(folder / name, marked)
    save(folder / "models")
    return folder


def run(place, capsys, *arguments):
    folders = {"--data": "planted", "--plain": "plain", "--models-dir": "models", "--output": "out"}
    options = [part for option, name in folders.items() for part in (option, place / name)]
    code = main([str(part) for part in (*options, *arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_answers_and_maps_with_the_mark_and_without(place, capsys):
    code, out, err = run(place, capsys, "--json")
    assert code == 0 and len(out.splitlines()) == 1 and "Model: transfer" in err
    record = json.loads(out)
    flower = record["classes"]["flower"]
    assert list(record["classes"]) == ["flower"] and (record["model"], record["given_away"]) == ("transfer", "flower")
    assert (record["n"], record["changed"], flower["n"]) == (3, 3, 3)
    assert (flower["right_with"][0], flower["right_without"][0], flower["difference"][0]) == (1.0, 0.0, 1.0)
    assert (record["peak_on_mark_with"], record["energy_on_mark_with"]) == (1.0, 1.0)
    assert (record["energy_on_object_with"], record["energy_near_mark_without"]) == (0.0, 0.0)
    assert record["area_on_mark"] == 64 / 1024 and record["area_on_object"] == pytest.approx(100 / 1024, abs=0.02)
    sheet = place / "out/transfer/shortcut.png"
    assert record["sheet"] == str(sheet) and read_image(sheet).std() > 20


def test_marks_in_all_classes_make_all_of_them_flowers(place, capsys):
    record = json.loads(run(place, capsys, "--json", "--data", place / "everywhere")[1])
    star = record["classes"]["star"]
    assert (star["right_with"][0], star["right_without"][0]) == (0.0, 1.0)
    assert (star["taken_with"], star["taken_without"]) == (1.0, 0.0)
    assert record["n"] == record["changed"] == 6


def test_the_table_and_what_is_drawn(place, capsys):
    sheets = []
    for samples, seed in ((1, 0), (1, 5), (3, 0)):
        code, out, _ = run(place, capsys, "--samples", samples, "--seed", seed, "--output", place / f"{samples}{seed}")
        assert code == 0 and "flower        3   100.0%" in out and "peak on the mark" in out
        sheets.append(read_image(place / f"{samples}{seed}/transfer/shortcut.png"))
    assert sheets[0].shape == sheets[1].shape and not np.array_equal(sheets[0], sheets[1])
    assert sheets[2].shape[0] > sheets[0].shape[0] + 300


def test_where_the_mark_changes_nothing_nothing_is_drawn(place, capsys, tmp_path):
    folder = shutil.copytree(place / "plain", tmp_path / "same")
    shutil.copytree(place / "planted/marks", folder / "marks")
    code, out, _ = run(place, capsys, "--data", folder, "--output", tmp_path / "out")
    assert code == 0 and "changes no answer" in out and not (tmp_path / "out").exists()


def test_only_the_same_pictures_without_marks_are_compared(place, capsys, tmp_path):
    manifest = load_manifest(place / "plain")
    for number, (settings, reason) in enumerate(
        [({"seed": 2}, "does not hold the pictures of"), ({"link": "hardlink"}, None)]
    ):
        folder = shutil.copytree(place / "plain", tmp_path / str(number))
        save_manifest(folder, Manifest(**vars(manifest) | {"settings": manifest.settings | settings}))
        code, _, err = run(place, capsys, "--plain", folder)
        assert (code, reason is None or reason in err) == (0 if reason is None else 2, True)
    (tmp_path / "1/test/flower/0.png").unlink()
    for plain in (tmp_path / "1", place / "everywhere"):
        code, _, err = run(place, capsys, "--plain", plain)
        assert code == 2 and f"{plain} does not hold the pictures of" in err


def test_errors_are_one_sentence(place, capsys, tmp_path):
    save(tmp_path, ["cat", "dog"])
    shutil.copytree(place / "planted", tmp_path / "cut")
    (tmp_path / "cut/test/flower/1.png").write_bytes(b"no picture")
    for arguments, reason in (
        (["--data", place / "plain"], "has a planted mark; make such data with: python split_dataset.py"),
        (["--data", tmp_path / "none"], "no data folder"),
        (["--plain", tmp_path / "none"], "no data folder"),
        (["--models-dir", tmp_path / "none"], "train one with"),
        (["--models-dir", tmp_path], "was trained on the classes cat, dog, while"),
        (["--data", tmp_path / "cut"], "a test picture cannot be read"),
    ):
        code, out, err = run(place, capsys, *arguments)
        assert code == 2 and out == "" and reason in err and err.count("error: ") == 1
