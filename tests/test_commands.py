"""The scripts as a user runs them: in order on a small folder, and every error of the user's."""

import json
import os
import shutil

import numpy as np
import pytest

from benchmarks.bench_start import list_commands
from src.errors import EXIT_PARTIAL
from src.files import sha256_file
from src.imaging import read_image, write_image
from tests.conftest import ROOT, check_user_error, read_json_line, run_command, write_data_folder

pytestmark = pytest.mark.commands


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A user's folder after the scripts, in order: split, baseline, transfer, evaluate, gradcam."""
    folder = tmp_path_factory.mktemp("work")
    write_data_folder(folder, {"photos": 30}, size=48)
    split = run_command(ROOT / "split_dataset.py", "--source", "photos", "--json", cwd=folder)
    baseline = run_command("-m", "src.baseline_cnn", "--image-size", "32", "--epochs", "3", "--json", cwd=folder)
    transfer = run_command(
        "-m", "src.transfer_model", "--backbone", "efficientnet_lite0", "--image-size", "64", "--views", "1",
        "--phase1-epochs", "20", "--phase2-epochs", "1", "--phase1-rate", "3e-3", "--patience", "20", "--json",
        cwd=folder,
    )  # fmt: skip
    evaluate = run_command("-m", "src.evaluate", "--json", cwd=folder)
    gradcam = run_command("-m", "src.gradcam", "--json", cwd=folder)
    return folder, {
        "split": split,
        "baseline": baseline,
        "transfer": transfer,
        "evaluate": evaluate,
        "gradcam": gradcam,
    }


def test_the_scripts_in_order(workplace):
    folder, results = workplace
    figures = {name: read_json_line(result) for name, result in results.items()}
    assert figures["split"]["counts"]["test"] == {"dark": 4, "light": 4}
    models = figures["evaluate"]["models"]
    assert set(models) == {"baseline", "transfer"}
    for row in models.values():
        assert row["n"] == 8 and 0 <= row["interval"][0] <= row["accuracy"] <= row["interval"][1] <= 1
        assert set(row["per_class"]) == {"dark", "light"} and 0 <= row["macro_f1"] <= 1
        assert row["seen_in_training"]["identical"] == row["seen_in_training"]["near_copies"] == []
        assert row["seen_in_training"]["n_others"] == 8
    assert models["transfer"]["accuracy"] == 1.0, "dark and light differ by their mean alone"
    assert figures["gradcam"]["n"] == 8
    for name in ("confusion_matrix.png", "gradcam_sample.png", "comparison.png"):
        assert read_image(folder / "gradcam" / name).std() > 0
    info = json.loads((folder / "models" / "transfer" / "bundle.json").read_text())
    assert info["data"]["fingerprint"] == figures["split"]["content_hash"]
    assert info["unfrozen_from"] == "block15_expand_conv"
    for name in ("baseline", "transfer"):
        saved = json.loads((folder / "models" / name / "bundle.json").read_text())
        assert saved["calibration"]["n"] == sum(figures["split"]["counts"]["val"].values()) and saved["temperature"] > 0
    assert info["weights"]["origin"].startswith("imagenet") and len(info["weights"]["sha256"]) == 64
    assert len((folder / "models" / "transfer" / "history.csv").read_text().splitlines()) <= 22


def test_the_same_command_twice_gives_the_same_figures(workplace):
    folder, results = workplace
    again = run_command(
        "-m", "src.baseline_cnn", "--image-size", "32", "--epochs", "3", "--name", "again", "--json", cwd=folder
    )
    try:
        first, second = read_json_line(results["baseline"]), read_json_line(again)
        for key in ("epoch", "val_accuracy"):
            assert first[key] == second[key]
        assert first["val_loss"] == pytest.approx(second["val_loss"], rel=1e-4)
    finally:
        shutil.rmtree(folder / "models" / "again")


def test_predict(workplace, tmp_path):
    folder, _ = workplace
    write_image(tmp_path / "white.png", np.full((40, 60, 3), 235, np.uint8))
    (tmp_path / "broken.jpg").write_text("no picture")
    result = run_command("-m", "src.predict", tmp_path, tmp_path / "gone.png", "--json", cwd=folder)
    figures = read_json_line(result)
    assert result.returncode == 3
    (row,) = figures["predictions"]
    assert row["class"] == "light" and row["class_index"] == 1 and 0.5 < row["confidence"] <= 1
    assert [other["class"] for other in row["top"]] == ["light", "dark"]
    assert {os.path.basename(failure["path"]) for failure in figures["failed"]} == {"broken.jpg", "gone.png"}
    assert all(failure["reason"] for failure in figures["failed"])
    check_user_error(run_command("-m", "src.predict", tmp_path / "broken.jpg", cwd=folder), "none of the pictures")


