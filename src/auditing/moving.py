"""Moving pictures because the audit's reader says so: into other classes, into quarantine, and back.

Everything that moves is written down first, as rows (from, to) of a list in ``<data>/.audit/``, which can be undone.
The split's record (``split.json``) follows, so that ``split_dataset.py`` does the same with these pictures again.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from src.datasets.manifest import (
    BESIDES,
    FILE_NAME,
    ONE_OF_MANY,
    Manifest,
    hash_content,
    load_manifest,
    mask_path,
    picture_key,
    save_manifest,
)
from src.datasets.sources import Listing
from src.datasets.swapping import scratch_folder, uninterrupted
from src.errors import UserError, name_some
from src.files import read_table, sha256_file, write_csv
from src.progress import track
from src.threads import map_threads

KEPT_IN = ".audit"  # hidden, so that nothing takes it for a class
_QUARANTINE = f"{KEPT_IN}/quarantine"


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


def relabel(listing: Listing, corrections_file: str | os.PathLike) -> Moved:
    """Move pictures into the folders of the classes that ``corrections_file`` gives them.

    Args:
        listing: the data folder's, which tells each picture's part and class.
        corrections_file: CSV with the columns file and class.

    Raises:
        UserError: a file is missing, lies elsewhere, is in no class's folder, or the class is none of those here; then
            nothing has moved.
    """
    root, pictures = listing.root, {picture.relative: picture for picture in listing.pictures}
    wanted: dict[str, str] = {}
    for file, class_name in _read_rows(corrections_file, ("file", "class")):
        file = _check_inside(root, file, corrections_file)
        if class_name not in listing.class_names:
            known = name_some(listing.class_names, 20)
            raise UserError(f"{corrections_file}: {file}: {class_name!r} is no class of {root}; there are {known}")
        if wanted.setdefault(file, class_name) != class_name:
            raise UserError(f"{corrections_file} puts {file} into two classes, {wanted[file]} and {class_name}")
    moves, places = [], _Places(root)
    for file, class_name in wanted.items():
        parts = PurePosixPath(file).parts
        picture = pictures.get(file)
        place = 0 if picture is None or picture.part is None else 1  # of the class's folder in the path
        if picture is None or len(parts) < place + 2 or parts[place] != picture.class_name:
            raise UserError(
                f"{corrections_file}: {file} lies in no class's folder, so that it cannot be moved to another; nothing "
                "was moved"
            )
        if picture.class_name != class_name:
            target = PurePosixPath(*parts[:place], class_name, *parts[place + 1 :])
            moves.append(Move(file, places.find(target, picture.class_name)))
    return _move(root, moves)


def quarantine(root: Path, files: Iterable[str]) -> Moved:
    """Move pictures out of sight, into ``<data>/.audit/quarantine/`` under the paths that they had."""
    moves, places = [], _Places(root)
    for file in dict.fromkeys(files):
        file = _check_inside(root, file, "the audit")
        moves.append(Move(file, places.find(PurePosixPath(_QUARANTINE, file), "again")))
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
    return _move(root, moves, undoing=True)


class _Places:
    """Free places for pictures, for which no mask of another lies ready either."""

    def __init__(self, root: Path):
        self._root, self._taken = root, set()
        self._by_stem = any((root / kind).is_dir() for kind in BESIDES)

    def find(self, wanted: PurePosixPath, suffix: str) -> str:
        """``wanted``, or a name beside it."""
        path, number = wanted, 1
        while not self._is_free(path):
            path = wanted.with_name(f"{wanted.stem}-{suffix}{'' if number == 1 else number}{wanted.suffix}")
            number += 1
        self._taken.add(self._key(path))
        return path.as_posix()

    def _is_free(self, path: PurePosixPath) -> bool:
        if os.path.lexists(self._root / path) or self._key(path) in self._taken:
            return False
        return not any(os.path.lexists(self._root / mask_path("", path, kind)) for kind in BESIDES)

    def _key(self, path: PurePosixPath) -> str:
        """What must be one picture's alone, also where upper and lower case are one."""
        return (path.with_suffix("") if self._by_stem else path).as_posix().casefold()


