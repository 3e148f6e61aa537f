"""What the page says of covered pictures and of what to do next: read again, checked, and put into words."""

from pathlib import Path

from src.errors import UserError
from src.evaluation.worth import REASONS
from src.explainers.covering_words import SHEET, list_findings
from src.reporting.pictures import PicturePool
from src.reporting.schema import Each, Maybe, read_checked
from src.what_next import FOLDER, RECORD
from src.what_next import SHEET as NEXT_SHEET

_ROW = {
    "n": int,
    "changed": Each([Maybe(float)]),
    "moved": Each([Maybe(float)]),
    "beyond_control": [Maybe(float)],
    "categories": Each(int),
    "repeated": Maybe({"share": [Maybe(float)], "path": Maybe(str)}),
}
_DECIDED = {
    "path": str,
    "true": Maybe(str),
    "class": str,
    "before": float,
    "region_covered": float,
    "region_alone": float,
}
COVERING = {
    "share": float,
    "n": int,
    "without_region": int,
    "all": _ROW,
    "classes": Each(_ROW),
    "rest_decides": [_DECIDED],
    "network": Maybe(str),
    "data": Maybe(str),
    "command": Maybe(str),
}
_PROPOSAL = {
    "file": str,
    "label": str,
    "reason": str,
    "suggested": str,
    "confidence": float,
    "rank": int,
    "given": float,
}
WHAT_NEXT = {"data": Maybe(str), "n": int, "counts": Each(int), "proposals": [_PROPOSAL]}


def describe_covering(found: dict | None, folder: Path, pool: PicturePool) -> dict | None:
    """The table of classes, the findings, the sheet of ``folder`` (gradcam/<model>); None where nothing was covered."""
    if not found or not found["n"]:
        return None
    rows = [_describe_row(name, row) for name, row in found["classes"].items()]
    return {
        "share": found["share"],
        "n": found["n"],
        "without_region": found["without_region"],
        "rows": [*rows, _describe_row("all", found["all"]) | {"all": True}],
        "findings": list_findings(found),
        "decided": found["rest_decides"],
        "sheet": pool.take_sheet(folder / SHEET),
    }


def _describe_row(name: str, row: dict) -> dict:
    views = ("region_covered", "region_alone", "control_covered")
    cells = [_cell(row["changed"][view], "{:.0f}") for view in views] + [
        _cell(row["moved"]["region_covered"], "{:+.0f}")
    ]
    return {"name": name, "n": row["n"], "all": False, "cells": cells, "counts": list(row["categories"].values())}


def _cell(bounds: list[float | None], form: str) -> dict:
    value, low, high = (None if each is None else form.format(100 * each) for each in bounds)
    return {
        "value": "–" if value is None else f"{value}%",
        "interval": "" if None in (low, high) else f"{low} to {high}",
    }


def read_what_next(output: Path, fingerprint: str | None, notes: list[str]) -> dict | None:
    """what_next.json of ``output``; None, with a note, where it is damaged or of other pictures than the report's."""
    path = output / FOLDER / RECORD
    if not path.is_file():
        return None
    try:
        found = read_checked(path, WHAT_NEXT)
    except UserError as error:
        notes.append(f"{error}.")
        return None
    if found["data"] != fingerprint:
        notes.append(f"{path} is of other pictures than these, and is left out; make it anew.")
        return None
    return found


def describe_what_next(found: dict | None, output: Path, pool: PicturePool) -> dict | None:
    """The reasons with their counts, the list, the sheet; None where there is nothing to propose."""
    if not found or not found["proposals"]:
        return None
    reasons = [
        {"name": name, "meaning": meaning, "count": found["counts"].get(name, 0)} for name, meaning in REASONS.items()
    ]
    sheet = pool.take_sheet(output / FOLDER / NEXT_SHEET)
    return {"n": found["n"], "reasons": reasons, "rows": found["proposals"], "sheet": sheet}
