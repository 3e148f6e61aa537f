"""Run a published experiment, or ours on the same pictures, by name: ``python -m src.recipe list``."""

import csv
import importlib
import sys
import textwrap
from pathlib import Path

from src.datasets.manifest import load_manifest
from src.datasets.split_settings import SplitSettings
from src.errors import UserError, command
from src.files import format_json, read_json, write_json
from src.model_choice import BUNDLE_FILE, checkpoint_path
from src.progress import say
from src.recipes.recipe import EXPERIMENTS_DIR, Recipe, find_recipe
from src.recipes.registry import load_recipes
from src.running.stages import as_typed, run_stage
from src.settings import create_parser, recorded_options

EXAMPLES = """  python -m src.recipe list
  python -m src.recipe show s3-simple-cnn
  python -m src.recipe run s3-simple-cnn --data cifar10.tar.xz     pictures on this machine
  python -m src.recipe run s3-simple-cnn                           downloads them
  python -m src.recipe run s3-simple-cnn --quick                   drawn pictures, seconds: does it learn?"""

_AGAIN = "run the same recipe again"


def _result_file(recipe: Recipe, experiments: str) -> Path:
    return recipe.folders(experiments)["results"] / f"{recipe.name}.json"


def format_list(recipes: dict[str, Recipe], experiments: str) -> str:
    """A line for each recipe: the claim of the published experiment, the accuracy that a run here had."""
    rows = [("recipe", "claim", "here", "n", "minutes", "pictures", "")]
    for recipe in recipes.values():
        path = _result_file(recipe, experiments)
        result = read_json(path) if path.is_file() else None
        here = f"{result['accuracy']:.3f}" if result else "-"
        minutes = (
            f"{result['training_seconds'] / 60:.1f}" if result else f"~{recipe.minutes:g}" if recipe.minutes else "-"
        )
        count = f"{result['n']:,}" if result else f"~{recipe.measured_n:,}" if recipe.measured_n else "-"
        pictures = Path(result.get("pictures", "-")).name if result else "-"
        rows.append((recipe.name, recipe.claim or "ours", here, count, minutes, pictures, recipe.title))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def format_recipe(recipe: Recipe, experiments: str, source: str | None) -> str:
    """Where it comes from, what to expect, and the commands that it runs."""
    facts = [recipe.title + ".", *textwrap.wrap(recipe.origin, 100), f"Claim: {recipe.claim or 'none, it is ours'}."]
    if recipe.expected:
        low, high = recipe.expected
        facts.append(
            f"Expected: {low:.3f} to {high:.3f} of {recipe.measured_n:,} test pictures, {recipe.minutes:g} minutes on "
            f"{recipe.machine}. Other pictures take other times."
        )
    lines = recipe.commands(experiments, source).values()
    return "\n".join([recipe.name, *facts, "", *map(as_typed, lines)])


def run_recipe(recipe: Recipe, experiments: str, source: str | None, *, quick: bool, restart: bool) -> dict:
    """Split, train and evaluate; what an earlier run has done is not done again. Returns the result.

    Args:
        recipe: for ``quick`` as :meth:`Recipe.in_seconds` gives it.
        quick: train in any case, and check that the loss falls.
        restart: train anew; the older model stays until the new one is whole.

    Raises:
        UserError: a stage fails, with its own sentence on stderr before; or a quick run whose loss does not fall.
    """
    folders, lines = recipe.folders(experiments), recipe.commands(experiments, source)
    if (folders["data"] / "split.json").is_file():
        _verify_split(recipe, folders["data"], source)
        say(f"Pictures: {folders['data']} is there already.")
    else:
        run_stage("split", lines["split"], _AGAIN)
    bundle = folders["models"] / recipe.name
    unfinished = checkpoint_path(folders["models"], recipe.name).exists()
    if not (quick or restart or unfinished) and _is_trained(recipe, bundle, folders["data"], lines["train"]):
        say(f"Trained already: {bundle} (anew with --restart).")
    else:
        run_stage("train", [*lines["train"], *(["--restart"] if restart else [])], _AGAIN)
    run_stage("evaluate", lines["evaluate"], _AGAIN)
    result = _collect(recipe, folders)
    if quick and not min(result["loss"][1:]) < result["loss"][0]:
        losses = ", ".join(f"{loss:.4f}" for loss in result["loss"])
        raise UserError(f"{recipe.name}: the loss did not fall ({losses})")
    write_json(_result_file(recipe, experiments), result)
    return result


def _verify_split(recipe: Recipe, data: Path, source: str | None) -> None:
    """Raise ``UserError`` where the pictures that are there were split otherwise, or are others."""
    manifest = load_manifest(data)
    wanted = SplitSettings(**recipe.task.split).recorded()
    # what was split before there was this option parted near-copies
    recorded = {"allow_near_duplicates": True} | manifest.settings
    differing = [name for name, value in wanted.items() if recorded.get(name) != value]
    if source and not _is_same(manifest.source, source):
        differing.append("source")
    if not source and manifest.source != recipe.task.source:
        say(f"{data} holds pictures of {manifest.source}, not those that {recipe.task.source} downloads.")
    if differing:
        raise UserError(f"{data} was split otherwise ({', '.join(differing)}); remove it, or choose another --output")


