"""Which picture goes into which part. Pure: no file is touched, and nothing is random but by (seed, path)."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from src.datasets.grouping import group_alike
from src.datasets.manifest import picture_key
from src.datasets.near_copies import NearCopy
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


def group_together(pictures: Sequence[Picture]) -> list[list[Picture]]:
    """Groups of pictures that go into one part, in the order of each group's first: of one ``group`` where that is set,
    else of identical bytes."""
    groups: dict[int | str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        groups[picture.digest if picture.group is None else picture.group].append(picture)
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
    """Set ``part`` of each picture, class by class in the given shares; what belongs together goes into one part.

    Groups with a ``settled`` picture go where that is. Of the others larger groups go first, each to the part with most
    room left for it; single pictures fill up the rest exactly. So copies mostly come into train, and the pictures of
    val and test are different ones.

    Args:
        shares: part -> share, each above 0, their sum 1.

    Raises:
        UserError: a class has too few different pictures for one in each part.
    """
    groups = group_together(shuffle(pictures, seed))
    different = Counter(name for group in groups for name in {picture.class_name for picture in group})
    for name in sorted(different):
        if different[name] < len(shares):
            raise UserError(
                f"class {name} has {different[name]} different readable pictures; at least {len(shares)} are needed, "
                f"one for each of {', '.join(shares)}: add some, or leave the class out with --classes{_hint(groups)}"
            )
    sizes = Counter(picture.class_name for picture in pictures)
    room = {name: apportion(sizes[name], shares) for name in sizes}
    without = {name: set(shares) for name in sizes}  # parts that have none of the class yet
    settled = {id(group): next((p.settled for p in group if p.settled in shares), None) for group in groups}
    for group in sorted(groups, key=lambda group: (settled[id(group)] is None, -len(group))):
        need = Counter(picture.class_name for picture in group)
        # where as many groups are left as parts are without one, only these parts may have it
        pressing = [without[name] for name in need if different[name] <= len(without[name])]
        parts = [part for part in shares if all(part in empty for empty in pressing)] or list(shares)
        part = settled[id(group)] or max(parts, key=lambda part: min(room[name][part] - need[name] for name in need))
        for picture in group:
            picture.part = part
        for name in need:
            room[name][part] -= need[name]
            without[name].discard(part)
            different[name] -= 1
    verify_classes(pictures, tuple(shares), sorted(sizes))


def _hint(groups: Sequence[Sequence[Picture]]) -> str:
    """What may help where groups are of more than identical pictures."""
    if all(len({picture.digest for picture in group}) == 1 for group in groups):
        return ""
    return " (pictures that belong together by --group-by, or as near-copies, count once; see --allow-near-duplicates)"


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


def drop_leaks(pictures: Sequence[Picture], given: Sequence[str] = PARTS) -> tuple[list[Picture], list[dict]]:
    """Leave out pictures so that no group stands in two parts, and settle the others where their group stands.

    A picture stands where the source has it, or where an earlier split put it (``settled``). Test keeps its pictures
    before val, and val before train: so results stay comparable with those of others, and none changes its part.

    Args:
        given: the parts that the source brings; a picture of its train may still go into one that it lacks.

    Returns:
        The pictures that stay, and ``{"path", "part", "kept"}`` of each that does not.
    """
    removed = []
    for group in group_together(pictures):
        stands = {picture.relative: _stands_in(picture, given) for picture in group}
        if not any(stands.values()):
            continue
        part = max(filter(None, stands.values()), key=PARTS.index)
        kept = next(relative for relative, place in stands.items() if place == part)
        for picture in group:
            bound = stands[picture.relative] or (picture.part if part in given else None)
            if bound in (None, part):
                picture.settled = part
            else:
                removed.append({"path": picture.relative, "part": bound, "kept": kept})
    gone = {entry["path"] for entry in removed}
    return [picture for picture in pictures if picture.relative not in gone], removed


def _stands_in(picture: Picture, given: Sequence[str]) -> str | None:
    """The part that a picture cannot leave; None where it has none yet, or is of a train that others are taken from."""
    if picture.part in ("val", "test"):
        return picture.part
    return picture.settled or (picture.part if set(given) == set(PARTS) else None)


def describe_duplicates(pictures: Sequence[Picture], removed: list[dict]) -> dict:
    """What ``split.json`` says about identical pictures; see :class:`src.datasets.manifest.Manifest`."""
    return _describe_groups(group_identical(pictures)) | {"removed": removed}


def describe_near_copies(pictures: Sequence[Picture], copies: Sequence[NearCopy]) -> dict:
    """What ``split.json`` says about near-copies, beside what it says of identical pictures: those too are in a group
    of near-copies that has any others."""
    members = [[pictures[index] for index in group] for group in group_alike(pictures, copies).as_lists()]
    members = [group for group in members if len({picture.digest for picture in group}) > 1]
    return _describe_groups(members) | {"members": [[picture.relative for picture in group] for group in members]}


def describe_keys(pictures: Sequence[Picture], keys: Sequence[str | None]) -> dict:
    """What ``split.json`` says about ``--group-by``: groups of more than one picture, pictures in them, and these by
    :func:`picture_key`."""
    members = defaultdict(list)
    for picture, key in zip(pictures, keys):
        if key is not None:
            members[key].append(picture_key(picture.digest))
    groups = [group for group in members.values() if len(group) > 1]
    return {"groups": len(groups), "pictures": sum(map(len, groups)), "members": groups}


def _describe_groups(groups: Sequence[Sequence[Picture]]) -> dict:
    """How many groups of more than one picture, of how many pictures, and which are of several classes."""
    groups = [group for group in groups if len(group) > 1]
    conflicts = [
        {"classes": sorted(classes), "paths": [picture.relative for picture in group]}
        for group in groups
        if len(classes := {picture.class_name for picture in group}) > 1
    ]
    return {"groups": len(groups), "pictures": sum(map(len, groups)), "conflicts": conflicts}
