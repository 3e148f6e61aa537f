"""The learning-rate range test: its suggestion by hand, and on a model that is left as it was."""

import keras
import numpy as np
import pytest

from src.errors import UserError
from src.training.rate_finder import find_learning_rate, smooth_losses, suggest_rate


def test_the_steepest_place_before_the_lowest():
    rates = np.geomspace(1e-5, 1, 51)
    x = np.log10(rates)
    losses = 1 / (1 + np.exp(4 * (x + 3))) + np.where(x > -1, 5 * (x + 1) ** 2, 0)  # falls fastest at 1e-3
    assert suggest_rate(rates, losses) == pytest.approx(1e-3, rel=0.2)
    with pytest.raises(UserError, match="does not fall"):
        suggest_rate(rates, np.linspace(1, 2, 51))


@pytest.mark.parametrize("noise", [0.05, 0.1, 0.2])
def test_noise_of_batches_does_not_mislead(noise):
    """Loss falling most steeply at 4e-3, seen through batches of few pictures: the suggestion stays near."""
    rates = np.geomspace(1e-6, 10, 100)
    x = np.log10(rates)
    curve = 2.3 - 1.3 / (1 + np.exp(-4 * (x + 2.4))) + np.where(x > -0.5, 3 * (x + 0.5) ** 2, 0)
    found = []
    for seed in range(50):
        losses = smooth_losses(curve + np.random.default_rng(seed).normal(0, noise, 100), 12)
        found.append(suggest_rate(rates, losses))
    assert np.mean((np.array(found) > 4e-4) & (np.array(found) < 4e-2)) > 0.9


def test_a_loss_that_is_no_number_at_once():
    model, batches = _problem()
    with pytest.raises(UserError, match="does not fall"):
        find_learning_rate(model, [(batch[0] * np.nan, batch[1]) for batch in batches], keras.optimizers.SGD())


def _problem():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(64, 5)).astype(np.float32)
    targets = np.eye(2, dtype=np.float32)[(inputs[:, 0] > 0).astype(int)]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    return model, [(inputs[i : i + 16], targets[i : i + 16]) for i in range(0, 64, 16)]


def test_the_model_stays_as_it_was_and_the_suggestion_trains():
    model, batches = _problem()
    before = model.get_weights()
    finding = find_learning_rate(model, batches, keras.optimizers.SGD(), steps=60, highest=100.0)
    for value, expected in zip(model.get_weights(), before):
        np.testing.assert_array_equal(value, expected)
    assert len(finding.rates) == len(finding.losses) <= 60
    assert finding.rates[0] == pytest.approx(1e-6) and (np.diff(finding.rates) > 0).all()
    assert 1e-2 < finding.suggestion < 50
    model.compile(keras.optimizers.SGD(finding.suggestion), keras.losses.CategoricalCrossentropy(from_logits=True))
    losses = [model.train_on_batch(*batch) for _ in range(5) for batch in batches]
    assert losses[-1] < losses[0]


def test_bounds_and_steps_act():
    model, batches = _problem()
    finding = find_learning_rate(model, batches, keras.optimizers.SGD(), steps=7, lowest=1e-2, highest=30.0)
    np.testing.assert_allclose(finding.rates, np.geomspace(1e-2, 30, 7)[: len(finding.losses)])
