"""Spoilt inputs by the thousand: what comes of each is a proper result or a ``UserError``, in bounded time and memory.

    python -m tests.faults.fuzz --target pictures --minutes 5
    python -m tests.faults.fuzz --target pictures --seed 7 --number 1234     one input again, in this process

Input ``number`` of a target is a function of (seed, number). Each target runs in a process of its own, whose memory is
bounded; one that crashes or hangs is recorded with its input, and another takes its place. Inputs that fail are saved.
"""

import argparse
import importlib
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
MOST_PIXELS = 2**22  # of a picture, in place of the real bound, so that one is over in a moment
SECONDS = 10.0  # of the processor, that an input may take
SILENCE = 60.0  # seconds without an answer, on a machine that may be busy with other things
_SECONDS_TO_START = 120.0
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # many small files, which need no disk
MEMORY = 2 * 2**30  # bytes that the process may take beyond what it has when it begins
TARGETS = ("pictures", "manifest", "bundle", "pickle", "archives")
_SAVED_OF_A_KIND = 2  # inputs that fail alike


@dataclass
class Outcome:
    """What a run came to: inputs tried, how many were read as something, seconds, the most resident memory in bytes,
    and the failures: ``target``, ``number``, ``kind``, ``detail``."""

    target: str
    tried: int = 0
    read: int = 0
    seconds: float = 0.0
    memory: int = 0
    failures: list[dict] = field(default_factory=list)


def open_target(name: str) -> ModuleType:
    """The module with ``make(random)``, which makes an input, ``check(data, folder)``, which tries it, and ``prepare``,
    which makes a process ready for that."""
    return importlib.import_module(f"tests.faults.fuzz_{name}")


def make_input(target: str, seed: int, number: int) -> bytes:
    return open_target(target).make(Random(f"{seed} {target} {number}"))


# ---------------------------------------------------------------------------------------------------- the worker


