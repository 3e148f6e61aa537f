"""Moving pictures because the audit's reader says so: into other classes, into quarantine, and back.

Everything that moves is written down first, as rows (from, to) of a list in ``<data>/.audit/``, which can be undone.
The split's record (``split.json``) follows, so that ``split_dataset.py`` does the same with these pictures again.
"""

import csv
import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from src.datasets.manifest import (
    BESIDES,
    FILE_NAME,
    Manifest,
    hash_content,
    load_manifest,
    mask_path,
    picture_key,
    save_manifest,
)
from src.datasets.swapping import scratch_folder, uninterrupted
from src.errors import UserError, describe_os_error
from src.files import sha256_file, write_csv
from src.progress import track
from src.settings import PARTS

KEPT_IN = ".audit"  # hidden, so that nothing takes it for a class
_QUARANTINE = f"{KEPT_IN}/quarantine"
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Move:
    """One file's way, both ends POSIX paths below the data folder."""

    source: str
    target: str


@dataclass(frozen=True)
class Moved:
    """What was done: how many pictures moved, and the list that undoes it (None where nothing moved)."""

    pictures: int
    undo_list: Path | None


def relabel(root: Path, corrections_file: str | os.PathLike) -> Moved:
    """Move pictures into the folders of the classes that ``corrections_file`` gives them.

    Args:
        root: the data folder: class folders, or parts with class folders in them.
        corrections_file: CSV with the columns file and class.

    Raises:
        UserError: a file is missing, lies elsewhere, is of no class's folder, or the class is none of those here; then
            nothing has moved.
    """
    rows = _read_rows(corrections_file, ("file", "class"))
    classes = _list_classes(root)
    wanted: dict[str, str] = {}
    for file, class_name in rows:
        file = _check_inside(root, file, corrections_file)
        if class_name not in classes:
            known = ", ".join(sorted(classes))
            raise UserError(f"{corrections_file}: {file}: {class_name!r} is no class of {root}; there are {known}")
        if wanted.setdefault(file, class_name) != class_name:
            raise UserError(f"{corrections_file} puts {file} into two classes, {wanted[file]} and {class_name}")
    moves, taken = [], set()
    for file, class_name in wanted.items():
        place = _class_place(root, file, corrections_file)
        parts = PurePosixPath(file).parts
        if parts[place] == class_name:
            continue
        target = PurePosixPath(*parts[:place], class_name, *parts[place + 1 :]).as_posix()
        moves.append(Move(file, _free_place(root, target, file, taken)))
    return _move(root, moves)


def quarantine(root: Path, files: Iterable[str]) -> Moved:
    """Move pictures out of sight, into ``<data>/.audit/quarantine/`` under the paths that they had."""
    moves, taken = [], set()
    for file in dict.fromkeys(files):
        file = _check_inside(root, file, "the audit")
        moves.append(Move(file, _free_place(root, f"{_QUARANTINE}/{file}", file, taken)))
    return _move(root, moves)


def undo(root: Path, undo_list: str | os.PathLike) -> Moved:
    """Move back what a list says was moved. Raises ``UserError`` where something else stands there now."""
    moves = []
    for source, target in _read_rows(undo_list, ("from", "to")):
        for end in (source, target):
            _check_within(root, end, undo_list)
        at_home, away = (os.path.lexists(root / end) for end in (source, target))
        if away and at_home:
            raise UserError(f"{root / source} is in the way of {target}; move it elsewhere, and undo again")
        if not away and not at_home:
            raise UserError(f"{root / target} is gone, so that {source} cannot be put back")
        if away:
            moves.append(Move(target, source))
    return _move(root, moves)


def _move(root: Path, moves: Sequence[Move]) -> Moved:
    """Write the list, rename, and bring the split's record up to date; masks move with their pictures."""
    if not moves:
        return Moved(0, None)
    everything = list(dict.fromkeys([*moves, *(mask for move in moves for mask in _find_masks(root, move))]))
    with scratch_folder(root):  # which no other command may have at the same time
        manifest = load_manifest(root) if (root / FILE_NAME).is_file() else None
        keys = {move: picture_key(sha256_file(root / move.source)) for move in moves if _is_placed(move)}
        undo_list = _next_list(root)
        write_csv(undo_list, ["from", "to"], ((move.source, move.target) for move in everything))
        with uninterrupted():
            done = []
            try:
                for move in everything:
                    (root / move.target).parent.mkdir(parents=True, exist_ok=True)
                    os.rename(root / move.source, root / move.target)
                    done.append(move)
            except OSError:
                for move in reversed(done):
                    os.rename(root / move.target, root / move.source)
                undo_list.unlink(missing_ok=True)
                raise
        if manifest:
            save_manifest(root, _follow(root, manifest, everything, keys))
    return Moved(sum(map(_is_placed, moves)), undo_list)


