"""What the commands have left in ``models/`` and ``gradcam/``, read again, and held against each other.

Results may be of different times: of a network that was trained anew since, of another split. What does not belong
together is not mixed; a note says what is left out, and which command mends it.
"""

import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TypeVar

import numpy as np

from src.bundle_facts import MODEL_FILE
from src.datasets.manifest import Manifest, load_manifest
from src.errors import UserError
from src.files import read_table
from src.loading.folder import list_pictures
from src.model_choice import BUNDLE_FILE, list_bundles
from src.reporting.decisions import COVERING, check_covering, read_what_next
from src.reporting.schema import AUDIT, BUNDLE, COMPARISON, EXPLAINED, METHOD, METRICS, conform, read_checked
from src.reporting.trust import is_whole
from src.settings import PARTS

Read = TypeVar("Read")
_COLUMNS = ("path", "true", "predicted", "confidence", "probability_of_true", "loss")
_NLL = 1e-3  # by which the mean of losses of four digits may differ from the figure made of all digits
EVALUATE, EXPLAIN = "python -m src.evaluate", "python -m src.gradcam"


@dataclass(frozen=True)
class Answer:
    """A model's answer to one test picture; ``path`` is below the data folder (a POSIX path), ``probability`` that of
    the true class."""

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
    """What is known of one model; the dictionaries have the keys of :mod:`src.reporting.schema`.

    Attributes:
        folder: gradcam/<name>.
        metrics: of metrics.json.
        answers: to the test pictures, in their order.
        facts: of bundle.json; None where there is no such bundle, or it was trained anew since.
        history: columns of history.csv; empty where there are no facts.
        explained: of explained.json, where it is of this network and these pictures; ``maps`` go with it.
        comparison: of comparison/table.json, likewise; and ``covering``: of covering.json.
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
    covering: dict | None = None

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

    @property
    def fingerprint(self) -> str | None:
        return self.manifest.content_hash if self.manifest else None


@dataclass(frozen=True)
class Results:
    """All that the page is made of; ``notes`` are sentences on what is missing or does not fit, ``what_next`` is of
    what_next.json in ``output``, where it is of these pictures."""

    data: DataResults
    models: list[ModelResults]
    notes: list[str]
    output: Path
    what_next: dict | None = None


def read_results(data_dir: Path, models_dir: Path, output: Path) -> Results:
    """Read everything. Raises ``UserError`` where there is no evaluated model."""
    notes: list[str] = []
    folders = sorted(path.parent for path in output.glob("*/metrics.json") if not path.parent.name.startswith("."))
    if not folders:
        raise UserError(f"there is nothing to report in {output}: no model was evaluated; do it with: {EVALUATE}")
    data = _read_data(data_dir, output, notes)
    models = [model for folder in folders if (model := _read_model(folder, models_dir, data, notes))]
    models = [model for model in models if _members_agree(model, models, notes)]
    if not models:
        raise UserError(f"no result in {output} can be reported: {notes[-1].rstrip('.')}")
    for name in list_bundles(models_dir):
        if name not in {folder.name for folder in folders}:
            notes.append(f"{name} is trained and not in this report; evaluate it with: {EVALUATE}")
    models.sort(key=lambda model: (model.name != "transfer", model.name))  # as commands choose theirs
    return Results(data, models, notes, output, read_what_next(output, data.fingerprint, notes))


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
        manifest = _try(lambda: load_manifest(folder), folder / "split.json", notes)
    audit, findings = _read_audit(output / "audit", counts, notes)
    return DataResults(folder, counts, manifest, audit, findings)


def _is_class(place: Path) -> bool:
    return place.is_dir() and not place.name.startswith(".")


def _read_audit(folder: Path, counts: dict, notes: list[str]) -> tuple[dict | None, list[tuple[str, ...]]]:
    path, columns = folder / "audit.json", ("file", "kind", "score", "reason", "suggested", "other")
    if not path.is_file():
        return None, []
    audit = _try(lambda: read_checked(path, AUDIT), path, notes)
    findings = _try(lambda: read_table(folder / "findings.csv", columns), folder / "findings.csv", notes)
    if audit is None or findings is None:
        return None, []
    if audit["counts"] != counts:
        notes.append("The audit is of other pictures than there are now; make it anew with: python -m src.audit")
        return None, []
    return audit, findings


# ------------------------------------------------------------------------------------------------------ models


def _read_model(folder: Path, models_dir: Path, data: DataResults, notes: list[str]) -> ModelResults | None:
    name, path = folder.name, folder / "metrics.json"
    metrics = _try(lambda: read_checked(path, METRICS), path, notes)
    answers = _try(lambda: _read_answers(folder / "predictions.csv"), folder / "predictions.csv", notes)
    if metrics is None or not answers:
        return None
    if not _agree(metrics, answers):
        notes.append(f"{path} and predictions.csv are of different runs, and are left out; run {EVALUATE}")
        return None
    if reason := _is_of_other_data(metrics, answers, data):
        notes.append(f"{name} is left out: it was evaluated on {reason}; run {EVALUATE}")
        return None
    facts, history = _read_bundle(models_dir / name, metrics, notes)
    explained, maps = _read_maps(folder, metrics, answers, notes)
    comparison = _read_comparison(folder / "comparison" / "table.json", metrics, notes)
    covering = _read_covering(folder / "covering.json", metrics, notes)
    return ModelResults(name, folder, metrics, answers, facts, history, explained, maps, comparison, covering)


def _read_answers(path: Path) -> list[Answer]:
    rows = []
    for place, *names, confidence, probability, loss in read_table(path, _COLUMNS):
        numbers = [float(text) for text in (confidence, probability, loss)]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("a number that is none")
        rows.append(Answer(_below_data(place, names[0]), *names, *numbers))
    return rows


def _below_data(path: str, class_name: str) -> str:
    """``data/test/cat/x.jpg``, or the same from anywhere else, as ``test/cat/x.jpg``."""
    parts = PurePath(path).parts
    starts = [place for place in range(len(parts) - 1) if parts[place : place + 2] == ("test", class_name)]
    return PurePath(*parts[starts[-1] :]).as_posix() if starts else PurePath(path).as_posix()


def _agree(metrics: dict, answers: list[Answer]) -> bool:
    """Whether figures and answers are of one evaluation, and the figures are whole."""
    names = list(metrics["per_class"])
    places = {name: place for place, name in enumerate(names)}
    if not {name for answer in answers for name in (answer.true, answer.predicted)} <= places.keys():
        return False
    counted = np.zeros((len(names), len(names)), int)
    for answer in answers:
        counted[places[answer.true], places[answer.predicted]] += 1
    right, loss = np.trace(counted) / len(answers), np.mean([answer.loss for answer in answers])
    return (
        counted.tolist() == metrics["confusion_matrix"]
        and metrics["n"] == len(answers)
        and math.isclose(right, metrics["accuracy"], abs_tol=1e-9)
        and len(metrics["interval"]) == 2
        and is_whole(metrics["trust"], len(answers))
        and math.isclose(loss, metrics["calibration"]["nll"], rel_tol=_NLL, abs_tol=_NLL)
    )


def _is_of_other_data(metrics: dict, answers: list[Answer], data: DataResults) -> str | None:
    """What else than the pictures of ``data`` a model was evaluated on; None where it was on these, as far as can be
    told."""
    if not data.counts:
        return None
    if metrics["per_class"].keys() != set(data.class_names):
        return f"other classes than those of {data.folder}"
    if metrics["data"] != data.fingerprint:
        return f"another split than {data.folder} holds now"
    there = {
        f"test/{name}/{PurePath(path).as_posix()}"
        for name in data.counts.get("test", {})
        for path in list_pictures(data.folder / "test" / name)
    }
    missing = sum(answer.path not in there for answer in answers)
    if missing or len(there) != len(answers):
        return f"{len(answers)} pictures, of which {missing} are not among the {len(there)} of {data.folder}/test"
    return None


def _members_agree(model: ModelResults, models: list[ModelResults], notes: list[str]) -> bool:
    """Whether an ensemble is of the networks that its members are now; True for a model by itself."""
    members = model.metrics["members"]
    if not members:
        return True
    now = {other.name: other.metrics["network"] for other in models}
    then = model.metrics["member_networks"] or []
    if [now.get(name) for name in members] == then and all(name in now for name in members):
        return True
    notes.append(f"{model.name} is left out: its members are not what they were; run {EVALUATE} --ensemble")
    return False


def _read_bundle(folder: Path, metrics: dict, notes: list[str]) -> tuple[dict | None, dict[str, list[float]]]:
    if not (folder / BUNDLE_FILE).is_file():
        return None, {}
    facts = _try(lambda: read_checked(folder / BUNDLE_FILE, BUNDLE), folder / BUNDLE_FILE, notes)
    if facts is None:
        return None, {}
    if metrics["network"] != facts["sha256"].get(MODEL_FILE):
        notes.append(
            f"{folder.name} was trained anew after it was evaluated; its figures are the older network's. "
            f"Run {EVALUATE} and {EXPLAIN}"
        )
        return None, {}
    path = folder / "history.csv"
    return facts, (_try(lambda: _read_history(path), path, notes) or {}) if path.is_file() else {}


def _read_history(path: Path) -> dict[str, list[float]]:
    with path.open(encoding="utf-8") as stream:
        header = stream.readline().strip().split(",")
    columns = zip(*read_table(path, tuple(header)))
    return {name: [float(value) for value in values] for name, values in zip(header, columns)}


def _read_maps(folder: Path, metrics: dict, answers: list[Answer], notes: list[str]) -> tuple[dict | None, Maps | None]:
    """What gradcam says of the test part, and its maps, where they are of the predicted classes of these answers."""
    path = folder / "explained.json"
    explained = _try(lambda: read_checked(path, EXPLAINED), path, notes) if path.is_file() else None
    if explained is None or not _is_of(explained, metrics, path, notes):
        return None, None
    if explained["explained_class"] is not None or explained["versus"] is not None:
        notes.append(f"The maps of {folder.name} are of a class that was asked for; run {EXPLAIN}")
        return None, None
    maps = _try(lambda: _load_maps(folder / "heatmaps.npz", answers), folder / "heatmaps.npz", notes)
    if maps is not None and len(maps.predicted) < len(answers):
        missing = len(answers) - len(maps.predicted)
        notes.append(f"{folder.name} has no maps of {missing} of {len(answers)} test pictures; run {EXPLAIN}")
    return explained, maps


def _load_maps(path: Path, answers: list[Answer]) -> Maps:
    try:
        with np.load(path, allow_pickle=False) as stored:
            paths, labels, predicted, heatmaps, names, index, again = (
                stored[name]
                for name in ("paths", "labels", "predicted", "heatmaps", "class_names", "true_index", "true_heatmaps")
            )
    except (OSError, KeyError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged or of another version; make it anew with: {EXPLAIN}") from error
    for maps, count in ((heatmaps, len(paths)), (again, len(index))):
        if maps.ndim != 3 or maps.dtype.kind != "f" or len(maps) != count or 0 in maps.shape[1:]:
            raise ValueError(f"maps of shape {maps.shape}")
        if not np.isfinite(maps).all():
            raise ValueError("maps with NaN or infinity")
    given = {answer.path: answer.predicted for answer in answers}
    below = [_below_data(str(path), str(names[label])) for path, label in zip(paths, labels)]
    fitting = {place for place, path in enumerate(below) if given.get(path) == names[predicted[place]]}
    return Maps(
        {below[place]: heatmaps[place] for place in sorted(fitting)},
        {below[place]: again[row] for row, place in enumerate(index.tolist()) if place in fitting},
    )


def _read_comparison(path: Path, metrics: dict, notes: list[str]) -> dict | None:
    if not path.is_file():
        return None

    def read() -> dict:
        found = read_checked(path, COMPARISON)
        methods = {name: row | conform(row, METHOD, name) for name, row in found["methods"].items()}
        return found | {"methods": methods}

    comparison = _try(read, path, notes)
    return comparison if comparison is not None and _is_of(comparison, metrics, path, notes) else None


def _read_covering(path: Path, metrics: dict, notes: list[str]) -> dict | None:
    covering = _try(lambda: check_covering(read_checked(path, COVERING)), path, notes) if path.is_file() else None
    return covering if covering is not None and _is_of(covering, metrics, path, notes) else None


def _is_of(found: dict, metrics: dict, path: Path, notes: list[str]) -> bool:
    """Whether explanations are of the network and the pictures that were evaluated."""
    if found["network"] != metrics["network"]:
        notes.append(f"{path} is of another network than was evaluated, and is left out; run {EXPLAIN}")
        return False
    if found["data"] != metrics["data"]:
        notes.append(f"{path} is of other pictures than were evaluated, and is left out; run {EXPLAIN}")
        return False
    return True


def _try(read: Callable[[], Read], path: Path, notes: list[str]) -> Read | None:
    """What ``read`` returns; None where it raises the user's error, which becomes a note."""
    try:
        return read()
    except UserError as error:
        notes.append(f"{error}.")
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        notes.append(f"{path} is damaged ({error}); make it anew with the command that wrote it.")
    return None
