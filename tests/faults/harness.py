"""The real commands as processes that are killed, and what is left of their work.

Every stage runs in a copy of one folder, in which an earlier result of each stage stands: so a kill can be seen to
have spoilt what was there. Paths in that folder are relative, so that two runs write the same.
"""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
LAUNCH = ROOT / "tests" / "faults" / "launch.py"
IN_PROGRESS = Path("data", ".split-in-progress", "split.json")  # while it is there the next split undoes all
LONGEST = 900  # seconds of one command; far beyond what any takes
# What differs between two undisturbed runs: times, and the digests of a file that holds the time it was made.
VOLATILE = {"seconds", "training_seconds", "sha256", "digest", "network", "milliseconds", "features_found"}

_NAMES = re.compile(r' (?:name|names)="[^"]*"')
_DATE = re.compile(r"\d\d \w+ \d{4}, \d\d:\d\d")  # and time that the report was made


@dataclass(frozen=True)
class Stage:
    """A command with the options of its run.

    Attributes:
        earlier: options of the run whose result stands there before; other ones, so that the results differ. Without
            any there is none.
        needs: stages whose earlier results it reads.
        often: a transfer's state is saved after every epoch, instead of every 20 seconds.
    """

    module: str
    words: tuple[str, ...]
    earlier: tuple[str, ...]
    needs: tuple[str, ...] = ("split",)
    often: bool = False


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_SPLIT = "--source shapes --picture-size 64 --ratios 0.5 0.25 0.25"
_TRANSFER = "--backbone efficientnet_lite0 --image-size 64"
_EARLIER_TRANSFER = _words(f"{_TRANSFER} --phase1-epochs 1 --phase2-epochs 0 --seed 1")
STAGES = {
    "split": Stage(
        "split_dataset",
        _words(f"{_SPLIT} --images-per-class 12 --force"),
        _words(f"{_SPLIT} --images-per-class 16 --seed 1"),
        (),
    ),
    "features": Stage(
        "src.transfer_model",
        _words("--backbone efficientnet_lite0 --image-size 96 --views 6 --phase1-epochs 1 --phase2-epochs 0"),
        _EARLIER_TRANSFER,
    ),
    "baseline": Stage(
        "src.baseline_cnn",
        _words("--image-size 32 --batch-size 8 --epochs 6 --mixup 0.2 --ema 0.9"),
        _words("--image-size 32 --batch-size 8 --epochs 1 --seed 1"),
    ),
    "phase1": Stage(
        "src.transfer_model",
        _words(f"{_TRANSFER} --phase1-epochs 12 --phase2-epochs 0 --batch-size 4"),
        _EARLIER_TRANSFER,
        often=True,
    ),
    "phase2": Stage(
        "src.transfer_model",
        _words(f"{_TRANSFER} --phase1-epochs 1 --phase2-epochs 5 --batch-size 8"),
        _EARLIER_TRANSFER,
        often=True,
    ),
    "sweep": Stage(
        "src.sweep",
        _words("baseline_cnn rate=0.01,0.001 -- --image-size 32 --batch-size 8 --epochs 2"),
        (),  # the same command would go on with it
    ),
    "evaluate": Stage("src.evaluate", _words("--gap"), _words("--model baseline"), ("split", "baseline", "features")),
    "gradcam": Stage(
        "src.gradcam", _words("--model baseline transfer"), _words("--model baseline"),
        ("split", "baseline", "features"),
    ),
    "audit": Stage("src.audit", _words("--no-features --seed 2"), _words("--no-features")),
    "report": Stage("src.report", (), (), ("split", "baseline", "evaluate")),
}  # fmt: skip


@dataclass
class Ended:
    """How a process ended: its exit code, negative where a signal ended it, and what it said."""

    code: int
    output: str
    errors: str
    struck: bool = False

    @property
    def last_line(self) -> str:
        return self.errors.strip().rpartition("\n")[2]


@dataclass
class Comparison:
    """What differs between two folders.

    Attributes:
        differing: files of which something else than times differs, with where and by how much.
        missing, extra: files and folders that the first or only the second has.
    """

    differing: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    greatest: float = 0.0


# ------------------------------------------------------------------------------------------------------- processes


def start(stage: Stage, folder: Path, words: Sequence[str], *options: str) -> subprocess.Popen:
    """The command in a session of its own, with ``options`` of launch.py."""
    often = ("--often",) if stage.often else ()
    (folder.parent / "said").mkdir(exist_ok=True)
    with (
        open(_said(folder, "output"), "w") as output,
        open(_said(folder, "errors"), "w") as errors,
    ):
        return subprocess.Popen(
            [sys.executable, str(LAUNCH), *often, *map(str, options), stage.module, *map(str, words)],
            cwd=folder,
            stdout=output,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )


def _said(folder: Path, what: str) -> Path:
    return folder.parent / "said" / f"{folder.name}.{what}"


def finish(process: subprocess.Popen, folder: Path, moment: float | None, number: int) -> Ended:
    """Wait for the end; after ``moment`` seconds send the whole group the signal."""
    struck = False
    try:
        process.wait(moment if moment is not None else LONGEST)
    except subprocess.TimeoutExpired:
        struck = moment is not None
        os.killpg(process.pid, number if struck else signal.SIGKILL)
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return Ended(process.returncode, _said(folder, "output").read_text(), _said(folder, "errors").read_text(), struck)


def run(
    stage: Stage,
    folder: Path,
    words: Sequence[str] | None = None,
    *options: str,
    moment: float | None = None,
    number: int = signal.SIGKILL,
) -> Ended:
    """The stage's command in ``folder``, to its end or until it is sent a signal ``moment`` seconds after its start."""
    process = start(stage, folder, stage.words if words is None else words, *options)
    return finish(process, folder, moment, number)


