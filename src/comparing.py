"""What ``python -m src.gradcam`` does with one model and all methods: pictures under each of them, their measures."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from src.atomic import atomic_folder
from src.datasets.manifest import read_fingerprint
from src.errors import UserError
from src.explainers.base import Explainer, Explanation
from src.explainers.comparison import MethodComparison
from src.explainers.explained_model import ExplainedModel
from src.explainers.measures import MEASURES
from src.explainers.randomisation import randomised_copy
from src.explainers.registry import EXPLAINERS
from src.explainers.scoring import Comparison, ComparisonSettings
from src.explainers.stream import ExplainedPictures
from src.explainers.summary import read_mask
from src.explainers.video import is_video_name
from src.explaining import CLIP, Task, describe, explain_paths, find_masks, list_test_part, prepare
from src.explanation_drawing import draw_method_sheet
from src.files import write_csv, write_json
from src.imaging import ImageError, read_image, read_in_batches
from src.inference.engine import create_engine, has_gpu
from src.plotting import plot_comparison_table
from src.progress import say
from src.settings import random_generator

SHEET_PICTURES = 16
COMPARED_PICTURES = 16
LOCALISED_PICTURES = 200  # at most, against masks, by methods that take few runs


def choose_pictures(task: Task, count: int) -> tuple[list[str], list[int]]:
    """``count`` pictures of the test part, of all classes alike, in the order of the classes; drawn by the seed."""
    paths, labels = (np.asarray(values) for values in list_test_part(task))
    by_class = [
        random_generator(task.arguments.seed, int(label)).permutation(np.flatnonzero(labels == label)).tolist()
        for label in np.unique(labels)
    ]
    by_turns = [turn[place] for place in range(max(map(len, by_class))) for turn in by_class if place < len(turn)]
    chosen = sorted(by_turns[:count])
    return paths[chosen].tolist(), labels[chosen].tolist()


def explain_by_all(task: Task, paths: list[str] | None) -> tuple[dict, list]:
    """Every method on the same pictures: sheets of at most :data:`SHEET_PICTURES`, and the raw maps.

    Args:
        paths: the pictures; None for some of each class of the test part.
    """
    if paths is None:
        samples, classes = task.arguments.samples, len(task.bundle.class_names)
        paths, labels = choose_pictures(task, samples * classes if samples else min(2 * classes, SHEET_PICTURES))
    else:
        labels = [-1] * len(paths)
        if videos := [path for path in paths if is_video_name(path)]:
            raise UserError(f"{videos[0]} is a video; name one method for it")
    found: dict[str, tuple[ExplainedPictures, bool]] = {}
    methods, explainers = {}, {method: prepare(task, method) for method in EXPLAINERS}  # what fails, fails now
    for method, explainer in explainers.items():
        found[method] = explain_paths(task, explainer, paths, labels), explainer.signed
        methods[method] = {"passes": str(explainer.passes), "target_layer": explainer.target_layer}
    explained = found["gradcam"][0]
    maps = {method: (one.explanation.heatmaps, signed) for method, (one, signed) in found.items()}
    names = []
    with atomic_folder(task.folder / "methods") as folder:
        raw = {method: values for method, (values, _) in maps.items()}
        np.savez_compressed(folder / "heatmaps.npz", paths=np.asarray(explained.paths), **raw)
        for number, start in enumerate(range(0, len(explained.paths), SHEET_PICTURES), start=1):
            part = slice(start, start + SHEET_PICTURES)
            names.append(f"methods_{number}.png" if start else "methods.png")
            draw_methods(
                task,
                explained.paths[part],
                explained.labels[part],
                explained.explanation.select(part),
                {method: (values[part], signed) for method, (values, signed) in maps.items()},
                folder / names[-1],
            )
    sheets = [str(task.folder / "methods" / name) for name in names]
    record = describe(task) | {"pictures": explained.paths, "sheets": sheets}
    return record | {"methods": methods}, explained.failures


def draw_methods(
    task: Task,
    paths: list[str],
    labels: np.ndarray,
    answers: Explanation,
    maps: Mapping[str, tuple[np.ndarray, bool]],
    target: Path,
) -> None:
    """The sheet of the same pictures under several methods.

    Args:
        maps: method -> (raw maps of these pictures, whether it is signed).
    """
    names, texts = task.bundle.class_names, []
    for index, label in enumerate(labels):
        predicted = int(answers.predicted[index])
        text = f"{answers.probabilities[index, predicted]:.0%} {names[predicted]}"
        texts.append(text if label in (-1, predicted) else f"{text}\nis {names[label]}")
    draw_method_sheet(
        [read_image(path, needed=(224, 224)) for path in paths],
        {EXPLAINERS[method].title: (list(values), signed) for method, (values, signed) in maps.items()},
        target,
        labels=texts,
        title=f"{task.bundle.name}: evidence for {task.describe_target()}",
        colormap=task.arguments.colormap,
        contours=task.arguments.contours,
        clip=CLIP,
    )


def compare_methods(task: Task) -> tuple[dict, list]:
    """Measure all methods on pictures of the test part; write the table (PNG, CSV, JSON) and the sheet."""
    paths, labels = choose_pictures(task, task.arguments.samples or COMPARED_PICTURES)
    readable, inputs, failures = _read(task, paths)
    further = _read_further(task, paths)
    paths, labels = [paths[i] for i in readable], np.asarray(labels)[readable]
    settings = ComparisonSettings(value_range=task.value_range, seed=task.arguments.seed)
    builders = {  # cached: what is said of the methods and what is measured are the same explainers
        method: (entry.title, functools.cache(functools.partial(task.explainer, method)))
        for method, entry in EXPLAINERS.items()
    }
    _say_passes(task, builders, len(paths), settings)
    comparison = MethodComparison(
        task.explained_model, inputs, _read_masks(task, paths), _randomise(task), settings, further
    ).run(builders, scattered=[method for method, entry in EXPLAINERS.items() if entry.scattered])
    record = describe_comparison(task, comparison)
    with atomic_folder(task.folder / "comparison") as folder:
        write_json(folder / "table.json", record)
        save_table(folder / "table.csv", comparison)
        plot_comparison_table(
            comparison.rows(),
            [MEASURES[measure] for measure in comparison.measures],
            folder / "table.png",
            title=f"{task.bundle.name}: how faithful methods are, {len(paths)} test pictures, means with 95% intervals",
            count=len(paths),
        )
        _draw_compared(task, paths, labels, comparison, folder / "sheet.png")
    return record, failures


def _draw_compared(task: Task, paths: list[str], labels: np.ndarray, comparison: Comparison, target: Path) -> None:
    """The sheet of the compared pictures, of more than :data:`SHEET_PICTURES` evenly chosen ones."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), SHEET_PICTURES)).astype(int))
    maps = {
        name: (result.explanation.heatmaps[chosen], result.signed)
        for name, result in comparison.results.items()
        if not result.is_control
    }
    answers = next(iter(comparison.results.values())).explanation.select(chosen)
    draw_methods(task, [paths[place] for place in chosen], labels[chosen], answers, maps, target)


