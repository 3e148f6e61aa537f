"""What a source holds: which pictures, of which class, and of which part where it is split already."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from src.datasets.manifest import BESIDES, MARKS, MASKS, mask_path
from src.datasets.split_settings import NAMES, SHAPES, SplitSettings
from src.errors import UserError
from src.files import expand_path
from src.imaging import is_picture_name
from src.progress import say
from src.settings import PARTS

_PART_NAMES = {part: part for part in PARTS} | {
    "training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test",
}  # fmt: skip
# "cat.0", "dog_12", "big-cat (3)": the class is what stands before the number.
_NUMBERED = re.compile(r"(?P<name>.+?)[._\- (]*\d+\)?")

_CLEARLY_MORE = 10  # times as many pictures of one kind: those of the other are strays


@dataclass(slots=True)
class Picture:
    """One picture of a source.

    Attributes:
        relative: its POSIX path below the source.
        part: where the source has put it, and in the end where it goes.
        digest: its SHA-256, once read.
        thumbnail: as ``near_copies`` compares them, where they are compared.
        group: pictures of one number stay together; None where only identical ones do.
        settled: the part that an earlier split put it into, or that its group is in.
    """

    path: str
    relative: str
    class_name: str
    part: str | None
    digest: str = ""
    thumbnail: np.ndarray | None = None
    group: int | None = None
    settled: str | None = None


@dataclass
class Listing:
    """The pictures of a source, sorted by ``relative``.

    ``set_aside`` holds (path, reason) of pictures that cannot be placed, ``ignored`` counts files that are no
    pictures, ``masks_in`` is the folder that :func:`mask_path` starts from where pictures have masks, and
    ``temporary`` says that the files go away with the folder that the source was unpacked into.
    """

    root: Path
    class_names: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0
    masks_in: Path | None = None
    temporary: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that the source brings itself."""
        brought = {picture.part for picture in self.pictures}
        return tuple(part for part in PARTS if part in brought)

    def find_masks(self, picture: Picture) -> dict[str, Path]:
        """The masks of a picture that the source has, by kind (one of ``BESIDES``)."""
        if self.masks_in is None:
            return {}
        paths = {kind: mask_path(self.masks_in, picture.relative, kind) for kind in BESIDES}
        return {kind: path for kind, path in paths.items() if path.is_file()}


def open_source(settings: SplitSettings, scratch: Path) -> Listing:
    """List the source that the settings name; what must be drawn, fetched or unpacked goes into ``scratch``.

    Raises:
        UserError: there is no such source, or it is no data set for classification.
    """
    source = settings.source
    if source is None:
        say("No --source given: drawing the embedded data set of coloured shapes (--source PATH takes your pictures).")
        return _draw(settings, scratch)
    path = expand_path(source)
    if path.exists():
        settings.verify_not_drawn()  # a folder may be called shapes
    if path.is_dir():
        return read_folder(path, settings.classes)
    if path.exists():
        return _open_archive(path, scratch, settings.classes)
    if source == SHAPES:
        return _draw(settings, scratch)
    if source in NAMES:
        from src.datasets.named import fetch_dataset

        return _open_archive(fetch_dataset(source), scratch)
    raise UserError(f"{source} is no folder or archive here, and no data set's name; the names are {', '.join(NAMES)}")


def _draw(settings: SplitSettings, scratch: Path) -> Listing:
    from src.datasets.shapes import DEFAULT_IMAGES_PER_CLASS, DEFAULT_SIZE, draw_shapes

    draw_shapes(
        scratch / "pictures",
        scratch / MASKS,
        images_per_class=settings.images_per_class or DEFAULT_IMAGES_PER_CLASS,
        size=settings.picture_size or DEFAULT_SIZE,
        seed=settings.seed,
        shortcut=settings.shortcut,
        marks=scratch / MARKS,
    )
    listing = read_folder(scratch / "pictures")
    listing.masks_in, listing.temporary = scratch, True
    return listing


def _open_archive(archive: Path, scratch: Path, class_names: Sequence[str] | None = None) -> Listing:
    from src.datasets.archives import unpack
    from src.datasets.cifar import find_cifar, is_cifar_name, write_cifar

    unpacked = scratch / "unpacked"
    ignored = unpack(archive, unpacked, lambda name: is_picture_name(name) or is_cifar_name(name))
    if names_file := find_cifar(unpacked):
        unpacked = scratch / "cifar"
        write_cifar(names_file, unpacked)
    if not any(unpacked.iterdir()):
        raise UserError(f"{archive} holds no pictures (an archive within an archive must be unpacked by hand)")
    listing = read_folder(unpacked, class_names)
    listing.ignored += ignored
    listing.temporary = True
    return listing


