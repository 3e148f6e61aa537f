"""Bundles: whole, verified, and with what they need; plain models only with their facts."""

import json

import keras
import numpy as np
import pytest

from src.bundle import load_bundle, save_bundle, to_probabilities
from src.errors import UserError
from src.imaging import write_image
from src.model_choice import check_output, choose_model, list_bundles
from src.networks.baseline import build_baseline_model
from src.training.history import TrainingHistory

pytestmark = pytest.mark.large

NAMES = ["cat", "dog", "fox"]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_baseline_model(3, (32, 32))


@pytest.fixture
def models_dir(model, tmp_path):
    rows = [
        {"epoch": 1, "phase": 1, "loss": 2.0, "val_loss": 2.0, "accuracy": 0.1, "val_accuracy": 0.1},
        {"epoch": 2, "phase": 1, "loss": 1.0, "val_loss": 1.5, "accuracy": 0.2, "val_accuracy": 0.3},
    ]
    save_bundle(
        "first", tmp_path, model, class_names=NAMES, image_size=(32, 32), interpolation="bilinear",
        target_layer="conv3", info={"backbone": None, "metrics": {"val_loss": 0.5}},
        history=TrainingHistory(model, rows, rows[1]),
    )  # fmt: skip
    return tmp_path


def test_round_trip(model, models_dir):
    bundle = load_bundle("first", models_dir)
    inputs = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(bundle.predict(inputs), model(inputs), rtol=1e-5)
    assert bundle.class_names == ("cat", "dog", "fox")
    assert (bundle.image_size, bundle.interpolation, bundle.target_layer) == ((32, 32), "bilinear", "conv3")
    assert bundle.info["metrics"] == {"val_loss": 0.5} and "keras" in bundle.info["versions"]
    assert list_bundles(models_dir) == ["first"]
    assert sorted(path.name for path in (models_dir / "first").iterdir()) == [
        "bundle.json", "history.csv", "model.keras", "network.bin", "network.xml", "training_curves.png",
    ]  # fmt: skip
    assert load_bundle(models_dir / "first").name == "first"


def test_prepare_reads_rgb_at_the_bundles_size(models_dir, tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 200
    write_image(tmp_path / "red.png", image)
    inputs = load_bundle("first", models_dir).prepare([tmp_path / "red.png"])
    assert inputs.shape == (1, 32, 32, 3) and inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs[0, 0, 0], [200, 0, 0])


def test_a_changed_or_cut_off_model_is_refused(models_dir):
    path = models_dir / "first" / "model.keras"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1] + b"x", b""):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="cut off or changed"):
            load_bundle("first", models_dir)
    path.unlink()
    with pytest.raises(UserError, match="missing"):
        load_bundle("first", models_dir)


def test_a_damaged_description_is_refused(models_dir):
    path = models_dir / "first" / "bundle.json"
    record = json.loads(path.read_text())
    for key in ("class_names", "sha256", "format", "image_size"):
        path.write_text(json.dumps({name: value for name, value in record.items() if name != key}))
        with pytest.raises(UserError, match="not a bundle's description"):
            load_bundle("first", models_dir)
    changes = [
        {"class_names": names} for names in ([], "cat", ["cat", 3, "fox"], ["cat", "cat", "fox"], ["", "a", "b"])
    ]
    changes += [{"image_size": size} for size in ("32", [32, -32], [32.5, 32], [10**9, 10**9], [32, True], [1e999, 1])]
    changes += [
        {"sha256": record["sha256"] | {"network.bin": 3}},
        {"target_layer": None},
        {"interpolation": ["nearest"]},
    ]
    for change in changes:
        path.write_text(json.dumps(record | change))
        with pytest.raises(UserError, match="not a bundle's description|not valid JSON"):
            load_bundle("first", models_dir)
    path.write_text(json.dumps(record | {"class_names": ["cat", "dog"]}))
    with pytest.raises(UserError, match="3 outputs but 2"):
        load_bundle("first", models_dir)


def test_a_missing_bundle_names_those_there_are(models_dir):
    with pytest.raises(UserError, match="there are first"):
        load_bundle("second", models_dir)


def test_a_plain_model_needs_its_facts(model, tmp_path):
    path = tmp_path / "own.keras"
    model.save(path)
    for facts in ({}, {"class_names": NAMES}, {"preprocessing": "none"}):
        with pytest.raises(UserError, match="say its classes"):
            load_bundle(path, **facts)
    with pytest.raises(UserError, match="tells 3 classes apart, --classes names 2"):
        load_bundle(path, class_names=["a", "b"], preprocessing="none")
    bundle = load_bundle(path, class_names=NAMES, preprocessing="0-1")
    images = np.full((1, 32, 32, 3), 255.0, np.float32)
    np.testing.assert_array_equal(bundle.preprocess(images), np.ones_like(images))
    np.testing.assert_array_equal(images, 255.0)
    assert bundle.name == "own"


