"""The command, with a bundle that carries the form which needs no TensorFlow."""

import json
import shutil

import keras
import numpy as np
import pytest

from benchmarks.bench_start import FURTHER, run_python
from src.bundle import save_bundle
from src.imaging import write_image
from src.networks.baseline import BASELINE_TARGET_LAYER, build_baseline_model
from src.predict import main
from tests.conftest import check_user_error, run_command


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """models/transfer and six pictures of noise."""
    folder = tmp_path_factory.mktemp("predict")
    keras.utils.set_random_seed(0)
    save_bundle(
        "transfer", folder / "models", build_baseline_model(3, (32, 32)), class_names=["cat", "dog", "fox"],
        image_size=(32, 32), interpolation="bilinear", target_layer=BASELINE_TARGET_LAYER, info={},
    )  # fmt: skip
    for number in range(6):
        image = np.random.default_rng(number).integers(0, 256, (40, 30, 3), dtype=np.uint8)
        write_image(folder / "pictures" / f"{number}.png", image)
    return folder


def _confidences(output: str) -> list[dict]:
    return [{item["class"]: item["confidence"] for item in row["top"]} for row in json.loads(output)["predictions"]]


def _predict(capsys, models, *arguments) -> list[dict]:
    assert main([*map(str, arguments), "--models-dir", str(models), "--json"]) == 0
    return _confidences(capsys.readouterr().out)


def _check_close(ours, expected):
    assert len(ours) == len(expected)
    for row, reference in zip(ours, expected):
        assert row == pytest.approx(reference, abs=1e-4)


@pytest.mark.commands
def test_no_tensorflow_is_loaded_where_the_bundle_carries_the_form(place, capsys):
    probe = (
        "import sys\n"
        "from src.predict import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = {'tensorflow', 'keras', 'matplotlib', 'sklearn', 'scipy', 'pandas', 'PIL'} & sys.modules.keys()\n"
        "sys.exit(code or ' '.join(heavy) or 0)\n"
    )
    result = run_command("-c", probe, "pictures", "--json", cwd=place)
    assert result.returncode == 0, result.stderr
    _check_close(
        _confidences(result.stdout), _predict(capsys, place / "models", place / "pictures", "--engine", "keras")
    )


@pytest.mark.parametrize("count", [1, 6])
def test_the_engines_agree(place, capsys, count):
    """One picture, and more in batches, the last one smaller."""
    pictures = [place / "pictures" / f"{number}.png" for number in range(count)]
    expected = _predict(capsys, place / "models", *pictures, "--engine", "keras")
    assert len({tuple(row.values()) for row in expected}) == count, "the pictures must differ"
    for engine in ("auto", "openvino"):
        options = ("--engine", engine, "--batch-size", 4)
        _check_close(_predict(capsys, place / "models", *pictures, *options), expected)


def test_a_changed_form_is_not_used_and_keras_goes_on(place, tmp_path, capsys):
    picture = place / "pictures" / "0.png"
    expected = _predict(capsys, place / "models", picture, "--engine", "keras")
    models = shutil.copytree(place / "models", tmp_path / "models")
    path = models / "transfer" / "network.bin"
    path.write_bytes(bytes(path.stat().st_size))  # as long as before, every weight 0: it would answer, and wrongly
    assert main([str(picture), "--models-dir", str(models), "--json"]) == 0
    said = capsys.readouterr()
    assert _confidences(said.out) == expected
    lines = [line for line in said.err.splitlines() if "network.bin" in line]
    assert len(lines) == 1 and "changed since it was saved" in lines[0] and "it is not used" in lines[0]
    path.unlink()
    assert _predict(capsys, models, picture) == expected


@pytest.mark.commands
def test_the_benchmark_times_further_pictures(place):
    """Its program runs as a text of its own, where nothing else would notice that it no longer fits."""
    pictures = [place / "pictures" / f"{number}.png" for number in range(3)]
    assert float(run_python("-c", FURTHER, "transfer", place / "models", "openvino", *pictures)[1]) > 0


@pytest.mark.commands
def test_what_cannot_be_used_is_one_sentence(place, tmp_path):
    models = shutil.copytree(place / "models", tmp_path / "models")
    (models / "transfer" / "network.bin").write_bytes(b"")
    arguments = ("-m", "src.predict", "pictures", "--models-dir", models)
    check_user_error(run_command(*arguments, "--engine", "openvino", cwd=place), "network.bin", "changed since")
    check_user_error(run_command(*arguments, "--engine", "openvino", "--model", "imagenet", cwd=place), "--engine")
    plain = ("--model", models / "transfer" / "model.keras", "--classes", "a", "b", "--preprocessing", "none")
    check_user_error(run_command(*arguments, "--engine", "openvino", *plain, cwd=place), "leave out --engine")
    (models / "transfer" / "model.keras").unlink()
    check_user_error(run_command(*arguments, cwd=place), "model.keras", "train the model anew")


@pytest.fixture(scope="module")
def pair(place):
    """models/ with a second model, of another size and order of classes, and a third of other classes."""
    folder = shutil.copytree(place / "models", place / "several")
    for name, size, class_names in (("small", 24, ["fox", "dog", "cat"]), ("other", 24, ["a", "b"])):
        keras.utils.set_random_seed(7)
        save_bundle(
            name, folder, build_baseline_model(len(class_names), (size, size)), class_names=class_names,
            image_size=(size, size), interpolation="bilinear", target_layer=BASELINE_TARGET_LAYER, info={},
        )  # fmt: skip
    return folder


