"""What the commands have left in ``models/`` and ``gradcam/``, read again, and held against each other.

Results may be of different times: of a network that was trained anew since, of another split. What does not belong
together is not mixed; a note says what is left out, and which command mends it.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from src.bundle_facts import MODEL_FILE
from src.datasets.manifest import Manifest, load_manifest
from src.errors import UserError
from src.files import read_json, read_table
from src.loading.folder import list_pictures
from src.model_choice import BUNDLE_FILE, list_bundles
from src.settings import PARTS

Read = TypeVar("Read")
_COLUMNS = ("path", "true", "predicted", "confidence", "probability_of_true", "loss")
# What the page needs of the files, by which results of earlier versions are told.
_FIGURES = {"accuracy": float, "interval": list, "macro": dict, "per_class": dict, "confusion_matrix": list, "n": int}
_FIGURES |= {"calibration": dict, "selective": dict}
_CALIBRATION = {"ece": float, "brier": float, "nll": float, "reliability": list}
_EXPLAINED = {"method": str, "title": str, "n_pictures": int, "n_masks": int, "activation_strength": dict}


@dataclass(frozen=True)
class Answer:
    """A model's answer to one test picture; ``probability`` is that of the true class."""

    path: str
    true: str
    predicted: str
    confidence: float
    probability: float
    loss: float

    @property
    def right(self) -> bool:
        return self.true == self.predicted

    def surest_first(self) -> tuple:
        """By which wrong answers are sorted."""
        return -self.confidence, -self.loss, self.path


@dataclass(frozen=True)
class Maps:
    """Raw Grad-CAM maps float32 (h, w) by the pictures' paths: ``predicted`` of each picture's predicted class,
    ``true`` of the true class, where that is another and was explained."""

    predicted: dict[str, np.ndarray]
    true: dict[str, np.ndarray]


@dataclass(frozen=True)
class ModelResults:
    """What is known of one model.

    Attributes:
        folder: gradcam/<name>.
        metrics: of metrics.json, which :meth:`read` has checked.
        answers: to the test pictures, in their order.
        facts: of bundle.json; None where there is no such bundle, or it was trained anew since.
        history: columns of history.csv; empty where there are no facts.
        explained: of explained.json, where it is of this model; ``maps`` go with it.
        comparison: of comparison/table.json, likewise.
    """

    name: str
    folder: Path
    metrics: dict
    answers: list[Answer]
    facts: dict | None = None
    history: dict[str, list[float]] = field(default_factory=dict)
    explained: dict | None = None
    maps: Maps | None = None
    comparison: dict | None = None

    @property
    def class_names(self) -> list[str]:
        return list(self.metrics["per_class"])

    @property
    def wrong(self) -> list[Answer]:
        """The surest first."""
        return sorted((answer for answer in self.answers if not answer.right), key=Answer.surest_first)


@dataclass(frozen=True)
class DataResults:
    """The pictures.

    Attributes:
        folder: the data folder.
        counts: ``counts[part][class_name]`` as they are now, of the parts that there are.
        manifest: of split.json; None where there is none.
        audit: of audit.json; ``findings`` are rows of findings.csv as (file, kind, score, reason, suggested, other).
    """

    folder: Path
    counts: dict[str, dict[str, int]]
    manifest: Manifest | None = None
    audit: dict | None = None
    findings: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def class_names(self) -> list[str]:
        return sorted({name for by_class in self.counts.values() for name in by_class})


@dataclass(frozen=True)
class Results:
    """All that the page is made of; ``notes`` are sentences on what is missing or does not fit."""

    data: DataResults
    models: list[ModelResults]
    notes: list[str]


