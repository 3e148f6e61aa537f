"""Files put where the split has them, and the change from an earlier split to the new one: all of it or nothing."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from src.datasets.manifest import FILE_NAME, MASKS, Manifest, load_manifest, mask_path, save_manifest
from src.datasets.sources import Listing, Picture
from src.errors import UserError
from src.files import sha256_file
from src.progress import say, track
from src.settings import PARTS

# Comes with the project, or by itself: no content of a data folder.
_NO_CONTENT = {"README.md", ".gitkeep", ".DS_Store"}
_NO_HARD_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}


def verify_output(output: Path, force: bool) -> Manifest | None:
    """The split that stands at ``output`` and may be replaced, or None where the folder is free.

    Raises:
        UserError: a split without ``force``; other content without a split; a ``split.json`` that names files
            elsewhere.
    """
    if not os.path.lexists(output):
        above = next(folder for folder in output.parents if folder.exists())
        if not above.is_dir():
            raise UserError(f"{above} is a file, and {output} would lie below it; choose another --output")
        return None
    if not output.is_dir():
        raise UserError(f"{output} is not a folder; choose another --output")
    if not (output / FILE_NAME).is_file():
        content = next(_content(output), None)
        if content:
            raise UserError(
                f"{output} holds other files ({content}) and no split made by this command; choose another --output"
            )
        return None
    manifest = load_manifest(output)
    if not force:
        raise UserError(f"{output} holds a split already; --force replaces it, --output puts the new one elsewhere")
    verify_entries(output, manifest.files, f"{output / FILE_NAME} lists")
    return manifest


def _content(output: Path) -> Iterator[str]:
    for place, folders, names in os.walk(output):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        here = _NO_CONTENT if Path(place) == output else {".DS_Store", ".gitkeep"}
        yield from (name for name in [*names, *links] if name not in here)


def verify_entries(output: Path, files: Iterable[str], what: str) -> None:
    """Raise ``UserError`` unless every entry is a file's place within a part or the masks, through no link."""
    parents = set()
    for name in files:
        path = PurePosixPath(name)
        inside = len(path.parts) >= 2 and path.parts[0] in (*PARTS, MASKS) and path.as_posix() == name
        if not inside or ".." in path.parts or "\0" in name or (os.name == "nt" and ("\\" in name or ":" in name)):
            raise UserError(f"{what} {name!r}, which is no place of a split; nothing was removed")
        parents.update(path.parents)
    for parent in sorted(map(str, parents)):
        if os.path.islink(output / parent):
            raise UserError(f"{what} files in {parent}, which is a link to elsewhere; nothing was removed")


@contextlib.contextmanager
def scratch_folder(output: Path) -> Iterator[Path]:
    """A temporary folder beside ``output``, on its file system, so that files move from it by a mere rename."""
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{output.name[:40]}-", dir=output.parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def choose_places(pictures: Sequence[Picture], by_stem: bool) -> dict[str, str]:
    """``places[picture.relative]``: ``part/class/name``, unique also where upper and lower case are one.

    Pictures from nested folders may share a name; the first by path keeps it, another gets a piece of its path's hash.
    ``by_stem`` keeps names apart without their suffix, for those are the names of masks.
    """
    taken: set[tuple[str, str]] = set()
    places = {}
    for picture in sorted(pictures, key=lambda picture: picture.relative):
        original = PurePosixPath(picture.relative)
        name, digest = original.name, hashlib.sha256(picture.relative.encode(errors="surrogateescape")).hexdigest()
        length = 8
        while (key := (picture.class_name, (PurePosixPath(name).stem if by_stem else name).casefold())) in taken:
            name = f"{original.stem}-{digest[:length]}{original.suffix}"
            length += 8
        taken.add(key)
        places[picture.relative] = f"{picture.part}/{picture.class_name}/{name}"
    return places


def build_split(listing: Listing, pictures: Sequence[Picture], folder: Path, link: str) -> dict[str, str]:
    """Lay out pictures and masks below ``folder``. Returns the SHA-256 of each file by its place."""
    if listing.temporary:  # the files are ours and on the same file system: link, and their first name goes
        if link == "symlink":
            say("Pictures that were unpacked or drawn cannot be linked to; they are placed as files.")
        link = "hardlink"
    placer = _Placer(link)
    places = choose_places(pictures, by_stem=listing.masks is not None)
    digests = {}
    for picture in track(pictures, what="Placing pictures"):
        place = places[picture.relative]
        placer.place(picture.path, folder / place)
        digests[place] = picture.digest
        if mask := listing.find_mask(picture):
            mask_place = mask_path("", place).as_posix()
            placer.place(mask, folder / mask_place)
            digests[mask_place] = sha256_file(mask)
    return digests


class _Placer:
    """Copies or links; where the file system has no hard links, it says so once and copies from there on."""

    def __init__(self, link: str):
        self._link = link
        self._folders: set[Path] = set()

    def place(self, source: str | os.PathLike, target: Path) -> None:
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        if self._link == "symlink":
            os.symlink(os.path.realpath(source), target)
            return
        if self._link == "hardlink":
            try:
                os.link(os.path.realpath(source), target)
                return
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                say(f"Hard links are not possible here ({os.strerror(error.errno)}); copying instead.")
                self._link = "copy"
        shutil.copyfile(source, target)


def swap_split(new: Path, output: Path, manifest: Manifest, previous: Manifest | None, scratch: Path) -> None:
    """Put the files of ``new`` in the place of those that ``previous`` lists, and write ``split.json`` last.

    Only renames, and each is undone where one fails or Ctrl-C comes: then the earlier split stands as it was. Other
    files of the folder stay.

    Raises:
        UserError: a file of somebody else stands where one of the split belongs.
    """
    old_files = set(previous.files) if previous else set()
    verify_entries(output, manifest.files, "the new split has")
    for name in manifest.files:
        if name not in old_files and os.path.lexists(output / name):
            raise UserError(f"{output / name} is in the way and no file of the earlier split; move it elsewhere")
    old = scratch / "old"
    moves = _Moves()
    try:
        output.mkdir(exist_ok=True)
        if previous:
            moves.move(output / FILE_NAME, old / FILE_NAME)  # without it, what is half done is no split
        for name in sorted(old_files):
            if os.path.islink(output / name) or os.path.isfile(output / name):
                moves.move(output / name, old / name)
        _remove_empty(output, old_files)
        for name in manifest.files:
            moves.move(new / name, output / name)
        save_manifest(output, manifest)
    except BaseException:
        if previous is None or os.path.lexists(old / FILE_NAME):  # then what stands there now is the new one
            (output / FILE_NAME).unlink(missing_ok=True)
        moves.undo()
        _remove_empty(output, set(manifest.files) - old_files)
        raise


class _Moves:
    """Renames that can be taken back."""

    def __init__(self):
        self._done: list[tuple[Path, Path]] = []
        self._folders: set[Path] = set()

    def move(self, source: Path, target: Path) -> None:
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        self._done.append((source, target))  # before the rename: Ctrl-C may come right after it
        os.rename(source, target)

    def undo(self) -> None:
        for source, target in reversed(self._done):
            if os.path.lexists(target) and not os.path.lexists(source):
                source.parent.mkdir(parents=True, exist_ok=True)
                os.rename(target, source)
        self._done.clear()


def _remove_empty(output: Path, files: Iterable[str]) -> None:
    """Remove the folders of ``files`` that have become empty, from the innermost."""
    folders = {parent for name in files for parent in PurePosixPath(name).parents if parent.parts}
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        with contextlib.suppress(OSError):  # not empty, or gone
            os.rmdir(output / folder)
