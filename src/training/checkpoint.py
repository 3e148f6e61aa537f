"""A training's state between epochs, so that an interrupted one goes on where it was."""

import glob
import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from src.atomic import atomic_file
from src.errors import explain_os_error
from src.networks.structure import structure_of
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
        identity: what must be the same for the training to go on: settings, pictures, the network, versions.
        seconds_between: two states of one phase; epochs over stored features are over sooner than a state is written.
    """

    path: Path
    identity: dict
    seconds_between: float = 0.0
    _saved: float = field(default_factory=time.monotonic)
    _failed: bool = False

    @property
    def is_due(self) -> bool:
        """Whether so much has been done since the last state that another one is worth writing."""
        return time.monotonic() - self._saved >= self.seconds_between

    def save(self, phase: int, epoch: int, optimizer: keras.Optimizer, history: TrainingHistory) -> None:
        """Write the state after ``epoch`` epochs of a phase; as many as it has where it is done with.

        Where it cannot be written, the training goes on without, and the user is told once.
        """
        record = {
            "identity": self.identity,
            "phase": phase,
            "epoch": epoch,
            "rows": history.rows,
            "best": history.rows.index(history.best_row) if history.best_row else None,
            "seconds": history.seconds,
            "features_found": history.features_found,
        }
        groups = {
            "model": [variable.numpy() for variable in history.model.variables],
            "optimizer": [variable.numpy() for variable in optimizer.variables],
            "best": history.best_weights or [],
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
        self._saved = time.monotonic()

    def load(self) -> dict | None:
        """The state: phase, epoch, rows, best, and lists of arrays: model, optimizer, weights (of the best epoch).

        None where there is none that belongs to this training; where one belongs to another, or is damaged, it says so.
        """
        self._remove_leftovers()
        if not self.path.is_file():
            return None
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                state = json.loads(str(stored["record"]))
                arrays = {name: stored[name] for name in stored.files if name != "record"}
            recorded = state["identity"]
            if len(arrays) != state["arrays"]:
                raise ValueError("incomplete")
        except Exception as error:  # NumPy and zipfile raise whatever the damage leads them to
            reason = explain_os_error(error) if isinstance(error, OSError) else "it is damaged or of another version"
            say(f"{self.path} cannot be gone on with, since {reason}. Starting anew.")
            return None
        identity = json.loads(json.dumps(self.identity))  # as it was stored: a tuple comes back as a list
        differing = [key for key in identity if recorded.get(key) != identity[key]]
        if differing:
            say(f"An interrupted training is not gone on with: {', '.join(differing)} changed. Starting anew.")
            return None

        def group(name: str) -> list[np.ndarray]:
            return [arrays[f"{name}_{number}"] for number in range(sum(key.startswith(f"{name}_") for key in arrays))]

        return state | {"model": group("model"), "optimizer": group("optimizer"), "weights": group("best")}

    def remove(self) -> None:
        """Forget the state: the training is done, its result saved."""
        self._remove_leftovers()
        self.path.unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        """Remove what ``atomic_file`` could not, where the process was killed while it wrote."""
        for path in self.path.parent.glob(f".{glob.escape(self.path.stem[:40])}-????????{self.path.suffix}"):
            path.unlink(missing_ok=True)


def identify(model: keras.Model, settings: dict, pictures: str) -> dict:
    """What must be the same for a training to go on.

    Args:
        model: the network as it is built; its structure counts, not its weights.
        pictures: fingerprint of training and validation pictures.
    """
    digest = hashlib.sha256(structure_of(model).encode()).hexdigest()
    return settings | {"pictures": pictures, "the network": digest, "version of Keras": keras.__version__}


def restore(state: dict, history: TrainingHistory) -> None:
    """Set the network and the history to a loaded state; the optimiser is set where it is made."""
    for variable, value in zip(history.model.variables, state["model"], strict=True):
        variable.assign(value)
    history.rows = state["rows"]
    history.seconds_before, history.features_found = state["seconds"], state["features_found"]
    if state["best"] is not None:
        history.best_row, history.best_weights = history.rows[state["best"]], state["weights"]
