"""What the audit finds, and the table of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from src.files import write_csv

# In the order of the table, what cannot be used first. The keys are the kinds, and the names of the sheets.
KINDS = {
    "empty": "files of no bytes",
    "unreadable": "files that are no picture, or are cut off",
    "damaged": "pictures that are torn or gray from some place on, though readers take them",
    "irregular": "JPEGs with more data than their pixels take: mostly harmless, at times torn",
    "identical": "files of the same bytes",
    "near_copy": "the same shot, resized, re-encoded, cropped, mirrored, brighter or darker",
    "same_scene": "pairs that a network finds far more alike than others: one scene, a strong crop, a turned copy",
    "label_error": "pictures that look like another class",
    "outlier": "pictures that look like no other",
    "uniform": "pictures of hardly any content",
    "dark": "pictures that are dark nearly everywhere",
    "bright": "pictures that are white nearly everywhere",
    "blurred": "pictures that are blurred at the size that networks see",
    "tiny": "pictures much smaller than the others",
    "odd_aspect": "pictures much narrower or wider than the others",
    "animated": "files of several pictures, of which the first is used",
    "wrong_extension": "files whose names do not suit their content; they are read all the same",
    "stray": "pictures that lie where they belong to no class",
}
BROKEN = ("empty", "unreadable", "damaged")  # what nobody can learn from


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one picture.

    Attributes:
        file: POSIX path below the data folder.
        kind: one of ``KINDS``.
        score: 0 to 1, of one kind comparable: the higher, the clearer the case.
        reason: what was seen, for people.
        suggested: the class that the picture looks like, for "label_error".
        other: the other picture, for kinds of pairs; it is the one to keep.
    """

    file: str
    kind: str
    score: float
    reason: str
    suggested: str = ""
    other: str = ""


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """By kind in the order of ``KINDS``, within one the clearest cases first."""
    order = list(KINDS)
    return sorted(findings, key=lambda finding: (order.index(finding.kind), -finding.score, finding.file))


def count_kinds(findings: Iterable[Finding]) -> dict[str, int]:
    """How many of each kind, in the order of ``KINDS``; kinds that were not met are left out."""
    counts = dict.fromkeys(KINDS, 0)
    for finding in findings:
        counts[finding.kind] += 1
    return {kind: count for kind, count in counts.items() if count}


def write_findings(path: str | Path, findings: Iterable[Finding]) -> None:
    """Write ``findings.csv``: file, kind, score, reason, suggested, other."""
    rows = ((f.file, f.kind, f"{f.score:.4f}", f.reason, f.suggested, f.other) for f in findings)
    write_csv(path, ["file", "kind", "score", "reason", "suggested", "other"], rows)


def write_corrections(path: str | Path, findings: Iterable[Finding]) -> None:
    """Write ``corrections.csv``: the suggested class of each likely label error, to be looked through and applied."""
    rows = ((f.file, f.suggested, f"{f.score:.4f}") for f in findings if f.kind == "label_error")
    write_csv(path, ["file", "class", "score"], rows)
