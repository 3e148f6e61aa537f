"""The command's settings reach the training: sizes, selection, logs, and an end as if nothing had happened."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from src.bundle import load_bundle
from src.model_choice import CHECKPOINTS_DIR
from src.training.history import TrainingHistory
from src.transfer_model import main
from tests.training.stopping import stopped_in

pytestmark = pytest.mark.large


@pytest.fixture
def train(small_data, tmp_path):
    def run(name, *words):
        network = ["--backbone", "mobilenet_v2", "--weights", "none", "--image-size", "32x48", "--batch-size", "8"]
        schedule = ["--phase1-epochs", "3", "--phase2-epochs", "0", "--phase1-rate", "1e-2", "--patience", "9"]
        places = ["--data", str(small_data), "--models-dir", str(tmp_path), "--name", name]
        keras.utils.clear_session()
        return main([*places, *network, *schedule, *words])

    return run


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("words", "phase", "trains"),
    [
        ([], 1, False),
        pytest.param(
            ["--phase1-epochs", "0", "--phase2-epochs", "1", "--unfreeze", "all"], 2, True, marks=pytest.mark.slow
        ),
    ],
    ids=["head", "backbone"],
)
def test_find_rate_is_for_the_first_phase_that_trains(train, tmp_path, capsys, monkeypatch, words, phase, trains):
    from src.training import rate_finder

    trained, find = [], rate_finder.find_learning_rate

    def few_steps(model, batches, optimizer):
        trained.append(model.get_layer("head_conv").trainable)
        return find(model, batches, optimizer, steps=40)

    monkeypatch.setattr(rate_finder, "find_learning_rate", few_steps)
    pretrained = ["--backbone", "efficientnet_lite0", "--weights", "imagenet"]  # random features tell nothing apart
    assert train("rate", *pretrained, *words, "--find-rate", "--output", str(tmp_path / "pictures"), "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert f"What --phase{phase}-rate could be" in captured.err and trained == [trains]
    assert 1e-6 < result["suggestion"] < 10 and Path(result["picture"]).stat().st_size > 5000
    assert not (tmp_path / "rate").exists()


@pytest.mark.slow
def test_the_same_command_goes_on_after_an_interruption(train, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("src.transfer_model._SECONDS_BETWEEN_STATES", 0.0)
    state = tmp_path / CHECKPOINTS_DIR / "stopped.npz"
    with stopped_in(3, monkeypatch):
        assert train("stopped") == 130
    assert not (tmp_path / "stopped").exists()
    kept = state.read_bytes()
    capsys.readouterr()
    assert train("stopped") == 0
    assert "goes on after epoch 2 of phase 1" in capsys.readouterr().err and not state.exists()
    assert train("whole") == 0
    histories = [
        np.genfromtxt(tmp_path / name / "history.csv", delimiter=",", names=True) for name in ("whole", "stopped")
    ]
    for column in ("loss", "val_loss", "clean_loss"):
        np.testing.assert_array_equal(histories[0][column], histories[1][column])
    stopped, whole = (load_bundle(name, tmp_path).info for name in ("stopped", "whole"))
    assert (stopped["features_found"], whole["features_found"]) == (0.0, 1.0)
    assert stopped["training_seconds"] > sum(histories[1]["seconds"])

    state.parent.mkdir()
    state.write_bytes(kept)
    capsys.readouterr()
    assert train("stopped", "--phase1-rate", "2e-2") == 2
    assert "phase1_rate was 0.01, is 0.02); undo that to go on" in capsys.readouterr().err
    assert state.read_bytes() == kept
    assert train("stopped", "--phase1-rate", "2e-2", "--restart") == 0
    assert "goes on" not in capsys.readouterr().err and not state.exists()
