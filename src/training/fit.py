"""One fit: epochs with progress, the best weights on validation, an end when nothing improves."""

import contextlib
import math
import time

import keras
import numpy as np
from tqdm import tqdm

from src.errors import UserError
from src.inference.engine import has_gpu
from src.progress import say, track
from src.training.batches import as_untuned_dataset
from src.training.checkpoint import Checkpoint
from src.training.history import IF_DIVERGED, TrainingHistory
from src.training.mixing import MixedBatches
from src.training.optimizers import create_optimizer
from src.training.options import TrainingSettings
from src.training.pointwise import pointwise_as_products
from src.training.precision import compute_in_bfloat16, resolve_precision
from src.training.resumption import BatchesFrom, Beginning, StateKeeper, go_on, pass_over, stop_on_request
from src.training.traces import traces_released

# What `auto` means: on while validation loss improves by more than this share, for at most so many epochs.
AUTO_MAX_EPOCHS = 100
AUTO_MIN_IMPROVEMENT = 0.01
# Epochs over stored features last a fraction of a second; not each of them is worth a line.
_SECONDS_BETWEEN_LINES = 2.0
_PLATEAU_FACTOR, _PLATEAU_PATIENCE = 0.1, 2
_STEPS_BETWEEN_CHECKS = 10  # of the loss, for which a GPU would have to be waited for


class _EpochReporter(keras.callbacks.Callback):
    """Progress within the epoch, one line after it; hands each epoch to the history; decides when to stop.

    Args:
        clean: batches of training pictures as they are, to be judged after each epoch without dropout; or None.
    """

    def __init__(self, history, phase: int, epochs: int | str, patience: int, options: TrainingSettings, clean=None):
        super().__init__()
        self.history, self.phase, self.patience, self.options, self.clean = history, phase, patience, options, clean
        self.auto = epochs == "auto"
        self.limit = AUTO_MAX_EPOCHS if self.auto else epochs
        self.waited, self.reference, self.bar, self.durations, self.said = 0, math.inf, None, [], 0.0
        self.on_plateau, self.lowest, self.gained = 0, math.inf, True
        self.begin = Beginning()
        self.plateau_patience = min(options.plateau_patience or _PLATEAU_PATIENCE, patience)

    def replay(self, rows: list[dict]) -> None:
        """Take note of the phase's epochs before an interruption."""
        for row in rows:
            self._judge(row)
            self.durations.append(row["seconds"])

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        if epoch == self.begin.epoch and self.begin.rate is not None:
            self.rate = self.begin.rate
        else:
            self.rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        steps = self.params.get("steps") or 0
        self.bar = track(total=steps, what=f"  phase {self.phase}, epoch {epoch + 1}", unit="batches")

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()
        if batch % _STEPS_BETWEEN_CHECKS == 0 and logs and not math.isfinite(float(logs["loss"])):
            self.model.stop_training = True  # the epoch's mean would not become a number again

    def on_epoch_end(self, epoch, logs=None):
        self.bar.close()
        row = {
            "phase": self.phase,
            "epoch": len(self.history.rows) + 1,
            "learning_rate": self.rate,
            **{key: float(logs[key]) for key in ("loss", "accuracy", "val_loss", "val_accuracy")},
        }
        if self.clean is not None:
            result = self.model.evaluate(self.clean, verbose=0, return_dict=True)
            row |= {f"clean_{key}": float(result[key]) for key in ("loss", "accuracy")}
        self.durations.append(time.perf_counter() - self.started)
        row["seconds"] = round(self.durations[-1], 2)
        best = self.history.add(row)
        if time.perf_counter() - self.said > _SECONDS_BETWEEN_LINES or epoch + 1 == self.limit:
            self.said = time.perf_counter()
            self._say(epoch, row, best)
        if not math.isfinite(row["loss"]):
            say(f"The loss is not a number: stopping. The last good epoch is kept; {IF_DIVERGED}.")
            self.model.stop_training = True
        stop, lower_rate = self._judge(row)
        if stop:
            self.model.stop_training = True
            if epoch + 1 < self.limit and not self.auto:
                say(f"No improvement of validation loss for {self.patience} epochs: stopping (--patience).")
        if lower_rate:
            self.model.optimizer.learning_rate = _PLATEAU_FACTOR * self.rate
            epochs = "an epoch" if self.plateau_patience == 1 else f"{self.plateau_patience} epochs"
            say(f"No improvement of validation loss for {epochs}: the rate {self.rate:g} becomes a tenth.")

    def _judge(self, row: dict) -> tuple[bool, bool]:
        """Whether training is to stop after this epoch, and whether its rate is to fall for the next.

        A lower rate has the whole patience before it; but not where the one before it gained nothing either.
        """
        stop = self._is_to_stop(row)
        if self.options.schedule != "plateau" or not self._is_on_plateau(row):
            return stop, False
        if self.gained:
            self.waited, self.gained, stop = 0, False, False
        return stop, not stop

    def _is_to_stop(self, row: dict) -> bool:
        """Whether patience is at its end: a plain count of epochs without any improvement, as S1 does; `auto` wants a
        clear one."""
        needed = AUTO_MIN_IMPROVEMENT * abs(self.reference) if self.auto and math.isfinite(self.reference) else 0.0
        if row["val_loss"] < self.reference - needed:
            self.reference, self.waited = row["val_loss"], 0
        else:
            self.waited += 1
        return self.waited >= self.patience

    def _is_on_plateau(self, row: dict) -> bool:
        """Whether the loss has not been lower than ever for so many epochs since it was or the rate was changed."""
        self.on_plateau += 1
        if row["val_loss"] < self.lowest:
            self.on_plateau, self.lowest, self.gained = 0, row["val_loss"], True
        if self.on_plateau < self.plateau_patience:
            return False
        self.on_plateau = 0
        return True

    def _say(self, epoch: int, row: dict, best: bool) -> None:
        left = (self.limit - epoch - 1) * float(np.mean(self.durations))
        estimate = "" if left <= 0 else f", {'at most ' if self.auto else ''}{tqdm.format_interval(left)} left"
        say(
            f"phase {self.phase}, epoch {epoch + 1} of {'at most ' if self.auto else ''}{self.limit}: "
            f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.3f}; validation {row['val_loss']:.4f}, "
            f"{row['val_accuracy']:.3f}{' (best so far)' if best else ''}; {row['seconds']:.1f} s{estimate}"
        )