def _read(task: Task, paths: list[str]) -> tuple[list[int], np.ndarray, list[ImageError]]:
    readable, parts, failures = [], [], []
    for places, inputs, failed in read_in_batches(paths, task.bundle.read, task.arguments.batch_size):
        readable += places
        parts += [inputs] if places else []
        failures += failed
    if not parts:
        raise UserError(f"none of the {len(paths)} pictures could be read; the first: {failures[0]}")
    return readable, np.concatenate(parts), failures


def _read_further(task: Task, compared: list[str]) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """Pictures of the test part with masks that are not among the compared ones, and their masks; None without any."""
    paths = [path for path in choose_pictures(task, LOCALISED_PICTURES)[0] if path not in set(compared)]
    pairs = [(path, mask) for path, mask in zip(paths, _read_masks(task, paths)) if mask is not None]
    if not pairs:
        return None
    readable, inputs, _ = _read(task, [path for path, _ in pairs])
    return inputs, [pairs[place][1] for place in readable]


def _read_masks(task: Task, paths: list[str]) -> list[np.ndarray | None]:
    return [read_mask(path, task.bundle.image_size) for path in find_masks(task, paths)]


def _randomise(task: Task) -> ExplainedModel:
    """The model with all its layers drawn anew; its answers come from an engine of its own, as the model's do."""
    explained = task.explained_model

    def make_engine(inputs, outputs: dict):
        # For activations of four pictures it takes longer to make than it saves.
        by_keras = task.arguments.engine == "keras" or has_gpu() or "probabilities" not in outputs
        return None if by_keras else create_engine(inputs, outputs, task.arguments.engine)

    copy = randomised_copy(explained.model, seed=task.arguments.seed)
    return ExplainedModel(copy, target=explained.target, engine=make_engine, black=explained.black)