def count_changes(stage: Stage, folder: Path) -> list[str]:
    """All changes of files that the undisturbed command makes in ``folder``, in their order."""
    listing = folder.parent / "said" / f"{folder.name}.changes"
    ended = run(stage, folder, None, "--action", "count", "--listing", str(listing))
    assert ended.code == 0, ended.errors
    return listing.read_text(errors="surrogateescape").splitlines()


def prepare(folder: Path, name: str) -> Path:
    """A folder with earlier results of the stage and of what it needs; made once in ``folder``, to be copied."""
    place = folder / f"before-{name}"
    if place.is_dir():
        return place
    making = folder / f"making-{name}"
    making.mkdir(parents=True)
    for each in dict.fromkeys((*STAGES[name].needs, name)):
        if not STAGES[each].earlier:
            continue
        ended = run(STAGES[each], making, STAGES[each].earlier)
        assert ended.code == 0, f"{each}: {ended.errors}"
    making.rename(place)
    return place


def copy(before: Path, place: Path) -> Path:
    """A copy to be worked in, in place of an older one."""
    shutil.rmtree(place, ignore_errors=True)
    return Path(shutil.copytree(before, place, symlinks=True))


# ------------------------------------------------------------------------------------------- whether all is whole


def find_broken(folder: Path, before: Path) -> list[str]:
    """What is not whole, with the reason: each file that is not hidden, every bundle, the split; and results that
    stood in ``before`` and are gone."""
    problems = []
    for path in _visible(folder):
        try:
            _read(path)
        except Exception as error:  # whatever the damage leads the readers to
            problems.append(f"{path.relative_to(folder)}: {type(error).__name__}: {str(error)[:100]}")
    for record in sorted(folder.glob("models/*/bundle.json")):
        if record.parent.name.startswith("."):
            continue
        for name, digest in json.loads(record.read_text()).get("sha256", {}).items():
            path = record.parent / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                problems.append(f"{path.relative_to(folder)} is not the file that bundle.json tells of")
    swapping = (folder / IN_PROGRESS).is_file()
    kept = [path for path in _visible(before) if path.name in ("bundle.json", "metrics.json", "heatmaps.npz")]
    kept += [] if swapping else [before / "data" / "split.json"] if (before / "data" / "split.json").is_file() else []
    problems += [
        f"{path.relative_to(before)} was there before and is gone"
        for path in kept
        if not (folder / path.relative_to(before)).is_file()
    ]
    return problems + ([] if swapping else _check_split(folder / "data"))


def _check_split(data: Path) -> list[str]:
    """Whether the pictures are those that split.json lists, no more and no less."""
    if not (data / "split.json").is_file():
        return []
    listed = set(json.loads((data / "split.json").read_text())["files"])
    there = {
        path.relative_to(data).as_posix()
        for part in ("train", "val", "test", "masks")
        for path in _visible(data / part)
    }
    return [f"data: {len(listed - there)} files of split.json are missing, {len(there - listed)} are not its own"] * (
        listed != there
    )


def _visible(folder: Path) -> list[Path]:
    """Files that are not hidden, nor in a hidden folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def _read(path: Path):
    """What a file holds, for comparison; raises where it is not whole."""
    content = path.read_bytes()
    match path.suffix:
        case ".json":
            return json.loads(content)
        case ".csv":
            rows = list(csv.DictReader(io.StringIO(content.decode())))
            assert rows or b"," in content, "no header"
            return [{key: _number(value) for key, value in row.items()} for row in rows]
        case ".png" | ".jpg":
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            assert image is not None, "no picture"
            return image
        case ".npz":
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        case ".keras":
            return _read_weights(path)
        case ".xml":  # OpenVINO's names count what the process made before
            return _NAMES.sub("", content.decode())
        case ".html":
            return _DATE.sub("", content.decode())
    return content


def _number(text: str | None) -> float | str | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def _read_weights(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None, "damaged"
        stored = h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
    arrays = {}
    stored.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


# ----------------------------------------------------------------------------------------- whether all is as it was


def compare(reference: Path, folder: Path) -> Comparison:
    """How ``folder`` differs from ``reference``, times and the digests of files that hold times left out."""
    found = Comparison()
    ours, theirs = ({path.relative_to(each) for path in each.rglob("*")} for each in (folder, reference))
    found.extra = sorted(map(str, ours - theirs))
    found.missing = sorted(map(str, theirs - ours))
    for path in _visible(reference):
        name = path.relative_to(reference)
        if name not in ours or path.suffix in (".log",):
            continue
        differences: list[tuple[str, float]] = []
        _differ(_read(path), _read(folder / name), "", differences)
        if differences:
            where, amount = max(differences, key=lambda each: each[1])
            found.differing[str(name)] = f"{len(differences)} values, most {amount:.3g} at {where or 'the whole'}"
            found.greatest = max(found.greatest, amount)
    return found


def _differ(one, other, where: str, into: list[tuple[str, float]]) -> None:
    """Gather where two values differ, and by how much; infinity where they cannot be subtracted."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key not in VOLATILE:
                _differ(one.get(key), other.get(key), f"{where}/{key}", into)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other)):
            _differ(*pair, f"{where}[{number}]", into)
    elif isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.shape != other.shape or one.dtype != other.dtype:
            into.append((where, np.inf))
        elif not np.array_equal(one, other):
            numeric = one.dtype.kind in "fiub"
            into.append((where, float(np.abs(one.astype(float) - other.astype(float)).max()) if numeric else np.inf))
    elif isinstance(one, (int, float)) and isinstance(other, (int, float)):
        if one != other:
            into.append((where, abs(one - other)))
    elif one != other:
        into.append((where, np.inf))
