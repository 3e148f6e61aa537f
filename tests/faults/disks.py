"""Runs the real commands on small disks: full ones, ones that fill, ones that are read-only, folders that go away.

    python -m tests.faults.disks filling --stage baseline --at model.keras --spare 20000
    python -m tests.faults.disks full --stage evaluate
    python -m tests.faults.disks read-only --stage split
    python -m tests.faults.disks lost --stage baseline

Each call mounts a disk in memory (tmpfs) in a name space of its own, which goes with the process. Prints a line for
each problem, and ends with exit code 1 where there are any.
"""

import argparse
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.harness import (
    LONGEST,
    ROOT,
    STAGES,
    Comparison,
    Ended,
    compare,
    copy,
    find_broken,
    finish,
    prepare,
    run,
    start,
)
from tests.faults.launch import set_disk_size

ROOMY = 3 << 30  # bytes; the feature store wants one of them to be free, and only what is written takes memory
CASES = ("full", "filling", "read-only", "lost")
# These leave every byte of what was there; others may have put one result in place before the disk was full.
UNTOUCHED = ("split", "features", "baseline", "phase1", "phase2", "audit", "report")
_INSIDE = "FAULTS_INSIDE"  # set for the process that is within the name space


@functools.cache
def namespace() -> tuple[str, ...] | None:
    """The words before a command that let it mount disks which nobody else sees; None where the system has none."""
    for words in (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount")):
        with tempfile.TemporaryDirectory() as folder:
            mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder]
            try:
                if subprocess.run([*words, *mount], capture_output=True).returncode == 0:
                    return words
            except OSError:
                continue
    return None


def run_case(*words) -> subprocess.CompletedProcess:
    """``python -m tests.faults.disks *words`` in a name space of its own; the caller has asked :func:`namespace`."""
    command = [*namespace(), sys.executable, "-m", "tests.faults.disks", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {_INSIDE: "1"}, capture_output=True, text=True)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file that is not in a hidden folder nor hidden itself."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = (path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


def check_refusal(ended: Ended, *phrases: str) -> list[str]:
    """What is wrong with how a command that met a bad disk ended: one sentence with one of the phrases, exit code 2."""
    errors = [line for line in ended.errors.splitlines() if line.startswith("error: ")]
    problems = [] if ended.code == 2 else [f"exit code {ended.code} instead of 2: {ended.last_line[:300]}"]
    if "Traceback" in ended.errors:
        problems.append(f"a traceback: {ended.last_line[:300]}")
    if len(errors) != 1:
        problems.append(f"{len(errors)} sentences of error")
    elif not any(phrase in errors[0] for phrase in phrases):
        problems.append(f"the sentence does not say it: {errors[0][:300]}")
    return problems


def describe(found: Comparison) -> list[str]:
    """A line for each difference from the undisturbed run."""
    return [
        *(f"differs: {name}: {what}" for name, what in found.differing.items()),
        *(f"missing: {name}" for name in found.missing[:5]),
        *(f"left over at the end: {name}" for name in found.extra[:5]),
    ]


