"""A run from its pictures to its page, stage by stage; what is done already is not done again."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from src.errors import EXIT_PARTIAL, Interrupted, UserError, name_some
from src.locks import hold_lock
from src.model_choice import checkpoint_path
from src.progress import say
from src.running.pictures import Pictures, look_at
from src.running.plan import RunSettings, Stage, plan_stages
from src.running.record import LOCK_FILE, Record, verify_output
from src.running.stages import run_stage
from src.running.timing import Forecast, estimate_stages, format_seconds, is_busy, list_estimates, measure_machine

_FEW = 20  # pictures of a class, below which a share of its test pictures says little


@dataclass(frozen=True)
class Outcome:
    """What a run did: ``seconds`` of each stage done this time; ``partial`` stages that could not read all pictures."""

    pictures: Pictures
    record: Record
    seconds: dict[str, float]
    partial: list[str]


def execute(settings: RunSettings, command: str, *, restart: bool = False) -> Outcome:
    """Do every stage that is not done.

    Args:
        command: as it was typed, to go on with.
        restart: to do all stages anew.

    Raises:
        UserError: the pictures or the output do not allow it, or a stage failed.
        Interrupted: it was stopped; the message says how to go on.
    """
    pictures = look_at(settings)
    verify_output(settings, pictures.digest)
    what = f"another run is writing {settings.output}"
    with hold_lock(settings.output / LOCK_FILE, what, "give another --output"):
        verify_output(settings, pictures.digest)
        record = Record(settings.output)
        if restart:
            record.stages.clear()
        record.write(
            source=os.path.abspath(settings.source),
            command=command,
            pictures=pictures.counts,
            begun=_now(),
            finished=None,
        )
        seconds = _do_all(settings, pictures, record, command, restart)
        record.write(finished=_now())
    partial = [name for name, done in record.stages.items() if done.code == EXIT_PARTIAL]
    return Outcome(pictures, record, seconds, partial)


def _do_all(settings: RunSettings, pictures: Pictures, record: Record, command: str, restart: bool) -> dict:
    stages = plan_stages(settings)
    for name in set(record.stages) - {stage.name for stage in stages}:
        del record.stages[name]  # of other options
    forecast = _announce(settings, pictures, record, stages)
    seconds = {}
    for number, stage in enumerate(stages, 1):
        inputs = record.inputs_of(stage, settings, pictures.digest)
        reason = record.why_not_done(stage, inputs)
        title = f"[{number}/{len(stages)}] {stage.name}"
        if reason is None:
            forecast.skipped(stage.name)
            say(f"{title}: done already.")
            continue
        again = record.stages[stage.name].result is not None if stage.name in record.stages else False
        say(f"{title}{f', again: {reason}' if again else ''}")
        with _stopping(stage, command):
            seconds[stage.name] = _do(stage, inputs, record, settings, restart=restart)
        forecast.done(stage.name, seconds[stage.name])
        left = f"; about {format_seconds(forecast.left)} left" if number < len(stages) else ""
        say(f"{title}: {format_seconds(seconds[stage.name])}{left}.")
    return seconds


def _announce(settings: RunSettings, pictures: Pictures, record: Record, stages: list[Stage]) -> Forecast:
    """Say what was found, what will be done, and how long that may take."""
    counts = name_some([f"{name} {count}" for name, count in pictures.counts.items()], 12)
    say(f"{settings.source}: {pictures.total} pictures of {len(pictures.counts)} classes ({counts}).")
    if few := [name for name, count in pictures.counts.items() if count < _FEW]:
        say(f"Few pictures of {name_some(few)}: the figures will have wide intervals. More of them is what helps most.")
    if pictures.set_aside:
        say(f"{pictures.set_aside} pictures lie where they belong to no class, and are left out.")
    names = _open_stages(settings, pictures, record, stages)
    machine = measure_machine()
    classes = len(pictures.counts)
    estimates = estimate_stages(names, pictures.total, pictures.read_seconds, machine, classes=classes)
    if names:
        busy = " Other programs keep it busy, so that it will take longer." if is_busy(machine) else ""
        say(f"About {format_seconds(sum(estimates.values()))} on this machine: {list_estimates(estimates)}.{busy}")
    return Forecast(estimates)


def _open_stages(settings: RunSettings, pictures: Pictures, record: Record, stages: list[Stage]) -> list[str]:
    """The stages that will be done, as far as is known now: those whose inputs change, and what follows from them."""
    names: list[str] = []
    for stage in stages:
        follows = any(name in names for name in stage.needs)
        if follows or record.why_not_done(stage, record.inputs_of(stage, settings, pictures.digest)):
            names.append(stage.name)
    return names


def _do(stage: Stage, inputs: dict, record: Record, settings: RunSettings, *, restart: bool) -> float:
    """Run one stage and record it; returns its seconds."""
    words = stage.words()
    if stage.trains:
        half_done = checkpoint_path(settings.models_dir, stage.trains).exists()
        if half_done and (restart or not record.was_begun(stage, inputs)):
            words = [*words, "--restart"]  # of other pictures or settings, with which the training would not go on
    record.begin(stage, inputs)
    begin, computing = time.perf_counter(), time.process_time()
    code = run_stage(stage.name, words, "what is done is kept; give the same command again")
    taken = time.perf_counter() - begin
    record.end(stage, taken, time.process_time() - computing, code)
    if record.stages[stage.name].result is None:
        raise UserError(f"{stage.name} has left nothing in {settings.output}; give the same command again")
    return taken


@contextlib.contextmanager
def _stopping(stage: Stage, command: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(f"\nStopped in {stage.name}. What is done is kept; go on with: {command}") from stop


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