def work(target: str, seed: int, first: int, base: Path) -> None:
    """Try the inputs from ``first`` on in folders within ``base``, with a line of JSON on stdout for each."""
    open_target(target).prepare()
    _bound_memory()
    os.write(1, b'{"ready": true}\n')
    for number in range(first, sys.maxsize):
        line = try_input(target, seed, number, base)
        line["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        os.write(1, f"{json.dumps(line)}\n".encode())


def try_input(target: str, seed: int, number: int, base: Path) -> dict:
    """``read``: whether it was read as something; or ``kind`` and ``detail`` of a failure."""
    folder = base / str(number)
    folder.mkdir()
    begun = time.process_time()
    try:
        read = bool(open_target(target).check(make_input(target, seed, number), folder))
        taken = time.process_time() - begun
        return {"read": read} if taken < SECONDS else {"kind": "slow", "detail": f"{taken:.1f} s"}
    except BaseException as error:
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if str(ROOT / "src") in frame.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else str(error)[:60]
        return {"kind": f"{type(error).__name__} {place}", "detail": traceback.format_exc(limit=-6)[-2000:]}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bound_memory() -> None:
    with open("/proc/self/statm") as stream:
        taken = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


# ---------------------------------------------------------------------------------------------------- the watcher


def run_target(
    target: str, seed: int, *, count: int = sys.maxsize, minutes: float = float("inf"), save_to: Path | None = None
) -> Outcome:
    """Try ``count`` inputs, or for so many minutes; failures go into the folder ``save_to``."""
    outcome, begun = Outcome(target), time.monotonic()

    def goes_on() -> bool:
        outcome.seconds = time.monotonic() - begun
        return outcome.tried < count and outcome.seconds < 60 * minutes

    while goes_on():
        with tempfile.TemporaryDirectory(dir=_MEMORY) as base, _Worker(target, seed, outcome.tried, base) as worker:
            while worker.lives and goes_on():
                _note(outcome, seed, worker.next(), save_to)
    return outcome


def _note(outcome: Outcome, seed: int, answer: dict, save_to: Path | None) -> None:
    number = outcome.tried
    outcome.tried += 1
    outcome.read += answer.get("read", False)
    outcome.memory = max(outcome.memory, answer.get("memory", 0))
    if "kind" not in answer:
        return
    failure = {"target": outcome.target, "seed": seed, "number": number} | answer
    outcome.failures.append(failure)
    alike = sum(other["kind"] == answer["kind"] for other in outcome.failures)
    if save_to and alike <= _SAVED_OF_A_KIND:
        name = f"{outcome.target}-{seed}-{number}"
        save_to.mkdir(parents=True, exist_ok=True)
        (save_to / name).write_bytes(make_input(outcome.target, seed, number))
        (save_to / f"{name}.txt").write_text(f"{failure['kind']}\n{failure['detail']}\n")


class _Worker:
    """A process that tries inputs, from a number on.

    Attributes:
        lives: whether it may be asked for the next; not after it has crashed, or was killed as it hung.
    """

    def __init__(self, target: str, seed: int, first: int, base: str):
        words = ["--target", target, "--seed", str(seed), "--first", str(first), "--base", base]
        environment = os.environ | {"OPENCV_IO_MAX_IMAGE_PIXELS": str(MOST_PIXELS), "PYTHONPATH": str(ROOT)}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.fuzz", *words],
            stdout=subprocess.PIPE, stderr=self._errors, cwd=base, env=environment,
        )  # fmt: skip
        self._lines: list[bytes] = []
        self._rest = b""
        self.lives, self._ready = True, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def next(self) -> dict:
        """What came of the next input."""
        answer = self._read(SILENCE if self._ready else _SECONDS_TO_START)
        if answer == {"ready": True}:
            self._ready = True
            answer = self._read(SILENCE)
        return answer

    def _read(self, patience: float) -> dict:
        stream = self._process.stdout.fileno()
        while not self._lines:
            if not select.select([stream], [], [], patience)[0]:
                self.lives = False
                return {"kind": "hang", "detail": f"nothing for {patience:.0f} s"}
            data = os.read(stream, 2**16)
            if not data:
                self.lives = False
                self._errors.seek(0)
                said = self._errors.read()[-1500:].decode(errors="replace")
                return {"kind": f"ended with {self._process.wait()}", "detail": said}
            *self._lines, self._rest = (self._rest + data).split(b"\n")
        return json.loads(self._lines.pop(0))


# ------------------------------------------------------------------------------------------------- the command


def describe(outcome: Outcome) -> str:
    kinds = sorted({failure["kind"] for failure in outcome.failures})
    return (
        f"{outcome.target}: {outcome.tried:,} inputs ({outcome.read:,} read as something) in "
        f"{outcome.seconds / 60:.1f} minutes, {outcome.tried / max(outcome.seconds, 1e-9):.0f} a second, at most "
        f"{outcome.memory / 2**20:.0f} MB; failures: {len(outcome.failures)}" + "".join(f"\n  {kind}" for kind in kinds)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", choices=(*TARGETS, "trial", "all"), default="all")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, help="only this input, here, where a debugger can follow it")
    parser.add_argument("--save", type=Path, default=Path(tempfile.gettempdir(), "fuzz-failures"), help="a folder")
    for name, kind in (("--first", int), ("--base", Path)):  # of a worker
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.first is not None:
        work(arguments.target, arguments.seed, arguments.first, arguments.base)
        return 0
    if arguments.number is not None:
        target = open_target(arguments.target)
        target.prepare()
        with tempfile.TemporaryDirectory() as folder:
            read = target.check(make_input(arguments.target, arguments.seed, arguments.number), Path(folder))
        print("read" if read else "refused")
        return 0
    failed = False
    for target in TARGETS if arguments.target == "all" else (arguments.target,):
        outcome = run_target(target, arguments.seed, minutes=arguments.minutes, save_to=arguments.save)
        print(describe(outcome), flush=True)
        for failure in outcome.failures[:20]:
            print(
                f"  again: --target {target} --seed {arguments.seed} --number {failure['number']}  ({failure['kind']})"
            )
        failed |= bool(outcome.failures)
    if failed:
        print(f"The inputs are in {arguments.save}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
