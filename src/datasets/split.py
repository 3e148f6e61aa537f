"""A source of pictures becomes train/, val/ and test/: stratified, reproducible, and without a leak between them."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from src.datasets.assign import (
    assign_parts,
    count_pictures,
    describe_duplicates,
    describe_keys,
    describe_near_copies,
    drop_leaks,
    verify_classes,
)
from src.datasets.checking import check_pictures
from src.datasets.grouping import assign_groups, find_keys
from src.datasets.manifest import MARKS, MASKS, ONE_OF_MANY, Manifest, hash_content, picture_key
from src.datasets.near_copies import find_near_copies
from src.datasets.placing import build_split
from src.datasets.sources import Listing, Picture, open_source
from src.datasets.split_settings import SHAPES, SplitSettings
from src.datasets.swapping import scratch_folder, swap_split, verify_output
from src.errors import UserError, name_some
from src.files import expand_path, sha256_file
from src.progress import say
from src.settings import PARTS, command_line, flag_of
from src.threads import map_threads

_NAMED_IN_FULL = 3  # how many cases a line on stderr names
# Settings that ask for other parts than an earlier split's.
_DRAWN_BY = ("seed", "ratios", "pool", "limit_per_class", "group_by", "allow_near_duplicates")
_MANY_LEFT_OUT = 0.05  # share of the pictures


def split_dataset(settings: SplitSettings) -> Manifest:
    """Split the source as the settings say; nothing at the output changes before the new split is whole.

    Returns:
        What was written to ``split.json``.

    Raises:
        UserError: the source, the output or the settings do not allow it; the message says what to do.
    """
    settings.verify()
    output = Path(os.path.realpath(expand_path(settings.output)))
    _verify_apart(settings, output)
    with scratch_folder(output) as scratch:
        previous = verify_output(output, settings.force)
        listing = open_source(settings, scratch)
        if settings.pool:
            for picture in listing.pictures:
                picture.part = None
        _verify_outside(listing, output)
        class_names = _choose_classes(listing, settings.classes)
        compared = not settings.allow_near_duplicates
        pictures, set_aside = check_pictures(
            listing.pictures, settings.seed, settings.limit_per_class, thumbnails=compared
        )
        pictures, quarantined = _correct(pictures, previous, class_names)
        set_aside = sorted(listing.set_aside + set_aside + quarantined)
        _verify_readable(class_names, pictures)
        told = _group(pictures, settings)
        settled = _settle(pictures, listing.parts, previous, settings)
        all_pictures = pictures
        pictures, removed = drop_leaks(pictures, listing.parts)
        parts = _assign(pictures, listing.parts, settings, class_names)
        digests = build_split(listing, pictures, scratch / "new", settings.link)
        manifest = Manifest(
            source=settings.source or SHAPES,
            settings=settings.recorded(),
            class_names=class_names,
            counts=count_pictures(pictures, parts, class_names),
            content_hash=hash_content(digests),
            files=sorted(digests),
            masks=any(name.startswith(f"{MASKS}/") for name in digests),
            marks=sum(name.startswith(f"{MARKS}/") for name in digests),
            set_aside=[{"path": path, "reason": reason} for path, reason in set_aside],
            duplicates=describe_duplicates(all_pictures, removed),
            **told,
            ignored=listing.ignored,
            parts=settled | {picture_key(picture.digest): picture.part for picture in pictures},
            corrections=previous.corrections if previous else {},
            command=command_line("split_dataset.py", [replace(settings, force=False)]),
        )
        swap_split(scratch, output, manifest, previous)
    _report(manifest)
    return manifest


def _verify_apart(settings: SplitSettings, output: Path) -> None:
    """Raise ``UserError`` where the source lies in the output or the output in the source, links resolved."""
    if settings.source is None:
        return
    source = expand_path(settings.source)
    if source.exists() and _overlap(Path(os.path.realpath(source)), output):
        raise UserError(f"source {source} and output {output} lie inside each other; choose another --output")


def _overlap(first: Path, second: Path) -> bool:
    return first == second or first in second.parents or second in first.parents


def _verify_outside(listing: Listing, output: Path) -> None:
    """Raise ``UserError`` where links within the source lead into the output."""
    if listing.temporary:
        return
    places = {os.path.dirname(picture.path) for picture in listing.pictures}
    places |= {picture.path for picture in listing.pictures if os.path.islink(picture.path)}
    for place in sorted(places):
        if _overlap(Path(os.path.realpath(place)), output):
            raise UserError(f"source {place} leads into the output {output}; choose another --output")


def _choose_classes(listing: Listing, wanted: Sequence[str] | None) -> list[str]:
    """The classes to take, sorted; ``listing`` keeps only their pictures."""
    if wanted:
        unknown = sorted(set(wanted) - set(listing.class_names))
        if unknown:
            raise UserError(f"no class {', '.join(unknown)} in the source; it has {name_some(listing.class_names, 20)}")
        listing.class_names = sorted(set(wanted))
        listing.pictures = [picture for picture in listing.pictures if picture.class_name in listing.class_names]
    found = {picture.class_name for picture in listing.pictures}
    empty = [name for name in listing.class_names if name not in found]
    if empty:
        raise UserError(
            f"no pictures in the folder of {name_some(empty, 5)} in {listing.root}; add some, or choose others by "
            "--classes"
        )
    if len(listing.class_names) < 2:
        only = listing.class_names[0] if listing.class_names else "none"
        raise UserError(f"a classifier needs at least two classes; {listing.root} gives only {only}")
    return listing.class_names


def _verify_readable(class_names: Sequence[str], pictures: Sequence[Picture]) -> None:
    readable = {picture.class_name for picture in pictures}
    for name in class_names:
        if name not in readable:
            raise UserError(f"none of the pictures of class {name} can be read; replace them, or leave the class out")


def _correct(
    pictures: list[Picture], previous: Manifest | None, class_names: Sequence[str]
) -> tuple[list[Picture], list[tuple[str, str]]]:
    """Do again what ``src.audit`` was told to do with the pictures of the earlier split: other classes, quarantine; of
    identical pictures of which some are in quarantine, one stays.

    Returns the pictures that stay, and (relative path, reason) of the others.
    """
    corrections = previous.corrections if previous else {}
    stay, gone, moved, only_one = [], [], 0, set()
    for picture in pictures:
        key = picture_key(picture.digest)
        class_name = corrections.get(key, picture.class_name)
        if class_name == ONE_OF_MANY:
            class_name = "" if key in only_one else picture.class_name
            only_one.add(key)
        if class_name not in class_names:
            gone.append((picture.relative, f"in the class {class_name} now" if class_name else "in quarantine"))
            continue
        moved += picture.class_name != class_name
        picture.class_name = class_name
        stay.append(picture)
    if moved or gone:
        say(f"As the audit of the earlier split was told: {moved} pictures in another class, {len(gone)} left out.")
    return stay, gone


def _group(pictures: Sequence[Picture], settings: SplitSettings) -> dict:
    """Find what belongs together and set ``group``; returns what the manifest says of it."""
    copies = [] if settings.allow_near_duplicates else find_near_copies([picture.thumbnail for picture in pictures])
    keys = find_keys(settings.group_by, [picture.relative for picture in pictures]) if settings.group_by else None
    if copies or keys:
        assign_groups(pictures, copies, keys)
    return {
        "near_copies": describe_near_copies(pictures, copies),
        "grouped": describe_keys(pictures, keys) if keys else {},
    }


def _settle(
    pictures: Sequence[Picture], given: Sequence[str], previous: Manifest | None, settings: SplitSettings
) -> dict[str, str]:
    """Set ``settled`` of the pictures that an earlier split placed; returns its parts as far as they are kept.

    Other settings of those that decide about parts ask for other parts.
    """
    if previous is None:
        return {}
    asked = settings.recorded()
    if other := [flag_of(name) for name in _DRAWN_BY if previous.settings.get(name, asked[name]) != asked[name]]:
        say(
            f"Other {', '.join(other)} than the earlier split's: parts are drawn anew, and models trained before may "
            "know pictures that are now for testing."
        )
        return {}
    available = {*given, *(part for part, ratio in zip(PARTS, settings.ratios) if ratio > 0)}
    if gone := sorted(
        part for part, counts in previous.counts.items() if any(counts.values()) and part not in available
    ):
        raise UserError(
            f"the earlier split has pictures in {', '.join(gone)}, a part that this one would lack; give it a share by "
            "--ratios, or split into another --output"
        )
    parts = previous.parts or _read_parts(previous, Path(os.path.realpath(expand_path(settings.output))))
    known = 0
    for picture in pictures:
        part = parts.get(picture_key(picture.digest))
        known += part is not None
        if picture.part in (None, "train"):
            picture.settled = part
            if part in given:  # the source has moved it since
                picture.part = part
    if known < len(pictures):
        say(f"{known} pictures stay in the parts of the earlier split; {len(pictures) - known} are new.")
    return parts


def _read_parts(previous: Manifest, output: Path) -> dict[str, str]:
    """The parts of a split that has not written them down, from the files that it placed."""
    placed = [name for name in previous.files if name.split("/")[0] in PARTS and (output / name).is_file()]
    digests = map_threads(lambda name: sha256_file(output / name), placed)
    return {picture_key(digest): name.split("/")[0] for name, digest in zip(placed, digests)}


def _assign(
    pictures: list[Picture], given: Sequence[str], settings: SplitSettings, class_names: Sequence[str]
) -> tuple[str, ...]:
    """Set each picture's part; returns the parts of the split.

    Parts that the source brings stay; those it lacks are carved from train, all in the proportion of the ratios.
    """
    ratios = {part: ratio for part, ratio in zip(PARTS, settings.ratios) if ratio > 0}
    shares = {part: ratio for part, ratio in ratios.items() if part == "train" or part not in given}
    if given:
        verify_classes(pictures, given, class_names)
        if len(given) > 1:
            say(f"The source is split already; kept: {', '.join(given)}.")
        if carved := [part for part in shares if part != "train"]:
            say(f"Taken from train for what is missing: {', '.join(carved)}.")
    total = sum(shares.values())
    pool = [picture for picture in pictures if picture.part in (None, "train")]
    assign_parts(pool, {part: share / total for part, share in shares.items()}, settings.seed)
    return tuple(part for part in PARTS if part in given or part in shares)


def _report(manifest: Manifest) -> None:
    """On stderr, what the user should know besides the counts."""
    if manifest.marks:
        say(f"Planted: {manifest.marks} of the pictures carry a mark; the masks of these are in {MARKS}/")
    if manifest.set_aside:
        reasons = [f"{entry['path']} ({entry['reason']})" for entry in manifest.set_aside]
        say(f"Set aside: {len(reasons)}: {name_some(reasons, _NAMED_IN_FULL)}; all are listed in split.json")
    duplicates = manifest.duplicates
    if duplicates["groups"]:
        say(f"Identical: {duplicates['pictures']} pictures in {duplicates['groups']} groups, each kept within one part")
    near = manifest.near_copies
    if near["groups"]:
        say(
            f"Near-copies: {near['pictures']} pictures in {near['groups']} groups, each kept within one part "
            f"(--allow-near-duplicates parts them), as {' and '.join(near['members'][0][:2])}"
        )
    if manifest.grouped:
        say(f"--group-by: {manifest.grouped['pictures']} pictures in {manifest.grouped['groups']} groups")
    _report_conflicts("identical pictures", duplicates["conflicts"])
    _report_conflicts("near-copies", near["conflicts"])
    if removed := [entry["path"] for entry in duplicates["removed"]]:
        say(f"Left out, as their like is in another part: {len(removed)}: {name_some(removed, _NAMED_IN_FULL)}")
        if len(removed) > _MANY_LEFT_OUT * (len(manifest.files) + len(removed)):
            say("To keep more of them, have all parts drawn anew: another --seed, or --pool where the source is split.")
    if manifest.ignored:
        say(f"Ignored, no pictures by their names: {manifest.ignored} files")


def _report_conflicts(what: str, conflicts: Sequence[dict]) -> None:
    for entry in conflicts[:_NAMED_IN_FULL]:
        say(f"Conflict: {what} in the classes {', '.join(entry['classes'])}: {name_some(entry['paths'], 4)}")
    if len(conflicts) > _NAMED_IN_FULL:
        say(f"{len(conflicts)} such conflicts in all; see split.json")
