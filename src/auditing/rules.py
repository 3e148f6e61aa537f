"""What each picture's own figures say against it. Pure."""

from collections.abc import Iterator, Sequence

import numpy as np

from src.auditing.findings import Finding
from src.auditing.inspection import Inspected

# On 2,000 photographs of dogs and cats and their darkened, blurred ... copies: docs/data.md.
DARK = 0.25  # the 98th percentile of brightness lies below
BRIGHT = 0.85  # the 2nd percentile lies above
UNIFORM = 0.06  # between the 2nd and the 98th percentile lies less
BLURRED = 0.6
TINY_SIDE, TINY_SHARE = 32, 1 / 5  # of the median smaller side
ODD_ASPECT = 2.5  # times the median aspect ratio, either way


def judge_pictures(inspected: Sequence[Inspected]) -> Iterator[Finding]:
    """Findings of every kind that takes one picture, or its size beside those of the others."""
    sizes = np.array([(each.verified.height, each.verified.width) for each in inspected if each.verified])
    sides, aspects = (np.array([]), np.array([])) if not len(sizes) else (sizes.min(axis=1), sizes[:, 1] / sizes[:, 0])
    medians = (float(np.median(sides)), float(np.median(aspects))) if len(sizes) else (0.0, 1.0)
    for each in inspected:
        if each.flaw:
            kind, reason = each.flaw
            yield Finding(each.picture.relative, kind, 1.0, reason)
        if each.irregular:
            yield Finding(each.picture.relative, "irregular", 0.5, each.irregular)
        if each.verified:
            yield from _judge_file(each)
            yield from _judge_size(each, *medians)
        if each.look:
            yield from _judge_look(each)


def _judge_file(each: Inspected) -> Iterator[Finding]:
    file, verified = each.picture.relative, each.verified
    if verified.frames > 1:
        yield Finding(file, "animated", 1.0, f"{verified.frames} pictures in one file ({verified.format})")
    if not verified.suits(file):
        yield Finding(file, "wrong_extension", 1.0, f"its content is {verified.format}")


def _judge_size(each: Inspected, median_side: float, median_aspect: float) -> Iterator[Finding]:
    file, verified = each.picture.relative, each.verified
    size = f"{verified.width} x {verified.height} pixels"
    side = min(verified.height, verified.width)
    limit = max(median_side * TINY_SHARE, min(TINY_SIDE, median_side / 2))
    if side < limit:
        yield Finding(file, "tiny", 1 - side / limit, f"{size}; the median of smaller sides is {median_side:.0f}")
    aspect = verified.width / verified.height
    odd = max(aspect / median_aspect, median_aspect / aspect)
    if odd > ODD_ASPECT:
        which = "wider" if aspect > median_aspect else "narrower"
        yield Finding(file, "odd_aspect", 1 - ODD_ASPECT / odd, f"{size}; {odd:.1f} times {which} than most")


def _judge_look(each: Inspected) -> Iterator[Finding]:
    file, look = each.picture.relative, each.look
    spread = look.lightest - look.darkest
    if spread < UNIFORM:
        yield Finding(file, "uniform", 1 - spread / UNIFORM, f"nearly one brightness; spread {spread:.3f}")
    elif look.lightest < DARK:
        yield Finding(file, "dark", 1 - look.lightest, f"98% of it below {look.lightest:.2f} of white")
    elif look.darkest > BRIGHT:
        yield Finding(file, "bright", look.darkest, f"98% of it above {look.darkest:.2f} of white")
    elif look.blur > BLURRED:  # false for NaN
        yield Finding(file, "blurred", look.blur, f"blur {look.blur:.2f} (0 sharp, 1 blurred away)")