def _move(root: Path, moves: Sequence[Move], undoing: bool = False) -> Moved:
    """Write the list, rename, and save the split's record as it then is; masks move with their pictures."""
    if not moves:
        return Moved(0, None)
    everything = list(dict.fromkeys([*moves, *(mask for move in moves for mask in _find_masks(root, move))]))
    for move in everything:
        _check_within(root, move.target, root)
    _check_within(root, f"{KEPT_IN}/undo.csv", root)
    with scratch_folder(root):  # which no other command may have at the same time
        manifest = load_manifest(root) if (root / FILE_NAME).is_file() else None
        if manifest:
            manifest = _follow(root, manifest, everything, undoing)
        undo_list = _next_list(root)
        write_csv(undo_list, ["from", "to"], ((move.source, move.target) for move in everything))
        with uninterrupted():
            done = []
            try:
                for move in everything:
                    (root / move.target).parent.mkdir(parents=True, exist_ok=True)
                    os.rename(root / move.source, root / move.target)
                    done.append(move)
                if manifest:
                    save_manifest(root, manifest)
            except OSError:
                for move in reversed(done):
                    os.rename(root / move.target, root / move.source)
                undo_list.unlink(missing_ok=True)
                raise
    return Moved(sum(map(_is_placed, moves)), undo_list)


def _follow(root: Path, manifest: Manifest, moves: Sequence[Move], undoing: bool) -> Manifest:
    """The split's record as it will be after the moves. Pictures that no split has placed stay out of it: the next
    split would remove them with its own."""
    present = [name for name in manifest.files if (root / name).is_file()]
    hashed = track(map_threads(lambda name: sha256_file(root / name), present), total=len(present), what="Taking stock")
    digests = dict(zip(present, hashed))
    files, corrections = set(manifest.files), dict(manifest.corrections)
    moved = {}
    for move in moves:
        from_quarantine = move.source.startswith(f"{KEPT_IN}/")
        digest = digests.pop(move.source, None) or (_digest(root / move.source) if from_quarantine else None)
        key = picture_key(digest) if digest else None
        if not from_quarantine and move.source not in files:
            continue
        if from_quarantine and _is_placed(move) and key not in corrections:
            continue  # it was put away without having been placed
        files.discard(move.source)
        if not move.target.startswith(f"{KEPT_IN}/"):
            files.add(move.target)
            if digest:
                moved[move.target] = digest
        if _is_placed(move) and key:
            if undoing:
                corrections.pop(key, None)
            else:
                hidden = move.target.startswith(f"{KEPT_IN}/")
                corrections[key] = "" if hidden else PurePosixPath(move.target).parts[1]
    digests |= moved
    left = {picture_key(digest) for name, digest in digests.items() if PurePosixPath(name).parts[0] not in BESIDES}
    corrections = {key: ONE_OF_MANY if not value and key in left else value for key, value in corrections.items()}
    names = sorted(files)
    counts = {part: dict.fromkeys(manifest.class_names, 0) for part in manifest.counts}
    for name in names:
        part, class_name = PurePosixPath(name).parts[:2]
        if part in counts and class_name in counts[part]:
            counts[part][class_name] += 1
    content_hash = hash_content(digests)
    return dataclasses.replace(manifest, files=names, counts=counts, content_hash=content_hash, corrections=corrections)


def _digest(path: Path) -> str | None:
    """None of a file that cannot be read, as a link that leads nowhere."""
    try:
        return sha256_file(path)
    except OSError:
        return None


def _is_placed(move: Move) -> bool:
    """Whether a picture moves, and not a mask."""
    return not any(PurePosixPath(end).parts[0] in BESIDES for end in (move.source, move.target))


def _find_masks(root: Path, move: Move) -> Iterator[Move]:
    """The moves of what a picture has besides."""
    for kind in BESIDES:
        source = mask_path("", move.source, kind).as_posix()
        if _is_placed(move) and os.path.lexists(root / source):
            hidden = move.target.startswith(f"{_QUARANTINE}/")
            yield Move(source, f"{_QUARANTINE}/{source}" if hidden else mask_path("", move.target, kind).as_posix())


def _next_list(root: Path) -> Path:
    number = 1
    while (path := root / KEPT_IN / f"undo-{number:03d}.csv").exists():
        number += 1
    return path


def _read_rows(path: str | os.PathLike, columns: tuple[str, str]) -> list[tuple[str, ...]]:
    """The rows of a table, each of them filled in."""
    rows = read_table(path, columns)
    if any(not all(row) for row in rows):
        raise UserError(f"{path} has a row without {' or without '.join(columns)}; fill it in, or remove it")
    return rows


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
