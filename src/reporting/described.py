"""What the template is told of the data and of each model."""

import shlex
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from src.auditing.findings import KINDS
from src.evaluation.pairs import PairedComparison, compare_pair
from src.evaluation.selective import trade_coverage
from src.explainers.measures import MEASURES
from src.intervals import wilson_interval
from src.loading.folder import list_pictures
from src.reporting.charts import draw_curves, draw_honesty, draw_refusal
from src.reporting.decisions import describe_covering
from src.reporting.pictures import PicturePool
from src.reporting.results import DataResults, ModelResults
from src.reporting.schema import BUNDLE
from src.reporting.trust import describe_trust

SAMPLES, SAMPLES_IN_ALL = 6, 120  # pictures of each class
FINDINGS = 12  # pictures of each kind
MATRIX_CLASSES = 40  # beyond, the matrix would be a wall: the most frequent confusions are listed instead
CONFUSIONS = 100


def choose_samples(data: DataResults) -> dict[str, list[str]]:
    """Pictures of each class, evenly from all of the training part (or the first part that there is)."""
    part = next(iter(data.counts), None)
    if part is None:
        return {}
    each = min(SAMPLES, max(1, SAMPLES_IN_ALL // max(1, len(data.counts[part]))))
    samples = {}
    for name in list(data.counts[part])[:SAMPLES_IN_ALL]:
        paths = list_pictures(data.folder / part / name)
        chosen = np.unique(np.linspace(0, len(paths) - 1, min(each, len(paths))).astype(int)) if paths else []
        samples[name] = [f"{part}/{name}/{paths[place]}" for place in chosen]
    return samples


def describe_audit(data: DataResults) -> list[dict]:
    """Each kind of finding with its first rows: the pictures it is about, what was seen."""
    kinds = []
    for kind, meaning in KINDS.items():
        found = [row for row in data.findings if row[1] == kind]
        if not found:
            continue
        rows = [
            {"files": [name for name in (file, other) if name], "reason": reason}
            for file, _, _, reason, _, other in found[:FINDINGS]
        ]
        kinds.append({"kind": kind.replace("_", " "), "meaning": meaning, "count": len(found), "rows": rows})
    return kinds


def describe_model(model: ModelResults, pool: PicturePool) -> dict:
    """What the page says of a model, beside its gallery."""
    metrics, facts = model.metrics, model.facts or dict.fromkeys(BUNDLE)
    curve = trade_coverage(
        np.array([answer.confidence for answer in model.answers]), np.array([answer.right for answer in model.answers])
    )
    return {
        "name": model.name,
        "quoted": shlex.quote(model.name),
        "metrics": metrics,
        "facts": facts,
        "wrong": len(model.wrong),
        "wrong_shown": 0,  # known once the gallery is filled
        "has_maps": model.maps is not None,
        "single_epoch": _describe_single_epoch(model.history),
        "curves": draw_curves(model.name, model.history, (facts["metrics"] or {}).get("epoch")),
        "confidence": [
            draw_honesty(model.name, metrics["calibration"]["reliability"], metrics["calibration"]["ece"]),
            draw_refusal(model.name, curve),
        ],
        "trust": describe_trust(model, pool),
        "per_class": _describe_classes(metrics),
        "matrix": _describe_matrix(metrics),
        "settings": sorted((facts["settings"] or {}).items()),
        "explained": model.explained,
        "comparison": _describe_comparison(model.comparison),
        "covering": describe_covering(model.covering, model.folder, pool),
        "focus": pool.take_sheet(model.folder / "class_focus.png") if model.explained else None,
        "sheet": pool.take_sheet(model.folder / "comparison" / "sheet.png") if model.comparison else None,
    }


def _describe_single_epoch(history: dict[str, list[float]]) -> str:
    """What stands in the place of curves; empty for a history of more epochs, or without these figures."""
    accuracy, validation = history.get("accuracy", ()), history.get("val_accuracy", ())
    if len(accuracy) != 1 or len(validation) != 1:
        return ""
    solved = " at the optimum of a logistic regression" if history.get("learning_rate") == [0.0] else ""
    figures = f"training accuracy {accuracy[0]:.3f}, validation {validation[0]:.3f}"
    return f"One epoch{solved}, so that there is no curve: {figures}."


def _describe_classes(metrics: dict) -> list[dict]:
    """Rows of the per-class table, the least recognised first."""
    matrix = np.array(metrics["confusion_matrix"])
    rows = []
    for place, (name, figures) in enumerate(metrics["per_class"].items()):
        right, count = int(matrix[place, place]), int(matrix[place].sum())
        low, high = wilson_interval(right, count) if count else (0.0, 1.0)
        rows.append({"name": name, "place": place, "low": low, "high": high, **figures})
    return sorted(rows, key=lambda row: (row["recall"], row["name"]))


def _describe_matrix(metrics: dict) -> dict:
    """The cells of the confusion matrix with their shares of the row; of many classes the most frequent confusions."""
    matrix, names = np.array(metrics["confusion_matrix"]), list(metrics["per_class"])
    totals = np.maximum(matrix.sum(axis=1), 1)
    cells = list_cells(metrics)
    confused = sorted((cell for cell in cells if cell[0] != cell[1]), key=lambda cell: (-cell[2], cell[:2]))
    return {
        "names": names,
        "rows": None if len(names) > MATRIX_CLASSES else (matrix / totals[:, None]).tolist(),
        "counts": matrix.tolist(),
        "confused": confused[:CONFUSIONS],
        "confusions": len(confused),
    }


def list_cells(metrics: dict) -> list[tuple[int, int, int]]:
    """(true, predicted, count) of the confusion matrix's cells that are not empty."""
    matrix = np.array(metrics["confusion_matrix"])
    return [(int(true), int(given), int(matrix[true, given])) for true, given in zip(*np.nonzero(matrix))]


def _describe_comparison(comparison: dict | None) -> dict | None:
    """The table of methods: columns, and for each method its cells as text with whether they beat the controls."""
    if comparison is None:
        return None
    methods = comparison["methods"]
    columns = [name for name in MEASURES if any(row.get(name) is not None for row in methods.values())]
    rows = []
    for row in methods.values():
        cells = []
        for name in columns:
            write, value = MEASURES[name].format.format, row.get(name)
            bounds = row["intervals"].get(name, [None, None])[:2]
            cells.append(
                {
                    "value": "–" if value is None else write(value),
                    "interval": "" if None in bounds or value is None else f"{write(bounds[0])} to {write(bounds[1])}",
                    "beaten": (row["beats_controls"] or {}).get(name) is False,
                }
            )
        rows.append({"title": row["title"], "control": row["control"], "rank": row["mean_rank"], "cells": cells})
    return {
        "n": comparison["n"],
        "flips": comparison["flips"],
        "columns": [{"title": MEASURES[name].title, "better": MEASURES[name].higher_is_better} for name in columns],
        "rows": rows,
    }


def compare_models(models: Sequence[ModelResults]) -> list[PairedComparison]:
    """Every pair of models that answered the same pictures."""
    paths = {model.name: [answer.path for answer in model.answers] for model in models}
    right = {model.name: np.array([answer.right for answer in model.answers]) for model in models}
    return [
        compare_pair(first, right[first], second, right[second])
        for first, second in combinations(paths, 2)
        if paths[first] == paths[second]
    ]
