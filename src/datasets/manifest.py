"""``split.json``: what a split holds, and the only licence to remove it again."""

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from src.errors import UserError
from src.files import read_json, write_json

MANIFEST_FILE = "split.json"
FORMAT = 1
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Manifest:
    """What ``split_dataset.py`` did.

    Attributes:
        source: as the user named it.
        settings: what the split is a function of (ratios, seed, classes, limit).
        class_names: sorted.
        counts: part -> class -> number of pictures.
        content_hash: SHA-256 over the sorted (relative path, SHA-256 of the file) of all pictures.
        set_aside: pictures that were not placed, each with path and reason.
        duplicates: groups of byte-identical pictures, each kept in one part.
        masks: whether each picture has a mask.
        files: all placed files relative to the data folder, with "/".
    """

    source: str
    settings: dict
    class_names: list[str]
    counts: dict[str, dict[str, int]]
    content_hash: str
    set_aside: list[dict[str, str]] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    masks: bool = False
    files: list[str] = field(default_factory=list)


def save_manifest(data_dir: str | os.PathLike, manifest: Manifest) -> None:
    """Write ``split.json``, atomically."""
    write_json(Path(data_dir) / MANIFEST_FILE, {"format": FORMAT, **asdict(manifest)})


def load_manifest(data_dir: str | os.PathLike) -> Manifest:
    """Read ``split.json``. Raises ``UserError`` where it is missing, damaged, or lists files outside the folder."""
    path = Path(data_dir) / MANIFEST_FILE
    record = read_json(path)
    try:
        if record.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        manifest = Manifest(**record)
        for name in manifest.files:
            _check_inside(name)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a manifest of split_dataset.py ({error}); move the folder away") from error
    return manifest


def _check_inside(name: str) -> None:
    """Only files below the parts and the masks: a manifest from a stranger must not point anywhere else."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or path.parts[:1] not in {(p,) for p in (*PARTS, "masks")}:
        raise ValueError(f"it lists {name!r}, which is no place of a split")


def mask_path(data_dir: str | os.PathLike, relative_picture_path: str | os.PathLike) -> Path:
    """Where the mask of ``<part>/<class>/<stem>.<suffix>`` lies: uint8 PNG, 255 on the object, the picture's size."""
    return Path(data_dir, "masks", Path(relative_picture_path).with_suffix(".png"))
