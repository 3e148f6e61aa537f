"""The folder of a split data set: which classes, which pictures, and whether the parts agree. No TensorFlow."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from src.errors import Circumstance, UserError
from src.files import sha256_file
from src.imaging import is_picture_name
from src.settings import PARTS, SPLIT_IN_PROGRESS
from src.threads import map_threads

HOW_TO_SPLIT = "make it with: python split_dataset.py --source YOUR_FOLDER"


def list_classes(folder: str | os.PathLike) -> list[str]:
    """Names of the sub-folders in sorted order, hidden ones (``.ipynb_checkpoints``) left out."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def list_pictures(folder: str | os.PathLike, follow_links: bool = False) -> list[str]:
    """Paths, relative to ``folder``, of the pictures in it and below, in the order of Keras: by folder, then by name.

    Hidden files and folders are left out. ``follow_links`` also enters folders that are symbolic links. Raises
    ``OSError`` where a folder cannot be listed; one that is not there has none.
    """

    def stop(error: OSError) -> None:  # else its pictures would be missing without a word
        if not isinstance(error, FileNotFoundError):
            raise error

    found = []
    for root, folders, names in os.walk(folder, onerror=stop, followlinks=follow_links):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found.append((root, sorted(filter(is_picture_name, names))))
    return [os.path.relpath(os.path.join(root, name), folder) for root, names in sorted(found) for name in names]


def digest_files(paths: Sequence[str]) -> list[str]:
    """The SHA-256 of each file, hexadecimal; of one that cannot be read "unreadable", which whoever needs it says."""

    def digest(path: str) -> str:
        try:
            return sha256_file(path)
        except OSError:
            return "unreadable"

    return list(map_threads(digest, paths))


def digest_pictures(data_dir: str | os.PathLike, parts: Sequence[str]) -> str:
    """Hexadecimal SHA-256 of the pictures of some parts: their names, with the class, and their bytes."""
    result = hashlib.sha256()
    for part in parts:
        folder = os.path.join(data_dir, part)
        names = [
            os.path.join(class_name, path)
            for class_name in list_classes(folder)
            for path in list_pictures(os.path.join(folder, class_name))
        ]
        for name, digest in zip(names, digest_files([os.path.join(folder, name) for name in names])):
            result.update(f"{part}/{name}\0{digest}\0".encode(errors="surrogateescape"))
    return result.hexdigest()


def find_pictures(paths: Sequence[str]) -> list[str]:
    """Files as named, folders searched through and through; sorted within each folder, each file once.

    A file that is missing stays in the list, to be reported with the unreadable ones. Raises ``UserError`` where
    nothing is found at all.
    """
    found: dict[str, None] = {}
    for path in paths:
        inside = [os.path.join(path, name) for name in list_pictures(path)] if os.path.isdir(path) else [path]
        found.update(dict.fromkeys(inside))
    if not found:
        raise UserError(f"no pictures in {', '.join(paths)}")
    return list(found)


def check_data_folder(
    data_dir: str | os.PathLike = "data", parts: Sequence[str] = PARTS, class_names: Sequence[str] | None = None
) -> tuple[list[str], dict[str, dict[str, int]]]:
    """Check that each part holds pictures of the same classes, two or more.

    Args:
        data_dir: the folder with one sub-folder for each part, and in it one for each class.
        parts: the parts that are needed.
        class_names: the classes that each part must have, for instance those of a trained model; None for those of
            the first part.

    Returns:
        ``class_names`` in their order (sorted where they are the folder's), and ``counts[part][class_name]``.

    Raises:
        Circumstance: a folder is missing, a class is empty, alone, absent from a part or only there.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise Circumstance(f"there is no data folder {data_dir}; {HOW_TO_SPLIT}")
    if (data_dir / SPLIT_IN_PROGRESS / "split.json").is_file():
        raise Circumstance(
            f"{data_dir} is half replaced: a run of split_dataset.py goes on or was stopped; run it again"
        )
    expected, source = list(class_names or ()), "the model"
    counts: dict[str, dict[str, int]] = {}
    for part in parts:
        folder = data_dir / part
        if not folder.is_dir():
            raise Circumstance(f"{data_dir} has no folder {part}; {HOW_TO_SPLIT} (with a share for {part} in --ratios)")
        names = list_classes(folder)
        if not expected:
            expected, source = names, str(folder)
        _check_class_names(folder, names, expected, source)
        counts[part] = {name: len(list_pictures(folder / name)) for name in expected}
        for name, count in counts[part].items():
            if count == 0:
                raise Circumstance(f"{folder / name} holds no pictures; add some, or split anew with split_dataset.py")
    return expected, counts


def _check_class_names(folder: Path, names: list[str], expected: list[str], source: str) -> None:
    if not names:
        raise Circumstance(f"{folder} has no folders of classes; {HOW_TO_SPLIT}")
    if len(names) == 1 and names == expected:
        raise Circumstance(f"{folder} has only one class, {names[0]}; telling pictures apart takes at least two")
    if absent := sorted(set(expected) - set(names)):
        raise Circumstance(f"{folder} lacks the class {', '.join(absent)} that {source} has; {HOW_TO_SPLIT}")
    if extra := sorted(set(names) - set(expected)):
        raise Circumstance(f"{folder} has the class {', '.join(extra)} that {source} lacks; {HOW_TO_SPLIT}")
