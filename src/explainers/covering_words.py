"""What covering asks and finds, in words and lines: a table without arrays, which needs no TensorFlow."""

from collections.abc import Sequence
from pathlib import PurePath

# What the network is asked beside the whole picture. "alone": all else is covered. "blank": the picture's mean colour.
VIEWS = ("region_covered", "region_alone", "control_covered", "control_alone", "blank")
# By whether the class is kept with the region covered, and with the region alone.
CATEGORIES = {
    (False, True): "region decides",
    (True, True): "either suffices",
    (False, False): "both needed",
    (True, False): "rest decides",
}
REST = CATEGORIES[True, False]
SHEET = "what_decides.png"
LEAST = 5  # pictures of a class, from which on its region is judged
FEW = 0.25  # share of the answers; where surely fewer rest on the hottest region, the evidence is spread
SUSPICIOUS = 0.25  # share of a class's pictures that show one patch where the evidence is strongest


def format_covering(found: dict) -> list[str]:
    """Lines for people."""
    if not found["n"]:
        return ["", "No map has a hottest region to cover."]
    lines = [
        "",
        f"Covered in turn: the hottest {found['share']:.0%} of the map, all else, and as large a region elsewhere "
        f"({found['n']} pictures)",
        "The answer is another      n   with it covered [95%]   all else covered     elsewhere covered     "
        "rest decides",
    ]
    for name, row in (*found["classes"].items(), ("all", found["all"])):
        cells = (_share(row["changed"][view]) for view in ("region_covered", "region_alone", "control_covered"))
        decided = row["categories"][REST]
        lines.append(
            f"  {name[:22]:22} {row['n']:>5}   " + "  ".join(f"{cell:20}" for cell in cells) + f"  {decided:>4}"
        )
    if found["without_region"]:
        lines.append(
            f"  {found['without_region']} more have no hottest region: no positive evidence, or everywhere alike"
        )
    return lines + [f"  {sentence}" for sentence in list_findings(found)]


def list_findings(found: dict) -> list[str]:
    """What is worth a look, a sentence each: classes that rest on one mark, whose hottest region is not shown to
    matter, or where the rest decides."""
    sentences = []
    for name, row in found["classes"].items():
        repeated = row.get("repeated") or {}
        share, low, high = repeated.get("share") or [None] * 3
        if low is not None and low >= SUSPICIOUS:
            sentences.append(
                f"{name}: where the evidence is strongest, {share:.0%} of its pictures show the same patch, pixel by "
                f"pixel ({low:.0%} to {high:.0%}): a logo, a date, a pattern? Compare {PurePath(repeated['path']).name}"
            )
        difference, low, high = row["beyond_control"]
        if row["n"] >= LEAST and not low > 0:
            sentences.append(
                f"{name}: its hottest region is not shown to be needed more than any other as large "
                f"({_points(difference)} of the answers, {_points(low)} to {_points(high)}); {_explain(row)}"
            )
        if count := row["categories"][REST]:
            sentences.append(f"{name}: in {count} of {row['n']} pictures not the hottest region decides, but the rest")
    return sentences


def _explain(row: dict) -> str:
    """Why a hottest region is not shown to matter. That few pictures show nothing is no reason by itself: one is named
    where most blank pictures surely keep the answer, or where the region surely decides few answers at most."""
    changed, _, at_most = row["changed"]["blank"]
    if at_most <= 0.5:
        return f"{1 - changed:.0%} keep the answer as a blank picture"
    if row["beyond_control"][2] < FEW:
        return "its evidence is spread"
    return f"{row['n']} pictures are too few to tell"


def _points(value: float) -> str:
    return f"{100 * value:+.0f}%"


def _share(bounds: Sequence[float]) -> str:
    mean, low, high = (100 * value for value in bounds)
    return f"{mean:.0f}% [{low:.0f} to {high:.0f}]"
