"""The page: results put into the template, with its style and its script, as one file that needs nothing else."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import jinja2
import numpy as np

from src.auditing.findings import KINDS
from src.errors import UserError
from src.evaluation.pairs import compare_pairs
from src.evaluation.selective import trade_coverage
from src.explainers.measures import MEASURES
from src.files import atomic_file
from src.intervals import wilson_interval
from src.loading.folder import list_pictures
from src.pages.render import render_page, to_inline_json
from src.reporting.charts import draw_curves, draw_honesty, draw_refusal
from src.reporting.gallery import choose_right, choose_wrong, describe_answers
from src.reporting.pictures import PicturePool, encode_colors, encode_sheet
from src.reporting.results import DataResults, ModelResults, Results

HERE = Path(__file__).parent
SAMPLES, SAMPLES_IN_ALL = 6, 240  # pictures of each class
FINDINGS = 12  # pictures of each kind
MATRIX_CLASSES = 40  # beyond, the matrix would be a wall: the most frequent confusions are listed instead
CONFUSIONS = 100


def write_report(results: Results, path: Path) -> dict:
    """Write the page, atomically; returns ``pictures`` (how many it holds), ``left_out`` and ``bytes``."""
    pool = PicturePool()
    chosen = {model.name: choose_wrong(model) for model in results.models}
    for answers in chosen.values():
        pool.add(answer.path for answer in answers)
    samples = _choose_samples(results.data)
    pool.add(path for paths in samples.values() for path in paths)
    audit = _describe_audit(results.data)
    pool.add(results.data.folder / name for kind in audit for row in kind["rows"] for name in row["files"])
    for model in results.models:
        right = choose_right(model)
        pool.add(answer.path for answer in right)
        chosen[model.name] += right
    rows = {model.name: describe_answers(model, chosen[model.name], pool) for model in results.models}
    try:
        page = _render(results, pool, rows, samples, audit)
    except jinja2.UndefinedError as error:
        raise UserError(
            f"a result of another version lacks what the page needs ({error}); run python -m src.evaluate and python "
            "-m src.gradcam, then this again"
        ) from error
    text = page.encode("utf-8", "replace")  # a file name that is not UTF-8 is shown with question marks
    with atomic_file(path) as temporary:
        temporary.write_bytes(text)
    return {"pictures": len(pool.texts), "left_out": pool.left_out, "bytes": len(text)}


def _render(results: Results, pool: PicturePool, rows: dict[str, list[dict]], samples: dict, audit: list[dict]) -> str:
    return render_page(
        HERE / "page.html",
        {"share": _share, "figure": _figure, "seconds": _seconds},
        date=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        data=results.data,
        notes=results.notes + _note_pictures(pool),
        models=[_describe_model(model, rows[model.name]) for model in results.models],
        pairs=_compare(results.models),
        samples={name: [(pool.place(path), path) for path in paths] for name, paths in samples.items()},
        audit=audit,
        place=lambda name: pool.place(results.data.folder / name),
        reproduction=_reproduce(results),
        content=to_inline_json(
            {
                "pictures": pool.texts,
                "colors": encode_colors(),
                "models": [
                    {"name": model.name, "classes": model.class_names, "rows": rows[model.name]}
                    for model in results.models
                ],
            }
        ),
    )


def _note_pictures(pool: PicturePool) -> list[str]:
    notes = []
    if pool.unreadable:
        count, first = len(pool.unreadable), pool.unreadable[0]
        notes.append(f"{count} pictures could not be read any more, and are not shown; the first: {first}.")
    if pool.left_out:
        notes.append(f"{pool.left_out} pictures more are not shown, to keep this file small; the tables count them.")
    return notes


# ------------------------------------------------------------------------------------------------------- data


def _choose_samples(data: DataResults) -> dict[str, list[str]]:
    """Pictures of each class, evenly from all of the training part (or the first that there is)."""
    part = next(iter(data.counts), None)
    if part is None:
        return {}
    each = min(SAMPLES, max(1, SAMPLES_IN_ALL // max(1, len(data.counts[part]))))
    samples = {}
    for name in data.counts[part]:
        folder = data.folder / part / name
        paths = list_pictures(folder)
        chosen = np.unique(np.linspace(0, len(paths) - 1, min(each, len(paths))).astype(int)) if paths else []
        samples[name] = [str(folder / paths[place]) for place in chosen]
    return samples


def _describe_audit(data: DataResults) -> list[dict]:
    """Each kind of finding with its first rows: the pictures it is about, what was seen."""
    kinds = []
    for kind, meaning in KINDS.items():
        found = [row for row in data.findings if row[1] == kind]
        if not found:
            continue
        rows = [
            {"files": [name for name in (file, other) if name], "reason": reason, "suggested": suggested}
            for file, _, _, reason, suggested, other in found[:FINDINGS]
        ]
        kinds.append({"kind": kind.replace("_", " "), "meaning": meaning, "count": len(found), "rows": rows})
    return kinds


# ------------------------------------------------------------------------------------------------------ models


def _describe_model(model: ModelResults, rows: Sequence[dict]) -> dict:
    metrics, facts = model.metrics, model.facts or {}
    kept = facts.get("metrics", {}).get("epoch")
    charts = draw_curves(model.name, model.history, kept)
    honesty = draw_honesty(model.name, metrics["calibration"]["reliability"], metrics["calibration"]["ece"])
    curve = trade_coverage(
        np.array([answer.confidence for answer in model.answers]), np.array([answer.right for answer in model.answers])
    )
    wrong = len(model.wrong)
    shown = sum(row["true"] != row["predicted"] for row in rows)
    return {
        "name": model.name,
        "metrics": metrics,
        "facts": facts,
        "wrong": wrong,
        "wrong_shown": shown,
        "has_maps": model.maps is not None,
        "curves": charts,
        "confidence": [honesty, draw_refusal(model.name, curve)],
        "per_class": _describe_classes(metrics),
        "matrix": _describe_matrix(metrics),
        "settings": sorted(facts.get("settings", {}).items()),
        "explained": model.explained,
        "comparison": _describe_comparison(model.comparison),
        "focus": encode_sheet(model.folder / "class_focus.png") if model.explained else None,
        "sheet": encode_sheet(model.folder / "comparison" / "sheet.png") if model.comparison else None,
    }


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
    confused = [
        {"true": int(true), "predicted": int(given), "count": int(matrix[true, given])}
        for true, given in zip(*np.nonzero(matrix))
        if true != given
    ]
    confused.sort(key=lambda cell: (-cell["count"], cell["true"], cell["predicted"]))
    return {
        "names": names,
        "rows": None if len(names) > MATRIX_CLASSES else (matrix / totals[:, None]).tolist(),
        "counts": matrix.tolist(),
        "confused": confused[:CONFUSIONS],
        "confusions": len(confused),
    }


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
            bounds = row.get("intervals", {}).get(name, [None, None])[:2]
            cells.append(
                {
                    "value": "–" if value is None else write(value),
                    "interval": "" if None in bounds or value is None else f"{write(bounds[0])} to {write(bounds[1])}",
                    "beaten": row.get("beats_controls", {}).get(name) is False,
                }
            )
        rows.append({"title": row["title"], "control": row["control"], "rank": row.get("mean_rank"), "cells": cells})
    return {
        "n": comparison["n"],
        "columns": [{"title": MEASURES[name].title, "better": MEASURES[name].higher_is_better} for name in columns],
        "rows": rows,
    }


def _compare(models: Sequence[ModelResults]) -> list:
    """Every pair of models that answered the same pictures."""
    first = [answer.path for answer in models[0].answers]
    same = [model for model in models if [answer.path for answer in model.answers] == first]
    return compare_pairs({model.name: np.array([answer.right for answer in model.answers]) for model in same})


def _reproduce(results: Results) -> dict:
    """Commands in their order, versions, digests: what makes all of this again."""
    manifest, commands, versions, digests = results.data.manifest, [], {}, []
    if manifest and manifest.command:
        commands.append(manifest.command)
    for model in results.models:
        facts = model.facts or {}
        if facts.get("command"):
            commands.append(facts["command"])
        versions |= facts.get("versions", {})
        if model.metrics.get("network"):
            digests.append((model.name, model.metrics["network"]))
    given = {
        "--ensemble": any(model.metrics.get("members") for model in results.models),
        "--flips": any(model.metrics.get("test_time_flips") for model in results.models),
        "--gap": any(model.metrics.get("gap") for model in results.models),
    }
    commands.append(" ".join(["python -m src.evaluate", *(flag for flag, was_given in given.items() if was_given)]))
    for model in results.models:
        chosen = f"python -m src.gradcam --model {shlex.quote(model.name)}"
        if model.explained:
            commands.append(chosen)
        if model.comparison:
            commands.append(f"{chosen} --compare --samples {model.comparison['n']}")
    commands.append("python -m src.report")
    return {
        "commands": commands,
        "versions": sorted(versions.items()),
        "fingerprint": manifest.content_hash if manifest else None,
        "digests": digests,
    }


# ------------------------------------------------------------------------------------------------------- words


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def _figure(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"
