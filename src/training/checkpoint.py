"""A training's state between epochs, so that an interrupted one goes on where it was."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from src.atomic import atomic_file
from src.errors import UserError, explain_os_error
from src.networks.structure import structure_of
from src.progress import say
from src.training.history import TrainingHistory

_PLACES = ("data", "models_dir", "name")  # settings that may change: what lies there counts
_FACTS = {"phase", "epoch", "batch", "rate", "rows", "best", "seconds", "features_found", "unreadable"}
_SHORT = 40  # of a value that is worth to be named


class OtherTraining(UserError):
    """There is an interrupted training of other settings."""


@dataclass
class Checkpoint:
    """One file that holds the state of one training.

    Everything that the next epoch depends on is in it: all variables of the network (weights, statistics, the states
    of its random generators), those of the optimiser, and the epochs so far with the best one's weights. Order and
    views of the pictures need no state: they are a function of (seed, epoch).

    Attributes:
        path: of the file, which is written whole or not at all.
        identity: what must be the same for the training to go on: settings, pictures, the network, versions.
        seconds_between: two states of one phase; epochs over stored features are over sooner than a state is written.
        seconds_within: an epoch, after which its state is written in its midst.
        stand_ins: of the parts, which have taken note of unreadable pictures.
    """

    path: Path
    identity: dict
    seconds_between: float = 0.0
    seconds_within: float = 300.0
    stand_ins: Sequence = ()
    _saved: float = field(default_factory=time.monotonic)
    _failed: bool = False

    @property
    def is_due(self) -> bool:
        """Whether so much has been done since the last state that another one is worth writing."""
        return time.monotonic() - self._saved >= self.seconds_between

    @property
    def is_due_within_epoch(self) -> bool:
        """The same amid an epoch."""
        return time.monotonic() - self._saved >= max(self.seconds_within, self.seconds_between)

    def save(
        self,
        phase: int,
        epoch: float,
        optimizer: keras.Optimizer,
        history: TrainingHistory,
        *,
        batch: int = 0,
        rate: float | None = None,
        metrics: Sequence[np.ndarray] = (),
    ) -> None:
        """Write the state after ``epoch`` epochs of a phase, ``math.inf`` where it is done with.

        Where it cannot be written, the training goes on without, and the user is told once.

        Args:
            batch: how many batches of the next epoch are done as well.
            rate: the learning rate at the start of that epoch.
            metrics: values of its metrics' variables after these.
        """
        record = {
            "identity": self.identity,
            "phase": phase,
            "epoch": epoch,
            "batch": batch,
            "rate": rate,
            "rows": history.rows,
            "best": history.rows.index(history.best_row) if history.best_row else None,
            "seconds": history.seconds,
            "l2": history.l2,
            "features_found": history.features_found,
            "unreadable": [part.record() for part in self.stand_ins],
        }
        groups = {
            "model": [variable.numpy() for variable in history.model.variables],
            "optimizer": [variable.numpy() for variable in optimizer.variables],
            "best": history.best_weights or [],
            "metrics": metrics,
        }
        arrays = {f"{name}_{number}": value for name, values in groups.items() for number, value in enumerate(values)}
        record["arrays"] = len(arrays)
        try:
            with atomic_file(self.path) as temporary, open(temporary, "wb") as stream:
                np.savez(stream, record=np.array(json.dumps(record)), **arrays)
        except OSError as error:
            if not self._failed:
                say(f"The training's state cannot be kept ({explain_os_error(error)}): do not interrupt it.")
            self._failed = True
        else:
            self._failed = False
        self._saved = time.monotonic()

    def describe_going_on(self) -> str:
        """What the user is told who stops a training."""
        if self._failed:
            return "This state could not be kept: the same command goes on from an earlier one, or anew."
        return "The same command goes on from there."

    def load(self) -> dict | None:
        """What :meth:`save` was given, by the same names; model, optimizer, metrics and weights (of the best epoch) as
        lists of arrays.

        None where there is none, or a damaged one, which is said. Raises :class:`OtherTraining` where there is one of
        other settings or pictures, which is not to be lost by a slip.
        """
        state = self._read(arrays=True)
        if state is None:
            return None
        arrays = state.pop("arrays")
        for part, record in zip(self.stand_ins, state["unreadable"]):
            part.recall(record)

        def group(name: str) -> list[np.ndarray]:
            return [arrays[f"{name}_{number}"] for number in range(sum(key.startswith(f"{name}_") for key in arrays))]

        names = {"model": "model", "optimizer": "optimizer", "weights": "best", "metrics": "metrics"}
        return state | {key: group(name) for key, name in names.items()}

    def is_past(self, phase: int) -> bool:
        """Whether :meth:`load` has a state of a later phase."""
        state = self._read(arrays=True)
        return state is not None and state["phase"] > phase

    def verify(self) -> None:
        """Raise :class:`OtherTraining` where :meth:`load` would, before hours are spent on what comes first."""
        self._read(arrays=False)

    def _read(self, *, arrays: bool) -> dict | None:
        """The state as it is stored, "arrays" by name; without ``arrays`` none, and of damage nothing is said."""
        if not self.path.is_file():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                state = json.loads(str(stored["record"]))
                names = [name for name in stored.files if name != "record"]
                if len(names) != state["arrays"] or not state.keys() >= _FACTS:
                    raise ValueError("incomplete")
                state["arrays"] = {name: stored[name] for name in names} if arrays else {}
            recorded = state["identity"] | {}
        except Exception as error:  # NumPy and zipfile raise whatever the damage leads them to
            if arrays:
                damaged = "it is damaged or of another version"
                reason = explain_os_error(error) if isinstance(error, OSError) else damaged
                say(f"{self.path} cannot be gone on with, since {reason}. Starting anew.")
            return None
        identity = json.loads(json.dumps(self.identity))  # as it was stored: a tuple comes back as a list
        if differing := [key for key in identity if recorded.get(key) != identity[key]]:
            changes = ", ".join(_describe_change(key, recorded.get(key), identity[key]) for key in differing)
            raise OtherTraining(
                f"{self.path} holds an interrupted training with other settings ({changes}); undo that to go on with "
                "it, --restart to begin anew, or another --name to keep it"
            )
        return state

    def remove(self) -> None:
        """Forget the state: the training is done, its result saved."""
        self.path.unlink(missing_ok=True)


def _describe_change(key: str, then, now) -> str:
    """One setting as it was and is; of what are digests only that they differ."""
    texts = [json.dumps(value) for value in (then, now)]
    return f"{key} was {texts[0]}, is {texts[1]}" if max(map(len, texts)) < _SHORT else f"{key} changed"


def identify(model: keras.Model, settings: dict, pictures: str) -> dict:
    """What must be the same for a training to go on.

    Args:
        model: the network as it is built; its structure counts, not its weights.
        pictures: fingerprint of training and validation pictures.
    """
    digest = hashlib.sha256(structure_of(model).encode()).hexdigest()
    settings = {key: value for key, value in settings.items() if key not in _PLACES}
    return settings | {"pictures": pictures, "the network": digest, "version of Keras": keras.__version__}


def restore(state: dict, history: TrainingHistory) -> None:
    """Set the network and the history to a loaded state; the optimiser is set where it is made."""
    for variable, value in zip(history.model.variables, state["model"], strict=True):
        variable.assign(value)
    history.rows = state["rows"]
    history.seconds_before, history.features_found = state["seconds"], state["features_found"]
    history.l2 = state.get("l2")
    if state["best"] is not None:
        history.best_row, history.best_weights = history.rows[state["best"]], state["weights"]
