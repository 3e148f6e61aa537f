"""The command's settings reach the training: networks, sizes, balance, an end when nothing improves."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from src.baseline_cnn import BaselineSettings, main, train_baseline
from src.bundle import load_bundle
from src.errors import EXIT_PARTIAL, UserError
from src.loading.augmentation import AugmentationSettings
from src.model_choice import CHECKPOINTS_DIR, hold_bundle
from src.training.history import TrainingHistory
from src.training.options import TrainingSettings

pytestmark = pytest.mark.large


def _settings(data: Path, models: Path, **changes) -> BaselineSettings:
    values = {"network": "simple_cnn", "width": 0.25, "image_size": 24, "epochs": 1, "batch_size": 8}
    return BaselineSettings(data=str(data), models_dir=str(models), **values | changes)


def test_an_oblong_gray_network(small_data, tmp_path):
    settings = _settings(small_data, tmp_path, network="fast_cnn", image_size=(24, 32), grayscale=True)
    folder, row = train_baseline(settings)
    bundle = load_bundle(folder)
    assert bundle.image_size == (24, 32) and bundle.info["network"] == "fast_cnn"
    saved = json.loads((folder / "bundle.json").read_text())["settings"]
    assert saved["image_size"] == [24, 32] and saved["grayscale"] and saved["optimizer"] == "adam"
    assert {"clean_loss", "clean_accuracy"} <= row.keys() and "clean_accuracy" in (folder / "history.csv").read_text()
    image = np.random.default_rng(0).uniform(0, 255, (1, 24, 32, 3)).astype(np.float32)
    luma = np.repeat((image @ np.array([0.2989, 0.587, 0.114], np.float32))[..., None], 3, -1) / np.float32(0.9999)
    np.testing.assert_allclose(bundle.predict(image), bundle.predict(luma), atol=1e-4)
    assert not (tmp_path / CHECKPOINTS_DIR).exists(), "nothing is left of a training that is done"


def test_with_other_pictures_it_does_not_go_on_but_says_so(small_data, tmp_path, capsys, monkeypatch):
    """Also where a split.json, which says what was there once, stays as it was."""
    data = tmp_path / "data"
    shutil.copytree(small_data, data)
    monkeypatch.setattr("src.bundle_facts.data_facts", lambda *_: {"fingerprint": "of the split", "counts": {}})
    settings = _settings(data, tmp_path, epochs=2)
    add = TrainingHistory.add
    with monkeypatch.context() as patch:

        def interrupt(history, row):
            if history.rows:
                raise KeyboardInterrupt
            return add(history, row)

        patch.setattr(TrainingHistory, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_baseline(settings)
    next((data / "train" / "light").iterdir()).unlink()
    with pytest.raises(UserError, match="pictures changed"):
        train_baseline(settings)
    state = tmp_path / CHECKPOINTS_DIR / "baseline.npz"
    assert state.is_file() and not (tmp_path / "baseline").exists()
    train_baseline(settings, restart=True)
    assert not state.exists() and (tmp_path / "baseline" / "bundle.json").is_file()


def test_a_second_training_of_one_bundle_is_refused(small_data, tmp_path):
    with hold_bundle(tmp_path, "baseline"):
        with pytest.raises(UserError, match=rf"training {tmp_path}/baseline \(process {os.getpid()}\)"):
            train_baseline(_settings(small_data, tmp_path))
        train_baseline(_settings(small_data, tmp_path, name="other"))


def test_unreadable_pictures_are_passed_over_named_and_counted_up_to_a_bound(small_data, tmp_path, capsys):
    data = shutil.copytree(small_data, tmp_path / "data")
    broken = [data / "train" / "dark" / "dark_002.png", data / "val" / "light" / "light_001.png"]
    for path in broken:
        path.write_bytes(path.read_bytes()[:100])
    words = ["--data", str(data), "--models-dir", str(tmp_path), "--network", "simple_cnn", "--width", "0.25"]
    words += ["--image-size", "24", "--epochs", "2", "--tensorboard", str(tmp_path / "logs")]
    assert main([*words, "--json"]) == EXIT_PARTIAL
    said = capsys.readouterr()
    assert json.loads(said.out)["unreadable"] == 2
    assert [said.err.count(f"{path}: ") for path in broken] == [1, 2]  # once more of TensorBoard's pictures
    assert load_bundle(tmp_path / "baseline").info["unreadable"] == list(map(str, broken))
    assert main(words) == EXIT_PARTIAL
    assert "Pictures that could not be read: 2" in capsys.readouterr().out
    before = (tmp_path / "baseline" / "bundle.json").read_bytes()
    for number in range(6):
        (data / "train" / "light" / f"light_{number:03}.png").write_bytes(b"")
    assert main(words) == 2
    assert "of 24 pictures cannot be read" in capsys.readouterr().err
    assert (tmp_path / "baseline" / "bundle.json").read_bytes() == before


def test_balance(tmp_path):
    from tests.conftest import write_data_folder

    data = write_data_folder(tmp_path / "data", {"train": 9, "val": 4, "test": 2})
    for path in sorted((data / "train" / "light").iterdir())[3:]:
        path.unlink()
    losses = []
    for chosen in ("weights", "sampling", "none"):
        settings = _settings(data, tmp_path / chosen, seed=1)
        _, row = train_baseline(settings, TrainingSettings(balance=chosen), AugmentationSettings(augment=False))
        losses.append(round(row["loss"], 5))
    assert len(set(losses)) == 3


def test_user_errors(small_data, tmp_path, capsys):
    data = ["--data", str(small_data), "--models-dir", str(tmp_path)]
    for words, expected in (
        (["--epochs", "auto", "--schedule", "cosine"], "how many"),
        (["--image-size", "8"], "22"),
        (["--epochs", "0"], "trains nothing"),
    ):
        assert main([*data, *words]) == 2
        errors = capsys.readouterr().err
        assert expected in errors and "Traceback" not in errors
    for words in (["--network", "vgg"], ["--image-size", "3x"], ["--mixup", "-1"], ["--ema", "1"]):
        with pytest.raises(SystemExit) as stopped:
            main([*data, *words])
        assert stopped.value.code == 2
    with pytest.raises(UserError, match="optimizer"):
        TrainingSettings(optimizer="lion")


def test_find_rate_draws_and_trains_nothing(small_data, tmp_path, capsys):
    arguments = ["--data", str(small_data), "--models-dir", str(tmp_path / "models"), "--output", str(tmp_path)]
    extra = ["--network", "simple_cnn", "--image-size", "24", "--batch-size", "8", "--find-rate", "--json"]
    assert main([*arguments, *extra]) == 0
    result = json.loads(capsys.readouterr().out)
    assert 1e-6 < result["suggestion"] < 10 and Path(result["picture"]).stat().st_size > 5000
    assert not (tmp_path / "models").exists()