def _is_same(recorded: str, source: str) -> bool:
    """Whether two paths mean the same pictures: one place, or one name where the recorded place is gone."""
    if Path(recorded).exists() and Path(source).exists():
        return Path(recorded).samefile(source)
    return Path(recorded).name == Path(source).name


def _meant(name: str, value):
    """The value of an option; what None stands for in the recipes' trainings stood there itself in earlier versions."""
    return {"dense_units": 256, "head_dropout": 0.5}.get(name, value) if value is None else value


def _is_trained(recipe: Recipe, bundle: Path, data: Path, words: list[str]) -> bool:
    """Whether the bundle is of this recipe as it is now, ``words`` its training command, and of these pictures."""
    if not (bundle / BUNDLE_FILE).is_file():
        return False
    info = read_json(bundle / BUNDLE_FILE)
    kinds = importlib.import_module(words[0]).KINDS
    wanted = recorded_options(kinds, words[1:])
    recorded = recorded_options(kinds, []) | info["settings"]  # what was done before an option was there is its default
    places = ("data", "models_dir")  # moved with all the experiments, they hold what they held
    if any(_meant(name, recorded[name]) != _meant(name, value) for name, value in wanted.items() if name not in places):
        say(f"{bundle} was trained with other settings: training anew.")
        return False
    return info["data"]["fingerprint"] == load_manifest(data).content_hash


def _collect(recipe: Recipe, folders: dict[str, Path]) -> dict:
    """The outcome, from what the commands have saved."""
    metrics = read_json(folders["gradcam"] / recipe.name / "metrics.json")
    bundle = folders["models"] / recipe.name
    info = read_json(bundle / BUNDLE_FILE)
    with open(bundle / "history.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {
        "recipe": recipe.name,
        "claim": recipe.claim,
        "pictures": load_manifest(folders["data"]).source,
        **{key: metrics[key] for key in ("accuracy", "interval", "n", "macro_f1", "collapsed_class")},
        "epochs": len(rows),
        "loss": [float(row["loss"]) for row in rows],
        "validation_accuracy": info["metrics"]["val_accuracy"],
        "training_seconds": info["training_seconds"],
        "features_found": info.get("features_found"),
    }


def _describe(recipe: Recipe, result: dict) -> str:
    low, high = result["interval"]
    text = (
        f"{recipe.name}: {result['accuracy']:.4f} of {result['n']} test pictures (95% interval {low:.4f} to {high:.4f})"
    )
    text += (
        f", {result['validation_accuracy']:.4f} on validation, {result['training_seconds'] / 60:.1f} minutes to train"
    )
    if found := result["features_found"]:
        text += f" (less {found:.0%} of what its frozen layers compute, which was stored already)"
    text += f"; published: {recipe.claim}" if recipe.claim else ""
    if (
        recipe.expected
        and recipe.measured_n == result["n"]
        and not recipe.expected[0] <= result["accuracy"] <= recipe.expected[1]
    ):
        text += f"\nThat is outside what was expected, {recipe.expected[0]:.3f} to {recipe.expected[1]:.3f}."
    return text


@command
def main(argv=None) -> None:
    parser = create_parser(__doc__, EXAMPLES)
    parser.add_argument("what", choices=("list", "show", "run"), help="list all, show one with its commands, run one")
    parser.add_argument("name", nargs="?", help="of the recipe")
    parser.add_argument(
        "--data", metavar="PATH", help="folder or archive of its pictures (default: they are downloaded)"
    )
    parser.add_argument("--quick", action="store_true", help="drawn pictures and few epochs: seconds")
    parser.add_argument("--restart", action="store_true", help="train anew what is trained already, or half-way")
    parser.add_argument("--output", default=EXPERIMENTS_DIR, help="folder for data, models, pictures and results")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    arguments = parser.parse_args(argv)
    recipes = load_recipes()
    idle = {"list": ("name", "data", "quick", "restart"), "show": ("restart",)}.get(arguments.what, ())
    if given := [name for name in idle if getattr(arguments, name)]:
        raise UserError(f"{arguments.what} takes no {'name' if given[0] == 'name' else '--' + given[0]}; leave it out")
    if arguments.what == "list":
        print(format_json({"recipes": list(recipes)}) if arguments.json else format_list(recipes, arguments.output))
        return
    if not arguments.name:
        raise UserError(f"which recipe? There are {', '.join(recipes)}")
    recipe = find_recipe(recipes, arguments.name)
    if arguments.quick and arguments.data:
        raise UserError("--quick draws its own pictures; leave out --data")
    if arguments.quick:
        recipe = recipe.in_seconds()
    if arguments.what == "show":
        commands = recipe.commands(arguments.output, arguments.data)
        shown = format_recipe(recipe, arguments.output, arguments.data)
        print(format_json({"recipe": recipe.name, "commands": commands}) if arguments.json else shown)
        return
    result = run_recipe(recipe, arguments.output, arguments.data, quick=arguments.quick, restart=arguments.restart)
    print(format_json(result) if arguments.json else _describe(recipe, result))


if __name__ == "__main__":
    sys.exit(main())
