"""Kills every stage at many moments and holds what comes of it against an undisturbed run.

    python -m tests.faults.kills --stage all --kills 20 --seed 0
    python -m tests.faults.kills --stage baseline --at-events --kills 0       at each change of a file
    python -m tests.faults.kills --stage phase2 --interrupt --kills 5         Ctrl-C instead

Half of the kills are single (kill, same command again to its end), half are chained (kill, again, kill again, until one
run ends by itself). After each it is looked whether everything that stood there is whole, at the end whether the result
is that of the undisturbed run, and what is left over.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.faults.harness import (
    STAGES,
    Comparison,
    Ended,
    compare,
    copy,
    count_changes,
    find_broken,
    finish,
    prepare,
    run,
    start,
)

_CHAIN = 10  # kills of a chain at most, for moments that are drawn before the end of a run that does not go on


@dataclass
class Trial:
    """One disturbed run with all that follows it.

    Attributes:
        how: how it was disturbed, so that it can be done again.
        kills: how many there were.
        problems: what was wrong, in words; empty where it survived.
        found: the comparison with the undisturbed run.
    """

    how: str
    kills: int = 0
    problems: list[str] = field(default_factory=list)
    found: Comparison = field(default_factory=Comparison)

    @property
    def is_equal(self) -> bool:
        return not self.problems and not self.found.differing and not self.found.missing


class Victim:
    """One stage: its folder of earlier results, and the folder of its undisturbed run."""

    def __init__(self, name: str, work: Path):
        self.name, self.stage, self.work = name, STAGES[name], work
        self.before = prepare(work, name)
        self.reference, self.place = work / f"reference-{name}", work / f"place-{name}"
        start = time.monotonic()
        self.changes = count_changes(self.stage, copy(self.before, self.reference))
        self.seconds = time.monotonic() - start

    def check(self, trial: Trial, ended: Ended, number: int) -> None:
        """Note what a run that was struck has spoilt, and where Ctrl-C was not answered as promised."""
        problems = find_broken(self.place, self.before)
        if number == signal.SIGINT and ended.code != 130 and (ended.struck or ended.code != 0):
            problems.append(f"Ctrl-C ended in exit code {ended.code}: {ended.last_line}")
        if number == signal.SIGINT and ended.code == 130 and "Stopped" not in ended.errors:
            problems.append(f"Ctrl-C ended without a word: {ended.last_line}")
        if "Traceback" in ended.errors:
            problems.append(f"a traceback: {ended.last_line}")
        trial.problems += [f"after kill {trial.kills}: {problem}" for problem in problems]

    def conclude(self, trial: Trial) -> Trial:
        """The same command to its end, and what came of it."""
        ended = run(self.stage, self.place)
        if ended.code:
            trial.problems.append(f"the same command then ended in exit code {ended.code}: {ended.last_line}")
        trial.problems += find_broken(self.place, self.before)
        trial.found = compare(self.reference, self.place)
        return trial

    def strike(self, moment: float, number: int) -> Trial:
        """Once after so many seconds, and then to the end."""
        trial = Trial(f"signal {number} after {moment:.2f} s", kills=1)
        copy(self.before, self.place)
        self.check(trial, run(self.stage, self.place, moment=moment, number=number), number)
        return self.conclude(trial)

    def strike_at(self, change: int, action: str = "kill") -> Trial:
        """Once before the ``change``-th change of a file, and then to the end."""
        trial = Trial(f"{action} before change {change} of {len(self.changes)}: {self.changes[change - 1]}", kills=1)
        copy(self.before, self.place)
        ended = run(self.stage, self.place, None, "--action", action, "--at", str(change))
        if ended.code == 0:
            trial.problems.append("was not struck: it ended well")
        self.check(trial, ended, signal.SIGINT if action == "interrupt" else signal.SIGKILL)
        return self.conclude(trial)

    def chain_at(self, strikes: list[tuple[str, int | str]]) -> Trial:
        """Once in each of several runs, each time with an action before a change, told by its number or by words in its
        line; and then to the end."""
        trial = Trial(", then ".join(f"{action} before change {change}" for action, change in strikes))
        copy(self.before, self.place)
        for action, change in strikes:
            ended = run(self.stage, self.place, None, "--action", action, "--at", str(change))
            trial.kills += 1
            if ended.code == 0:
                trial.problems.append(f"{action} before change {change} never came: it ended well")
            self.check(trial, ended, signal.SIGINT if action == "interrupt" else signal.SIGKILL)
        return self.conclude(trial)

    def strike_twice(self, moment: float, between: float) -> Trial:
        """Ctrl-C after ``moment`` seconds and again after ``between`` more, and then to the end."""
        trial = Trial(f"Ctrl-C after {moment:.2f} s and again after {between} s", kills=2)
        copy(self.before, self.place)
        process = start(self.stage, self.place, self.stage.words)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        ended = finish(process, self.place, between, signal.SIGINT)
        if ended.code not in (130, -signal.SIGINT):
            trial.problems.append(f"ended in exit code {ended.code}: {ended.last_line}")
        trial.problems += find_broken(self.place, self.before)
        return self.conclude(trial)

    def chain(self, moments: list[float], number: int) -> Trial:
        """Once in each of several runs, and then to the end."""
        trial = Trial(f"signals {number} after " + ", ".join(f"{moment:.2f}" for moment in moments) + " s")
        copy(self.before, self.place)
        for moment in moments:
            ended = run(self.stage, self.place, moment=moment, number=number)
            trial.kills += 1
            self.check(trial, ended, number)
            if not ended.struck:
                break
        return self.conclude(trial)


def choose_moments(count: int, seconds: float, rng: np.random.Generator) -> list[float]:
    """Moments all over a run, one drawn in each of ``count`` equal parts of it and a little beyond, shuffled."""
    moments = (np.arange(count) + rng.random(count)) / max(count, 1) * 1.03 * seconds
    return [float(moment) for moment in rng.permutation(np.maximum(moments, 0.05))]


def choose_changes(victim: Victim, count: int, rng: np.random.Generator) -> list[int]:
    """All numbers of changes for a ``count`` of 0, else so many: half of them among the last 30, where results are put
    in place of the earlier ones."""
    total = len(victim.changes)
    if not count or count >= total:
        return list(range(1, total + 1))
    late = rng.choice(range(max(1, total - 30), total + 1), min(count // 2, 30), replace=False)
    others = [number for number in range(1, total + 1) if number not in late]
    return sorted(int(n) for n in (*late, *rng.choice(others, count - len(late), replace=False)))


def disturb(victim: Victim, arguments, rng: np.random.Generator) -> Iterator[Trial]:
    """All trials of a stage."""
    if arguments.at_events:
        for change in choose_changes(victim, arguments.kills, rng):
            yield victim.strike_at(change, "interrupt" if arguments.interrupt else "kill")
        return
    number = signal.SIGINT if arguments.interrupt else signal.SIGKILL
    moments = choose_moments(arguments.kills, victim.seconds, rng)
    if arguments.interrupt:  # before a command has begun Python itself answers Ctrl-C
        moments = [max(2.0, moment) for moment in moments]
    single = moments[: (len(moments) + 1) // 2]
    chained = moments[len(single) :]
    for moment in single:
        yield victim.strike(moment, number)
    for first in range(0, len(chained), _CHAIN):
        yield victim.chain(chained[first : first + _CHAIN], number)


def report(name: str, trials: list[Trial]) -> str:
    """The stage's row of the table."""
    kills = sum(trial.kills for trial in trials)
    survived = sum(trial.kills for trial in trials if not trial.problems)
    equal = sum(trial.kills for trial in trials if trial.is_equal)
    greatest = max((trial.found.greatest for trial in trials), default=0.0)
    leftovers = max((len(trial.found.extra) for trial in trials), default=0)
    return f"{name:<10}{len(trials):>8}{kills:>8}{survived:>10}{equal:>8}{greatest:>12.3g}{leftovers:>11}"


