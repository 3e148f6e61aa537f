"""The page: results put into the template, as one file that needs nothing else."""

from datetime import datetime
from pathlib import Path

from src.atomic import atomic_file
from src.pages.render import render_page, to_inline_json
from src.reporting.decisions import describe_what_next
from src.reporting.described import choose_samples, compare_models, describe_audit, describe_model, list_cells
from src.reporting.estimated import describe_estimated
from src.reporting.gallery import fill_galleries
from src.reporting.pictures import PicturePool, encode_colors
from src.reporting.reproduction import describe_reproduction
from src.reporting.results import Results

_TEMPLATE = Path(__file__).with_name("page.html")


def write_report(results: Results, path: Path, command: str) -> dict:
    """Write the page, atomically.

    Args:
        command: as it was typed, for the page's own reproduction line.

    Returns:
        ``pictures``: how many it holds; ``left_out``: how many it had no room for; ``bytes``.
    """
    pool = PicturePool(results.data.folder)
    samples, audit = choose_samples(results.data), describe_audit(results.data)
    found = [name for kind in audit for row in kind["rows"] for name in row["files"]]
    pool.read([*(path for paths in samples.values() for path in paths), *found])
    page = _render(results, pool, samples, audit, command, describe_estimated(results, path.parent))
    text = page.encode("utf-8", "replace")  # a file name that is not UTF-8 is shown with question marks
    with atomic_file(path) as temporary:
        temporary.write_bytes(text)
    return {"pictures": len(pool.texts), "left_out": pool.left_out, "bytes": len(text)}


def _render(
    results: Results, pool: PicturePool, samples: dict, audit: list[dict], command: str, estimate: dict | None
) -> str:
    # What comes first has room first.
    samples = {name: [(pool.take(path), path) for path in paths] for name, paths in samples.items()}
    for kind in audit:
        for row in kind["rows"]:
            row["pictures"] = [(pool.take(name), name) for name in row["files"]]
    described = {model.name: describe_model(model, pool) for model in results.models}
    context = {
        "date": datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        "data": results.data,
        "models": list(described.values()),
        "pairs": compare_models(results.models),
        "samples": samples,
        "audit": audit,
        "estimate": estimate,
        "what_next": describe_what_next(results.what_next, results.output, pool),
        "reproduction": describe_reproduction(results, command, [estimate["command"]] if estimate else []),
    }
    without = _fill_template(context | {"notes": [], "content": ""})
    pool.leave_beside(len(without))
    rows = fill_galleries(results.models, pool)
    for name, model in described.items():
        model["wrong_shown"] = sum(row["true"] != row["predicted"] for row in rows[name])
    content = {"pictures": pool.texts, "colors": encode_colors(), "models": []}
    for model in results.models:
        each = {"name": model.name, "classes": model.class_names, "cells": list_cells(model.metrics)}
        content["models"].append(each | {"rows": rows[model.name]})
    return _fill_template(context | {"notes": results.notes + _note_pictures(pool), "content": to_inline_json(content)})


def _fill_template(context: dict) -> str:
    return render_page(_TEMPLATE, {"share": _share, "figure": _figure, "seconds": _seconds}, **context)


def _note_pictures(pool: PicturePool) -> list[str]:
    notes = []
    if pool.unreadable:
        count, first = len(pool.unreadable), pool.unreadable[0]
        notes.append(f"{count} pictures could not be read, and are not shown; the first: {first}.")
    if pool.left_out:
        notes.append(f"{pool.left_out} pictures more are not shown, to keep this file small; the tables count them.")
    return notes


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def _figure(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"