def read_folder(root: Path, class_names: Sequence[str] | None = None) -> Listing:
    """List a folder of class folders, a flat folder with names such as ``cat.0.jpg``, or one split into parts.

    Args:
        class_names: the classes that the user wants, which settles what could be read in two ways.

    Raises:
        UserError: none of these, or a class folder that holds no pictures.
    """
    listing = Listing(_step_in(root))
    parts = _find_parts(listing.root, class_names)
    for part, folder in parts.items():
        # Kaggle ships a test folder without classes, of no use here.
        if part != "train" and not _subfolders(folder) and not _classes_by_name(folder):
            say(f"{folder} tells no classes and is left out")
            continue
        _add_folder(listing, folder, part)
    if not parts:
        _add_folder(listing, listing.root, None)
    elif any((listing.root / kind).is_dir() for kind in BESIDES):
        listing.masks_in = listing.root
    listing.pictures.sort(key=lambda picture: picture.relative)
    listing.set_aside.sort()
    listing.class_names = sorted(set(listing.class_names))
    return listing


def _step_in(root: Path) -> Path:
    """Past single folders that merely wrap the data set, as archives have them."""
    while True:
        folders = _subfolders(root)
        if len(folders) != 1 or _find_parts(root) or any(_top_pictures(root)):
            return root
        if not _subfolders(folders[0]) and len(_classes_by_name(folders[0])) < 2:
            return root  # the folder of a single class
        root = folders[0]


def _find_parts(root: Path, class_names: Sequence[str] | None = None) -> dict[str, Path]:
    """The folders of a source that is split already; empty where it is not.

    A folder ``train`` among others may also be a class (the vehicle). It is a part where its pictures' names tell
    classes, or where val or test has folders of the same names.

    Raises:
        UserError: two folders for one part; or folders that look like parts, or folds, by no name that is known.
    """
    folders = _subfolders(root)
    parts: dict[str, Path] = {}
    for folder in folders:
        if part := _PART_NAMES.get(folder.name.lower()):
            if part in parts:
                raise UserError(f"{root} has two folders for {part}, {parts[part].name} and {folder.name}; keep one")
            parts[part] = folder
    others = [folder for folder in folders if folder not in parts.values() and folder.name not in BESIDES]
    if "train" in parts:
        within = {part: {path.name for path in _subfolders(folder)} for part, folder in parts.items()}
        told = len(_classes_by_name(parts["train"])) >= 2 or any(
            len(within["train"] & within[part]) >= 2 for part in within if part != "train"
        )
        if told and others:
            taken = _names(parts.values())
            say(f"{root}: taking {taken}; no part of a split and left out: {_names(others)}")
        if told or (within["train"] and not others):
            return {part: parts[part] for part in PARTS if part in parts}
    if class_names and set(class_names) <= {folder.name for folder in folders}:
        return {}
    if parts and not others and "train" not in parts:
        raise UserError(f"{root} has {_names(parts.values())} but no folder train; add one, or give one folder alone")
    _verify_are_classes(root, folders)
    if "train" in parts and len(within["train"]) >= 2 and not any(_top_pictures(parts["train"])):
        raise UserError(
            f"{root}: is {parts['train'].name} a class, or are its folders ({_names(within['train'], 4)}) the "
            f"classes? If they are, give {parts['train']}; if not, put its pictures straight into it"
        )
    return {}


def _verify_are_classes(root: Path, folders: Sequence[Path]) -> None:
    """Raise ``UserError`` where two folders hold the same folders: then those look like the classes."""
    holders: dict[str, list[Path]] = {}
    common: dict[tuple[Path, Path], str] = {}
    for folder in folders:
        for path in _subfolders(folder):
            holders.setdefault(path.name, []).append(folder)
    for name, places in holders.items():
        for first, second in combinations(places, 2):
            if (other := common.setdefault((first, second), name)) != name:
                raise UserError(
                    f"{root}: {first.name} and {second.name} both hold the folders {_names([other, name])}; if these "
                    f"are the classes, call the folders above them train, val and test, or give one alone; if "
                    f"{first.name} and {second.name} are the classes, say so with --classes {first.name} {second.name} "
                    "..."
                )


