"""A whole sweep with a command that writes a small bundle instead of training: what is kept, resumed, refused."""

import csv
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from src.baseline_cnn import BaselineSettings
from src.errors import Circumstance, UserError
from src.imaging import read_image
from src.loading.augmentation import AugmentationSettings
from src.locks import hold_lock
from src.model_choice import checkpoint_path, hold_bundle
from src.networks.weights import NoWeightsError
from src.sweep import _verify_baseline
from src.sweeping.running import Sweep, run_sweep
from src.sweeping.space import SweptCommand, digest_of
from src.training.options import TrainingSettings

pytestmark = pytest.mark.large

ACCURACIES = {0.1: 0.5, 0.01: 0.9, 0.001: 0.7}  # by the rate


class FakeCommand:
    """Trains three epochs in no time; in trial ``stop_in`` Ctrl-C comes after the second, or after the bundle."""

    def __init__(self, stop_in=None, *, after_bundle=False, accuracies=ACCURACIES):
        self.stop_in, self.after_bundle, self.accuracies, self.trained = stop_in, after_bundle, accuracies, []
        kinds = (BaselineSettings, TrainingSettings, AugmentationSettings)
        self.swept = SweptCommand("baseline_cnn", kinds, self.train, _verify_baseline)

    def train(self, settings, training, augmentation, listeners):
        self.trained.append((settings.rate, training.optimizer))
        accuracy = self.accuracies[settings.rate]
        if accuracy is None:
            raise UserError("the loss was not a number in every epoch")
        for epoch in (1, 2, 3):
            row = {"epoch": epoch, "val_accuracy": accuracy * epoch / 3, "val_loss": 1 / epoch, "clean_accuracy": 1.0}
            for listener in listeners:
                listener(row)
            if epoch == 2 and len(self.trained) == self.stop_in and not self.after_bundle:
                checkpoint = checkpoint_path(settings.models_dir, settings.name)
                checkpoint.parent.mkdir(exist_ok=True)
                checkpoint.write_text("state")
                raise KeyboardInterrupt
        folder = Path(settings.models_dir, settings.name)
        folder.mkdir()
        (folder / "model.keras").write_text(f"trained at {settings.rate} by {training.optimizer}")
        info = {"name": settings.name, "settings": asdict(settings) | asdict(training), "metrics": row}
        (folder / "bundle.json").write_text(json.dumps(info))
        if len(self.trained) == self.stop_in and self.after_bundle:
            raise KeyboardInterrupt
        return folder, row


@pytest.fixture
def sweep_in(small_data, tmp_path):
    def make(command, *words, fixed=(), name="best", **options):
        return Sweep(
            command.swept,
            words or ("rate=0.1,0.01,0.001",),
            ["--data", str(small_data), *fixed],
            name=name,
            models_dir=str(tmp_path / "models"),
            output=str(tmp_path / "gradcam"),
            **options,
        )

    return make


def read_bundle(tmp_path, name="best"):
    folder = tmp_path / "models" / name
    return json.loads((folder / "bundle.json").read_text()), (folder / "model.keras").read_text()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_best_bundle_is_kept_under_the_sweeps_name(sweep_in, tmp_path):
    outcome = run_sweep(sweep_in(command := FakeCommand()))
    assert command.trained == [(0.1, "adam"), (0.01, "adam"), (0.001, "adam")]
    info, network = read_bundle(tmp_path)
    assert network == "trained at 0.01 by adam" and info["name"] == "best"
    assert info["settings"]["name"] == "best" and info["settings"]["models_dir"] == str(tmp_path / "models")
    assert info["settings"]["rate"] == 0.01 and info["metrics"]["val_accuracy"] == 0.9
    assert info["sweep"] == {
        "command": "baseline_cnn",
        "varied": {"rate": ["0.1", "0.01", "0.001"]},
        "trials": 3,
        "complete": 3,
        "pruned": 0,
        "failed": 0,
        "trial": 2,
        "parameters": {"rate": "0.01"},
        "digest": digest_of({"rate": "0.01"}),
    }
    assert outcome.bundle == tmp_path / "models" / "best"
    assert names_in(tmp_path / "models" / ".sweeps" / "best") == ["journal.log"]
    with open(outcome.table, newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["rate"] for row in rows] == ["0.1", "0.01", "0.001"]
    assert [float(row["val_accuracy"]) for row in rows] == pytest.approx([0.5, 0.9, 0.7])
    assert read_image(outcome.picture).std() > 5