HEADER = f"{'stage':<10}{'trials':>8}{'kills':>8}{'survived':>10}{'equal':>8}{'difference':>12}{'leftovers':>11}"


def describe(trial: Trial) -> list[str]:
    """What is to be said of a trial that did not go as it should."""
    lines = [*trial.problems, *(f"differs: {name}: {what}" for name, what in trial.found.differing.items())]
    lines += [f"missing: {name}" for name in trial.found.missing[:5]]
    lines += [f"left over: {name}" for name in trial.found.extra[:5]]
    return [f"  {trial.how}", *(f"    {line}" for line in lines)] if lines else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", nargs="+", choices=(*STAGES, "all"), default=["all"])
    parser.add_argument("--kills", type=int, default=20, help="of each stage; with --at-events 0 is every change")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--at-events", action="store_true", help="at changes of files instead of moments")
    parser.add_argument("--interrupt", action="store_true", help="Ctrl-C instead of a kill")
    parser.add_argument("--work", type=Path, help="a folder that keeps the earlier results for the next call")
    arguments = parser.parse_args()
    work = (arguments.work or Path(tempfile.mkdtemp(prefix="kills-"))).resolve()
    work.mkdir(exist_ok=True)
    names = list(STAGES) if "all" in arguments.stage else arguments.stage
    rows, failed = [], False
    for number, name in enumerate(names):
        victim = Victim(name, work)
        print(f"{name}: {victim.seconds:.1f} s undisturbed, {len(victim.changes)} changes of files", flush=True)
        trials = []
        for trial in disturb(victim, arguments, np.random.default_rng([arguments.seed, number])):
            trials.append(trial)
            failed |= not trial.is_equal or bool(trial.found.extra)
            print(
                "\n".join([f"{len(trials):>4}  {'equal' if trial.is_equal else 'NOT EQUAL'}", *describe(trial)]),
                flush=True,
            )
        rows.append(report(name, trials))
        print(f"{HEADER}\n{rows[-1]}", flush=True)
    print("\n" + "\n".join([HEADER, *rows]))
    if not arguments.work:
        shutil.rmtree(work)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