def _say_passes(task: Task, builders: Mapping[str, tuple], count: int, settings: ComparisonSettings) -> None:
    """What will be computed, before it is."""
    say(f"Comparing {len(builders)} methods and the controls on {count} pictures of {task.bundle.name}.")
    say("Runs of the network for a picture:")
    for title, build in builders.values():
        explainer: Explainer = build(task.explained_model)
        layer = f" (layer {explainer.target_layer})" if explainer.target_layer else ""
        say(f"  {title:21} {explainer.passes}{layer}")
    again = min(settings.sanity_pictures, count)
    say(
        f"Each again for {again * settings.noisy_copies} noisy copies, and for {again} of the pictures with all layers "
        f"drawn anew; its measures take {settings.passes} forward a picture."
    )


def describe_comparison(task: Task, comparison: Comparison) -> dict:
    """The JSON record: for each method and control its means, their 95% intervals, its rank."""
    ranks, methods = comparison.ranks, {}
    for place, (name, result) in enumerate(comparison.results.items(), start=1):
        record = {"title": result.title, "control": result.is_control, "signed": result.signed}
        record |= {"target_layer": result.explanation.target_layer, "passes": str(result.passes)}
        record |= {} if result.is_control else {"rank": place, "mean_rank": _number(ranks[name])}
        intervals, beaten = {}, {}
        record |= dict.fromkeys(MEASURES)  # None where there are no masks
        for measure in comparison.measures:
            found = comparison.scores[name][measure]
            record[measure] = _number(found.value)
            intervals[measure] = [_number(found.low), _number(found.high), found.n]
            beaten[measure] = found.beats_controls
        methods[name] = record | {"intervals": intervals}
        if not result.is_control:
            methods[name]["beats_controls"] = {key: value for key, value in beaten.items() if value is not None}
    return describe(task) | {
        "n": comparison.count,
        "methods": methods,
        "higher_is_better": {measure: MEASURES[measure].higher_is_better for measure in comparison.measures},
        "settings": dataclasses.asdict(comparison.settings),
        "data": read_fingerprint(task.arguments.data),
        "command": task.arguments.command,
        "output": str(task.folder / "comparison"),
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def save_table(path: Path, comparison: Comparison) -> None:
    """The table as CSV: a row for each method, and for each measure its mean and the bounds of its interval."""
    header = ["method", "control", "mean_rank"]
    header += [f"{measure}{end}" for measure in comparison.measures for end in ("", "_low", "_high")]
    ranks, rows = comparison.ranks, []
    for name, result in comparison.results.items():
        row = [name, result.is_control, ranks.get(name, "")]
        for measure in comparison.measures:
            found = comparison.scores[name][measure]
            row += [
                "" if (number := _number(value)) is None else number for value in (found.value, found.low, found.high)
            ]
        rows.append(row)
    write_csv(path, header, rows)


def format_comparison(record: dict) -> str:
    """The table as text for people."""
    measures = list(record["higher_is_better"])
    arrows = {True: "+", False: "-", None: " "}
    rows = record["methods"].values()
    judged = any(row.get("beats_controls") for row in rows)
    meaning = "* beats the controls" if judged else "too few pictures to say what beats the controls"
    first = max(len(row["title"]) for row in rows)
    lines = [
        f"{record['model']}: {record['n']} test pictures; + more is better, - less is better, {meaning}",
        "",
        f"{'':{first}}" + "".join(f"  {arrows[record['higher_is_better'][name]]}{name} " for name in measures),
    ]
    for row in rows:
        cells = []
        for name in measures:
            star = "*" if row.get("beats_controls", {}).get(name) else " "
            cells.append(f"{'' if row[name] is None else format(row[name], '.3f') + star:>{len(name) + 4}}")
        lines.append(f"{row['title']:{first}}" + "".join(cells))
    return "\n".join([*lines, "", f"To look at: {record['output']}/table.png, sheet.png"])


def format_methods(record: dict) -> str:
    """What was drawn by every method, as text for people."""
    lines = [f"{record['model']}: {len(record['pictures'])} pictures by {len(record['methods'])} methods"]
    return "\n".join([*lines, f"To look at: {', '.join(record['sheets'])}"])
