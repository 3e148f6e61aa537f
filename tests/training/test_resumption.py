"""Ctrl-C once finishes the batch and keeps the state; a training that is gone on with takes the very same steps."""

import math
import os
import signal

import keras
import numpy as np
import pytest
from keras import layers

from src.data_loader import get_data_generators
from src.errors import Interrupted, UserError
from src.networks.heads import add_head, logits_model
from src.training.checkpoint import Checkpoint
from src.training.fit import fit_phase
from src.training.history import TrainingHistory
from src.training.options import TrainingSettings
from src.training.resumption import stop_on_request

pytestmark = pytest.mark.large


def _train(data, checkpoint=None, options=None, epochs=3, stops=(), rate=0.02):
    """Train, three batches an epoch; at each (epoch, batch) of ``stops`` Ctrl-C comes as that batch begins."""
    train, val, _ = get_data_generators(data, 12, 8, seed=5)
    keras.utils.set_random_seed(3)
    inputs = keras.Input((12, 12, 3), name="images")
    x = layers.Conv2D(4, 3, 2, activation="relu")(layers.Rescaling(1 / 255)(inputs))
    x = layers.Dropout(0.3)(layers.Flatten()(layers.BatchNormalization()(x)))
    model = logits_model(keras.Model(inputs, add_head(x, 2)))

    class Stops(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_begin(self, batch, logs=None):
            if (self.epoch, batch) in stops:
                os.kill(os.getpid(), signal.SIGINT)

    real = model.fit
    model.fit = lambda *args, callbacks, **rest: real(*args, callbacks=[Stops(), *callbacks], **rest)
    history = TrainingHistory(model)
    fit_phase(
        model, train, val, history, phase=1, epochs=epochs, learning_rate=rate, patience=99, options=options, seed=1,
        checkpoint=checkpoint,
    )  # fmt: skip
    return history


def _check_same(history, whole):
    """The same figures but for their time, and the same weights to the last bit."""
    for row, other in zip(history.rows, whole.rows, strict=True):
        assert row | {"seconds": 0} == other | {"seconds": 0}
    for value, other in zip(history.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize(
    "options",
    [
        TrainingSettings(optimizer="sgd", schedule="cosine", ema=0.5, mixup=0.3),
        TrainingSettings(optimizer="muon", schedule="plateau", plateau_patience=1),
    ],
    ids=["sgd, cosine, ema, mixup", "muon, plateau"],
)
def test_ctrl_c_amid_an_epoch_changes_nothing_in_the_end(small_data, tmp_path, options):
    whole, checkpoint = _train(small_data, options=options), Checkpoint(tmp_path / "state.npz", {})
    with pytest.raises(Interrupted, match="in epoch 2, after 2 of 3 batches. The same command goes on"):
        _train(small_data, checkpoint, options, stops=[(1, 1)])
    _check_same(_train(small_data, checkpoint, options), whole)


def test_every_batch_may_be_the_last_one(small_data, tmp_path):
    """Before the last of an epoch its midst is kept; after it the epoch is brought to its end."""
    whole, checkpoint = _train(small_data), Checkpoint(tmp_path / "state.npz", {})
    kept = {(0, 0): (0, 1), (1, 1): (1, 2), (1, 2): (2, 0), (2, 0): (2, 1), (2, 2): (math.inf, 0)}
    for stop, expected in kept.items():
        with pytest.raises(Interrupted):
            _train(small_data, checkpoint, stops=[stop])
        state = checkpoint.load()
        assert (state["epoch"], state["batch"]) == expected
    _check_same(_train(small_data, checkpoint), whole)


def test_long_epochs_are_kept_in_their_midst(small_data, tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.npz", {}, seconds_within=0.0)
    saved, real = [], checkpoint.save

    def save(phase, epoch, *rest, batch=0, **within):
        saved.append((epoch, batch))
        real(phase, epoch, *rest, batch=batch, **within)

    checkpoint.save = save
    _train(small_data, checkpoint, epochs=2)
    assert saved == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (math.inf, 0)]


def test_a_second_ctrl_c_stops_at_once_and_all_is_as_before_afterwards():
    usual = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught, stop_on_request() as request:
        os.kill(os.getpid(), signal.SIGINT)
        assert request.made
        os.kill(os.getpid(), signal.SIGINT)
    assert not isinstance(caught.value, Interrupted)
    assert signal.getsignal(signal.SIGINT) is usual


def test_what_is_ignored_stays_ignored():
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_request() as request:
            os.kill(os.getpid(), signal.SIGINT)
        assert not request.made and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, usual)


def test_a_loss_that_is_no_number_ends_within_the_epoch_and_leaves_no_state(small_data, tmp_path, capsys):
    checkpoint = Checkpoint(tmp_path / "state.npz", {}, seconds_within=0.0)
    with pytest.raises(UserError, match="not a number in every epoch; try a smaller learning rate"):
        _train(small_data, checkpoint, TrainingSettings(optimizer="sgd"), rate=1e30)
    assert not checkpoint.path.exists()
    assert "not a number" in capsys.readouterr().err


def test_the_last_good_epoch_is_kept_where_the_loss_ceases_to_be_a_number(small_data, tmp_path, capsys):
    options = TrainingSettings(optimizer="sgd")
    history = _train(small_data, Checkpoint(tmp_path / "state.npz", {}), options, epochs=2)
    best = [value.copy() for value in history.best_weights]
    history.model.optimizer.learning_rate = 1e30
    train, val, _ = get_data_generators(small_data, 12, 8, seed=5)
    fit_phase(
        history.model, train, val, history, phase=2, epochs=4, learning_rate=1e30, patience=99, options=options
    )  # fmt: skip
    assert len(history.rows) == 3 and not math.isfinite(history.rows[2]["val_loss"])
    history.restore_best()
    for value, other in zip(best, history.model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, other)
    assert "The last good epoch is kept; try a smaller learning rate" in capsys.readouterr().err
