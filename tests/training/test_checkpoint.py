"""A training that is interrupted and goes on ends as one that was not; EMA, plateaus and clean figures."""

import errno
import json
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from src.data_loader import get_data_generators
from src.loading.sample import PlainSample
from src.networks.heads import add_head, logits_model
from src.training.checkpoint import Checkpoint, OtherTraining, identify
from src.training.fit import fit_phase
from src.training.history import TrainingHistory
from src.training.options import TrainingSettings

pytestmark = pytest.mark.large


def _network():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((12, 12, 3), name="images")
    x = layers.Conv2D(4, 3, 2, activation="relu")(layers.Rescaling(1 / 255)(inputs))
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    return logits_model(keras.Model(inputs, add_head(x, 2)))


def _train(data, options, epochs, checkpoint=None, stop_in=None, rate=0.02, clean=False):
    """Train; with ``stop_in`` Ctrl-C comes in the midst of that epoch."""
    train, val, _ = get_data_generators(data, 12, 8, seed=5)
    model = _network()
    history = TrainingHistory(model)
    if stop_in is not None:
        load, count = train.load_batch, [0]

        def load_batch(indices, epoch):
            count[0] += 1
            if epoch == stop_in and count[0] % len(train) == 2:
                raise KeyboardInterrupt
            return load(indices, epoch)

        train.load_batch = load_batch
    sample = PlainSample(train, 10, seed=1) if clean else None
    fit_phase(
        model,
        train,
        val,
        history,
        phase=1,
        epochs=epochs,
        learning_rate=rate,
        patience=99,
        options=options,
        seed=1,
        clean=sample,
        checkpoint=checkpoint,
    )
    history.restore_best()
    return history


@pytest.mark.parametrize(
    "options",
    [
        TrainingSettings(),
        TrainingSettings(optimizer="sgd", schedule="cosine", ema=0.5, mixup=0.3),
        TrainingSettings(schedule="plateau", plateau_patience=1),
    ],
    ids=["plain", "sgd, cosine, ema, mixup", "plateau"],
)
def test_goes_on_to_the_same_end(small_data, tmp_path, options):
    whole = _train(small_data, options, 5)
    checkpoint = Checkpoint(tmp_path / "deep" / "state.npz", {"rate": 0.02})
    with pytest.raises((KeyboardInterrupt, tf.errors.OpError)):  # tf.data wraps what a batch raises
        _train(small_data, options, 5, checkpoint, stop_in=3)
    assert len(checkpoint.load()["rows"]) == 3
    continued = _train(small_data, options, 5, checkpoint)

    def figures(history):
        return [{key: value for key, value in row.items() if key != "seconds"} for row in history.rows]

    for row, other in zip(figures(whole), figures(continued), strict=True):
        assert row == pytest.approx(other, rel=1e-5, abs=1e-6)
    for value, other in zip(whole.model.get_weights(), continued.model.get_weights()):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-5)
    # a third run finds nothing left to do
    again = _train(small_data, options, 5, checkpoint)
    assert figures(again) == figures(continued)
    checkpoint.remove()
    checkpoint.remove()
    assert checkpoint.load() is None


def test_what_was_begun_with_other_settings_is_kept_and_the_difference_said(small_data, tmp_path):
    checkpoint = Checkpoint(tmp_path / "state.npz", {"rate": 0.02, "epochs": 2, "pictures": 64 * "a"})
    _train(small_data, TrainingSettings(), 2, checkpoint)
    before = checkpoint.path.read_bytes()
    other = Checkpoint(tmp_path / "state.npz", {"rate": 0.1, "epochs": 2, "pictures": 64 * "b"})
    with pytest.raises(OtherTraining, match=r"\(rate was 0.02, is 0.1, pictures changed\).*--restart"):
        _train(small_data, TrainingSettings(), 2, other)
    assert checkpoint.path.read_bytes() == before


def test_networks_of_equal_shapes_are_told_apart():
    def network(activation):
        inputs = keras.Input((4,))
        return keras.Model(inputs, layers.Dense(3, activation=activation)(inputs))

    first, again, other = (identify(network(kind), {"rate": 1}, "pictures") for kind in ("relu", "relu", "silu"))
    assert first == again and {key for key in first if first[key] != other[key]} == {"the network"}


