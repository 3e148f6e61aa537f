"""split.json, spoilt: it is read and refused as a whole, and nothing but what a split may hold is ever touched."""

import contextlib
import io
from pathlib import Path
from random import Random

from src.datasets.manifest import FILE_NAME, Manifest, load_manifest, read_fingerprint, save_manifest
from src.datasets.swapping import scratch_folder, swap_split, verify_output
from src.errors import UserError
from src.settings import PARTS
from tests.faults.fuzz_mutations import spoil_json

FILES = ["masks/train/cat/a.png", "test/cat/c.png", "train/cat/a.png", "train/dog/b.png", "val/dog/d.png"]
MANIFEST = {
    "format": 1, "source": "photos", "settings": {"seed": 42, "ratios": [0.7, 0.15, 0.15], "link": "copy"},
    "class_names": ["cat", "dog"], "counts": {part: {"cat": 1, "dog": 1} for part in PARTS}, "content_hash": "ab" * 32,
    "masks": True, "marks": 0, "set_aside": [{"path": "cat/x.png", "reason": "the file is empty"}],
    "duplicates": {"groups": 0, "pictures": 0, "conflicts": [], "removed": []},
    "near_copies": {"groups": 0, "pictures": 0, "conflicts": [], "members": []}, "grouped": {}, "ignored": 3,
    "corrections": {"ab" * 8: "dog", "cd" * 8: ""}, "command": "python split_dataset.py", "files": FILES,
    "parts": {"ab" * 8: "train", "cd" * 8: "val"},
}  # fmt: skip


def prepare() -> None:
    """Nothing is bounded here."""


def make(random: Random) -> bytes:
    return spoil_json(random, MANIFEST)


def check(data: bytes, folder: Path) -> bool:
    """Whether it is a manifest. What it lists is replaced by another split: nothing else may be touched."""
    output = folder / "output"
    for name in FILES:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(b"old")
    for victim in (folder / "victim.png", output / "mine.txt"):
        victim.write_bytes(b"mine")
    (output / FILE_NAME).write_bytes(data)
    fine = False
    with contextlib.suppress(UserError):
        manifest = load_manifest(output)
        _check_manifest(manifest)
        assert read_fingerprint(output) == manifest.content_hash
        save_manifest(folder / "again", manifest)
        assert str(load_manifest(folder / "again")) == str(manifest)  # as text, where NaN is like itself
        fine = True
    with contextlib.suppress(UserError), contextlib.redirect_stderr(io.StringIO()), scratch_folder(output) as scratch:
        previous = verify_output(output, force=True)
        (scratch / "new" / "train").mkdir(parents=True)
        (scratch / "new" / "train" / "new.png").write_bytes(b"new")
        swap_split(scratch, output, Manifest("", {}, [], {}, "", ["train/new.png"]), previous)
        assert (output / "train" / "new.png").read_bytes() == b"new"
    assert (folder / "victim.png").read_bytes() == (output / "mine.txt").read_bytes() == b"mine"
    assert {path.name for path in folder.iterdir()} <= {"output", "again", "victim.png"}
    return fine


def _check_manifest(manifest: Manifest) -> None:
    assert all(
        isinstance(name, str) for name in (*manifest.files, *manifest.class_names, *manifest.corrections.values())
    )
    assert set(manifest.parts.values()) <= set(PARTS) and set(manifest.counts) <= set(PARTS)
    assert all(type(count) is int and count >= 0 for part in manifest.counts.values() for count in part.values())
    assert all(isinstance(entry["path"], str) and isinstance(entry["reason"], str) for entry in manifest.set_aside)
