"""A training's state after each epoch, so that an interrupted one goes on where it was."""

import hashlib
import json
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from src.files import atomic_file
from src.progress import say
from src.training.history import TrainingHistory


@dataclass
class Checkpoint:
    """One file that holds the state of one training.

    Everything that the next epoch depends on is in it: all variables of the network (weights, statistics, the states
    of its random generators), those of the optimiser, and the epochs so far with the best one's weights. Order and
    views of the pictures need no state: they are a function of (seed, epoch).

    Attributes:
        path: of the file, which is written whole or not at all.
        identity: what must be the same for the training to go on: settings, pictures, the network's form, versions.
        seconds_between: two states of one phase; epochs over stored features are over sooner than a state is written.
    """

    path: Path
    identity: dict
    seconds_between: float = 0.0
    _saved: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        """Whether so much has been done since the last state that another one is worth writing."""
        return time.monotonic() - self._saved >= self.seconds_between

    def save(self, phase: int, epoch: int, optimizer: keras.Optimizer, history: TrainingHistory) -> None:
        """Write the state after ``epoch`` epochs of a phase; as many as it has where it is done with."""
        record = {
            "identity": self.identity,
            "phase": phase,
            "epoch": epoch,
            "rows": history.rows,
            "best": history.rows.index(history.best_row) if history.best_row else None,
        }
        groups = {
            "model": [variable.numpy() for variable in history.model.variables],
            "optimizer": [variable.numpy() for variable in optimizer.variables],
            "best": history.best_weights or [],
        }
        arrays = {f"{name}_{number}": value for name, values in groups.items() for number, value in enumerate(values)}
        with atomic_file(self.path) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, record=np.array(json.dumps(record)), **arrays)
        self._saved = time.monotonic()

    def load(self) -> dict | None:
        """The state: phase, epoch, rows, best, and lists of arrays: model, optimizer, weights (of the best epoch).

        None where there is none that belongs to this training; where one belongs to another, it says what differs.
        """
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                state = json.loads(str(stored["record"]))
                arrays = {name: stored[name] for name in stored.files if name != "record"}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # none, or one that another version or another program wrote
        identity = json.loads(json.dumps(self.identity))  # as it was stored: a tuple comes back as a list
        differing = [key for key in identity if state["identity"].get(key) != identity[key]]
        if differing:
            say(f"An interrupted training is not gone on with: {', '.join(differing)} changed. Starting anew.")
            return None

        def group(name: str) -> list[np.ndarray]:
            return [arrays[f"{name}_{number}"] for number in range(sum(key.startswith(f"{name}_") for key in arrays))]

        return state | {"model": group("model"), "optimizer": group("optimizer"), "weights": group("best")}

    def remove(self) -> None:
        """Forget the state: the training is done, its result saved."""
        self.path.unlink(missing_ok=True)


def identify(model: keras.Model, settings: dict, pictures: str) -> dict:
    """What must be the same for a training to go on.

    Args:
        model: the network as it is built; its variables' shapes count, not their values.
        pictures: fingerprint of training and validation pictures.
    """
    shapes = [list(variable.shape) for variable in model.variables]
    digest = hashlib.sha256(json.dumps(shapes).encode()).hexdigest()
    return settings | {"pictures": pictures, "network's form": digest, "version of Keras": keras.__version__}


def restore(state: dict, history: TrainingHistory) -> None:
    """Set the network and the history to a loaded state; the optimiser is set where it is made."""
    for variable, value in zip(history.model.variables, state["model"], strict=True):
        variable.assign(value)
    history.rows = state["rows"]
    history.seconds_before = sum(row["seconds"] for row in history.rows)
    if state["best"] is not None:
        history.best_row, history.best_weights = history.rows[state["best"]], state["weights"]
