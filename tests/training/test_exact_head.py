"""Phase 1 solved exactly: the network answers as scikit-learn's model, and the rest of a training goes on as ever."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.linear_model import LogisticRegression

from src.data_loader import get_data_generators
from src.errors import Circumstance, UserError
from src.loading.sample import PlainSample
from src.networks.heads import add_head, logits_model
from src.training.checkpoint import Checkpoint
from src.training.logistic import STRENGTHS
from src.training.options import TrainingSettings
from src.training.schedule import TwoPhaseSettings
from src.training.two_phase import train_two_phase
from tests.conftest import write_data_folder
from tests.training.stopping import stopped_in


def _network(hidden=False):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((16, 16, 3), name="images")
    x = layers.Rescaling(1 / 255)(inputs)
    for name in ("block1", "block2"):
        x = layers.ReLU(name=f"{name}_relu")(layers.Conv2D(6, 3, 2, name=f"{name}_conv")(x))
    base = keras.Model(inputs, x)
    y = layers.GlobalAveragePooling2D(name="pooling")(x)
    y = layers.Dense(4, name="dense")(y) if hidden else y
    return keras.Model(inputs, add_head(layers.Dropout(0.0)(y), 2)), base


def _solve(data, *, checkpoint=None, options=None, hidden=False, clean=False, listeners=(), augment=True, **changes):
    model, base = _network(hidden)
    train, val, _ = get_data_generators(data, 16, 8, seed=5, augment=augment)
    settings = {"phase1_epochs": "exact", "phase2_epochs": 0, "l2": 0.1, "phase2_rate": 1e-3, "patience": 9, "views": 2}
    history = train_two_phase(
        logits_model(model),
        base,
        train,
        val,
        TwoPhaseSettings(**settings | changes),
        first_trainable=[layer.name for layer in base.layers].index("block2_conv"),
        seed=5,
        options=options,
        checkpoint=checkpoint,
        clean=PlainSample(train, 6, seed=5) if clean else None,
        listeners=listeners,
    )
    return history, model, train, val


def _pooled(model, images):
    return keras.Model(model.inputs, model.get_layer("pooling").output).predict(images, verbose=0).astype(float)


@pytest.mark.large
def test_the_network_answers_as_the_regression_does_on_the_same_features(small_data):
    history, model, train, val = _solve(small_data, clean=True)
    indices = np.arange(train.samples)
    rows = np.concatenate([_pooled(model, train.load_batch(indices, view)[0]) for view in (0, 1)])
    scale = np.linalg.norm(rows, axis=1).mean()
    # of two classes scikit-learn has one vector, twice ours, and so half its penalty
    twin = LogisticRegression(C=2 / 0.1, tol=1e-9, max_iter=10000)
    twin.fit(rows / scale, np.tile(train.classes, 2), sample_weight=np.full(2 * train.samples, 0.5))
    images = np.concatenate([val[index][0] for index in range(len(val))])
    expected = twin.predict_proba(_pooled(model, images) / scale)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, atol=1e-4)
    logits = logits_model(model)
    logits.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    (row,) = history.rows
    assert (row["phase"], row["epoch"], history.best_row) == (1, 1, row) and history.l2 == 0.1
    loss, accuracy = logits.evaluate(val, verbose=0)
    assert (row["val_loss"], row["val_accuracy"]) == pytest.approx((loss, accuracy), rel=1e-4)
    of_views = [logits.evaluate(*train.load_batch(indices, view), verbose=0) for view in (0, 1)]
    assert (row["loss"], row["accuracy"]) == pytest.approx(np.mean(of_views, axis=0).tolist(), rel=1e-4)
    sample = PlainSample(train, 6, seed=5)
    assert row["clean_loss"] == pytest.approx(logits.evaluate(*sample.load_batch(np.arange(6)), verbose=0)[0], rel=1e-4)


@pytest.mark.large
def test_the_second_phase_goes_on_from_there_and_is_gone_on_with(small_data, tmp_path, monkeypatch):
    """Interrupted in phase 2, the training ends as if it had not been; phase 1 is not told of twice."""
    settings = {"phase2_epochs": 3}
    whole, expected, _, _ = _solve(small_data, **settings)
    assert [row["phase"] for row in whole.rows] == [1, 2, 2, 2]
    assert whole.rows[1]["val_loss"] == pytest.approx(whole.rows[0]["val_loss"], abs=0.1)
    checkpoint, heard = Checkpoint(tmp_path / "state.npz", {"rate": 1}), []
    with stopped_in(3, monkeypatch), pytest.raises(KeyboardInterrupt):
        _solve(small_data, checkpoint=checkpoint, **settings)
    continued, model, _, _ = _solve(small_data, checkpoint=checkpoint, listeners=[heard.append], **settings)
    assert [row["epoch"] for row in heard] == [3, 4] and continued.l2 == 0.1
    for row, other in zip(whole.rows, continued.rows, strict=True):
        for key in row.keys() - {"seconds"}:
            assert row[key] == pytest.approx(other[key], rel=1e-4, abs=1e-6), key
    for weights, others in zip(expected.get_weights(), model.get_weights()):
        np.testing.assert_allclose(weights, others, rtol=1e-3, atol=1e-5)


@pytest.mark.large
def test_the_same_twice_and_two_pictures_of_a_class_are_enough(tmp_path, capsys):
    data = write_data_folder(tmp_path / "data", {"train": 2, "val": 1, "test": 1})
    runs = [_solve(data, l2="auto") for _ in range(2)]
    assert runs[0][0].l2 == runs[1][0].l2 and runs[0][0].l2 in STRENGTHS
    for weights, others in zip(runs[0][1].get_weights(), runs[1][1].get_weights()):
        np.testing.assert_array_equal(weights, others)
    assert runs[0][0].rows[0]["accuracy"] == 1.0
    assert f"solved exactly (l2 {runs[0][0].l2:g})" in capsys.readouterr().err


@pytest.mark.large
def test_uneven_classes_weigh_as_they_are_told_to(tmp_path):
    data = write_data_folder(tmp_path / "data", {"train": 8, "val": 2, "test": 2})
    for path in sorted((data / "train" / "light").iterdir())[2:]:
        path.unlink()
    biases = {}
    for balance in ("weights", "sampling", "none"):
        _, model, _, _ = _solve(data, l2=10.0, options=TrainingSettings(balance=balance))
        bias = model.get_layer("logits").get_weights()[1]
        biases[balance] = bias[0] - bias[1]
    assert biases["weights"] == pytest.approx(biases["sampling"], abs=1e-5)
    assert biases["none"] > biases["weights"] + 0.5  # dark, of which there are four times as many


@pytest.mark.large
def test_what_an_exact_head_cannot_do_is_said(small_data):
    with pytest.raises(Circumstance, match="needs room"):
        _solve(small_data, cache_gb=0.0)
    with pytest.raises(ValueError, match="takes 6 features. Received: 4"):
        _solve(small_data, hidden=True)


@pytest.mark.parametrize(
    ("schedule", "training", "words"),
    [
        ({"views": 0}, {}, "--views 0"),
        ({"phase1_rate": 1e-3}, {}, "--phase1-rate"),
        ({}, {"mixup": 0.2}, "--mixup"),
        ({"phase2_epochs": 0}, {"label_smoothing": 0.1}, "--label-smoothing"),
        ({"phase2_epochs": 0}, {"optimizer": "sgd", "ema": 0.9}, "--optimizer, --ema"),
        ({"phase1_epochs": 5, "l2": 0.1}, {}, "--l2 belongs to --phase1-epochs exact"),
    ],
)
def test_settings_that_it_cannot_honour_are_refused(schedule, training, words):
    with pytest.raises(UserError) as caught:
        TwoPhaseSettings(**{"phase1_epochs": "exact"} | schedule).verify(TrainingSettings(**training))
    assert words in str(caught.value)
    settings = TwoPhaseSettings(phase1_epochs="exact", phase2_epochs=2)
    settings.verify(TrainingSettings(optimizer="sgd", balance="none", ema=0.9))
    assert settings.phases == (1, 2)
    with pytest.raises(UserError, match="backbone that stays as it is"):
        settings.verify(TrainingSettings(), from_scratch=True)
