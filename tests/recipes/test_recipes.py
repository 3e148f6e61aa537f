"""Every recipe: its options are options, its commands are commands, and run in short it learns."""

import dataclasses
import importlib
import json
from types import SimpleNamespace

import pytest

from src import recipe as command
from src.datasets.split_settings import SplitSettings
from src.errors import UserError
from src.model_choice import checkpoint_path
from src.recipes.recipe import Recipe, Task, as_arguments
from src.recipes.registry import load_recipes
from src.settings import recorded_options
from src.training.options import TrainingSettings

RECIPES = load_recipes()
PUBLISHED = (
    "s0-cifar-animals",
    "s1-dogs-vs-cats",
    "s2-gray-resnet18",
    "s3-simple-cnn",
    "s3-regularized-cnn",
    "s4-cifar100-resnet18",
)


def test_each_published_experiment_has_ours_beside_it():
    for name in PUBLISHED:
        assert RECIPES[name].claim and not RECIPES[f"{name}-best"].claim
        assert RECIPES[name].task == RECIPES[f"{name}-best"].task, "compared on the same pictures"
    more = {"s0-cifar-animals-all-best", "s0-cifar-animals-all-large", "s3-fast-cnn", "s4-cifar100-resnet18-narrow"}
    assert RECIPES.keys() == {*PUBLISHED, *(f"{name}-best" for name in PUBLISHED), *more}


@pytest.mark.parametrize("name", RECIPES)
def test_its_settings_are_settings(name):
    """Unknown or impossible options would otherwise be found out only after the split."""
    recipe = RECIPES[name]
    kinds = importlib.import_module(f"src.{recipe.command}").KINDS
    known = {field.name: kind for kind in kinds for field in dataclasses.fields(kind)}
    for options in (recipe.options, recipe.quick):
        assert options.keys() <= known.keys()
    for kind in kinds:
        values = {key: value for key, value in recipe.options.items() if known[key] is kind}
        built = kind(**values)
        if kind is TrainingSettings:
            epochs = [recipe.options.get(key, "auto") for key in ("phase1_epochs", "phase2_epochs")]
            built.verify(*(epochs if recipe.command == "transfer_model" else [recipe.options["epochs"]]))
    SplitSettings(**recipe.task.split).verify()
    low, high = recipe.expected or (0, 1)
    assert 0 <= low < high <= 1


def test_arguments_by_hand():
    options = {"image_size": 64, "augment": False, "flips": True, "classes": ["a b", "c"], "name": None}
    assert as_arguments(options) == ["--image-size", "64", "--no-augment", "--flips", "--classes", "a b", "c"]


def test_commands_by_hand():
    task = Task("flowers", "somewhere", {"ratios": [0.8, 0.1, 0.1]})
    recipe = Recipe(name="r", title="t", origin="o", task=task, command="baseline_cnn", options={"epochs": 2})
    lines = recipe.commands("out", "my pictures")
    assert lines["split"][:5] == ["split_dataset", "--source", "my pictures", "--output", "out/flowers/data"]
    assert lines["train"] == ["src.baseline_cnn", "--data", "out/flowers/data", "--models-dir", "out/flowers/models",
                              "--name", "r", "--epochs", "2"]  # fmt: skip
    assert "somewhere" in recipe.commands("out")["split"]
    quick = recipe.in_seconds()
    assert (
        quick.options["epochs"] == 3 and quick.task.source == "shapes" and quick.folders("out") != recipe.folders("out")
    )
    shown = command.format_recipe(recipe, "out", "my pictures")
    assert "python split_dataset.py --source 'my pictures'" in shown and "python -m src.baseline_cnn" in shown


