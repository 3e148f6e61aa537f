"""``split.json``: what a split holds, from where, and under which settings."""

import dataclasses
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from src.errors import UserError
from src.files import finite, read_json, write_json
from src.settings import PARTS

FILE_NAME = "split.json"
FORMAT = 1
ONE_OF_MANY = "/"  # no name of a class
MASKS, MARKS = BESIDES = ("masks", "marks")  # folders of what pictures have besides: their objects, planted marks


@dataclass(frozen=True)
class Manifest:
    """The contents of ``split.json``.

    Attributes:
        source: what the user named.
        settings: what decided the result (ratios, seed, ...).
        class_names: in sorted order; the place in it is the class index.
        counts: ``counts[part][class_name]``, the number of pictures.
        content_hash: SHA-256 over the sorted (relative path, SHA-256) of all files.
        files: every placed file, masks as well, as sorted POSIX paths relative to the folder.
        masks: whether pictures have masks of their objects (see :func:`mask_path`).
        marks: how many pictures have a planted mark, with a mask of it.
        set_aside: ``{"path", "reason"}`` of each picture that was not placed.
        duplicates: ``groups`` and ``pictures`` (how many share their bytes with another), ``conflicts`` (identical
            bytes in several classes) and ``removed`` (copies left out, so that no part holds another's picture).
        near_copies: the same of near-copies, without ``removed``; ``members`` are the groups themselves.
        grouped: what ``--group-by`` came to: ``groups`` and ``pictures`` of those with more than one picture, and
            ``members``, their pictures by :func:`picture_key`.
        ignored: number of files in the source that are no pictures.
        parts: the part of every picture that this split or one before it placed here, by :func:`picture_key`, so that a
            later split leaves it there.
        corrections: the class that a picture was moved to by ``src.audit``, by the same key, or "" where it was put
            into quarantine, or ONE_OF_MANY where that left an identical one; a later split does the same again.
        command: what makes the same split of the same source.
    """

    source: str
    settings: dict
    class_names: list[str]
    counts: dict[str, dict[str, int]]
    content_hash: str
    files: list[str]
    masks: bool = False
    marks: int = 0
    set_aside: list[dict] = field(default_factory=list)
    duplicates: dict = field(default_factory=dict)
    near_copies: dict = field(default_factory=dict)
    grouped: dict = field(default_factory=dict)
    ignored: int = 0
    format: int = FORMAT
    parts: dict[str, str] = field(default_factory=dict)
    corrections: dict[str, str] = field(default_factory=dict)
    command: str = ""


def picture_key(digest: str) -> str:
    """What stands for a picture in ``split.json``: the first 16 digits of its SHA-256, 64 bits."""
    return digest[:16]


def load_manifest(data_dir: str | os.PathLike) -> Manifest:
    """Read ``split.json`` of a data folder. Raises ``UserError`` where it is missing or malformed."""
    path = Path(data_dir) / FILE_NAME
    if not path.is_file():
        raise UserError(f"{data_dir} has no {FILE_NAME}; make it with: python split_dataset.py --source YOUR_FOLDER")
    remedy = f"move {data_dir} away and split anew"
    values = read_json(path, remedy)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise UserError(f"{path} is not a split of format {FORMAT}; {remedy}")
    fields = {entry.name: entry for entry in dataclasses.fields(Manifest)}
    values = {name: value for name, value in values.items() if name in fields}
    for name, entry in fields.items():
        required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        kind = getattr(entry.type, "__origin__", entry.type)
        if (required and name not in values) or (name in values and not isinstance(values[name], kind)):
            raise UserError(f"{path} is malformed at {name!r}; {remedy}")
    lists = values["files"] + values["class_names"]
    lists += [item for name in ("parts", "corrections") for item in values.get(name, {}).values()]
    if not all(isinstance(item, str) for item in lists) or not _are_counts(values["counts"]):
        raise UserError(f"{path} is malformed; {remedy}")
    if not set(values.get("parts", {}).values()) <= set(PARTS) or not _are_reasons(values.get("set_aside", [])):
        raise UserError(f"{path} is malformed; {remedy}")
    if not _are_groups(values.get("grouped", {}).get("members", [])):
        raise UserError(f"{path} is malformed; {remedy}")
    short = {name: value for name, value in values.items() if name not in ("files", "parts")}
    if finite(short) != short:  # 1e999 is JSON, and infinite
        raise UserError(f"{path} is malformed; {remedy}")
    return Manifest(**values)


def read_fingerprint(data_dir: str | os.PathLike) -> str | None:
    """The content hash of a split, by which results are known to be of these pictures; None where there is no
    ``split.json``. Raises ``UserError`` where it is malformed."""
    return load_manifest(data_dir).content_hash if (Path(data_dir) / FILE_NAME).is_file() else None


def _are_counts(counts: dict) -> bool:
    return all(
        part in PARTS
        and isinstance(by_class, dict)
        and all(type(count) is int and count >= 0 for count in by_class.values())
        for part, by_class in counts.items()
    )


def _are_groups(groups: list) -> bool:
    return isinstance(groups, list) and all(
        isinstance(group, list) and all(isinstance(key, str) for key in group) for group in groups
    )


def _are_reasons(entries: list) -> bool:
    return all(
        isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in ("path", "reason"))
        for entry in entries
    )


def save_manifest(data_dir: str | os.PathLike, manifest: Manifest) -> None:
    """Write ``split.json``, atomically."""
    values = dataclasses.asdict(manifest)
    last = {name: values.pop(name) for name in ("files", "parts")}  # the long ones
    write_json(Path(data_dir) / FILE_NAME, {"format": values.pop("format")} | values | last)


def mask_path(data_dir: str | os.PathLike, relative_picture_path: str | os.PathLike, folder: str = MASKS) -> Path:
    """Where the mask of ``train/cat/cat_0001.jpg`` lies: ``masks/train/cat/cat_0001.png`` (0 or 255, same size).

    ``folder`` is one of ``BESIDES``: MASKS for the object, MARKS for a planted mark.
    """
    return Path(data_dir) / folder / PurePosixPath(Path(relative_picture_path).as_posix()).with_suffix(".png")


def hash_content(digests: dict[str, str]) -> str:
    """SHA-256 over the sorted pairs of relative path and file's SHA-256."""
    total = hashlib.sha256()
    for path in sorted(digests):
        total.update(f"{path}\0{digests[path]}\n".encode(errors="surrogateescape"))
    return total.hexdigest()
