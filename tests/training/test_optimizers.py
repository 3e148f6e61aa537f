"""Optimisers and schedules: closed forms, Keras' own values, and that every setting acts."""

import keras
import numpy as np
import pytest
from keras import layers

from src.errors import UserError
from src.training.optimizers import Muon, RateSchedule, create_optimizer
from src.training.options import OPTIMIZERS, TrainingSettings

STEPS = 40


def test_cosine_is_keras_own():
    ours, theirs = RateSchedule(0.3, STEPS, 0, "cosine"), keras.optimizers.schedules.CosineDecay(0.3, STEPS)
    for step in (0, 1, 17, 39, 40, 50):
        assert float(ours(step)) == pytest.approx(float(theirs(step)), abs=1e-7)


def test_warm_up_and_linear_by_hand():
    schedule = RateSchedule(1.0, 12, 4, "linear")
    expected = [0.25, 0.5, 0.75, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.0]
    assert [float(schedule(step)) for step in range(14)] == pytest.approx(expected)
    constant = RateSchedule(2.0, 12, 2, "constant")
    assert [float(constant(step)) for step in (0, 1, 2, 30)] == pytest.approx([1, 2, 2, 2])
    again = RateSchedule.from_config(schedule.get_config())
    assert float(again(6)) == float(schedule(6))


def _trained(options: TrainingSettings, rate: float = 0.05, steps: int = 6) -> list[np.ndarray]:
    """Weights of a network's kinds after some steps along the same gradients; alike but for the settings."""
    rng = np.random.default_rng(2)
    kinds = [("kernel", (3, 3, 2, 4)), ("kernel", (6, 4)), ("gamma", (4,)), ("bias", (2,))]
    weights = [keras.Variable(rng.normal(size=shape).astype(np.float32), name=name) for name, shape in kinds]
    optimizer = create_optimizer(options, rate, 3, steps // 3)
    for _ in range(steps):
        optimizer.apply([rng.normal(size=weight.shape).astype(np.float32) for weight in weights], weights)
    return [weight.numpy() for weight in weights]


def _differ(first, second) -> bool:
    return any(np.abs(a - b).max() > 1e-6 for a, b in zip(first, second))


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ({}, {"schedule": "cosine"}),
        ({}, {"schedule": "linear"}),
        ({"schedule": "cosine"}, {"warmup_epochs": 1.0}),
        ({"optimizer": "adamw"}, {"weight_decay": 0.5}),
        ({"optimizer": "sgd"}, {"clip_norm": 1e-3}),
        ({"optimizer": "sgd"}, {"momentum": 0.5}),
        ({"optimizer": "sgd"}, {"nesterov": False}),
        ({"optimizer": "muon"}, {"momentum": 0.5}),
        ({"optimizer": "muon"}, {"nesterov": False}),
        ({"optimizer": "muon"}, {"weight_decay": 0.5}),
    ],
)
def test_every_setting_acts(base, changes):
    assert _differ(_trained(TrainingSettings(**base)), _trained(TrainingSettings(**base | changes)))


def test_the_optimizers_differ():
    results = [_trained(TrainingSettings(optimizer=name), rate=0.1, steps=12) for name in OPTIMIZERS]
    assert all(_differ(a, b) for i, a in enumerate(results) for b in results[:i])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_spares_biases_and_normalization(name):
    """Without a gradient a step is the decay alone: rate x decay of each kernel."""
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(3, 3), layers.BatchNormalization(), layers.Dense(2)]
    )
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 2.0))
    optimizer = create_optimizer(TrainingSettings(optimizer=name, weight_decay=0.1), 0.5, 1, 1)
    optimizer.apply([np.zeros(v.shape, np.float32) for v in model.trainable_variables], model.trainable_variables)
    for variable in model.trainable_variables:
        expected = 2.0 * (1 - 0.5 * 0.1) if variable.name == "kernel" else 2.0
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-6, err_msg=variable.path)


def test_muon_makes_steps_of_convolutions_orthogonal():
    optimizer = Muon(0.1, weight_decay=None, adam_weight_decay=None)
    kernel = keras.Variable(np.zeros((3, 3, 2, 4), np.float32), name="kernel")
    optimizer.build([kernel])
    gradient = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)
    optimizer.apply([gradient], [kernel])
    step = -kernel.numpy().reshape(18, 4) / (0.1 * 0.2 * np.sqrt(18))
    values = np.linalg.svd(step, compute_uv=False)
    assert (values > 0.6).all() and (values < 1.3).all()  # five iterations make them about 1
    # the singular vectors stay those of the gradient: U V^T is the closest orthogonal matrix
    u, _, v = np.linalg.svd(gradient.reshape(18, 4), full_matrices=False)
    assert np.sum(step * (u @ v)) / 4 == pytest.approx(values.mean(), abs=0.05)


def test_muon_leaves_depthwise_convolutions_to_adam():
    kernel = keras.Variable(np.zeros((3, 3, 4, 1), np.float32), name="kernel")
    optimizer = Muon(0.1, weight_decay=None, adam_weight_decay=None)
    optimizer.build([kernel])
    gradient = np.random.default_rng(0).normal(size=(3, 3, 4, 1)).astype(np.float32)
    optimizer.apply([gradient], [kernel])
    np.testing.assert_allclose(kernel.numpy(), -0.1 * np.sign(gradient), rtol=1e-4)  # Adam's first step


def test_ema_by_hand():
    optimizer = create_optimizer(TrainingSettings(optimizer="sgd", momentum=0.0, ema=0.75), 1.0, 1, 1)
    weight = keras.Variable(4.0, name="kernel")
    for _ in range(2):
        optimizer.apply([keras.ops.ones(())], [weight])
    assert float(weight) == 2.0
    optimizer.finalize_variable_values([weight])
    assert float(weight) == pytest.approx(0.75 * 3.0 + 0.25 * 2.0)  # the first average is the first step's value


def test_settings_that_contradict_each_other():
    with pytest.raises(UserError, match="how many"):
        TrainingSettings(schedule="cosine").verify(5, "auto")
    with pytest.raises(UserError, match="warmup"):
        TrainingSettings(schedule="plateau", warmup_epochs=1.0).verify(5)
    TrainingSettings(schedule="cosine", warmup_epochs=1.0).verify(5, 5)
    for refused in (
        {"warmup_epochs": 5.0},
        {"momentum": 0.5},
        {"optimizer": "adamw", "nesterov": True},
        {"plateau_patience": 3},
    ):
        with pytest.raises(UserError):
            TrainingSettings(**refused).verify(5)
    assert TrainingSettings(label_smoothing=0.1).changes_targets and not TrainingSettings().changes_targets
