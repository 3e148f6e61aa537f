"""The command with real trainings, as small as they go."""

import csv
import json

import numpy as np
import pytest

from src.bundle import load_bundle
from src.sweep import _find_command, main
from src.transfer_model import train_transfer
from tests.conftest import check_user_error, run_command

pytestmark = pytest.mark.large

# A rate so small that nothing is learnt, and one that learns dark from light in three epochs.
WORDS = ["baseline_cnn", "rate=1e-9,1e-2", "--name", "tiny"]
FIXED = ["--image-size", "24", "--network", "fast_cnn", "--width", "0.25", "--epochs", "3", "--select", "accuracy"]


@pytest.fixture
def place(tmp_path):
    return tmp_path, ["--models-dir", str(tmp_path / "models"), "--output", str(tmp_path / "gradcam")]


def run(place, small_data, *more):
    return main([*WORDS, *place[1], *more, "--", "--data", str(small_data), *FIXED])


@pytest.mark.slow
def test_a_sweep_keeps_its_best_bundle_and_trains_nothing_when_asked_again(place, small_data, capsys):
    assert run(place, small_data, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    with open(record["table"], newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rate"] for row in rows] == ["1e-9", "1e-2"] and {row["state"] for row in rows} == {"complete"}
    best = max(rows, key=lambda row: float(row["val_accuracy"]))
    assert float(best["val_accuracy"]) == record["best"]["val_accuracy"] > float(rows[0]["val_accuracy"])
    bundle = load_bundle("tiny", place[0] / "models")
    assert bundle.name == "tiny" and bundle.info["settings"]["rate"] == float(best["rate"]) == 0.01
    assert bundle.info["sweep"]["parameters"] == {"rate": "1e-2"} and bundle.info["sweep"]["trials"] == 2
    paths = sorted((small_data / "val").glob("*/*.png"))
    predicted = bundle.predict(bundle.prepare(paths)).argmax(axis=1)
    right = np.mean([bundle.class_names[index] == path.parent.name for index, path in zip(predicted, paths)])
    assert right == pytest.approx(float(best["val_accuracy"]))

    assert run(place, small_data) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and "*  2      1e-2" in captured.out and "Best on validation: trial 2" in captured.out


def test_trials_of_transfer_share_what_frozen_layers_compute(small_data, tmp_path, monkeypatch):
    from src.errors import UserError
    from src.training import two_phase

    folders = []

    def noted(*arguments, features_dir, **keywords):
        folders.append(features_dir)
        raise UserError("seen")

    monkeypatch.setattr(two_phase, "train_two_phase", noted)
    swept = _find_command("transfer_model", str(tmp_path / "models"))
    fixed = ["--data", str(small_data), "--backbone", "mobilenet_v2", "--weights", "none", "--image-size", "32"]
    settings = swept.settings(swept.read(fixed), str(tmp_path / "trials"), "digest")
    for train in (swept.train, train_transfer):
        with pytest.raises(UserError, match="seen"):
            train(*settings, listeners=[])
    assert folders == [tmp_path / "models" / ".features", tmp_path / "trials" / ".features"]


def test_errors_and_help_load_no_tensorflow(tmp_path):
    check_user_error(
        run_command("-m", "src.sweep", "baseline_cnn", "rat=1,2", cwd=tmp_path), "rat is no option", "did you mean rate"
    )
    probe = (
        "import sys\nfrom src.sweep import main\n"
        "assert main(['transfer_model', 'phase1-rate=1', '--', '--data', 'gone']) == 2\n"
        "sys.exit(' '.join({'tensorflow', 'keras'} & sys.modules.keys()) or 0)"
    )
    result = run_command("-c", probe, cwd=tmp_path)
    assert result.returncode == 0 and "no data folder" in result.stderr, result.stderr
    assert not list(tmp_path.iterdir())
