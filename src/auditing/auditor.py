"""The audit from beginning to end: read, compare, judge, draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.auditing.copies import count_pairs, judge_copies, judge_identical
from src.auditing.findings import Finding, count_kinds, sort_findings, write_corrections, write_findings
from src.auditing.inspection import Inspected, inspect_pictures
from src.auditing.rules import judge_pictures
from src.auditing.sheets import draw_overview, draw_sheets
from src.auditing.statistics import summarize, tell_parts_apart
from src.datasets.grouping import group_alike
from src.datasets.near_copies import NearCopy, find_near_copies
from src.datasets.sources import Listing, Picture, read_folder
from src.errors import UserError
from src.files import finite, write_json
from src.progress import say
from src.settings import quiet_tensorflow

_PAIRS = ("identical", "near_copy", "same_scene")


@dataclass(frozen=True)
class Audit:
    """What an audit came to.

    Attributes:
        findings: sorted.
        summary: what ``audit.json`` holds.
        sheets: path of each kind's sheet.
        output: the folder that all was written into.
    """

    findings: list[Finding]
    summary: dict
    sheets: dict[str, str]
    output: Path


def audit_folder(data: Path, output: Path, *, features: bool = True, seed: int = 42) -> Audit:
    """Look through a data folder, split or not, and write ``findings.csv``, ``audit.json``, ``corrections.csv`` and the
    sheets; the data stay as they are.

    Args:
        features: to have a pre-trained network look, too: label errors, outliers, pictures of one scene.

    Raises:
        UserError: there is no such folder, it holds no pictures in classes, or the output lies within it.
    """
    listing = list_pictures(data, output)
    inspected = inspect_pictures(listing.pictures)
    sound = [each for each in inspected if each.look]
    if not sound:
        raise UserError(f"none of the {len(inspected)} pictures of {data} can be read; is it the right folder?")
    pictures = [each.picture for each in sound]
    copies = find_near_copies([picture.thumbnail for picture in pictures])
    findings = [Finding(path, "stray", 1.0, reason) for path, reason in listing.set_aside]
    findings += judge_pictures(inspected)
    findings += judge_identical(pictures)
    findings += judge_copies(pictures, copies)
    summary = summarize(inspected)
    if features:
        found, facts = _look_closely(pictures, copies, seed)
        findings += found
        summary |= facts
    findings = sort_findings(findings)
    summary = _describe(data, listing, inspected, findings) | summary
    return Audit(findings, summary, _write(output, findings, summary, inspected, listing), output)


def list_pictures(data: Path, output: Path | None = None) -> Listing:
    """The pictures of a data folder in their classes. Raises ``UserError`` where there are none, or ``output`` is one
    of its folders."""
    if not data.is_dir():
        raise UserError(f"there is no folder {data}; make it with: python split_dataset.py --source YOUR_FOLDER")
    if output and (data.resolve() == output.resolve() or data.resolve() in output.resolve().parents):
        raise UserError(f"the output {output} lies within the data {data}; choose another --output")
    listing = read_folder(data)
    if not listing.pictures:
        raise UserError(f"{data} holds no pictures in folders of classes")
    if listing.root.resolve() != data.resolve():
        raise UserError(f"{data} only wraps {listing.root}; give that with --data")
    return listing


def _look_closely(pictures: Sequence[Picture], copies: Sequence[NearCopy], seed: int) -> tuple[list[Finding], dict]:
    """What a pre-trained network finds; and for the summary how well it tells the labels and the parts apart."""
    quiet_tensorflow()
    from src.auditing.features import Neighbourhood, compute_features, find_outliers, find_scenes
    from src.auditing.labels import judge_labels

    features = compute_features(pictures)
    neighbourhood = Neighbourhood(features)
    say("Judging labels ...")
    labels = judge_labels(pictures, features, _number_groups(pictures, copies), seed)
    findings = [*labels.findings]
    findings += judge_copies(pictures, find_scenes(neighbourhood, copies), "same_scene")
    findings += find_outliers(pictures, neighbourhood)
    told_apart = tell_parts_apart(features, [picture.part for picture in pictures], seed)
    return findings, {"label_accuracy": labels.accuracy, "parts_told_apart": told_apart}


def _number_groups(pictures: Sequence[Picture], copies: Sequence[NearCopy]) -> np.ndarray:
    """For each picture the number of its group of identical pictures and near-copies."""
    numbers = np.empty(len(pictures), int)
    for number, members in enumerate(group_alike(pictures, copies).as_lists()):
        numbers[members] = number
    return numbers


def _describe(data: Path, listing: Listing, inspected: Sequence[Inspected], findings: Sequence[Finding]) -> dict:
    pictures = [each.picture for each in inspected]
    pairs = {kind: [f for f in findings if f.kind == kind] for kind in _PAIRS}
    return {
        "data": str(data),
        "pictures": len(inspected),
        "ignored": listing.ignored,
        "findings": count_kinds(findings),
        "pairs": {kind: count_pairs(found, pictures) for kind, found in pairs.items() if found},
    }


def _write(
    output: Path, findings: Sequence[Finding], summary: dict, inspected: Sequence[Inspected], listing: Listing
) -> dict[str, str]:
    output.mkdir(parents=True, exist_ok=True)
    write_findings(output / "findings.csv", findings)
    write_corrections(output / "corrections.csv", findings)
    write_json(output / "audit.json", finite(summary))
    paths = {each.picture.relative: each.picture.path for each in inspected}
    paths |= {path: str(listing.root / path) for path, _ in listing.set_aside}
    title = f"{summary['data']}: {summary['pictures']} pictures, {len(findings)} findings"
    draw_overview(output / "overview.png", inspected, summary["counts"], title)
    return draw_sheets(output, findings, paths)