def test_an_ensemble_answers_by_the_mean_logits_of_its_members(place, pair, capsys):
    pictures, options = place / "pictures", ("--engine", "keras", "--batch-size", 4)
    alone = [_predict(capsys, pair, pictures, "--model", name, *options) for name in ("transfer", "small")]
    together = _predict(capsys, pair, pictures, "--model", "transfer", "small", "--ensemble", *options)
    for rows in zip(*alone, together):
        one, other, both = ([row[name] for name in ("cat", "dog", "fox")] for row in rows)
        assert np.abs(np.subtract(one, other)).max() > 1e-3, "or nothing would be seen of it"
        product = np.sqrt(np.multiply(one, other))
        np.testing.assert_allclose(both, product / product.sum(), atol=2e-6)
    quick = _predict(capsys, pair, pictures, "--model", "transfer", "small", "--ensemble", "--engine", "openvino")
    _check_close(quick, together)


def test_an_ensemble_is_of_the_classes_of_the_model_that_is_used_alone(place, pair, capsys):
    options = (place / "pictures", "--ensemble", "--engine", "keras")
    assert main([*map(str, options), "--models-dir", str(pair), "--json"]) == 0
    said = capsys.readouterr()
    assert "Models: small and transfer, which know the classes of transfer" in said.err
    expected = _predict(capsys, pair, *options, "--model", "small", "transfer")
    assert _confidences(said.out) == expected


def test_models_of_one_name_in_different_folders_make_an_ensemble(place, pair, tmp_path, capsys):
    shutil.copytree(pair / "small", tmp_path / "transfer")
    options = (place / "pictures", "--ensemble", "--engine", "keras", "--model", "transfer")
    expected = _predict(capsys, pair, *options, "small")
    assert _predict(capsys, pair, *options, tmp_path / "transfer") == expected


def test_a_plain_file_answers_together_with_a_bundle(place, pair, tmp_path, capsys):
    shutil.copyfile(pair / "small" / "model.keras", tmp_path / "plain.keras")
    options = (place / "pictures", "--ensemble", "--model", "transfer")
    facts = ("--classes", "fox", "dog", "cat", "--preprocessing", "none")
    expected = _predict(capsys, pair, *options, "small", "--engine", "keras")
    _check_close(_predict(capsys, pair, *options, tmp_path / "plain.keras", *facts), expected)


def test_flips_change_the_answer_but_not_that_to_a_symmetric_picture(place, tmp_path, capsys):
    half = np.random.default_rng(0).integers(0, 256, (32, 16, 3), dtype=np.uint8)
    write_image(tmp_path / "symmetric.png", np.concatenate([half, half[:, ::-1]], axis=1))
    for path, changes in ((tmp_path / "symmetric.png", False), (place / "pictures" / "0.png", True)):
        plain, flipped = (_predict(capsys, place / "models", path, *extra)[0] for extra in ((), ("--flips",)))
        difference = max(abs(plain[name] - flipped[name]) for name in plain)
        assert difference > 1e-4 if changes else difference < 2e-6


def test_an_unreadable_picture_is_listed_once(place, pair, tmp_path, capsys):
    (tmp_path / "broken.png").write_text("no picture")
    arguments = (place / "pictures" / "0.png", tmp_path, "--model", "transfer", "small", "--ensemble", "--json")
    assert main([*map(str, arguments), "--models-dir", str(pair)]) == 3
    said = capsys.readouterr()
    record = json.loads(said.out)
    assert len(record["predictions"]) == 1 and len(record["failed"]) == 1 and said.err.count("not read: ") == 1


def test_what_makes_no_ensemble_is_one_sentence(place, pair, capsys):
    picture, models = str(place / "pictures" / "0.png"), ["--models-dir", str(pair)]
    for arguments, words in (
        (["--model", "transfer", "--ensemble"], "at least two models"),
        (["--model", "transfer", "transfer", "--ensemble"], "names transfer more than once"),
        (["--model", "transfer", str(pair / "transfer"), "--ensemble"], "more than once"),
        (["--model", "transfer", "--classes", "a", "b"], "a bundle knows its own"),
        (["--classes", "a", "b"], "name it with --model"),
        (["--model", "transfer", "other", "--ensemble"], "other knows a, b"),
        (["--model", "transfer", "small"], "add --ensemble"),
        (["--model", "transfer", "x/ensemble", "--ensemble"], "a model called ensemble"),
    ):
        assert main([picture, *arguments, *models]) == 2
        error = capsys.readouterr().err
        assert words in error and "Traceback" not in error, error


def test_pictures_may_still_follow_the_model(place, capsys):
    picture = place / "pictures" / "0.png"
    before, after = (
        _predict(capsys, place / "models", *words)
        for words in ((picture, "--model", "transfer"), ("--model", "transfer", picture))
    )
    assert before == after
    with pytest.raises(SystemExit):
        main(["--model", "transfer"])
    assert "no pictures are named" in capsys.readouterr().err
