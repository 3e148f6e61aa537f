"""An interrupted training goes on where it was: between two epochs, or between two batches of one.

What an epoch does next is a function of the variables (the network's, the optimiser's, the running means of its
metrics) and of the number of batches done, since order and views of the pictures are a function of (seed, epoch,
index). So a training that is gone on with takes the same steps as one that was never interrupted.
"""

import contextlib
import math
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import keras

from src.errors import Interrupted
from src.progress import say
from src.training.checkpoint import Checkpoint, restore

_STOPPING = "\nStopping after this batch, or the validation under way; another Ctrl-C stops at once.\n"


@dataclass
class StopRequest:
    """Whether the user has asked to stop."""

    made: bool = False


@contextlib.contextmanager
def stop_on_request() -> Iterator[StopRequest]:
    """Within the context the first Ctrl-C (SIGTERM, SIGHUP) only notes the request; the next one is as ever."""
    request, usual = StopRequest(), {}

    def ask(number, frame):
        request.made = True
        for each, handler in usual.items():
            signal.signal(each, handler)
        with contextlib.suppress(OSError):  # a terminal that is gone
            os.write(2, _STOPPING.encode())  # what is printed by other means may be amid a line of its own

    if threading.current_thread() is threading.main_thread():  # others get no signals
        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        # what is ignored, as under nohup, stays so
        usual = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    for number in usual:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Beginning:
    """Where ``fit`` begins.

    Attributes:
        epoch: of the phase, from 0; ``math.inf`` where nothing is left.
        batch: how many of its batches are done.
        rate: the learning rate at the start of an epoch that is begun.
        metrics: values of its metrics' variables after the batches.
    """

    epoch: float = 0
    batch: int = 0
    rate: float | None = None
    metrics: tuple = ()


class StateKeeper(keras.callbacks.Callback):
    """The state to the checkpoint: between two epochs where it is due, within long ones, and where a stop is asked for.

    Between epochs it comes after ``SwapEMAWeights``, which must stand before it: then weights and their running average
    are in their places.

    Args:
        reporter: has the phase, its history, where it begins (``begin``) and the rate at the start of the epoch.
    """

    def __init__(self, checkpoint: Checkpoint, reporter, request: StopRequest):
        super().__init__()
        self.checkpoint, self.reporter, self.request = checkpoint, reporter, request

    def on_epoch_begin(self, epoch, logs=None):
        begin, self.epoch = self.reporter.begin, epoch
        if epoch > begin.epoch:
            if self.request.made or self.checkpoint.is_due:
                self._save(epoch)
            self._stop_if_asked(f"before epoch {epoch + 1}")
        elif begin.batch:  # Keras has just reset them
            for variable, value in zip(self.model.metrics_variables, begin.metrics, strict=True):
                variable.assign(value)

    def on_train_batch_end(self, batch, logs=None):
        count, steps, begin = batch + 1, self.params["steps"], self.reporter.begin
        # after the last batch the epoch is brought to its end: what validation says belongs to it
        if count == steps or (self.epoch == begin.epoch and count <= begin.batch):
            return
        if self.request.made or self.checkpoint.is_due_within_epoch:
            metrics = [variable.numpy() for variable in self.model.metrics_variables]
            self._save(self.epoch, batch=count, rate=self.reporter.rate, metrics=metrics)
        self._stop_if_asked(f"in epoch {self.epoch + 1}, after {count} of {steps} batches")

    def finish(self) -> None:
        """To be called after ``fit``: nothing of this phase is left to do."""
        self._save(math.inf)
        self._stop_if_asked("at its end")

    def _save(self, epoch: float, **within) -> None:
        self.checkpoint.save(self.reporter.phase, epoch, self.model.optimizer, self.reporter.history, **within)

    def _stop_if_asked(self, where: str) -> None:
        if self.request.made:
            raise Interrupted(f"Stopped in phase {self.reporter.phase} {where}. {self.checkpoint.describe_going_on()}")


class BatchesFrom(keras.utils.PyDataset):
    """Training batches of which those that are done are passed over in the first epoch: they come empty.

    :func:`pass_over` keeps the model from training on them, so that ``fit`` counts its steps as ever.
    """

    def __init__(self, batches, done: int):
        super().__init__()
        self.batches, self.done = batches, done

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int):
        if index >= self.done:
            return self.batches[index]
        if not hasattr(self, "_empty"):
            self._empty = tuple(part[:0] for part in self.batches[self.done])
        return self._empty

    def on_epoch_begin(self) -> None:
        self.batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.done = 0
        self.batches.on_epoch_end()


def pass_over(model: keras.Model, steps: int) -> None:
    """Let the next ``steps`` training steps of a compiled model take their batch and do nothing."""
    model.make_train_function()
    train_step, left = model.train_function, steps

    def pass_or_train(iterator):
        nonlocal left
        if not left:
            return train_step(iterator)
        left -= 1
        next(iterator)
        return {}

    model.train_function = pass_or_train


def go_on(model: keras.Model, train, reporter, checkpoint: Checkpoint) -> Beginning:
    """Set network, optimiser, history and batches as the checkpoint has them; returns where to begin.

    Args:
        reporter: has the phase, its history, the ``limit`` of its epochs, and ``replay``, which is told of those done.

    Raises ``UserError`` as :meth:`Checkpoint.load` does.
    """
    state, phase, history = checkpoint.load(), reporter.phase, reporter.history
    if state is None or state["phase"] < phase:
        return Beginning()
    restore(state, history)
    rows = [row for row in history.rows if row["phase"] == phase]
    train.set_epoch(train.epoch + len(rows))  # on from the phase before, which may have had the same batches
    if state["phase"] > phase or state["epoch"] >= reporter.limit:
        return Beginning(math.inf)
    reporter.replay(rows)
    model.optimizer.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, state["optimizer"], strict=True):
        variable.assign(value)
    batch = state["batch"]
    where = f"after batch {batch} of epoch {state['epoch'] + 1}" if batch else f"after epoch {state['epoch']}"
    say(f"An interrupted training goes on {where} of phase {phase}.")
    return Beginning(state["epoch"], batch, state["rate"], tuple(state["metrics"]))