def _names(names: Iterable[str | Path], count: int | None = None) -> str:
    return ", ".join(sorted(name if isinstance(name, str) else name.name for name in names)[:count])


def _add_folder(listing: Listing, folder: Path, part: str | None) -> None:
    """Add the pictures below ``folder``, by class folders or, where there are none, by their names."""
    if _is_flat(folder):
        _add_flat(listing, folder, part)
    else:
        _add_class_folders(listing, folder, part)
    listing.ignored += sum(1 for path in _top_files(folder) if not _is_picture(path))


def _is_flat(folder: Path) -> bool:
    """Whether the pictures' names tell the classes, and not the folders that they lie in.

    Raises ``UserError`` where it might be either.
    """
    names = _classes_by_name(folder)
    if not names:
        return not _subfolders(folder)
    within = sum(_is_picture(path) for place in _subfolders(folder) for path in _walk(place)[0])
    named = sum(map(bool, map(_class_by_name, _top_pictures(folder))))
    if not within or (len(names) >= 2 and named >= _CLEARLY_MORE * within):
        return True
    if len(names) < 2 or within >= _CLEARLY_MORE * named:
        return False
    raise UserError(
        f"{folder} holds pictures named as of the classes {_names(names, 4)} and also folders with pictures "
        f"({_names(_subfolders(folder), 4)}), so that it is not clear which are the classes; move one kind elsewhere"
    )


def _add_flat(listing: Listing, folder: Path, part: str | None) -> None:
    by_name = 0
    for path in _top_pictures(folder):
        if class_name := _class_by_name(path):
            by_name += 1
            listing.class_names.append(class_name)
            listing.pictures.append(Picture(path, _relative(path, listing.root), class_name, part))
        else:
            listing.set_aside.append((_relative(path, listing.root), "its name tells no class before a number"))
    if not by_name:
        raise UserError(f"{folder} holds neither folders of classes with pictures nor pictures named like cat.0.jpg")
    for path in (path for place in _subfolders(folder) for path in _walk(place)[0]):
        if _is_picture(path):
            listing.set_aside.append((_relative(path, listing.root), "lies in a folder beside pictures named by class"))
        else:
            listing.ignored += 1


def _add_class_folders(listing: Listing, folder: Path, part: str | None) -> None:
    for class_folder in _subfolders(folder):
        files, links = _walk(class_folder)
        pictures = [path for path in files if _is_picture(path)]
        listing.class_names.append(class_folder.name)
        listing.ignored += len(files) - len(pictures)
        listing.set_aside += ((_relative(path, listing.root), "a link to a folder, not entered") for path in links)
        listing.pictures += (Picture(p, _relative(p, listing.root), class_folder.name, part) for p in pictures)
    for path in _top_pictures(folder):
        listing.set_aside.append((_relative(path, listing.root), "lies outside the class folders"))


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _is_picture(path: str) -> bool:
    return is_picture_name(os.path.basename(path))


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if _visible(entry.name) and _is_folder(entry))


def _top_files(folder: Path) -> list[str]:
    """All that is no folder: what is no file either, as a link to nowhere, is told when it is read."""
    with os.scandir(folder) as entries:
        return sorted(entry.path for entry in entries if _visible(entry.name) and not _is_folder(entry))


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _top_pictures(folder: Path) -> Iterator[str]:
    return filter(_is_picture, _top_files(folder))


def _class_by_name(path: str) -> str | None:
    match = _NUMBERED.fullmatch(os.path.splitext(os.path.basename(path))[0])
    return match["name"] if match and not match["name"].isdigit() else None


def _classes_by_name(folder: Path) -> set[str]:
    return {name for path in _top_pictures(folder) if (name := _class_by_name(path))}


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """All visible files below ``folder``, and the links to folders, which are not entered, for they may go round."""

    def stop(error: OSError) -> None:
        raise error

    files, links = [], []
    for place, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if _visible(name)]
        links += [path for name in folders if os.path.islink(path := os.path.join(place, name))]
        files += [os.path.join(place, name) for name in names if _visible(name)]
    return sorted(files), sorted(links)


def _relative(path: str, root: Path) -> str:
    relative = os.path.relpath(path, root)
    return relative.replace(os.sep, "/")
