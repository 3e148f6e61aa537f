"""Files put where the split has them: copied, linked, each under a name of its own."""

import errno
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from src.datasets.manifest import mask_path
from src.datasets.sources import Listing, Picture
from src.files import sha256_file
from src.progress import say, track

_MAX_NAME_BYTES = 255  # of nearly all file systems
_NO_HARD_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}


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
            name = _with_hash(original, digest[:length])
            length += 8
        taken.add(key)
        places[picture.relative] = f"{picture.part}/{picture.class_name}/{name}"
    return places


def _with_hash(original: PurePosixPath, piece: str) -> str:
    stem = original.stem
    while len(os.fsencode(name := f"{stem}-{piece}{original.suffix}")) > _MAX_NAME_BYTES:
        stem = stem[:-1]
    return name


def build_split(listing: Listing, pictures: Sequence[Picture], folder: Path, link: str) -> dict[str, str]:
    """Lay out pictures and masks below ``folder``. Returns the SHA-256 of each file by its place."""
    if listing.temporary:  # the files are ours and on the same file system: link, and their first name goes
        if link == "symlink":
            say("Pictures that were unpacked or drawn cannot be linked to; they are placed as files.")
        link = "hardlink"
    placer = _Placer(link)
    places = choose_places(pictures, by_stem=listing.masks_in is not None)
    digests = {}
    for picture in track(pictures, what="Placing pictures"):
        place = places[picture.relative]
        placer.place(picture.path, folder / place)
        digests[place] = picture.digest
        for kind, mask in listing.find_masks(picture).items():
            mask_place = mask_path("", place, kind).as_posix()
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
