"""Identical pictures and near-copies: within a part, across parts, across classes."""

from collections.abc import Iterator, Sequence

from src.auditing.findings import Finding
from src.datasets.near_copies import NearCopy
from src.datasets.sources import Picture
from src.settings import PARTS


def judge_copies(pictures: Sequence[Picture], copies: Sequence[NearCopy], kind: str = "near_copy") -> Iterator[Finding]:
    """A finding for each near-copy but the one to keep: a picture is named once, beside the one it is most like."""
    best: dict[int, tuple[NearCopy, int]] = {}
    for copy in copies:
        if pictures[copy.first].digest == pictures[copy.second].digest:
            continue
        keep, goes = sorted((copy.first, copy.second), key=lambda place: _rank(pictures[place]))
        if goes not in best or copy.similarity > best[goes][0].similarity:
            best[goes] = copy, keep
    for goes, (copy, keep) in sorted(best.items()):
        places = describe_places(pictures[goes], pictures[keep])
        reason = f"{_describe(copy, kind, pictures[keep].relative)}{places}"
        score = min(1.0, copy.similarity)
        yield Finding(pictures[goes].relative, kind, score, reason, other=pictures[keep].relative)


def _describe(copy: NearCopy, kind: str, other: str) -> str:
    if kind == "same_scene":
        return f"far more like {other} than like any other"
    return f"{'mirrored copy' if copy.mirrored else 'near-copy'} of {other}"


def judge_identical(pictures: Sequence[Picture]) -> Iterator[Finding]:
    """A finding for each picture whose bytes another has, which is the one to keep."""
    kept: dict[str, Picture] = {}
    for picture in sorted(pictures, key=_rank):
        first = kept.setdefault(picture.digest, picture)
        if first is not picture:
            reason = f"the same bytes as {first.relative}{describe_places(picture, first)}"
            yield Finding(picture.relative, "identical", 1.0, reason, other=first.relative)


def describe_places(picture: Picture, other: Picture) -> str:
    """What is bad about where the two lie; "" where nothing is but the repetition."""
    bad = []
    if picture.part != other.part:
        bad.append(f"across parts ({other.part} and {picture.part}: a leak)")
    if picture.class_name != other.class_name:
        bad.append(f"across classes ({other.class_name} and {picture.class_name}: a contradiction)")
    return f"; {' and '.join(bad)}" if bad else ""


def count_pairs(findings: Sequence[Finding], pictures: Sequence[Picture]) -> dict[str, int]:
    """How many of these findings lie within one part and class, across parts, across classes."""
    by_name = {picture.relative: picture for picture in pictures}
    pairs = [(by_name[finding.file], by_name[finding.other]) for finding in findings]
    return {
        "found": len(pairs),
        "across_parts": sum(one.part != other.part for one, other in pairs),
        "across_classes": sum(one.class_name != other.class_name for one, other in pairs),
    }


def _rank(picture: Picture) -> tuple:
    """Which of two copies is kept: test's before val's and train's, so that figures stay comparable; else by name."""
    return -PARTS.index(picture.part) if picture.part else 0, picture.relative
