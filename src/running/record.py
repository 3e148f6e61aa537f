"""``run.json``: what a run has done, from which inputs, so that the same command goes on where it stopped."""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from src.atomic import PARTIAL
from src.errors import UserError, name_some
from src.files import read_json, write_json
from src.running.plan import RunSettings, Stage

FILE_NAME = "run.json"
LOCK_FILE = ".run.lock"
FORMAT = 1
_IN_WORDS = {"pictures": "your pictures changed", "options": "the options changed"}


@dataclass(frozen=True)
class Done:
    """A stage that is done, or, without a result, begun.

    Attributes:
        inputs: what it worked from: digests of its ``options``, the ``pictures``, and the stages that it needs by name.
        result: the digest of what it left.
        seconds, cpu_seconds: what it took.
        code: its exit code.
    """

    inputs: dict
    result: str | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    code: int = 0


class Record:
    """The record of a run, saved with every change.

    Args:
        output: the run's folder.
    """

    def __init__(self, output: Path):
        self._path = output / FILE_NAME
        self.stages: dict[str, Done] = {}
        self.facts: dict = {}
        if self._path.is_file():
            self._load()

    def _load(self) -> None:
        remedy = f"move {self._path.parent} away, or give another --output"
        values = read_json(self._path, remedy)
        try:
            if values["format"] != FORMAT:
                raise ValueError(f"format {values['format']}")
            self.stages = {name: Done(**entry) for name, entry in values["stages"].items()}
            self.facts = {name: value for name, value in values.items() if name not in ("format", "stages")}
            if not isinstance(self.facts["source"], str):
                raise ValueError("a source that is none")
            if not all(isinstance(done.inputs, dict) and done.seconds >= 0 for done in self.stages.values()):
                raise ValueError("a stage that is none")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self._path} is damaged or of another version ({error}); {remedy}") from error

    def write(self, **facts) -> None:
        """Save it, with these facts of the run."""
        self.facts |= facts
        stages = {name: dataclasses.asdict(done) for name, done in self.stages.items()}
        write_json(self._path, {"format": FORMAT} | self.facts | {"stages": stages})

    def why_not_done(self, stage: Stage, inputs: dict) -> str | None:
        """Why a stage is to be done (again), in words; None where it is done, from these inputs."""
        done = self.stages.get(stage.name)
        if done is None or done.result is None:
            return "not done yet"
        if done.inputs != inputs:
            names = dict.fromkeys([*inputs, *done.inputs])
            changed = [name for name in names if done.inputs.get(name) != inputs.get(name)]
            return _IN_WORDS.get(changed[0], f"{changed[0]} came out otherwise")
        if stage.result() != done.result:
            return "what it left is gone or was changed"
        return None

    def was_begun(self, stage: Stage, inputs: dict) -> bool:
        """Whether the stage was begun from the same inputs, and not ended."""
        done = self.stages.get(stage.name)
        return done is not None and done.result is None and done.inputs == inputs

    def begin(self, stage: Stage, inputs: dict) -> None:
        self.stages[stage.name] = Done(inputs)
        self.write()

    def end(self, stage: Stage, seconds: float, cpu_seconds: float, code: int) -> None:
        done = self.stages[stage.name]
        self.stages[stage.name] = Done(done.inputs, stage.result(), round(seconds, 2), round(cpu_seconds, 2), code)
        self.write()

    def inputs_of(self, stage: Stage, settings: RunSettings, pictures: str) -> dict:
        """What a stage works from, once those that it needs are done; places do not count, only what is there."""
        places = {str(settings.output): "OUTPUT", settings.source: "SOURCE"}
        words = [_replace_start(word, places) for word in stage.words()]
        inputs = {"options": hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]}
        if not stage.needs:
            inputs["pictures"] = pictures
        return inputs | {name: self.stages[name].result for name in stage.needs if name in self.stages}


def _replace_start(word: str, places: dict[str, str]) -> str:
    for place, name in places.items():
        if word == place or word.startswith(place + os.sep):
            return name + word[len(place) :]
    return word


def verify_output(settings: RunSettings, pictures: str) -> None:
    """Raise ``UserError`` where something else than a run's results, or the run of other pictures, stands at the
    output. ``pictures`` is the digest of those that are to be taken."""
    output = settings.output
    if os.path.lexists(output) and not output.is_dir():
        raise UserError(f"{output} is no folder; give another --output")
    if not (output / FILE_NAME).is_file():
        names = sorted(os.listdir(output)) if output.is_dir() else []
        if others := [name for name in names if name != LOCK_FILE and not name.startswith(PARTIAL)]:
            raise UserError(
                f"{output} holds something else than a run's results ({name_some(others, 3)}), which stays as it is; "
                "give another --output"
            )
        return
    record = Record(output)
    earlier, split = record.facts["source"], record.stages.get("split")
    if os.path.exists(earlier):
        same = os.path.samefile(earlier, settings.source)
    else:  # moved or renamed, or on a card that is not in the machine now
        same = split is None or split.inputs.get("pictures") == pictures
    if not same:
        raise UserError(f"{output} holds the results of {earlier}; give another --output")