def read_results(data_dir: Path, models_dir: Path, output: Path) -> Results:
    """Read everything. Raises ``UserError`` where there is no evaluated model."""
    notes: list[str] = []
    data = _read_data(data_dir, output, notes)
    folders = sorted(path.parent for path in output.glob("*/metrics.json"))
    if not folders:
        raise UserError(
            f"there is nothing to report in {output}: no model was evaluated; do it with: python -m src.evaluate"
        )
    models = [model for folder in folders if (model := _read_model(folder, models_dir, data, notes))]
    if not models:
        raise UserError(f"no result in {output} can be read: {notes[-1]}")
    for name in list_bundles(models_dir):
        if name not in {model.name for model in models}:
            notes.append(f"{name} is trained and not in this report; evaluate it with: python -m src.evaluate")
    models.sort(key=lambda model: (model.name != "transfer", model.name))  # as commands choose theirs
    return Results(data, models, notes)


# ------------------------------------------------------------------------------------------------------- data


def _read_data(folder: Path, output: Path, notes: list[str]) -> DataResults:
    counts = {
        part: {place.name: len(list_pictures(place)) for place in sorted((folder / part).iterdir()) if _is_class(place)}
        for part in PARTS
        if (folder / part).is_dir()
    }
    if not counts:
        notes.append(f"There are no pictures in {folder}: the report has none to show (--data names another folder).")
    manifest = None
    if (folder / "split.json").is_file():
        manifest = _try(lambda: load_manifest(folder), notes)
    found = DataResults(folder, counts, manifest)
    path = output / "audit" / "audit.json"
    if not path.is_file():
        return found
    audit = _try(lambda: _check(read_json(path), path, {"findings": dict, "counts": dict, "pictures": int}), notes)
    if audit is None:
        return found
    if audit["counts"] != counts:
        notes.append("The audit is of other pictures than there are now; make it anew with: python -m src.audit")
        return found
    columns = ("file", "kind", "score", "reason", "suggested", "other")
    findings = _try(lambda: read_table(output / "audit" / "findings.csv", columns), notes)
    return DataResults(folder, counts, manifest, audit, findings or [])


def _is_class(place: Path) -> bool:
    return place.is_dir() and not place.name.startswith(".")


# ------------------------------------------------------------------------------------------------------ models


def _read_model(folder: Path, models_dir: Path, data: DataResults, notes: list[str]) -> ModelResults | None:
    name = folder.name
    metrics = _try(lambda: _read_metrics(folder / "metrics.json"), notes)
    answers = _try(lambda: _read_answers(folder / "predictions.csv"), notes)
    if metrics is None or not answers:
        return None
    if not _agree(metrics, answers):
        notes.append(f"{folder}/metrics.json and predictions.csv are of different runs; run python -m src.evaluate")
        return None
    if data.counts and metrics["per_class"].keys() != set(data.class_names):
        notes.append(f"{name} is left out: it was evaluated on other classes than those of {data.folder}.")
        return None
    if data.manifest and metrics.get("data") not in (None, data.manifest.content_hash):
        notes.append(f"{name} was evaluated on another split than {data.folder} holds now; run python -m src.evaluate")
    facts, history = _read_bundle(models_dir / name, metrics, notes)
    explained, maps = _read_maps(folder, metrics, answers, notes)
    comparison = _read_if_of(folder / "comparison" / "table.json", {"methods": dict, "n": int}, metrics, notes)
    return ModelResults(name, folder, metrics, answers, facts, history, explained, maps, comparison)


def _read_metrics(path: Path) -> dict:
    metrics = _check(read_json(path), path, _FIGURES)
    _check(metrics["calibration"], path, _CALIBRATION)
    return metrics


def _read_answers(path: Path) -> list[Answer]:
    return [Answer(*row[:3], *map(float, row[3:])) for row in read_table(path, _COLUMNS)]


def _agree(metrics: dict, answers: list[Answer]) -> bool:
    """Whether figures and answers are of one evaluation, and the figures are whole."""
    names, matrix = list(metrics["per_class"]), metrics["confusion_matrix"]
    places = {name: place for place, name in enumerate(names)}
    if not {name for answer in answers for name in (answer.true, answer.predicted)} <= places.keys():
        return False
    counted = np.zeros((len(names), len(names)), int)
    for answer in answers:
        counted[places[answer.true], places[answer.predicted]] += 1
    return counted.tolist() == matrix