def test_list_and_show(capsys, tmp_path):
    assert command.main(["list", "--output", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in RECIPES) and "0.759 validation" in listed
    assert command.main(["show", "s0-cifar-animals", "--output", str(tmp_path)]) == 0
    assert "ResNet-18" in capsys.readouterr().out
    assert command.main(["show", "s9"]) == 2 and "s0-cifar-animals" in capsys.readouterr().err
    assert command.main(["run"]) == 2 and "which recipe" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_quick(name, capsys, tmp_path_factory):
    """What `--quick` promises: it runs to its end, and the loss falls."""
    experiments = tmp_path_factory.getbasetemp() / "experiments"  # recipes of one task share its pictures
    assert command.main(["run", name, "--quick", "--json", "--output", str(experiments)]) == 0, capsys.readouterr().err
    result = json.loads(capsys.readouterr().out)  # one line, and nothing else
    assert min(result["loss"][1:]) < result["loss"][0] and result["n"] == 24 and result["training_seconds"] > 0


@pytest.mark.slow
def test_a_quick_run_trains_again_and_is_no_result(capsys, tmp_path, monkeypatch):
    arguments = ["run", "s3-simple-cnn", "--quick", "--output", str(tmp_path)]
    assert command.main(arguments) == 0
    bundle = tmp_path / "cifar10-quick" / "models" / "s3-simple-cnn" / "bundle.json"
    first = bundle.stat().st_mtime_ns
    assert command.main(arguments) == 0
    assert bundle.stat().st_mtime_ns != first, "a quick run trains in any case"
    assert command.main(["list", "--output", str(tmp_path)]) == 0  # a quick run is no result
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("s3-simple-cnn "))
    assert row.split()[1:6] == ["0.72", "test", "-", "~10,000", "~7.6"]


