"""What the audit finds of faults that are planted in real pictures, what it takes for faults besides, and in what time.

Real photographs of two or more classes are laid out in class folders, and by a fixed seed three kinds of faults are
planted, each in pictures of its own: flipped labels; near-copies (scale 0.5 to 1, a crop of 5%, mirror, brightness 20%,
JPEG quality 40: one of these each, in turn, and all at once); broken files of ten kinds. One audit, as a process of its
own as a user would start it, looks at all of it.

- labels: of the flipped ones how many are named (recall), and how many of the named are flipped (precision).
- near_duplicates: of the planted copies how many are named together with their original (recall), and how many of the
  pictures that nothing was done to are named as copies (false_positive_rate). Real near-copies among these count as
  false here.
- corrupt: how many broken files are named as empty, unreadable or damaged, and how many of all others (false).

``seconds`` is the audit's wall-clock time from start to end, features included.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.report import describe_machine, print_conditions, print_json_line
from src.auditing.findings import BROKEN
from src.datasets.sources import Picture, read_folder
from src.errors import UserError, command
from src.imaging import read_image
from src.settings import create_parser, positive_int, seed_int, share

EXAMPLES = """\
  python -m benchmarks.bench_audit --data dogs-vs-cats/train
  python -m benchmarks.bench_audit --data dogs-vs-cats/train --pictures 400 --seed 7"""
ROOT = Path(__file__).resolve().parent.parent
QUALITY = 40

Alteration = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def scale(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    factor = draw.uniform(0.5, 1)
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def crop(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """5% of each side away, anywhere."""
    height, width = image.shape[:2]
    top, left = (round(side * 0.05 * draw.random()) for side in (height, width))
    return image[top : top + round(0.95 * height), left : left + round(0.95 * width)]


def mirror(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return image[:, ::-1]


def brighten(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """By 20%, up or down."""
    return np.clip(image * draw.choice([0.8, 1.2]), 0, 255).astype(np.uint8)


ALTERATIONS: dict[str, tuple[Alteration, ...]] = {
    "scale": (scale,),
    "quality": (),  # it is encoded anew all the same
    "crop": (crop,),
    "mirror": (mirror,),
    "brightness": (brighten,),
    "all": (crop, scale, mirror, brighten),
}

# What breaks a JPEG of so many bytes; the last is made of a PNG.
BREAKING: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "empty": lambda data, draw: b"",
    "text": lambda data, draw: b"this is no picture\n" * 40,
    "web page": lambda data, draw: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "random bytes": lambda data, draw: draw.bytes(len(data)),
    "zeros": lambda data, draw: bytes(len(data)),
    "cut off": lambda data, draw: data[: int(len(data) * draw.uniform(0.3, 0.9))],
    "cut off, ended anew": lambda data, draw: data[: int(len(data) * draw.uniform(0.5, 0.9))] + b"\xff\xd9",
    "a block of zeros": lambda data, draw: data[: len(data) // 2] + bytes(2000) + data[len(data) // 2 + 2000 :],
    "a piece missing": lambda data, draw: data[: len(data) // 2] + data[len(data) // 2 + 1000 :],
    "PNG cut off": lambda data, draw: data[: int(len(data) * draw.uniform(0.3, 0.9))],
}


def plant(
    pictures: list[Picture], folder: Path, draw: np.random.Generator, flips: float, copies: int, broken: int
) -> dict:
    """Lay the pictures out below ``folder`` with faults; returns which are which, by relative path.

    Args:
        pictures: whole, in any order.
        flips: share of the pictures that get the label of another class.
        copies: number of near-copies.
        broken: number of broken files of each kind.
    """
    order = [pictures[index] for index in draw.permutation(len(pictures))]
    class_names = sorted({picture.class_name for picture in pictures})
    for name in class_names:
        (folder / name).mkdir(parents=True)
    flipped = round(flips * len(order))
    planted = {"flipped": [], "copies": {}, "kinds": {}, "broken": {}, "untouched": []}
    for number, picture in enumerate(order):
        name, suffix = picture.class_name, Path(picture.path).suffix
        if number < flipped:
            name = str(draw.choice([other for other in class_names if other != name]))
        relative = f"{name}/{number:06d}{suffix}"
        os.symlink(os.path.realpath(picture.path), folder / relative)
        if number < flipped:
            planted["flipped"].append(relative)
        elif number < flipped + copies:
            kind = list(ALTERATIONS)[number % len(ALTERATIONS)]
            copy = f"{name}/copy_{number:06d}.jpg"
            _write_copy(Path(picture.path), folder / copy, ALTERATIONS[kind], draw)
            planted["copies"][copy], planted["kinds"][copy] = relative, kind
        else:
            planted["untouched"].append(relative)
    for kind, breaks in BREAKING.items():
        for number in range(broken):
            picture = order[int(draw.integers(len(order)))]
            png = kind.startswith("PNG")
            relative = f"{picture.class_name}/broken_{kind.replace(' ', '_').replace(',', '')}_{number}"
            relative += ".png" if png else ".jpg"
            sound = _encode(read_image(picture.path), ".png" if png else ".jpg", 95)
            (folder / relative).write_bytes(breaks(sound, draw))
            planted["broken"][relative] = kind
    return planted


def _write_copy(source: Path, target: Path, alterations: tuple[Alteration, ...], draw: np.random.Generator) -> None:
    image = read_image(source)
    for alter in alterations:
        image = alter(image, draw)
    quality = QUALITY if alterations in (ALTERATIONS["quality"], ALTERATIONS["all"]) else 90
    target.write_bytes(_encode(np.ascontiguousarray(image), ".jpg", quality))


def _encode(image: np.ndarray, suffix: str, quality: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else []
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def judge(findings: list[dict], planted: dict) -> dict:
    """Recall and precision of what was found (rows of findings.csv) against what was planted."""
    files: dict[str, set[str]] = {}
    for row in findings:
        files.setdefault(row["kind"], set()).add(row["file"])
    flipped, named = set(planted["flipped"]), files.get("label_error", set())
    pairs = {frozenset((row["file"], row["other"])) for row in findings if row["kind"] == "near_copy"}
    found = [copy for copy, original in planted["copies"].items() if frozenset((copy, original)) in pairs]
    touched = {name for pair in pairs for name in pair}
    false_copies = [name for name in planted["untouched"] if name in touched]
    broken = set().union(*(files.get(kind, set()) for kind in BROKEN))
    missed = Counter(kind for name, kind in planted["broken"].items() if name not in broken)
    by_kind = Counter(planted["kinds"].values())
    found_by_kind = Counter(planted["kinds"][copy] for copy in found)
    return {
        "labels": {
            "recall": len(flipped & named) / max(1, len(flipped)),
            "precision": len(flipped & named) / max(1, len(named)),
            "planted": len(flipped),
            "named": len(named),
        },
        "near_duplicates": {
            "recall": len(found) / max(1, len(planted["copies"])),
            "false_positive_rate": len(false_copies) / max(1, len(planted["untouched"])),
            "planted": len(planted["copies"]),
            "by_kind": {kind: found_by_kind[kind] / count for kind, count in sorted(by_kind.items())},
        },
        "corrupt": {
            "found": len(planted["broken"]) - sum(missed.values()),
            "planted": len(planted["broken"]),
            "false": len(broken - set(planted["broken"])),
            "missed": dict(missed),
        },
    }


def run_audit(data: Path, output: Path) -> tuple[list[dict], float]:
    """Audit ``data`` in a process of its own; returns the rows of findings.csv and the seconds."""
    begin = time.perf_counter()
    words = [sys.executable, "-m", "src.audit", "--data", str(data), "--output", str(output), "--json"]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise UserError(f"the audit ended with exit code {done.returncode}; its own words stand above")
    json.loads(done.stdout)
    with open(output / "findings.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream)), seconds


@command
def main(argv=None) -> None:
    parser = create_parser(__doc__.splitlines()[0], EXAMPLES)
    parser.add_argument("--data", required=True, help="real pictures: class folders, or names such as cat.0.jpg")
    parser.add_argument("--pictures", type=positive_int, default=2000, help="how many of them to take, at most")
    parser.add_argument("--flips", type=share, default=0.05, help="share of the labels to flip")
    parser.add_argument("--copies", type=positive_int, default=200, help="near-copies to plant")
    parser.add_argument("--broken", type=positive_int, default=5, help="broken files of each of ten kinds")
    parser.add_argument("--seed", type=seed_int, default=42, help="of what is planted")
    parser.add_argument("--folder", help="keep the planted pictures and the audit's output here")
    arguments = parser.parse_args(argv)
    if not Path(arguments.data).is_dir():
        raise UserError(f"there is no folder {arguments.data}")
    draw = np.random.default_rng(arguments.seed)
    pictures = read_folder(Path(arguments.data)).pictures
    taken = draw.permutation(len(pictures))[: arguments.pictures]
    pictures = [pictures[index] for index in sorted(taken)]
    if arguments.copies + arguments.flips * len(pictures) > 0.8 * len(pictures):
        raise UserError(f"{len(pictures)} pictures are too few for {arguments.copies} copies; plant fewer")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.folder or temporary)
        data = folder / "data"
        if data.exists():
            raise UserError(f"{data} is there already; remove it, or choose another --folder")
        planted = plant(pictures, data, draw, arguments.flips, arguments.copies, arguments.broken)
        print_conditions(describe_machine() | {"pictures": len(pictures), "seed": arguments.seed})
        findings, seconds = run_audit(data, folder / "audit")
    print_json_line(judge(findings, planted) | {"pictures": len(pictures), "seconds": seconds})


if __name__ == "__main__":
    sys.exit(main())