@pytest.mark.slow
def test_other_classes_are_skipped_and_named(workplace, tmp_path):
    folder, _ = workplace
    write_data_folder(tmp_path / "data", {"test": 2}, class_names=("cat", "dog"))
    all_models = run_command("-m", "src.evaluate", "--data", tmp_path / "data", cwd=folder)
    check_user_error(all_models, "no model in models knows the classes")
    assert all_models.stderr.count("Skipped: ") == 2
    named = run_command("-m", "src.evaluate", "--model", "transfer", "--data", tmp_path / "data", cwd=folder)
    check_user_error(named, "trained on the classes dark, light", "holds cat, dog")


def test_a_broken_bundle(workplace, tmp_path):
    folder, _ = workplace
    shutil.copytree(folder / "models", tmp_path / "models")
    path = tmp_path / "models" / "transfer" / "model.keras"
    path.write_bytes(path.read_bytes()[:1000])
    result = run_command("-m", "src.evaluate", "--models-dir", tmp_path / "models", "--model", "transfer", cwd=folder)
    check_user_error(result, "cut off or changed", "train the model anew")
    others = run_command("-m", "src.evaluate", "--models-dir", tmp_path / "models", "--json", cwd=folder)
    assert set(read_json_line(others)["models"]) == {"baseline"} and "Skipped: " in others.stderr


@pytest.mark.slow
def test_one_bundle_in_disorder_does_not_keep_the_others_from_being_evaluated(workplace, tmp_path):
    """A link to a bundle is a name of its own; a model that answers NaN is named, by name it is an error."""
    folder, _ = workplace
    shutil.copytree(folder / "models", tmp_path / "models")
    (tmp_path / "models" / "linked").symlink_to("baseline")
    spoil = (
        "import sys, keras, numpy as np\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])\n"
        "model.save(sys.argv[1])\n"
    )
    path = tmp_path / "models" / "transfer" / "model.keras"
    assert run_command("-c", spoil, path, cwd=folder).returncode == 0
    description = path.with_name("bundle.json")
    info = json.loads(description.read_text()) | {"sha256": {"model.keras": sha256_file(path)}}
    description.write_text(json.dumps(info))
    arguments = ("-m", "src.evaluate", "--models-dir", tmp_path / "models", "--output", tmp_path / "out", "--json")
    result = run_command(*arguments, cwd=folder)
    models = read_json_line(result)["models"]
    assert set(models) == {"baseline", "linked"} and models["baseline"] == models["linked"]
    assert "Skipped: the model transfer answers with NaN" in result.stderr
    assert (tmp_path / "out" / "confusion_matrix.png").is_file()
    check_user_error(run_command(*arguments, "--model", "transfer", cwd=folder), "answers with NaN")
    twice = run_command(*arguments, "--model", "baseline", tmp_path / "models" / "baseline", cwd=folder)
    check_user_error(twice, "two of the models are called baseline")
    check_user_error(run_command(*arguments, "--classes", "a", "b", cwd=folder), "belong to a plain model file")


TRAINERS = {
    "baseline": ["-m", "src.baseline_cnn", "--image-size", "32", "--epochs", "1"],
    "transfer": ["-m", "src.transfer_model", "--backbone", "efficientnet_lite0", "--image-size", "64", "--views", "1"],
}


