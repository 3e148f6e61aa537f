"""What a source holds: which pictures, of which class, and of which part where it is split already."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from src.datasets.split_settings import NAMES, SHAPES, SplitSettings
from src.errors import UserError
from src.files import expand_path
from src.imaging import is_picture_name
from src.progress import say
from src.settings import PARTS

_PART_NAMES = {part: part for part in PARTS} | {"valid": "val", "validation": "val"}
_MASKS = "masks"
# "cat.0", "dog_12", "big-cat (3)": the class is what stands before the number.
_NUMBERED = re.compile(r"(?P<name>.+?)[._\- (]*\d+\)?")


@dataclass(slots=True)
class Picture:
    """One picture of a source. ``relative`` is its POSIX path below the source; ``digest`` its SHA-256, once read."""

    path: str
    relative: str
    class_name: str
    part: str | None
    digest: str = ""


@dataclass
class Listing:
    """The pictures of a source, sorted by ``relative``.

    ``set_aside`` holds (path, reason) of pictures that cannot be placed, ``ignored`` counts files that are no
    pictures, ``masks`` is a folder with a PNG for each picture where there is one, and ``temporary`` says that the
    files go away with the folder that the source was unpacked into.
    """

    root: Path
    class_names: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    set_aside: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0
    masks: Path | None = None
    temporary: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that the source brings itself."""
        brought = {picture.part for picture in self.pictures}
        return tuple(part for part in PARTS if part in brought)

    def find_mask(self, picture: Picture) -> Path | None:
        """The mask of a picture, where the source has one."""
        if self.masks is None:
            return None
        path = (self.masks / picture.relative).with_suffix(".png")
        return path if path.is_file() else None


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
    if path.is_dir():
        return read_folder(path)
    if path.exists():
        return _open_archive(path, scratch)
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
        scratch / _MASKS,
        images_per_class=settings.images_per_class or DEFAULT_IMAGES_PER_CLASS,
        size=settings.picture_size or DEFAULT_SIZE,
        seed=settings.seed,
    )
    listing = read_folder(scratch / "pictures")
    listing.masks, listing.temporary = scratch / _MASKS, True
    return listing


def _open_archive(archive: Path, scratch: Path) -> Listing:
    from src.datasets.archives import unpack
    from src.datasets.cifar import find_cifar, is_cifar_name, write_cifar

    unpacked = scratch / "unpacked"
    ignored = unpack(archive, unpacked, lambda name: is_picture_name(name) or is_cifar_name(name))
    if names_file := find_cifar(unpacked):
        unpacked = scratch / "cifar"
        write_cifar(names_file, unpacked)
    if not any(unpacked.iterdir()):
        raise UserError(f"{archive} holds no pictures (an archive within an archive must be unpacked by hand)")
    listing = read_folder(unpacked)
    listing.ignored += ignored
    listing.temporary = True
    return listing


def read_folder(root: Path) -> Listing:
    """List a folder of class folders, a flat folder with names such as ``cat.0.jpg``, or one split into parts.

    Raises:
        UserError: none of these, or a class folder that holds no pictures.
    """
    listing = Listing(_step_in(root))
    parts = _find_parts(listing.root)
    for part, folder in parts.items():
        # Kaggle ships a test folder without classes, of no use here.
        if part != "train" and not _subfolders(folder) and not _classes_by_name(folder):
            say(f"{folder} tells no classes and is left out")
            continue
        _add_folder(listing, folder, part)
    if not parts:
        _add_folder(listing, listing.root, None)
    elif (listing.root / _MASKS).is_dir():
        listing.masks = listing.root / _MASKS
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


def _find_parts(root: Path) -> dict[str, Path]:
    """The folders of a source that is split already; empty where it is not.

    A folder ``train`` among others may also be a class (the vehicle): then it has no classes within.
    """
    folders = _subfolders(root)
    parts: dict[str, Path] = {}
    for folder in folders:
        if part := _PART_NAMES.get(folder.name.lower()):
            if part in parts:
                raise UserError(f"{root} has two folders for {part}, {parts[part].name} and {folder.name}; keep one")
            parts[part] = folder
    if "train" not in parts:
        return {}
    others = [folder.name for folder in folders if folder not in parts.values() and folder.name != _MASKS]
    flat_train = len(_classes_by_name(parts["train"])) >= 2
    if flat_train and others:
        say(f"{root}: taking the folder train; no part of a split and left out: {', '.join(others)}")
    if flat_train or (_subfolders(parts["train"]) and not others):
        return {part: parts[part] for part in PARTS if part in parts}
    return {}


def _add_folder(listing: Listing, folder: Path, part: str | None) -> None:
    """Add the pictures below ``folder``, by class folders or, where there are none, by their names."""
    classes = _subfolders(folder)
    if _classes_by_name(folder) and not any(_walk(path) for path in classes):
        classes = []
    for class_folder in classes:
        names = _walk(class_folder)
        pictures = [path for path in names if is_picture_name(os.path.basename(path))]
        listing.class_names.append(class_folder.name)
        listing.ignored += len(names) - len(pictures)
        listing.pictures += (Picture(p, _relative(p, listing.root), class_folder.name, part) for p in pictures)
    by_name = 0
    for path in _top_pictures(folder):
        class_name = None if classes else _class_by_name(path)
        if class_name:
            by_name += 1
            listing.class_names.append(class_name)
            listing.pictures.append(Picture(path, _relative(path, listing.root), class_name, part))
        else:
            reason = "lies outside the class folders" if classes else "its name tells no class before a number"
            listing.set_aside.append((_relative(path, listing.root), reason))
    if not classes and not by_name:
        raise UserError(f"{folder} holds neither folders of classes with pictures nor pictures named like cat.0.jpg")
    listing.ignored += sum(1 for path in _top_files(folder) if not is_picture_name(os.path.basename(path)))


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _visible(path.name) and path.is_dir())


def _top_files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.path for entry in entries if _visible(entry.name) and entry.is_file())


def _top_pictures(folder: Path) -> Iterator[str]:
    return (path for path in _top_files(folder) if is_picture_name(os.path.basename(path)))


def _class_by_name(path: str) -> str | None:
    match = _NUMBERED.fullmatch(os.path.splitext(os.path.basename(path))[0])
    return match["name"] if match and not match["name"].isdigit() else None


def _classes_by_name(folder: Path) -> set[str]:
    return {name for path in _top_pictures(folder) if (name := _class_by_name(path))}


def _walk(folder: Path) -> list[str]:
    """All visible files below ``folder``, sorted; linked folders within are not entered, for they may go round."""

    def stop(error: OSError) -> None:
        raise error

    found = []
    for place, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if _visible(name)]
        found += [os.path.join(place, name) for name in names if _visible(name)]
    return sorted(found)


def _relative(path: str, root: Path) -> str:
    relative = os.path.relpath(path, root)
    return relative.replace(os.sep, "/")