def test_a_stage_that_fails_says_so(capsys, tmp_path):
    assert command.main(["run", "s3-simple-cnn", "--data", str(tmp_path / "nowhere"), "--output", str(tmp_path)]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_ctrl_c_in_a_stage_is_no_error_of_the_user(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.import_module("split_dataset"), "main", lambda words: 130)
    assert command.main(["run", "s3-simple-cnn", "--quick", "--output", str(tmp_path)]) == 130
    errors = capsys.readouterr().err
    assert "error:" not in errors
    assert command.main(["run", "s3-simple-cnn", "--quick", "--data", str(tmp_path)]) == 2


def test_restart_trains_anew(tmp_path, monkeypatch):
    recipe, stages = _done(tmp_path, monkeypatch, epochs=2)
    bundle = recipe.folders(tmp_path)["models"] / "r"
    bundle.mkdir(parents=True)
    digest = json.loads((recipe.folders(tmp_path)["data"] / "split.json").read_text())["content_hash"]
    record = {"settings": _recorded(recipe, tmp_path), "data": {"fingerprint": digest}}
    (bundle / "bundle.json").write_text(json.dumps(record))
    state = checkpoint_path(bundle.parent, "r")
    for restart, unfinished, expected in (
        (False, False, ["evaluate"]),
        (True, False, ["train --restart", "evaluate"]),
        (True, True, ["train --restart", "evaluate"]),
        (False, True, ["train", "evaluate"]),
    ):
        if unfinished:
            state.parent.mkdir(exist_ok=True)
            state.write_text("half")
        stages.clear()
        command.run_recipe(recipe, str(tmp_path), None, quick=False, restart=restart)
        assert stages == expected and (bundle / "bundle.json").is_file()
        assert state.exists() == unfinished, "what is half done is forgotten by the training alone"


def test_what_was_trained_before_a_default_had_another_name_is_trained(tmp_path, monkeypatch):
    recipe = RECIPES["s1-dogs-vs-cats"]
    words = recipe.commands(str(tmp_path), None)["train"]
    kinds = importlib.import_module(words[0]).KINDS
    recorded = recorded_options(kinds, words[1:]) | {"dense_units": 256, "head_dropout": 0.5}
    monkeypatch.setattr(command, "load_manifest", lambda data: SimpleNamespace(content_hash="x"))
    for width, expected in ((256, True), (None, True), (128, False)):
        record = {"settings": recorded | {"dense_units": width}, "data": {"fingerprint": "x"}}
        (tmp_path / "bundle.json").write_text(json.dumps(record))
        assert command._is_trained(recipe, tmp_path, tmp_path, words) is expected, width


def test_a_loss_that_does_not_fall_is_an_error(tmp_path, monkeypatch):
    recipe = RECIPES["s3-simple-cnn"].in_seconds()
    monkeypatch.setattr(command, "run_stage", lambda stage, words, again: None)
    monkeypatch.setattr(command, "_collect", lambda *_: {"loss": [1.0, 1.0], "accuracy": 0.5})
    with pytest.raises(UserError, match="did not fall"):
        command.run_recipe(recipe, str(tmp_path), None, quick=True, restart=False)


def _done(tmp_path, monkeypatch, **options):
    """A recipe whose data folder is there, and the stages that a run of it goes through."""
    stages = []
    task = Task("shapes", "shapes", {"images_per_class": 8, "picture_size": 64})
    recipe = Recipe(name="r", title="t", origin="o", task=task, command="baseline_cnn", options=options)
    importlib.import_module("split_dataset").main(recipe.commands(tmp_path)["split"][1:])
    monkeypatch.setattr(
        command, "run_stage", lambda stage, words, again: stages.append(stage + " --restart" * ("--restart" in words))
    )
    monkeypatch.setattr(command, "_collect", lambda *_: {"loss": [1.0], "accuracy": 0.5})
    return recipe, stages


def _recorded(recipe, tmp_path):
    """The settings that a bundle of this recipe has."""
    words = recipe.commands(tmp_path)["train"]
    return recorded_options(importlib.import_module(words[0]).KINDS, words[1:])


def _run(recipe, tmp_path, **changes):
    return command.run_recipe(dataclasses.replace(recipe, **changes), str(tmp_path), None, quick=False, restart=False)


def test_a_model_of_other_settings_is_not_taken_for_this_one(tmp_path, monkeypatch, capsys):
    recipe, stages = _done(tmp_path, monkeypatch, epochs=2)
    bundle = recipe.folders(tmp_path)["models"] / "r"
    bundle.mkdir(parents=True)
    digest = json.loads((recipe.folders(tmp_path)["data"] / "split.json").read_text())["content_hash"]
    same = _recorded(recipe, tmp_path)
    for settings, fingerprint, expected in (
        (same, digest, ["evaluate"]),
        (same | {"data": "moved"}, digest, ["evaluate"]),
        (same | {"epochs": 3}, digest, ["train", "evaluate"]),
        (same | {"rate": 0.5}, digest, ["train", "evaluate"]),  # of the command's own, not the recipe's
        (same, "other pictures", ["train", "evaluate"]),
    ):
        stages.clear()
        record = {"settings": settings, "data": {"fingerprint": fingerprint}}
        (bundle / "bundle.json").write_text(json.dumps(record))
        _run(recipe, tmp_path)
        assert stages == expected


def test_other_pictures_are_refused_or_named(tmp_path, monkeypatch, capsys):
    recipe, stages = _done(tmp_path, monkeypatch, epochs=2)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="source"):
        command.run_recipe(recipe, str(tmp_path), str(tmp_path / "photos"), quick=False, restart=False)
    assert not stages
    other = dataclasses.replace(recipe.task, source="cifar10")
    _run(recipe, tmp_path, task=other)  # nothing was asked for, and what is there is used
    assert "holds pictures of shapes, not those that cifar10 downloads" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["list", "--quick"], "list takes no --quick"),
        (["list", "s3-simple-cnn"], "list takes no name"),
        (["show", "s3-simple-cnn", "--restart"], "show takes no --restart"),
    ],
)
def test_what_means_nothing_is_refused(words, reason, capsys):
    assert command.main(words) == 2 and reason in capsys.readouterr().err


def test_pictures_that_were_split_otherwise_are_refused(tmp_path, monkeypatch):
    recipe, stages = _done(tmp_path, monkeypatch, epochs=2)
    other = dataclasses.replace(recipe.task, split=recipe.task.split | {"ratios": [0.5, 0.25, 0.25]})
    with pytest.raises(UserError, match="ratios"):
        _run(recipe, tmp_path, task=other)
    assert not stages
