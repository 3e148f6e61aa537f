"""One fit: epochs with progress, the best weights by validation loss, an end when nothing improves."""

import contextlib
import math
import time
from dataclasses import dataclass, field

import keras
import numpy as np
from tqdm import tqdm

from src.errors import UserError
from src.inference.engine import has_gpu
from src.progress import say, track
from src.training.pointwise import pointwise_as_products

# What `auto` means: on while validation loss improves by more than this share, for at most so many epochs.
AUTO_MAX_EPOCHS = 100
AUTO_MIN_IMPROVEMENT = 0.01
# Epochs over stored features last a fraction of a second; not each of them is worth a line.
_SECONDS_BETWEEN_LINES = 2.0


@dataclass
class TrainingHistory:
    """All epochs of all phases, and the weights of the best one by validation loss.

    Attributes:
        model: the whole network, whose weights are kept; a phase may fit only its upper part.
        rows: one dict per epoch: phase, epoch (from 1, over all phases), learning_rate, loss, accuracy, val_loss,
            val_accuracy, seconds. ``accuracy`` is measured under dropout and augmentation, as training goes.
        best_row: the row whose weights are kept.
        views: for each phase, how many views of a training picture its epochs took turns with; 0: always a new one.
    """

    model: keras.Model
    rows: list[dict] = field(default_factory=list)
    best_row: dict | None = None
    views: dict[int, int] = field(default_factory=dict)
    _best_weights: list[np.ndarray] | None = None

    def add(self, row: dict) -> bool:
        """Append an epoch; keep the weights where it is the best so far. Returns whether it is."""
        self.rows.append(row)
        if math.isfinite(row["val_loss"]) and (self.best_row is None or row["val_loss"] < self.best_row["val_loss"]):
            self.best_row, self._best_weights = row, self.model.get_weights()
            return True
        return False

    def restore_best(self) -> None:
        """Set the best epoch's weights. Raises ``UserError`` where no epoch had a finite validation loss."""
        if self._best_weights is None:
            raise UserError("the loss was not a number in every epoch; try a smaller learning rate")
        self.model.set_weights(self._best_weights)

    def columns(self) -> dict[str, list]:
        """The rows as columns, for CSV and curves."""
        return {key: [row[key] for row in self.rows] for key in self.rows[0]} if self.rows else {}


class _EpochReporter(keras.callbacks.Callback):
    """Progress within the epoch, one line after it; hands each epoch to the history; decides when to stop."""

    def __init__(self, history: TrainingHistory, phase: int, epochs: int | str, patience: int):
        super().__init__()
        self.history, self.phase, self.patience = history, phase, patience
        self.auto = epochs == "auto"
        self.limit = AUTO_MAX_EPOCHS if self.auto else epochs
        self.waited, self.reference, self.bar, self.durations, self.said = 0, math.inf, None, [], 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        steps = self.params.get("steps") or 0
        self.bar = track(total=steps, what=f"  phase {self.phase}, epoch {epoch + 1}", unit="batches")

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()
        self.durations.append(time.perf_counter() - self.started)
        row = {
            "phase": self.phase,
            "epoch": len(self.history.rows) + 1,
            "learning_rate": float(self.model.optimizer.learning_rate.numpy()),
            **{key: float(logs[key]) for key in ("loss", "accuracy", "val_loss", "val_accuracy")},
            "seconds": round(self.durations[-1], 2),
        }
        best = self.history.add(row)
        if time.perf_counter() - self.said > _SECONDS_BETWEEN_LINES or epoch + 1 == self.limit:
            self.said = time.perf_counter()
            self._say(epoch, row, best)
        if not math.isfinite(row["loss"]):
            say("The loss is not a number: stopping. The last good epoch is kept; try a smaller learning rate.")
            self.model.stop_training = True
        # A plain count stops after `patience` epochs without any improvement, as S1 does; `auto` wants a clear one.
        needed = AUTO_MIN_IMPROVEMENT * abs(self.reference) if self.auto and math.isfinite(self.reference) else 0.0
        if row["val_loss"] < self.reference - needed:
            self.reference, self.waited = row["val_loss"], 0
        else:
            self.waited += 1
            if self.waited >= self.patience:
                self.model.stop_training = True

    def _say(self, epoch: int, row: dict, best: bool) -> None:
        left = (self.limit - epoch - 1) * float(np.mean(self.durations))
        estimate = "" if left <= 0 else f", {'at most ' if self.auto else ''}{tqdm.format_interval(left)} left"
        say(
            f"phase {self.phase}, epoch {epoch + 1} of {'at most ' if self.auto else ''}{self.limit}: "
            f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.3f}; validation {row['val_loss']:.4f}, "
            f"{row['val_accuracy']:.3f}{' (best so far)' if best else ''}; {row['seconds']:.1f} s{estimate}"
        )


def fit_phase(
    model: keras.Model,
    train,
    val,
    history: TrainingHistory,
    *,
    phase: int,
    epochs: int | str,
    learning_rate: float,
    patience: int,
    class_weight: dict[int, float] | None = None,
) -> None:
    """Compile with Adam and cross-entropy on logits, and fit; epochs go to ``history``.

    Args:
        model: inputs -> logits (N, C).
        train, val: what ``fit`` takes; labels one-hot (N, C).
        epochs: a count, or "auto" to go on while validation loss improves.
        patience: epochs without improvement after which to stop.
    """
    if epochs == 0:
        return
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    reporter = _EpochReporter(history, phase, epochs, patience)
    with contextlib.nullcontext() if has_gpu() else pointwise_as_products(model):
        model.fit(
            train,
            validation_data=val,
            epochs=reporter.limit,
            class_weight=class_weight,
            callbacks=[reporter],
            verbose=0,
            shuffle=False,  # the iterator shuffles by (seed, epoch); Keras would shuffle the order of batches again
        )


def balanced_class_weights(labels: np.ndarray, class_count: int) -> dict[int, float] | None:
    """n / (C n_c) for each class c (scikit-learn's "balanced"), or None where all classes are equally frequent.

    Args:
        labels: int (N,), each class present at least once.
    """
    counts = np.bincount(np.asarray(labels, int), minlength=class_count)
    if counts.min() == counts.max():
        return None
    return {index: len(labels) / (class_count * count) for index, count in enumerate(counts.tolist())}