@pytest.mark.parametrize("trainer", ["baseline", pytest.param("transfer", marks=pytest.mark.slow)])
def test_a_corrupt_picture_found_while_training(trainer, tmp_path):
    data = write_data_folder(tmp_path / "data", {"train": 6, "val": 2, "test": 2})
    (data / "train" / "dark" / "dark_003.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "models").mkdir()
    result = run_command(*TRAINERS[trainer], cwd=tmp_path)
    assert result.returncode == EXIT_PARTIAL and "Traceback" not in result.stderr
    assert result.stderr.count("dark_003.png") == 1 and "Pictures that could not be read: 1" in result.stdout
    info = json.loads((tmp_path / "models" / trainer / "bundle.json").read_text())
    assert [os.path.basename(path) for path in info["unreadable"]] == ["dark_003.png"]


def _remove(*parts):
    return lambda data: shutil.rmtree(data.joinpath(*parts))


def _empty(*parts):
    return lambda data: [path.unlink() for path in data.joinpath(*parts).iterdir()]


BAD_FOLDERS = {
    "missing folder": (lambda data: shutil.rmtree(data), ["no data folder", "split_dataset.py"]),
    "missing part": (_remove("val"), ["no folder val"]),
    "empty class": (_empty("train", "dark"), ["dark", "no pictures"]),
    "one class only": (
        lambda data: [shutil.rmtree(data / part / "dark") for part in ("train", "val", "test")],
        ["only one class"],
    ),
    "class absent from a part": (_remove("val", "light"), ["lacks the class light"]),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_data_folders(case, tmp_path):
    spoil, words = BAD_FOLDERS[case]
    spoil(write_data_folder(tmp_path / "data", {"train": 2, "val": 2, "test": 2}))
    for command in ("src.baseline_cnn", "src.transfer_model"):
        check_user_error(run_command("-m", command, cwd=tmp_path), *words)
    if case in ("missing folder",):
        for command in ("src.evaluate", "src.data_loader"):
            check_user_error(run_command("-m", command, cwd=tmp_path), *words)


def test_no_network_and_wrong_weights(tmp_path):
    write_data_folder(tmp_path / "data", {"train": 2, "val": 2, "test": 2})
    offline = {"KERAS_HOME": str(tmp_path / "keras"), "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    command = ["-m", "src.transfer_model", "--image-size", "64"]
    result = run_command(*command, "--backbone", "resnet50", cwd=tmp_path, env=offline)
    check_user_error(result, "resnet50 cannot be had", "--weights PATH")
    (tmp_path / "wrong.h5").write_text("no weights")
    result = run_command(*command, "--backbone", "efficientnet_lite0", "--weights", "wrong.h5", cwd=tmp_path)
    check_user_error(result, "wrong.h5 does not fit")
    check_user_error(run_command(*command, "--backbone", "resnet18", cwd=tmp_path), "there are auto")
    assert not (tmp_path / "models").exists()


def test_no_model_yet(tmp_path):
    write_data_folder(tmp_path / "data", {"test": 2})
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    for words in (["-m", "src.evaluate"], ["-m", "src.gradcam"], ["-m", "src.predict", "a.png"]):
        check_user_error(run_command(*words, cwd=tmp_path), "python -m src.transfer_model")


def test_an_output_that_cannot_be_written(workplace, tmp_path):
    folder, _ = workplace
    (tmp_path / "file").write_text("in the way")
    result = run_command("-m", "src.evaluate", "--model", "baseline", "--output", tmp_path / "file" / "x", cwd=folder)
    check_user_error(result, "a file stands where a folder is needed")
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("trainer", TRAINERS)
def test_trainers_find_out_before_they_train_whether_they_can_write(trainer, tmp_path):
    write_data_folder(tmp_path / "data", {"train": 2, "val": 2, "test": 2})
    (tmp_path / "file").write_text("in the way")
    check_user_error(run_command(*TRAINERS[trainer], "--models-dir", "file", cwd=tmp_path), "a file stands where")
    check_user_error(run_command(*TRAINERS[trainer], "--models-dir", ".", "--name", "data", cwd=tmp_path), "something")
    assert (tmp_path / "data" / "train").is_dir()
    (tmp_path / "data" / "split.json").write_text("garbage")
    result = run_command(*TRAINERS[trainer], cwd=tmp_path)
    check_user_error(result, "split.json")
    assert "epoch" not in result.stderr and not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--seed", "-1"], ["--views", "-1"], ["--phase1-rate", "-1"], ["--phase2-rate", "nan"], ["--phase1-epochs", "-1"]],
    ids=" ".join,
)
def test_options_out_of_bounds(arguments, tmp_path):
    result = run_command("-m", "src.transfer_model", *arguments, cwd=tmp_path)
    assert result.returncode == 2 and "Received: " in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("name", list_commands())
def test_help_is_light(name):
    heavy = {"tensorflow", "keras", "openvino", "matplotlib", "sklearn", "scipy", "skimage"}
    heavy |= set() if name.startswith("benchmarks.") else {"numpy", "cv2"}
    probe = (
        "import contextlib, runpy, sys\n"
        "sys.argv = ['command', '--help']\n"
        "with contextlib.suppress(SystemExit):\n"
        f"    runpy.run_module({name!r}, run_name='__main__')\n"
        f"heavy = {heavy!r}\n"
        "sys.exit(' '.join(heavy & sys.modules.keys()) or 0)"
    )
    result = run_command("-c", probe)
    assert result.returncode == 0, f"--help of {name} loads {result.stderr}"
    assert result.stdout.startswith("usage: ")
    if not name.startswith("benchmarks."):
        assert "examples:" in result.stdout and "--json" in result.stdout
