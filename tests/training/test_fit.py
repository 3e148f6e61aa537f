"""One phase: what is kept, when it ends, when its rate falls; the validation figures follow a script."""

import keras
import numpy as np
import pytest
from keras import layers

from src.errors import UserError
from src.training.checkpoint import Checkpoint
from src.training.fit import class_weights, fit_phase
from src.training.history import TrainingHistory
from src.training.options import TrainingSettings

pytestmark = pytest.mark.large


def test_class_weights():
    assert class_weights(np.array([0, 0, 0, 1]), 2) == {0: 4 / 6, 1: 2.0}
    assert class_weights(np.array([0, 1, 1, 0]), 2) is None


def _fit(val_losses, epochs, patience, options=None, checkpoint=None, accuracies=None):
    """Run ``fit_phase`` on a model whose validation loss, and accuracy, follow a script; returns the history."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(2, use_bias=False, kernel_initializer="zeros")])
    history = TrainingHistory(model)
    data = np.zeros((4, 1), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    rows = [{"val_loss": loss} for loss in val_losses]
    for row, accuracy in zip(rows, accuracies or ()):
        row["val_accuracy"] = accuracy
    script = iter(rows)
    add = history.add
    history.add = lambda row: (row.update(next(script)), add(row))[1]
    fit_phase(
        model,
        _Batches(*data),
        _Batches(*data),
        history,
        phase=1,
        epochs=epochs,
        learning_rate=1e-3,
        patience=patience,
        options=options,
        checkpoint=checkpoint,
    )
    return history


class _Batches(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.epoch = x, y, 0

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.x, self.y

    def set_epoch(self, epoch):
        pass


def test_a_count_of_epochs_stops_after_patience_without_any_improvement():
    history = _fit([1.0, 0.9, 0.95, 0.899, 0.9, 0.9, 0.9, 0.9], 8, 3)
    assert len(history.rows) == 7 and history.best_row["epoch"] == 4


def test_auto_stops_when_improvement_is_below_one_percent():
    history = _fit([1.0, 0.9, 0.899, 0.898, 0.897, 0.5], "auto", 3)
    assert len(history.rows) == 5 and history.best_row["epoch"] == 5


@pytest.mark.parametrize(
    ("patience", "given", "tenths"),
    [
        # two epochs without a gain: the rate falls, and has three epochs of its own; it gains nothing, so that patience
        # ends the training although the rate has fallen once more meanwhile
        (3, None, [0, 0, 0, 1, 1, 2]),
        (1, None, [0, 0, 1]),  # plateau waits no longer than patience
        (3, 5, [0, 0, 0, 0, 1, 1, 1]),
    ],
)
def test_a_plateau_lowers_the_rate_before_patience_ends(patience, given, tenths, capsys):
    options = TrainingSettings(schedule="plateau", plateau_patience=given)
    rows = _fit([1.0] * 12, 12, patience, options).rows
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-3 / 10**tenth for tenth in tenths])
    waited = {(3, None): "2 epochs", (1, None): "an epoch", (3, 5): "3 epochs"}[patience, given]
    assert f"No improvement of validation loss for {waited}: the rate 0.001 becomes a tenth." in capsys.readouterr().err


def test_a_rate_that_gains_has_its_successor_wait_as_long():
    losses = [1.0, 1.0, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
    rows = _fit(losses, 9, 3, TrainingSettings(schedule="plateau")).rows
    tenths = [0, 0, 0, 1, 1, 1, 2, 2, 3]  # after epochs 3, 6 and 8; patience would end it after 9
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-3 / 10**tenth for tenth in tenths])


@pytest.mark.parametrize("cut", [2, 3, 4, 5])
def test_a_plateau_training_that_goes_on_stops_where_it_would_have(tmp_path, cut):
    options, checkpoint = TrainingSettings(schedule="plateau"), Checkpoint(tmp_path / "state.npz", {})
    whole = _fit([1.0] * 12, 12, 3, options)
    with pytest.raises((StopIteration, RuntimeError)):  # the script ends in the middle
        _fit([1.0] * cut, 12, 3, options, checkpoint)
    continued = _fit([1.0] * 12, 12, 3, options, checkpoint)
    assert [row["learning_rate"] for row in continued.rows] == [row["learning_rate"] for row in whole.rows]


def test_patience_ends_no_training_whose_rate_falls_to_0():
    assert len(_fit([1.0] * 6, 6, 1, TrainingSettings(schedule="cosine")).rows) == 6
    assert len(_fit([1.0] * 6, 6, 1).rows) == 2


@pytest.mark.parametrize(("select", "best"), [("loss", 2), ("accuracy", 3)])
def test_the_epoch_is_kept_by_what_the_settings_say(select, best):
    options = TrainingSettings(select=select)
    history = _fit([1.0, 0.5, 0.8], 3, 9, options, accuracies=[0.1, 0.2, 0.9])
    assert history.best_row["epoch"] == best


def test_nan_stops_and_keeps_the_last_good_epoch(capsys):
    history = _fit([1.0, float("nan"), float("nan"), float("nan"), 0.1], 5, 3)
    assert history.best_row["epoch"] == 1
    with pytest.raises(UserError, match="smaller learning rate"):
        TrainingHistory(keras.Sequential()).restore_best()