@pytest.mark.parametrize("after_bundle", [False, True])
def test_interrupted_in_trial_2_and_gone_on_with(sweep_in, tmp_path, after_bundle):
    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep_in(FakeCommand(2, after_bundle=after_bundle)))
    assert read_bundle(tmp_path)[1] == "trained at 0.1 by adam"  # the best so far, whole
    digest = digest_of({"rate": "0.01"})
    trials = tmp_path / "models" / ".sweeps" / "best"
    left = trials / digest / "bundle.json" if after_bundle else checkpoint_path(trials, digest)
    assert left.is_file()  # what the trial goes on from
    outcome = run_sweep(sweep_in(command := FakeCommand()))
    assert command.trained == ([] if after_bundle else [(0.01, "adam")]) + [(0.001, "adam")]
    assert read_bundle(tmp_path)[1] == "trained at 0.01 by adam" and outcome.results[1].curve[-1] == 0.9
    assert not left.exists() and not (trials / digest).exists()
    run_sweep(sweep_in(command := FakeCommand()))
    assert command.trained == []


def test_a_bundle_half_moved_is_moved_at_the_next_run(sweep_in, tmp_path, monkeypatch):
    from src.sweeping import keeping

    def killed(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(keeping, "write_json", killed)  # within the move of the first trial's bundle
    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep_in(FakeCommand()))
    monkeypatch.undo()
    assert names_in(tmp_path / "models") == [".sweeps"]
    run_sweep(sweep_in(command := FakeCommand(accuracies=ACCURACIES | {0.01: 0.3, 0.001: 0.2})))
    assert command.trained == [(0.01, "adam"), (0.001, "adam")]
    assert read_bundle(tmp_path)[1] == "trained at 0.1 by adam"


def test_more_trials_of_a_search(sweep_in, tmp_path):
    word = "optimizer=sgd,adam,adamw,muon"
    command = FakeCommand(accuracies={0.001: 0.7})
    run_sweep(sweep_in(command, word, trials=3))
    outcome = run_sweep(sweep_in(command, word, trials=6))
    assert len(outcome.results) == 6 and read_bundle(tmp_path)[0]["sweep"]["trials"] == 6
    assert len(command.trained) == len(set(command.trained))


def test_failed_trials_are_listed(sweep_in, tmp_path):
    outcome = run_sweep(sweep_in(FakeCommand(accuracies=ACCURACIES | {0.1: None})))
    assert [result.state for result in outcome.results] == ["failed", "complete", "complete"]
    assert "failed,the loss was not a number in every epoch" in outcome.table.read_text()
    assert read_bundle(tmp_path)[0]["sweep"]["failed"] == 1
    with pytest.raises(UserError, match="none of 2 trials was completed; the last one: the loss was not a number"):
        run_sweep(sweep_in(FakeCommand(accuracies=dict.fromkeys(ACCURACIES)), "rate=0.1,0.01", name="other"))
    assert not (tmp_path / "models" / "other").exists()