def _follow(root: Path, manifest: Manifest, moves: Sequence[Move], keys: dict[Move, str]) -> Manifest:
    """The split's record after the moves."""
    files = set(manifest.files)
    for move in moves:
        files.discard(move.source)
        if not move.target.startswith(f"{KEPT_IN}/"):
            files.add(move.target)
    names = sorted(files)
    counts = {part: dict.fromkeys(manifest.class_names, 0) for part in manifest.counts}
    for name in names:
        part, class_name = PurePosixPath(name).parts[:2]
        if part in counts and class_name in counts[part]:
            counts[part][class_name] += 1
    present = [name for name in names if (root / name).is_file()]
    digests = {name: sha256_file(root / name) for name in track(present, what="Taking stock", unit="files")}
    corrections = manifest.corrections | {
        key: "" if move.target.startswith(f"{KEPT_IN}/") else PurePosixPath(move.target).parts[1]
        for move, key in keys.items()
    }
    return dataclasses.replace(
        manifest, files=names, counts=counts, content_hash=hash_content(digests), corrections=corrections
    )


def _is_placed(move: Move) -> bool:
    """Whether a picture's class or presence changes by a move, and not only its mask's place."""
    return not any(PurePosixPath(end).parts[0] in BESIDES for end in (move.source, move.target))


def _find_masks(root: Path, move: Move) -> list[Move]:
    """The moves of what the picture has besides."""
    moves = []
    for kind in BESIDES:
        source = mask_path("", move.source, kind).as_posix()
        if os.path.lexists(root / source):
            hidden = move.target.startswith(f"{_QUARANTINE}/")
            target = f"{_QUARANTINE}/{source}" if hidden else mask_path("", move.target, kind).as_posix()
            moves.append(Move(source, target))
    return moves


def _next_list(root: Path) -> Path:
    number = 1
    while (path := root / KEPT_IN / f"undo-{number:03d}.csv").exists():
        number += 1
    return path


def _read_rows(path: str | os.PathLike, columns: tuple[str, str]) -> list[tuple[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
            reader = csv.DictReader(stream)
            if not set(columns) <= set(reader.fieldnames or ()):
                raise UserError(f"{path} needs a first line with the columns {' and '.join(columns)}")
            rows = [tuple(_plain(row[column] or "") for column in columns) for row in reader]
    except OSError as error:
        raise UserError(describe_os_error(error)) from error
    except csv.Error as error:
        raise UserError(f"{path} is no table of comma-separated values ({error})") from error
    if any(not all(row) for row in rows):
        raise UserError(f"{path} has a row without {' or without '.join(columns)}; fill it in, or remove it")
    return rows


def _plain(cell: str) -> str:
    """A cell as it was before ``write_csv`` made it harmless for spreadsheets."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULAS else cell


def _check_within(root: Path, name: str, told_by: str | os.PathLike) -> str:
    """A POSIX path that leads nowhere but below ``root``, its links resolved; raises ``UserError`` for any other."""
    path = PurePosixPath(name.replace("\\", "/") if os.name == "nt" else name)
    parent = os.path.realpath(root / path.parent)
    home = os.path.realpath(root)
    inside = parent == home or parent.startswith(home.rstrip(os.sep) + os.sep)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name or not inside:
        raise UserError(f"{told_by}: {name!r} does not lie within {root}; nothing was moved")
    return path.as_posix()


def _check_inside(root: Path, name: str, told_by: str | os.PathLike) -> str:
    name = _check_within(root, name, told_by)
    path = root / name
    if not os.path.lexists(path) or path.is_dir():
        raise UserError(f"{told_by}: there is no file {name} in {root}; nothing was moved")
    return name


def _list_classes(root: Path) -> set[str]:
    """The class folders, of all parts where there are parts."""
    parts = [root / part for part in PARTS if (root / part).is_dir()]
    folders = [folder for place in parts or [root] for folder in place.iterdir() if folder.is_dir()]
    return {folder.name for folder in folders if not folder.name.startswith(".")} - set(BESIDES)


def _class_place(root: Path, file: str, told_by: str | os.PathLike) -> int:
    """Which part of a file's path is its class."""
    parts = PurePosixPath(file).parts
    place = 1 if parts[0] in PARTS and any((root / part).is_dir() for part in PARTS) else 0
    if len(parts) < place + 2 or parts[0].startswith(".") or parts[0] in BESIDES:
        raise UserError(
            f"{told_by}: {file} lies in no class's folder, so that it cannot be moved to another; nothing was moved"
        )
    return place


def _free_place(root: Path, target: str, source: str, taken: set[str]) -> str:
    """``target``, or a name beside it that is still free."""
    path = PurePosixPath(target)
    stem, number = path.stem, 1
    old_class = PurePosixPath(source).parent.name
    while os.path.lexists(root / path) or path.as_posix().casefold() in taken:
        path = path.with_name(f"{stem}-{old_class}{'' if number == 1 else number}{path.suffix}")
        number += 1
    taken.add(path.as_posix().casefold())
    return path.as_posix()