def _read_bundle(folder: Path, metrics: dict, notes: list[str]) -> tuple[dict | None, dict[str, list[float]]]:
    if not (folder / BUNDLE_FILE).is_file():
        return None, {}
    facts = _try(lambda: _check(read_json(folder / BUNDLE_FILE), folder, {"sha256": dict, "settings": dict}), notes)
    if facts is None:
        return None, {}
    if metrics.get("network") not in (None, facts["sha256"].get(MODEL_FILE)):
        notes.append(
            f"{folder.name} was trained anew after it was evaluated; its figures are the older network's. "
            "Run python -m src.evaluate and python -m src.gradcam"
        )
        return None, {}
    if not (folder / "history.csv").is_file():
        return facts, {}
    return facts, _try(lambda: _read_history(folder / "history.csv"), notes) or {}


def _read_history(path: Path) -> dict[str, list[float]]:
    header = path.open(encoding="utf-8").readline().strip().split(",")
    columns = zip(*read_table(path, tuple(header)))
    return {name: [float(value) for value in values] for name, values in zip(header, columns)}


def _read_maps(folder: Path, metrics: dict, answers: list[Answer], notes: list[str]) -> tuple[dict | None, Maps | None]:
    """What gradcam says of the test part, and its maps, where they are of the predicted classes of these answers."""
    explained = _read_if_of(folder / "explained.json", _EXPLAINED, metrics, notes)
    if explained is None:
        return None, None
    if explained.get("explained_class") is not None or "versus" in explained:
        notes.append(f"The maps of {folder.name} are of a class that was asked for; run python -m src.gradcam")
        return None, None
    return explained, _try(lambda: _load_maps(folder / "heatmaps.npz", answers), notes)


def _load_maps(path: Path, answers: list[Answer]) -> Maps:
    try:
        with np.load(path, allow_pickle=False) as stored:
            kept = {name: stored[name] for name in ("paths", "heatmaps", "predicted", "class_names")}
            index, again = stored["true_index"], stored["true_heatmaps"]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} holds no maps; make them with: python -m src.gradcam") from error
    paths, names = kept["paths"].tolist(), kept["class_names"].tolist()
    given = {answer.path: answer.predicted for answer in answers}
    fitting = {place for place, path in enumerate(paths) if given.get(path) == names[kept["predicted"][place]]}
    return Maps(
        {paths[place]: kept["heatmaps"][place] for place in sorted(fitting)},
        {paths[place]: again[row] for row, place in enumerate(index.tolist()) if place in fitting},
    )


def _read_if_of(path: Path, figures: dict[str, type], metrics: dict, notes: list[str]) -> dict | None:
    """A JSON file of one model, where there is one and it is of the network that was evaluated."""
    if not path.is_file():
        return None
    found = _try(lambda: _check(read_json(path), path, figures), notes)
    if found is not None and found.get("network") != metrics.get("network"):
        notes.append(f"{path} is of a network of another training, and is left out; run python -m src.gradcam")
        return None
    return found


# ------------------------------------------------------------------------------------------------------ common


def _check(found, path: Path, figures: dict[str, type]) -> dict:
    """``found`` with values of these kinds. Raises ``UserError`` where it lacks one."""
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no results; make it anew with the command that wrote it")
    for name, kind in figures.items():
        if not isinstance(found.get(name), kind):
            raise UserError(f"{path} lacks {name}: it was written by an earlier version; run its command again")
    return found


def _try(read: Callable[[], Read], notes: list[str]) -> Read | None:
    """What ``read`` returns; None where it raises the user's error, which becomes a note."""
    try:
        return read()
    except UserError as error:
        notes.append(f"{error}.")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        notes.append(f"A result could not be read ({error}); run the command that wrote it again.")
    return None
