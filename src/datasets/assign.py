"""Which picture goes into which part. Pure: no file is touched, and nothing is random but by (seed, path)."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from src.datasets.sources import Picture
from src.errors import UserError
from src.settings import PARTS


def shuffle(pictures: Sequence[Picture], seed: int) -> list[Picture]:
    """In the order of a hash of (seed, relative path): no library's generator decides, so it never changes."""

    def key(picture: Picture) -> tuple[bytes, str]:
        text = f"{seed}\0{picture.relative}"
        return hashlib.sha256(text.encode(errors="surrogateescape")).digest(), picture.relative

    return sorted(pictures, key=key)


def group_identical(pictures: Sequence[Picture]) -> list[list[Picture]]:
    """Groups of pictures with identical bytes, in the order of each group's first picture."""
    groups: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        groups[picture.digest].append(picture)
    return list(groups.values())


def apportion(count: int, shares: dict[str, float]) -> dict[str, int]:
    """``count`` in whole numbers by ``shares`` (positive, sum 1): largest remainders, and at least one for each.

    Equal remainders go to the earlier part: 10 by 0.7, 0.15, 0.15 are 7, 2, 1. ``count`` must reach the number of
    shares.
    """
    exact = {part: count * share for part, share in shares.items()}
    numbers = {part: int(value + 1e-9) for part, value in exact.items()}
    by_remainder = sorted(shares, key=lambda part: -round(exact[part] - numbers[part], 9))
    for part in by_remainder[: count - sum(numbers.values())]:
        numbers[part] += 1
    for part in shares:
        if numbers[part] == 0:
            numbers[max(numbers, key=numbers.get)] -= 1
            numbers[part] = 1
    return numbers


def assign_parts(pictures: Sequence[Picture], shares: dict[str, float], seed: int) -> None:
    """Set ``part`` of each picture, class by class in the given shares; identical pictures go into one part together.

    Larger groups go first, each to the part with most room left for it; single pictures fill up the rest exactly. So
    copies mostly come into train, and the pictures of val and test are different ones.

    Args:
        shares: part -> share, each above 0, their sum 1.

    Raises:
        UserError: a class has too few different pictures for one in each part.
    """
    groups = group_identical(shuffle(pictures, seed))
    different = Counter(name for group in groups for name in {picture.class_name for picture in group})
    for name in sorted(different):
        if different[name] < len(shares):
            raise UserError(
                f"class {name} has {different[name]} different readable pictures; at least {len(shares)} are needed, "
                f"one for each of {', '.join(shares)}: add some, or leave the class out with --classes"
            )
    sizes = Counter(picture.class_name for picture in pictures)
    room = {name: apportion(sizes[name], shares) for name in sizes}
    without = {name: set(shares) for name in sizes}  # parts that have none of the class yet
    for group in sorted(groups, key=len, reverse=True):
        need = Counter(picture.class_name for picture in group)
        # where as many groups are left as parts are without one, only these parts may have it
        pressing = [without[name] for name in need if different[name] <= len(without[name])]
        parts = [part for part in shares if all(part in empty for empty in pressing)] or list(shares)
        part = max(parts, key=lambda part: min(room[name][part] - need[name] for name in need))
        for picture in group:
            picture.part = part
        for name in need:
            room[name][part] -= need[name]
            without[name].discard(part)
            different[name] -= 1
    verify_classes(pictures, tuple(shares), sorted(sizes))


def verify_classes(pictures: Sequence[Picture], parts: Sequence[str], class_names: Sequence[str]) -> None:
    """Raise ``UserError`` unless each part has a picture of each class."""
    counts = count_pictures(pictures, parts, class_names)
    for part in parts:
        for name in class_names:
            if not counts[part][name]:
                raise UserError(
                    f"class {name} would have no picture in {part} (identical and unreadable ones do not count): "
                    "add different pictures, or leave the class out with --classes"
                )


def count_pictures(
    pictures: Sequence[Picture], parts: Sequence[str], class_names: Sequence[str]
) -> dict[str, dict[str, int]]:
    """``counts[part][class_name]``, zeros included."""
    found = Counter((picture.part, picture.class_name) for picture in pictures)
    return {part: {name: found[part, name] for name in class_names} for part in parts}


def drop_leaks(pictures: Sequence[Picture]) -> tuple[list[Picture], list[dict]]:
    """Of a source that is split already, leave out copies so that no picture stands in two parts.

    Test keeps its pictures before val, and val before train: so results stay comparable with those of others.

    Returns:
        The pictures that stay, and ``{"path", "part", "kept"}`` of each that does not.
    """
    removed = []
    for group in group_identical(pictures):
        part = max((picture.part for picture in group), key=PARTS.index)
        kept = next(picture.relative for picture in group if picture.part == part)
        removed += [{"path": p.relative, "part": p.part, "kept": kept} for p in group if p.part != part]
    gone = {entry["path"] for entry in removed}
    return [picture for picture in pictures if picture.relative not in gone], removed


def describe_duplicates(pictures: Sequence[Picture], removed: list[dict]) -> dict:
    """What ``split.json`` says about identical pictures; see :class:`src.datasets.manifest.Manifest`."""
    groups = [group for group in group_identical(pictures) if len(group) > 1]
    conflicts = [
        {"classes": sorted(classes), "paths": [picture.relative for picture in group]}
        for group in groups
        if len(classes := {picture.class_name for picture in group}) > 1
    ]
    return {
        "groups": len(groups),
        "pictures": sum(map(len, groups)),
        "conflicts": conflicts,
        "removed": removed,
    }