class _TurnEpochs(keras.callbacks.Callback):
    """The training batches' own epochs: another order and other views of the pictures."""

    def __init__(self, batches: keras.utils.PyDataset):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.on_epoch_begin()

    def on_epoch_end(self, epoch, logs=None):
        self.batches.on_epoch_end()


@traces_released()
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
    options: TrainingSettings | None = None,
    class_weight: dict[int, float] | None = None,
    seed: int = 0,
    clean=None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Fit cross-entropy on logits; epochs go to ``history``.

    Args:
        model: inputs -> logits (N, C).
        train, val: what ``fit`` takes; labels one-hot (N, C). For a checkpoint ``train`` has ``epoch``, ``set_epoch``.
        epochs: a count, or "auto" to go on while validation loss improves.
        patience: epochs without improvement of validation loss after which to stop; of no effect where the learning
            rate falls to 0 at the last epoch, before which the best is still to come.
        options: optimiser, schedule and all else; default: Adam at a constant rate.
        seed: of MixUp and CutMix.
        clean: training pictures without augmentation, judged after each epoch.
        checkpoint: keeps the state after epochs; where it holds one of this phase, training goes on from there;
            where one of a later phase, this one is done with.
    """
    if epochs == 0:
        return
    options = options or TrainingSettings()
    history.select = options.select
    if options.changes_targets:
        train, class_weight = MixedBatches(train, options, seed=seed, class_weight=class_weight), None
    patience = math.inf if options.falls else patience
    reporter = _EpochReporter(history, phase, epochs, patience, options, as_untuned_dataset(clean))
    model.compile(
        optimizer=create_optimizer(options, learning_rate, len(train), reporter.limit),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    if checkpoint:
        reporter.begin = go_on(model, train, reporter, checkpoint)
    if reporter.begin.epoch < reporter.limit:
        fitting = {"class_weight": class_weight, "validation_data": as_untuned_dataset(val)}
        _fit(model, train, reporter, checkpoint, fitting)
    if history.best_row is None:
        if checkpoint:
            checkpoint.remove()  # to go on with it would end here again
        raise UserError(f"the loss was not a number in every epoch; {IF_DIVERGED}")


def _fit(
    model: keras.Model,
    train,
    reporter: _EpochReporter,
    checkpoint: Checkpoint | None,
    fitting: dict,
) -> None:
    """Keras' ``fit`` from where it is to begin."""
    begin, options, keeper = reporter.begin, reporter.options, None
    callbacks = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if options.ema else []
    with contextlib.ExitStack() as contexts:
        if checkpoint:
            keeper = StateKeeper(checkpoint, reporter, contexts.enter_context(stop_on_request()))
            callbacks += [keeper]
        if begin.batch:
            train = BatchesFrom(train, begin.batch)
        callbacks += [_TurnEpochs(train)] if isinstance(train, keras.utils.PyDataset) else []
        contexts.enter_context(computed_fast(model, options.precision))
        if begin.batch:
            model.test_on_batch(*train[begin.batch])  # which makes the metrics' variables
            pass_over(model, begin.batch)
        model.fit(
            as_untuned_dataset(train),
            epochs=reporter.limit,
            initial_epoch=begin.epoch,
            callbacks=[*callbacks, reporter],
            verbose=0,
            shuffle=False,  # the iterator shuffles by (seed, epoch); Keras would shuffle the order of batches again
            **fitting,
        )
        if keeper:
            keeper.finish()


@contextlib.contextmanager
def computed_fast(model: keras.Model, precision: str):
    """Within the context the model's layers compute as this machine trains them the fastest; what ``fit`` traced is
    forgotten at its end.

    Args:
        precision: of the settings: "float32", "bfloat16" or "auto".
    """
    with contextlib.ExitStack() as ways:
        if not has_gpu():
            ways.enter_context(pointwise_as_products(model))
        if resolve_precision(precision) == "bfloat16":
            ways.enter_context(compute_in_bfloat16(model))
        try:
            yield
        finally:
            model.train_function = model.test_function = None


def class_weights(labels: np.ndarray, class_count: int, balance: str = "weights") -> dict[int, float] | None:
    """n / (C n_c) for each class c (scikit-learn's "balanced").

    None where all classes are equally frequent, or where ``balance`` is not "weights".

    Args:
        labels: int (N,), each class present at least once.
    """
    counts = np.bincount(np.asarray(labels, int), minlength=class_count)
    if balance != "weights" or counts.min() == counts.max():
        return None
    return {index: len(labels) / (class_count * count) for index, count in enumerate(counts.tolist())}
