"""The command on small bundles: alone, together, pair by pair, with flips and against the training part."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest

from src.bundle import load_bundle, save_bundle
from src.evaluate import main
from src.evaluation.calibration import apply_temperature, average_logits
from src.frozen_bundle import load_frozen_bundle
from src.imaging import read_image, write_image
from src.loading.parts import get_data_generator
from src.networks.baseline import build_baseline_model
from src.networks.heads import add_head
from tests.datasets.textures import texture

pytestmark = pytest.mark.large

CLASSES = ["dark", "light"]


def _build_by_brightness(size):
    """A network that knows light pictures, its first class, from dark ones."""
    inputs = keras.Input((size, size, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255, name="target")(inputs))
    model = keras.Model(inputs, add_head(pooled, 2))
    model.get_layer("logits").set_weights([np.array([[4.0, -4.0]] * 3), np.array([-6.0, 6.0])])
    return model


def _save(folder, name, model, size, class_names, **info):
    return save_bundle(
        name, folder, model, class_names=class_names,
        image_size=(size, size), interpolation="bilinear", target_layer="target", info=info,
    )  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """One at random, one that knows, of another size, order of classes and temperature; and one of other classes."""
    folder = tmp_path_factory.mktemp("models")
    keras.utils.set_random_seed(1)
    _save(folder, "first", build_baseline_model(2, (24, 24)), 24, CLASSES, temperature=2.0)
    _save(folder, "second", _build_by_brightness(32), 32, CLASSES[::-1])
    _save(folder, "other", build_baseline_model(3, (24, 24)), 24, ["cat", "dog", "fox"])
    return folder


def _expected(models, data, name, part="test", flips=False, softened=True):
    """Probabilities in the order of CLASSES, by the bundle alone."""
    bundle = load_frozen_bundle(name, models)
    pictures = get_data_generator(data, part, bundle.image_size, 100, shuffle=False, class_mode="sparse")
    rows = (bundle.predict if softened else bundle.answer)(pictures[0][0], flips=flips)
    return rows[:, [bundle.class_names.index(each) for each in CLASSES]], pictures.classes


def _run(capsys, models, data, output, *arguments):
    options = ["--models-dir", models, "--data", data, "--output", output, *arguments]
    code = main(list(map(str, options)))
    said = capsys.readouterr()
    return code, said.out, said.err


def _rows(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_all_at_once(models, small_data, tmp_path, capsys):
    code, out, err = _run(capsys, models, small_data, tmp_path, "--ensemble", "--gap", "--json", "--batch-size", 5)
    assert code == 0, err
    record = json.loads(out.splitlines()[-1])
    assert list(record["models"]) == ["first", "second", "ensemble"] and "Skipped: other" in err
    answers = {name: _expected(models, small_data, name)[0] for name in ("first", "second")}
    answers["ensemble"] = average_logits(list(answers.values()))
    labels = _expected(models, small_data, "first")[1]
    right = {name: rows.argmax(axis=1) == labels for name, rows in answers.items()}
    for name, rows in answers.items():
        figures = record["models"][name]
        assert figures["accuracy"] == right[name].mean() and figures["n"] == 12
        nll = -np.log(rows[np.arange(12), labels]).mean()
        assert figures["calibration"]["nll"] == pytest.approx(nll, rel=1e-4)
        saved = json.loads((tmp_path / name / "metrics.json").read_text())
        digests = [load_bundle(each, models).digest for each in ("first", "second")]
        origin = {"network": digests[name == "second"]}
        if name == "ensemble":
            origin = {"network": None, "member_networks": digests}
        assert saved.pop("command").startswith("python -m src.evaluate --models-dir ")
        assert saved == figures | origin | {"data": None}
        bins = figures["calibration"]["reliability"]
        assert sum(row["n"] for row in bins) == 12 and sum(row["right"] for row in bins) == right[name].sum()
        assert len(_rows(tmp_path / name / "predictions.csv")) == 12
        for picture in ("reliability", "coverage", "per_class", "top_losses", "confusion_matrix"):
            assert read_image(tmp_path / name / f"{picture}.png").std() > 1
    before = average_logits([_expected(models, small_data, name, softened=False)[0] for name in ("first", "second")])
    nll = -np.log(before[np.arange(12), labels]).mean()
    assert record["models"]["ensemble"]["calibration"]["nll_before"] == pytest.approx(nll, rel=1e-4)
    assert abs(nll - record["models"]["ensemble"]["calibration"]["nll"]) > 1e-3
    assert right["second"].all() and right["ensemble"].mean() > right["first"].mean()
    assert len({figures["calibration"]["nll"] for figures in record["models"].values()}) == 3
    pairs = {(pair["first"], pair["second"]): pair for pair in record["pairs"]}
    told = {name: (figures["temperature"], figures["members"]) for name, figures in record["models"].items()}
    assert told == {"first": (2.0, []), "second": (1.0, []), "ensemble": (None, ["first", "second"])}
    assert set(pairs) == {("first", "second"), ("first", "ensemble"), ("second", "ensemble")}
    assert pairs["first", "second"]["only_first"] == (right["first"] & ~right["second"]).sum()
    assert "first against second: " in err and len(_rows(tmp_path / "pairs.csv")) == 3
    assert [row["model"] for row in _rows(tmp_path / "comparison.csv")] == ["first", "second", "ensemble"]
    for name in ("first", "second"):
        rows, train_labels = _expected(models, small_data, name, "train")
        gap = record["models"][name]["gap"]
        assert gap["train_n"] == 24 and gap["train_accuracy"] == (rows.argmax(axis=1) == train_labels).mean()
        assert gap["gap"] == pytest.approx(gap["train_accuracy"] - right[name].mean())
    together = average_logits([_expected(models, small_data, name, "train")[0] for name in ("first", "second")])
    accuracy = (together.argmax(axis=1) == train_labels).mean()
    assert record["models"]["ensemble"]["gap"]["train_accuracy"] == accuracy
    same = tmp_path / "second" / "confusion_matrix.png"
    assert (tmp_path / "confusion_matrix.png").read_bytes() == same.read_bytes(), "a model's, not the ensemble's"


def test_the_temperature_is_applied_and_reported(models, small_data, tmp_path, capsys):
    _, out, _ = _run(capsys, models, small_data, tmp_path, "--model", "first", "--json")
    figures = json.loads(out)["models"]["first"]["calibration"]
    rows, labels = _expected(models, small_data, "first")
    before = apply_temperature(rows, 1 / 2.0)
    assert figures["nll_before"] == pytest.approx(-np.log(before[np.arange(12), labels]).mean(), rel=1e-4)
    assert abs(figures["nll"] - figures["nll_before"]) > 1e-3
    assert not (tmp_path / "pairs.csv").exists() and not (tmp_path / "comparison.csv").exists()


def test_flips_change_the_answers_and_are_recorded(models, tmp_path, capsys):
    nll, data = {}, tmp_path / "data"
    for number, name in enumerate(CLASSES * 2):  # pictures whose left and right differ by much
        blocks = np.random.default_rng(number).integers(0, 256, (3, 3, 3), dtype=np.uint8)
        write_image(data / "test" / name / f"{number}.png", blocks.repeat(8, axis=0).repeat(8, axis=1))
    for flips in (False, True):
        extra = ["--flips"] if flips else []
        _, out, _ = _run(capsys, models, data, tmp_path, "--model", "first", "--json", *extra)
        figures = json.loads(out)["models"]["first"]
        assert figures["test_time_flips"] is flips
        nll[flips] = figures["calibration"]["nll"]
        rows, labels = _expected(models, data, "first", flips=flips)
        assert nll[flips] == pytest.approx(-np.log(rows[np.arange(4), labels]).mean(), rel=1e-4)
    assert abs(nll[True] - nll[False]) > 3e-4


@pytest.mark.slow
def test_a_later_run_over_all_leaves_nothing_of_an_ensemble_or_of_pairs(models, small_data, tmp_path, capsys):
    for name in ("first", "second"):
        shutil.copytree(models / name, tmp_path / "models" / name)
    output, metrics = tmp_path / "out", tmp_path / "out" / "ensemble" / "metrics.json"
    assert _run(capsys, tmp_path / "models", small_data, output, "--ensemble")[0] == 0 and metrics.is_file()
    assert _run(capsys, tmp_path / "models", small_data, output, "--model", "first")[0] == 0
    assert metrics.is_file(), "one model by name leaves the rest as it is"
    assert _run(capsys, tmp_path / "models", small_data, output)[0] == 0
    assert not metrics.parent.exists() and (output / "pairs.csv").is_file()
    shutil.rmtree(tmp_path / "models" / "second")
    assert _run(capsys, tmp_path / "models", small_data, output)[0] == 0
    assert not (output / "pairs.csv").exists()
    shutil.copytree(models / "second", tmp_path / "models" / "ensemble")
    assert _run(capsys, tmp_path / "models", small_data, output)[0] == 0 and metrics.is_file(), "a model of that name"


def test_a_plain_file_is_compared_with_a_bundle(models, small_data, tmp_path, capsys):
    shutil.copyfile(models / "second" / "model.keras", tmp_path / "plain.keras")
    arguments = ("--model", "first", tmp_path / "plain.keras", "--classes", *CLASSES[::-1], "--preprocessing", "none")
    code, out, err = _run(capsys, models, small_data, tmp_path / "out", *arguments, "--json")
    assert code == 0, err
    found = json.loads(out)["models"]
    rows, labels = _expected(models, small_data, "second")
    assert found["plain"]["accuracy"] == (rows.argmax(axis=1) == labels).mean() and "first" in found
    code, _, err = _run(capsys, models, small_data, tmp_path / "out", "--model", "first", "--classes", *CLASSES)
    assert code == 2 and "a bundle knows its own" in err


def test_two_of_one_name_would_share_their_results(models, small_data, tmp_path, capsys):
    shutil.copytree(models / "second", tmp_path / "first")
    code, _, err = _run(capsys, models, small_data, tmp_path / "out", "--model", "first", tmp_path / "first")
    assert code == 2 and "rename one, or link to it by another name" in err
    (tmp_path / "link").symlink_to(tmp_path / "first")
    assert _run(capsys, models, small_data, tmp_path / "out", "--model", "first", tmp_path / "link")[0] == 0


def test_the_gap_needs_the_training_part(models, small_data, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(small_data / "test", data / "test")
    code, _, err = _run(capsys, models, data, tmp_path / "out", "--model", "first", "--gap")
    assert code == 2 and "no folder train" in err
    assert _run(capsys, models, data, tmp_path / "out", "--model", "first")[0] == 0


def test_what_makes_no_ensemble_is_one_sentence(models, small_data, tmp_path, capsys):
    code, _, err = _run(capsys, models, small_data, tmp_path, "--ensemble", "--model", "first")
    assert code == 2 and "at least two models" in err and "only first" in err
    code, _, err = _run(capsys, models, small_data, tmp_path, "--ensemble", "--model", "other", "first")
    assert code == 2 and "other was trained on the classes cat, dog, fox" in err
    alone = tmp_path / "alone"
    shutil.copytree(models / "first", alone / "first")
    shutil.copytree(models / "other", alone / "other")
    code, _, err = _run(capsys, alone, small_data, tmp_path, "--ensemble")
    assert code == 2 and "only first" in err
    shutil.copytree(models / "second", alone / "ensemble")
    code, _, err = _run(capsys, alone, small_data, tmp_path, "--ensemble")
    assert code == 2 and "a model called ensemble" in err
    assert not (tmp_path / "first").exists(), "found out before anything is computed"


def test_a_member_that_is_damaged_leaves_too_few(models, small_data, tmp_path, capsys):
    for name in ("first", "second"):
        shutil.copytree(models / name, tmp_path / "models" / name)
    (tmp_path / "models" / "second" / "model.keras").write_bytes(b"")
    code, _, err = _run(capsys, tmp_path / "models", small_data, tmp_path / "out", "--ensemble")
    assert code == 2 and "Skipped: " in err and "at least two models" in err


# ---------------------------------------------------------------------------------- pictures that a model has learned


@pytest.fixture
def leaked(tmp_path):
    """Test pictures of which the models have learned: of the class dark one very file, of light a mirrored copy."""
    data, trained = tmp_path / "data", tmp_path / "trained"
    for number in range(8):
        name = CLASSES[number % 2]
        shade = texture(number) // 3 + (150 if name == "light" else 0)
        write_image(data / "test" / name / f"{number}.png", shade)
    trained.mkdir()
    shutil.copy(data / "test" / "dark" / "0.png", trained / "a.png")
    write_image(trained / "b.png", np.ascontiguousarray(read_image(data / "test" / "light" / "3.png")[:, ::-1]))
    write_image(trained / "c.png", texture(50))
    return data, sorted(map(str, trained.iterdir()))


def _save_trained(folder, name, pictures):
    return save_bundle(
        name, folder, _build_by_brightness(32), class_names=CLASSES[::-1], image_size=(32, 32),
        interpolation="bilinear", target_layer="target", info={}, pictures=pictures,
    )  # fmt: skip


def test_test_pictures_that_a_model_has_learned_are_told(leaked, tmp_path, capsys):
    data, trained = leaked
    _save_trained(tmp_path / "models", "a", trained)
    _save_trained(tmp_path / "models", "b", trained[:1])
    code, out, err = _run(capsys, tmp_path / "models", data, tmp_path / "out", "--ensemble", "--json")
    models = json.loads(out.splitlines()[-1])["models"]
    seen = {name: models[name]["seen_in_training"] for name in ("a", "b", "ensemble")}
    assert code == 0 and seen["a"] == seen["ensemble"]
    assert [seen["a"][key] for key in ("identical", "near_copies", "n_others")] == [
        [str(data / "test" / "dark" / "0.png")], [str(data / "test" / "light" / "3.png")], 6,
    ]  # fmt: skip
    assert (seen["b"]["near_copies"], seen["b"]["n_others"]) == ([], 7)
    with open(tmp_path / "out" / "a" / "predictions.csv", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if not row["path"].endswith(("dark/0.png", "light/3.png"))]
    right = sum(row["true"] == row["predicted"] for row in rows)
    assert len(rows) == 6 and seen["a"]["accuracy_on_others"] == pytest.approx(right / 6)
    assert "WARNING: a has learned from 2 of these 8 test pictures (1 identical, 1 near-copies)" in err
    assert f"on the 6 others its accuracy is {right / 6:.4f}" in err and "split anew" in err


def test_models_without_a_record_or_with_a_damaged_one(leaked, tmp_path, capsys):
    data, trained = leaked
    folder = _save_trained(tmp_path / "models", "a", trained)
    _save(tmp_path / "models", "b", _build_by_brightness(32), 32, CLASSES[::-1])
    (folder / "pictures.npz").write_bytes(b"cut off")
    code, out, err = _run(capsys, tmp_path / "models", data, tmp_path / "out", "--ensemble", "--json")
    models = json.loads(out.splitlines()[-1])["models"]
    assert code == 0 and all(models[name]["seen_in_training"] is None for name in ("a", "b", "ensemble"))
    assert "cannot be told which test pictures a has learned from" in err and "WARNING" not in err
