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
