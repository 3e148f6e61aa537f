"""Small pictures for the tests of splitting."""

import io
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np


def encode(number: int, suffix: str = ".png") -> bytes:
    """A picture of 8 x 8 pixels of noise, another for every number."""
    image = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.imencode(suffix, image)[1].tobytes()


def write(path: Path, number: int) -> Path:
    """Write picture ``number`` at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(number, path.suffix))
    return path


def class_folders(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    """``root``/<class>/<class>_000.png with all pictures different."""
    number = first
    for name, count in counts.items():
        for i in range(count):
            write(root / name / f"{name}_{i:03d}.png", number)
            number += 1
    return root


def files_below(root: Path) -> dict[str, bytes]:
    """Every file below ``root`` with its content."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tar_of(path: Path, members: dict[str, bytes], mode: str = "w:gz", special: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if special:
            archive.addfile(special)
    return path