def test_what_is_refused_before_anything_is_trained(sweep_in, tmp_path):
    def check(message, *words, **options):
        with pytest.raises(UserError, match=message):
            run_sweep(sweep_in(command, *words, **options))

    command = FakeCommand()
    check("rate is a range.*--trials", "rate=0.01..0.1")
    check("schedule cosine, epochs auto: --schedule cosine ends", "schedule=constant,cosine", "epochs=3,auto")
    check("--epochs 0 trains nothing", "rate=0.1,0.01", fixed=["--epochs", "0"])
    check("--name 'a/b' will not do", name="a/b")
    check("no data folder", fixed=["--data", str(tmp_path / "gone")])
    assert not (tmp_path / "models").exists()
    run_sweep(sweep_in(FakeCommand()))
    check(r"\(epochs differ\)", fixed=["--epochs", "7"])
    check(r"\(what is varied differ\)", "rate=0.1,0.01")
    check("pruning differ", prune=True)
    check("grid or search, pruning, seed of the search differ", trials=3)
    with hold_lock(tmp_path / "models" / ".sweeps" / "best" / ".lock", "", ""):
        check(rf"is running already \(process {os.getpid()}\)")
    assert command.trained == []


def test_what_is_no_trials_fault_ends_the_sweep_and_is_gone_on_with(sweep_in, tmp_path, capsys):
    class Command(FakeCommand):
        def train(self, *settings, **keywords):
            if len(self.trained) == 1:
                raise Circumstance("the pictures are gone")
            return super().train(*settings, **keywords)

    with pytest.raises(Circumstance, match="gone"):
        run_sweep(sweep_in(Command()))
    outcome = run_sweep(sweep_in(FakeCommand()))
    assert [result.state for result in outcome.results] == ["complete"] * 3


@pytest.mark.parametrize("error", [NoWeightsError("resnet50", "no network"), Circumstance("models: permission denied")])
def test_a_lost_network_costs_no_trial(sweep_in, error):
    class Command(FakeCommand):
        def train(self, *settings, **keywords):
            raise error

    with pytest.raises(Circumstance):
        run_sweep(sweep_in(Command()))
    run_sweep(sweep_in(command := FakeCommand()))
    assert len(command.trained) == 3


def test_with_other_pictures_it_does_not_go_on(sweep_in, small_data, tmp_path):
    data = shutil.copytree(small_data, tmp_path / "data")
    sweep = replace(sweep_in(FakeCommand()), fixed=["--data", str(data)])
    run_sweep(sweep)
    first, second = sorted((data / "val" / "dark").iterdir())[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(UserError, match=r"with other settings \(pictures differ\)"):
        run_sweep(sweep)
    first.write_bytes(content)
    next((data / "test" / "dark").iterdir()).write_bytes(content)  # which no sweep looks at
    assert len(run_sweep(sweep).results) == 3


def test_a_bundle_that_is_being_trained_is_not_replaced(sweep_in, tmp_path):
    with hold_bundle(tmp_path / "models", "best"), pytest.raises(UserError, match="another run is training"):
        run_sweep(sweep_in(FakeCommand()))


def test_the_seed_belongs_to_a_search_alone(sweep_in):
    run_sweep(sweep_in(FakeCommand(), seed=1))
    run_sweep(sweep_in(FakeCommand(), seed=2))
    run_sweep(sweep_in(FakeCommand(), trials=2, seed=1, name="searched"))
    with pytest.raises(UserError, match="seed of the search differ"):
        run_sweep(sweep_in(FakeCommand(), trials=2, seed=2, name="searched"))


def test_restart_forgets_the_trials(sweep_in, tmp_path):
    run_sweep(sweep_in(FakeCommand()))
    outcome = run_sweep(sweep_in(command := FakeCommand(), "rate=0.1,0.001"), restart=True)
    assert command.trained == [(0.1, "adam"), (0.001, "adam")] and len(outcome.results) == 2
    assert read_bundle(tmp_path)[1] == "trained at 0.001 by adam"


def test_a_bundle_that_was_replaced_since_is_not_called_the_best(sweep_in, tmp_path):
    run_sweep(sweep_in(FakeCommand()))
    path = tmp_path / "models" / "best" / "bundle.json"
    path.write_text(json.dumps({"name": "best", "settings": {}}))  # a training of that name
    assert run_sweep(sweep_in(FakeCommand())).bundle is None
    assert json.loads(path.read_text()) == {"name": "best", "settings": {}}
