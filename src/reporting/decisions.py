"""What the page says of covered pictures and of what to do next: read again, checked, and put into words."""

from collections import Counter
from pathlib import Path

from src.errors import UserError
from src.evaluation.worth import REASONS
from src.explainers.covering_words import CATEGORIES, SHEET, VIEWS, list_findings
from src.reporting.pictures import PicturePool
from src.reporting.schema import COUNT, SHARE, Each, Maybe, Row, Within, read_checked
from src.what_next import FOLDER, LISTED, RECORD
from src.what_next import SHEET as NEXT_SHEET

_BOUNDS = Row(Maybe(float), 3)  # a mean and where it lies
_SHARE_BOUNDS = Row(Maybe(SHARE), 3)
_ROW = {
    "n": COUNT,
    "changed": dict.fromkeys(VIEWS, _SHARE_BOUNDS),
    "moved": dict.fromkeys(VIEWS, _BOUNDS),
    "beyond_control": _BOUNDS,
    "categories": dict.fromkeys(CATEGORIES.values(), COUNT),
    "repeated": Maybe({"share": _SHARE_BOUNDS, "path": Maybe(str)}),
}
_DECIDED = {
    "path": str,
    "true": Maybe(str),
    "class": str,
    "before": SHARE,
    "region_covered": SHARE,
    "region_alone": SHARE,
}
COVERING = {
    "share": SHARE,
    "n": COUNT,
    "without_region": COUNT,
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
    "confidence": SHARE,
    "rank": Within(int, 1, LISTED),
    "given": SHARE,
}
WHAT_NEXT = {
    "data": Maybe(str),
    "n": COUNT,
    "counts": dict.fromkeys(REASONS, COUNT),
    "proposals": [_PROPOSAL],
}


def check_covering(found: dict) -> dict:
    """What is read by ``COVERING``. Raises ``ValueError`` where its parts do not fit each other."""
    rows = found["classes"].values()
    if not found["n"] == found["all"]["n"] == sum(row["n"] for row in rows):
        raise ValueError("n is not the sum of the classes")
    for row in (*rows, found["all"]):
        told = [row["beyond_control"], *row["changed"].values()]
        # of no picture at all nothing is told, of any picture everything, but the interval of what has moved
        if any((value is None) == (row["n"] > 0) for bounds in told for value in bounds):
            raise ValueError("a share that is none")
        if sum(row["categories"].values()) != row["n"]:
            raise ValueError("n is not the sum of the categories")
        repeated = row["repeated"]
        if repeated and any((value is None) != (repeated["path"] is None) for value in repeated["share"]):
            raise ValueError("a patch that is of no picture")
    if any(row["n"] == 0 for row in rows):
        raise ValueError("a class without pictures")
    return found


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
    counted = Counter(row["reason"] for row in found["proposals"])
    if {name: counted.pop(name, 0) for name in REASONS} != found["counts"] or counted:
        notes.append(f"{path} is damaged (its proposals are not those that it counts); make it anew.")
        return None
    if found["data"] != fingerprint:
        notes.append(f"{path} is of other pictures than these, and is left out; make it anew.")
        return None
    return found


def describe_what_next(found: dict | None, output: Path, pool: PicturePool) -> dict | None:
    """The reasons with their counts, the list, the sheet; None where there is nothing to propose."""
    if not found or not found["proposals"]:
        return None
    reasons = [{"name": name, "meaning": meaning, "count": found["counts"][name]} for name, meaning in REASONS.items()]
    sheet = pool.take_sheet(output / FOLDER / NEXT_SHEET)
    return {"n": found["n"], "reasons": reasons, "rows": found["proposals"], "sheet": sheet}
