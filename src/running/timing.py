"""How long the stages will take here: what they took where they were measured, scaled to this machine and these
pictures."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_NUMBERS, _ROUNDS = 100_000, 100  # sines and exponentials that tell this machine's speed
_REFERENCE_SECONDS = 0.00008  # that a round took where COSTS were measured


@dataclass(frozen=True)
class Cost:
    """What a stage takes: ``fixed`` seconds, ``each`` more for every picture, ``by_class`` for every picture times
    every class beyond two, and ``reads`` times a picture's reading on one core (all cores read)."""

    fixed: float
    each: float
    reads: float = 0.0
    by_class: float = 0.0


# Of runs of 60, 200 and 1,000 photographs of dogs and cats; seconds on 2 cores that do nothing else.
COSTS = {
    "split": Cost(0.1, 0.0005, 1.3),
    "audit": Cost(2.2, 0.016, 2.0),
    "baseline": Cost(2.2, 0.009),
    "estimate": Cost(2.0, 0.02, 2.0, by_class=0.003),
    "transfer": Cost(3.4, 0.008),
    "evaluate": Cost(2.6, 0.003),
    "gradcam": Cost(8.0, 0.006),
    "report": Cost(0.9, 0.001),
}
# Beyond so many pictures times classes an estimate leaves out what takes long.
_LONG_ESTIMATE, _LONG = 5000, Cost(8.0, 0.035, 2.0, by_class=0.0007)
# Beyond so many pictures the transfer has its second phase, too (of one of 1,400 photographs in both phases).
_TWO_PHASES, _BOTH = 1500, Cost(10.0, 0.035)
LOADING = 4.5  # seconds that TensorFlow takes to be loaded, once
_LOADS_TENSORFLOW = {"audit", "baseline", "estimate", "transfer", "evaluate", "gradcam"}
_ASSUMED = Cost(2.0, 0.02)  # of a stage that was not measured


@dataclass(frozen=True)
class Machine:
    """``slowness``: how many times as long as where the costs were measured a core computes; ``cores``: how many."""

    slowness: float
    cores: int


def measure_machine() -> Machine:
    """How fast a core computes, by the median of a hundred rounds of half a millisecond: what else keeps the machine
    busy interrupts few of them, so that it does not count."""
    values = np.random.default_rng(0).random(_NUMBERS, np.float32)
    result = np.empty_like(values)  # new memory each time may take longer than the arithmetic
    seconds = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        np.exp(np.sin(values, out=result), out=result)
        seconds.append(time.perf_counter() - begin)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(statistics.median(seconds) / _REFERENCE_SECONDS, cores)


def is_busy(machine: Machine) -> bool:
    """Whether other programs have kept all cores busy for the last minute; where that cannot be told, not."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] >= machine.cores


def estimate_stages(
    names: Sequence[str], pictures: int, read_seconds: float, machine: Machine, *, classes: int = 2
) -> dict[str, float]:
    """Seconds of each stage; the first that needs TensorFlow loads it.

    Args:
        pictures: how many there are, in all parts.
        read_seconds: that one of them takes on one core.
        classes: of the pictures.
    """
    estimates, loaded = {}, False
    for name in names:
        cost = COSTS.get(name, _ASSUMED)
        if name == "estimate" and pictures * classes > _LONG_ESTIMATE:
            cost = _LONG
        elif name == "transfer" and pictures > _TWO_PHASES:
            cost = _BOTH
        loads = name in _LOADS_TENSORFLOW and not loaded
        loaded |= loads
        computing = cost.fixed + cost.each * pictures + (LOADING if loads else 0.0)
        computing += cost.by_class * pictures * max(0, classes - 2)
        reading = cost.reads * pictures * read_seconds / machine.cores
        estimates[name] = computing * machine.slowness + reading
    return estimates


class Forecast:
    """What is left, corrected by how long the stages took that are done.

    Args:
        estimates: seconds of the stages that are to be done, in their order.
    """

    def __init__(self, estimates: dict[str, float]):
        self._left = dict(estimates)
        self._estimated = self._taken = 0.0

    def done(self, name: str, seconds: float) -> None:
        self._estimated += self._left.pop(name, 0.0)
        self._taken += seconds

    def skipped(self, name: str) -> None:
        self._left.pop(name, None)

    @property
    def left(self) -> float:
        """Seconds. The first stages, which are short, count little: what is estimated to come weighs against them."""
        open_seconds = sum(self._left.values())
        everything = self._estimated + open_seconds
        if not everything:
            return 0.0
        factor = (self._taken + open_seconds) / everything  # as if the rest took its estimate, at first
        return open_seconds * factor


def format_seconds(seconds: float) -> str:
    """As people say it: 8 s, 55 s, 2 min 10 s, 34 min, 1 h 20 min."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 600:
        minutes, rest = divmod(round(seconds / 10) * 10, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 600) * 10, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def list_estimates(estimates: dict[str, float]) -> str:
    """All in one line."""
    return ", ".join(f"{name} {format_seconds(seconds)}" for name, seconds in estimates.items())