class Disk:
    """A stage on a disk in memory.

    Attributes:
        before: the folder with earlier results; on another disk.
        place: the disk, with a copy of it.
    """

    def __init__(self, name: str, work: Path):
        self.name, self.stage = name, STAGES[name]
        self.before = prepare(work, name)
        self.place = work / "disk"
        self.place.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "none", str(self.place)], check=True)
        shutil.copytree(self.before, self.place, dirs_exist_ok=True, symlinks=True)
        self.reference = work / f"reference-{name}"
        if not self.reference.is_dir():
            making = copy(self.before, work / f"making-reference-{name}")
            assert (ended := run(self.stage, making)).code == 0, ended.errors
            making.rename(self.reference)

    def check_kept(self) -> list[str]:
        """What is not whole, or not as it was, or left over."""
        problems = find_broken(self.place, self.before)
        now, then = digests(self.place), digests(self.before)
        if self.name in UNTOUCHED:
            problems += [f"changed or gone: {name}" for name in then if now.get(name) != then[name]]
            problems += [f"left over: {name}" for name in now.keys() - then.keys()]
        hidden = {path.name for path in self.place.rglob(".*")} - {".unfinished", ".features", ".sweeps", ".lock"}
        return problems + [f"left over: {name}" for name in sorted(hidden - {p.name for p in self.before.rglob(".*")})]

    def check_going_on(self) -> list[str]:
        """Whether the same command now comes to its end and to the undisturbed result."""
        ended = run(self.stage, self.place)
        if ended.code:
            return [f"the same command then ended in exit code {ended.code}: {ended.last_line[:300]}"]
        return describe(compare(self.reference, self.place))

    def full(self, at: str, spare: int) -> list[str]:
        """The disk is full from the start."""
        set_disk_size(self.place, None, spare)
        ended = run(self.stage, self.place)
        return self._judge(ended, "the disk is full", "there is no room", "free some space")

    def filling(self, at: str, spare: int) -> list[str]:
        """The disk is full from the first change on that ``at`` tells, but for ``spare`` bytes."""
        ended = run(self.stage, self.place, None, "--action", "fill", "--at", at, "--spare", str(spare))
        return self._judge(ended, "the disk is full", "free some space")

    def _judge(self, ended: Ended, *phrases: str) -> list[str]:
        if ended.code == 0:
            print("there was room enough")
            return describe(compare(self.reference, self.place))
        problems = check_refusal(ended, *phrases) + self.check_kept()
        set_disk_size(self.place, ROOMY)
        return problems + self.check_going_on()

    def read_only(self, at: str, spare: int) -> list[str]:
        """Nothing can be written from the start."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.place)], check=True)
        problems = check_refusal(run(self.stage, self.place), "read-only", "not permitted") + self.check_kept()
        subprocess.run(["mount", "-o", "remount,rw", str(self.place)], check=True)
        return problems + self.check_going_on()

    def lost(self, at: str, spare: int) -> list[str]:
        """The pictures go away once ``at`` was said on stderr, and come back afterwards."""
        process = start(self.stage, self.place, self.stage.words)
        wait_for(lambda: at in said(self.place), process)
        data, away = self.place / "data", self.place / "away"
        data.rename(away)
        ended = finish(process, self.place, None, 0)
        away.rename(data)
        if ended.code == 0:
            return [f"it ended well, before the pictures were gone: {ended.last_line[:200]}"]
        problems = check_refusal(ended, "no such file or folder", "cannot be read", "could not be read", "is gone")
        return problems + self.check_kept() + self.check_going_on()


def said(folder: Path) -> str:
    """What the command in ``folder`` has said on stderr so far."""
    path = folder.parent / "said" / f"{folder.name}.errors"
    return path.read_text() if path.is_file() else ""


def wait_for(met: Callable[[], bool], process: subprocess.Popen) -> None:
    """Return once something is so, or the process has ended; raises ``TimeoutError`` where neither comes."""
    latest = time.monotonic() + LONGEST
    while process.poll() is None and not met():
        if time.monotonic() > latest:
            process.kill()
            raise TimeoutError(f"not within {LONGEST} s")
        time.sleep(0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--at", default="1", help="number of a change, or words in its line; when lost: on stderr")
    parser.add_argument("--spare", type=int, default=0, help="bytes that are left free")
    parser.add_argument("--work", type=Path, help="a folder that keeps the earlier results for the next call")
    arguments = parser.parse_args()
    if _INSIDE not in os.environ:
        if namespace() is None:
            print("this system lets nobody mount a disk in memory (unshare, mount)")
            return 2
        result = run_case(*sys.argv[1:])
        print(result.stdout + result.stderr, end="")
        return result.returncode
    work = (arguments.work or Path(tempfile.mkdtemp(prefix="disks-"))).resolve()
    work.mkdir(exist_ok=True)
    disk = Disk(arguments.stage, work)
    problems = getattr(disk, arguments.case.replace("-", "_"))(arguments.at, arguments.spare)
    print("\n".join(problems or ["survived"]))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
