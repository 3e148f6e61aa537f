"""The command's settings reach the training: sizes, selection, logs, and an end as if nothing had happened."""

import json

import keras
import numpy as np
import pytest

from src.bundle import load_bundle
from src.model_choice import CHECKPOINTS_DIR
from src.training.history import TrainingHistory
from src.transfer_model import main


@pytest.fixture
def train(small_data, tmp_path):
    def run(name, *words):
        network = ["--backbone", "mobilenet_v2", "--weights", "none", "--image-size", "32x48", "--batch-size", "8"]
        schedule = ["--phase1-epochs", "3", "--phase2-epochs", "0", "--phase1-rate", "1e-2", "--patience", "9"]
        places = ["--data", str(small_data), "--models-dir", str(tmp_path), "--name", name]
        keras.utils.clear_session()
        return main([*places, *network, *schedule, *words])

    return run


def test_an_oblong_network_chosen_by_accuracy_with_logs(train, tmp_path, capsys, monkeypatch):
    script = iter([(0.5, 0.9), (0.4, 0.8), (0.3, 0.7)])  # the best by accuracy is the first, by loss the last
    add = TrainingHistory.add
    monkeypatch.setattr(
        TrainingHistory,
        "add",
        lambda history, row: (row.update(zip(("val_loss", "val_accuracy"), next(script))), add(history, row))[1],
    )
    words = ["--select", "accuracy", "--optimizer", "sgd", "--schedule", "linear", "--label-smoothing", "0.2"]
    assert train("oblong", *words, "--tensorboard", str(tmp_path / "logs"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["epoch"] == 1
    bundle = load_bundle("oblong", tmp_path)
    assert bundle.image_size == (32, 48) and bundle.info["metrics"]["val_accuracy"] == 0.9
    saved = bundle.info["settings"]
    assert (saved["optimizer"], saved["label_smoothing"], saved["image_size"]) == ("sgd", 0.2, [32, 48])
    rates = np.genfromtxt(tmp_path / "oblong" / "history.csv", delimiter=",", names=True)["learning_rate"]
    assert rates == pytest.approx([1e-2, 1e-2 * 2 / 3, 1e-2 / 3], rel=1e-5)
    assert bundle.predict(np.zeros((1, 32, 48, 3), np.float32)).shape == (1, 2)
    assert list((tmp_path / "logs").rglob("events.out.*"))


def test_the_same_command_goes_on_after_an_interruption(train, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("src.transfer_model._SECONDS_BETWEEN_STATES", 0.0)
    assert train("whole") == 0
    add = TrainingHistory.add
    with monkeypatch.context() as patch:

        def interrupt(history, row):
            if row["epoch"] == 3:
                raise KeyboardInterrupt
            return add(history, row)

        patch.setattr(TrainingHistory, "add", interrupt)
        assert train("stopped") == 130
    assert not (tmp_path / "stopped").exists() and (tmp_path / CHECKPOINTS_DIR / "stopped.npz").is_file()
    capsys.readouterr()
    assert train("stopped") == 0
    assert "goes on after epoch 2 of phase 1" in capsys.readouterr().err
    assert not list((tmp_path / CHECKPOINTS_DIR).iterdir())
    histories = [
        np.genfromtxt(tmp_path / name / "history.csv", delimiter=",", names=True) for name in ("whole", "stopped")
    ]
    for column in ("loss", "val_loss", "clean_loss"):
        assert histories[0][column] == pytest.approx(histories[1][column], rel=1e-4)
    found = [load_bundle(name, tmp_path).info["features_found"] for name in ("whole", "stopped")]
    assert found == [0.0, 1.0]