def test_wrong_files_are_refused(tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(UserError, match="cannot be loaded|can be loaded safely"):
        load_bundle(tmp_path / "text.keras", class_names=NAMES, preprocessing="none")
    inputs = keras.Input((8, 8, 3))
    features = keras.layers.Lambda(lambda x: x * 2, name="double")(inputs)
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(features))
    keras.Model(inputs, outputs).save(tmp_path / "lambda.keras")
    with pytest.raises(UserError, match="its layer 'double' is a Lambda"):
        load_bundle(tmp_path / "lambda.keras", class_names=NAMES, preprocessing="none")
    with pytest.raises(UserError, match="no such file"):
        load_bundle(tmp_path / "missing.h5", class_names=NAMES, preprocessing="none")


def _dense(units, activation):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])


def test_probabilities_of_every_kind_of_output():
    half = np.float32([[0.25], [1.0]])
    np.testing.assert_allclose(to_probabilities(half, _dense(1, "sigmoid")), [[0.75, 0.25], [0, 1]])
    np.testing.assert_allclose(to_probabilities(np.float32([[0.0]]), _dense(1, None)), [[0.5, 0.5]])
    softmax = np.float32([[0.2, 0.8]])
    np.testing.assert_array_equal(to_probabilities(softmax, _dense(2, "softmax")), softmax)
    units = to_probabilities(np.float32([[0.6, 0.9], [0.2, 0.1], [0, 0]]), _dense(2, "sigmoid"))
    np.testing.assert_allclose(units, [[0.4, 0.6], [2 / 3, 1 / 3], [0.5, 0.5]], rtol=1e-6)
    logits = np.log(np.float32([[1, 3]])) + 100
    np.testing.assert_allclose(to_probabilities(logits, _dense(2, None)), [[0.25, 0.75]], rtol=1e-4)


@pytest.mark.parametrize(
    "name, reason",
    [
        ("", "will not do"), ("..", "will not do"), (".x", "will not do"), ("a/b", "will not do"),
        ("imagenet", "will not do"), ("net.keras", "looks like a file"), ("photos", "something else than a model"),
    ],
)  # fmt: skip
def test_only_a_bundle_gives_way_to_a_bundle(models_dir, name, reason):
    (models_dir / "photos").mkdir()
    (models_dir / "photos" / "a.jpg").write_bytes(b"x")
    (models_dir / "empty").mkdir()
    with pytest.raises(UserError, match=reason):
        check_output(models_dir, name)
    for good in ("first", "empty", "new"):
        check_output(models_dir, good)
    check_output(models_dir / "new" / "deep", "x")
    assert sorted(path.name for path in models_dir.iterdir()) == ["empty", "first", "photos"]
    with pytest.raises(UserError, match="a file stands where a folder is needed"):
        check_output(models_dir / "photos" / "a.jpg", "x")


def test_the_model_that_fits_the_data_is_chosen(models_dir):
    (models_dir / "transfer").mkdir()
    (models_dir / "transfer" / "bundle.json").write_text('{"class_names": ["a", "b"]}')
    assert choose_model(models_dir) == "transfer"
    assert choose_model(models_dir, ["fox", "cat", "dog"]) == "first"
    assert choose_model(models_dir, ["a", "b"]) == "transfer"
    assert choose_model(models_dir, ["x", "y"]) == "transfer"
    with pytest.raises(UserError, match="--model imagenet"):
        choose_model(models_dir / "none")


def test_answers_that_are_no_numbers_are_refused(models_dir):
    bundle = load_bundle("first", models_dir)
    bundle.model.set_weights([np.full_like(weight, np.nan) for weight in bundle.model.get_weights()])
    with pytest.raises(UserError, match="the model first answers with NaN"):
        bundle.predict(np.zeros((1, 32, 32, 3), np.float32))


def test_imagenet_bundle_has_its_names_offline():
    bundle = load_bundle("imagenet")
    assert len(bundle.class_names) == 1000 and bundle.class_names[:2] == ("tench", "goldfish")
    assert bundle.model.output_shape == (None, 1000)
    assert len(set(bundle.class_names)) == 1000
    assert [bundle.class_names[i] for i in (134, 282, 517, 639, 657, 837)] == [
        "crane bird", "tiger cat", "construction crane", "maillot, tank suit", "missile", "sunglasses",
    ]  # fmt: skip
