"""CIFAR-10 and CIFAR-100 in their binary form, written out as PNG files in train/ and test/.

The binary form holds bytes only. The Python form is a pickle, which can run code as it loads, and is never opened.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src.errors import UserError
from src.imaging import write_image
from src.progress import track

_PIXELS = 3 * 32 * 32
_BATCH = 1000  # records read at once
# File of class names -> (label bytes before the pixels, of which the last counts; files of train; files of test).
_FORMS = {
    "batches.meta.txt": (1, tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",)),
    "fine_label_names.txt": (2, ("train.bin",), ("test.bin",)),  # coarse label, fine label
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ -]{0,99}")  # they become folders
_PICKLES = {"batches.meta", "data_batch_1", "meta"}
_FILES = set(_FORMS) | {name for _, train, test in _FORMS.values() for name in train + test} | _PICKLES


def is_cifar_name(name: str) -> bool:
    """Whether an archive's member of this base name belongs to CIFAR."""
    return name in _FILES


def find_cifar(folder: Path) -> Path | None:
    """The file of class names below ``folder`` where it holds CIFAR in binary form.

    Raises ``UserError`` where it holds the Python form.
    """
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        for name, (_, train, _) in _FORMS.items():
            if (place / name).is_file() and (place / train[0]).is_file():
                return place / name
        if (place / "data_batch_1").is_file() or ((place / "meta").is_file() and "cifar" in place.name):
            raise UserError(
                f"{place.name} is CIFAR as Python pickles, which can run code as they load; give the binary archive "
                "instead (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, same page), or --source cifar10"
            )
    return None


def write_cifar(names_file: Path, folder: Path) -> None:
    """Write ``folder``/{train,test}/<class>/<class>_00000.png, 32 x 32 RGB, from the files beside ``names_file``."""
    labels, train, test = _FORMS[names_file.name]
    text = names_file.read_text(encoding="utf-8", errors="replace")
    class_names = [line.strip() for line in text.splitlines() if line.strip()]
    if not class_names or not all(_NAME.fullmatch(name) for name in class_names):
        raise UserError(f"{names_file.name} is damaged: it does not list the names of classes; fetch the archive again")
    for part, files in (("train", train), ("test", test)):
        sources = [names_file.parent / name for name in files if (names_file.parent / name).is_file()]
        total = sum(path.stat().st_size for path in sources) // (labels + _PIXELS)
        numbers = dict.fromkeys(class_names, 0)
        for label, image in track(_records(sources, labels), total=total, what=f"Writing {part}"):
            if label >= len(class_names):
                raise UserError(f"{part} is damaged: class {label} of {len(class_names)}; fetch the archive again")
            name = class_names[label]
            write_image(folder / part / name / f"{name}_{numbers[name]:05d}.png", image)
            numbers[name] += 1


def _records(files: list[Path], labels: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (class index, RGB uint8 (32, 32, 3))."""
    size = labels + _PIXELS
    for path in files:
        if path.stat().st_size % size:
            raise UserError(f"{path.name} is damaged or cut off (no multiple of {size} bytes); fetch the archive again")
        with open(path, "rb") as stream:
            while chunk := stream.read(size * _BATCH):
                for record in np.frombuffer(chunk, np.uint8).reshape(-1, size):
                    # stored as planes (3, 32, 32)
                    yield (
                        int(record[labels - 1]),
                        np.ascontiguousarray(record[labels:].reshape(3, 32, 32).transpose(1, 2, 0)),
                    )