@pytest.mark.parametrize("damage", ["cut off", "flipped", "an array less", "not numpy's"])
def test_a_damaged_state_is_said(tmp_path, capsys, damage):
    checkpoint = Checkpoint(tmp_path / "state.npz", {})
    checkpoint.save(1, 1, keras.optimizers.SGD(), TrainingHistory(model := _network()))
    content = bytearray(checkpoint.path.read_bytes())
    if damage == "cut off":
        checkpoint.path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[content.index(model.get_weights()[0].tobytes())] ^= 0xFF
        checkpoint.path.write_bytes(content)
    elif damage == "an array less":
        with np.load(checkpoint.path) as stored:
            np.savez(checkpoint.path, **{name: stored[name] for name in stored.files if name != "model_0"})
    else:
        np.save(checkpoint.path.with_suffix(".npy"), np.zeros(3))
        checkpoint.path.with_suffix(".npy").replace(checkpoint.path)
    assert checkpoint.load() is None and "damaged" in capsys.readouterr().err


def test_what_cannot_be_written_ends_nothing(small_data, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    history = _train(small_data, TrainingSettings(), 3, Checkpoint(tmp_path / "state.npz", {}))
    assert len(history.rows) == 3 and not list(tmp_path.iterdir())
    assert capsys.readouterr().err.count("cannot be kept") == 1


def test_a_state_is_due_once_its_time_is_over(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "state.npz", {}, seconds_between=20.0, _saved=0.0)
    due = []
    for now[0] in (19.0, 20.0, 39.0, 40.0):
        due.append(checkpoint.is_due)
        if checkpoint.is_due:
            checkpoint.save(1, 1, keras.optimizers.SGD(), TrainingHistory(_network()))
    assert due == [False, True, False, True]


def test_identity_goes_through_json(tmp_path):
    """A tuple comes back as a list, which is no change."""
    identity = {"image_size": (12, 16), "counts": {"train": {"a": 1}}}
    checkpoint = Checkpoint(tmp_path / "state.npz", identity)
    model = _network()
    optimizer = keras.optimizers.SGD()
    checkpoint.save(1, 1, optimizer, TrainingHistory(model))
    assert checkpoint.load()["identity"] == json.loads(json.dumps(identity))


def test_a_plateau_makes_the_rate_a_tenth(small_data):
    options = TrainingSettings(optimizer="sgd", schedule="plateau", plateau_patience=1)
    rows = _train(small_data, options, 8, rate=0.5).rows
    rates = [row["learning_rate"] for row in rows]
    lowest = np.inf
    for row, following in zip(rows, rows[1:]):
        factor = 1.0 if row["val_loss"] < lowest else 0.1
        lowest = min(lowest, row["val_loss"])
        assert following["learning_rate"] == pytest.approx(factor * row["learning_rate"], rel=1e-5)
    assert rates[-1] < rates[0], "no plateau came up: the test shows nothing"


def test_the_average_is_what_is_judged_and_kept(small_data):
    history = _train(small_data, TrainingSettings(optimizer="sgd", ema=0.9), 3)
    plain = _train(small_data, TrainingSettings(optimizer="sgd"), 3)
    assert [row["loss"] for row in history.rows] == pytest.approx([row["loss"] for row in plain.rows], rel=1e-5)
    assert history.rows[0]["val_loss"] != pytest.approx(plain.rows[0]["val_loss"], rel=1e-3)
    model = history.model
    model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    _, val, _ = get_data_generators(small_data, 12, 8, seed=5)
    assert model.evaluate(val, verbose=0)[0] == pytest.approx(history.best_row["val_loss"], rel=1e-4)


def test_clean_figures_are_without_dropout_and_augmentation(small_data):
    history = _train(small_data, TrainingSettings(), 2, clean=True)
    assert {"clean_loss", "clean_accuracy"} <= history.rows[0].keys()
    history.model.set_weights(history.best_weights)
    history.model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True), metrics=[])
    train, _, _ = get_data_generators(small_data, 12, 8, seed=5)
    sample = PlainSample(train, 10, seed=1)
    images = np.stack([train.load_picture(index) for index in sample.indices])
    targets = np.eye(2)[train.classes[sample.indices]]
    loss = history.model.evaluate(images, targets, verbose=0)
    assert loss == pytest.approx(history.best_row["clean_loss"], rel=1e-4)
    assert len(sample.indices) == 10 and len(set(sample.indices)) == 10
    assert (PlainSample(train, 10, seed=2).indices != sample.indices).any()
    assert [len(sample[index][0]) for index in range(len(sample))] == [8, 2]


def test_the_best_by_accuracy(small_data):
    model = _network()
    rows = [(0.5, 0.7), (0.4, 0.6), (0.6, 0.7)]
    for select, expected in (("loss", 1), ("accuracy", 0)):
        history = TrainingHistory(model, select=select)
        for loss, accuracy in rows:
            history.add({"val_loss": loss, "val_accuracy": accuracy})
        assert history.best_row is history.rows[expected]
