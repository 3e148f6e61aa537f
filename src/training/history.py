"""What a training leaves behind: its epochs, and the weights of the best one."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np

from src.errors import UserError

IF_DIVERGED = "try a smaller learning rate, --clip-norm 1, or --precision float32"


@dataclass
class TrainingHistory:
    """All epochs of all phases, and the weights of the best one on validation.

    Attributes:
        model: the whole network, whose weights are kept; a phase may fit only its upper part.
        rows: one dict per epoch: phase, epoch (from 1, over all phases), learning_rate (at its start), loss, accuracy,
            val_loss, val_accuracy, seconds; clean_loss and clean_accuracy where they are measured. ``accuracy`` is
            measured under dropout and augmentation, as training goes, ``clean_accuracy`` on training pictures without
            either, by the weights that validation judges.
        best_row: the row whose weights are kept.
        views: for each phase, how many views of a training picture its epochs took turns with; 0: always a new one.
        features_found: share of what the frozen layers compute that an earlier run had stored; None where nothing
            is stored. Its time is not in ``seconds``.
        seconds_before: that passed before an interruption, to the state which was gone on from.
        l2: strength of the exact head's regularisation; None where phase 1 is none.
        listeners: are called with each new row; what they raise ends the training and leaves it.
        select: "loss" or "accuracy" (and among equals the loss): what the best epoch is the best by.
    """

    model: keras.Model
    rows: list[dict] = field(default_factory=list)
    best_row: dict | None = None
    views: dict[int, int] = field(default_factory=dict)
    select: str = "loss"
    best_weights: list[np.ndarray] | None = None
    features_found: float | None = None
    seconds_before: float = 0.0
    l2: float | None = None
    listeners: Sequence[Callable[[dict], None]] = ()
    _started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since the training began, without those between an interruption and the command that went on."""
        return self.seconds_before + time.perf_counter() - self._started

    def add(self, row: dict) -> bool:
        """Append an epoch; keep the weights where it is the best so far. Returns whether it is."""
        self.rows.append(row)
        best = self._keep_best(row)
        for listener in self.listeners:
            listener(row)
        return best

    def _keep_best(self, row: dict) -> bool:
        if math.isfinite(row["val_loss"]) and (self.best_row is None or self._rank(row) < self._rank(self.best_row)):
            self.best_row, self.best_weights = row, self.model.get_weights()
            return True
        return False

    def _rank(self, row: dict) -> tuple[float, ...]:
        """Less is better."""
        return (-row["val_accuracy"], row["val_loss"]) if self.select == "accuracy" else (row["val_loss"],)

    def restore_best(self) -> None:
        """Set the best epoch's weights. Raises ``UserError`` where no epoch had a finite validation loss."""
        if self.best_weights is None:
            raise UserError(f"the loss was not a number in every epoch; {IF_DIVERGED}")
        self.model.set_weights(self.best_weights)

    def columns(self) -> dict[str, list]:
        """The rows as columns, for CSV and curves."""
        return {key: [row[key] for row in self.rows] for key in self.rows[0]} if self.rows else {}
