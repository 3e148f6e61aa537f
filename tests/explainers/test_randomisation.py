"""Layers drawn anew: which, by what, and that all else stays."""

import keras
import numpy as np
import pytest
from keras import layers

from src.errors import UserError
from src.explainers.randomisation import randomised_copy
from tests.explainers.networks import assert_unchanged, nested_network, random_inputs, random_network, snapshot


def _weights(model: keras.Model, name: str) -> list[np.ndarray]:
    return model.get_layer(name).get_weights()


def test_all_layers_or_the_upper_ones_are_drawn_anew():
    model = random_network()
    before = snapshot(model)
    whole, upper = randomised_copy(model), randomised_copy(model, share=0.5)  # of conv1, conv2, norm2, logits two
    for name, in_whole, in_upper in (("conv1", True, False), ("conv2", True, False), ("logits", True, True)):
        for copy, drawn in ((whole, in_whole), (upper, in_upper)):
            assert np.array_equal(_weights(model, name)[0], _weights(copy, name)[0]) is not drawn, name
    assert_unchanged(model, before)
    inputs = random_inputs()
    assert not np.allclose(model.predict(inputs, verbose=0), upper.predict(inputs, verbose=0), atol=1e-3)


def test_the_draw_is_a_function_of_the_seed_and_leaves_the_global_one():
    model = random_network()
    keras.utils.set_random_seed(7)
    expected = np.random.rand()
    keras.utils.set_random_seed(7)
    first, again, other = (randomised_copy(model, seed=seed) for seed in (1, 1, 2))
    assert np.random.rand() == expected
    assert np.array_equal(_weights(first, "conv1")[0], _weights(again, "conv1")[0])
    assert not np.array_equal(_weights(first, "conv1")[0], _weights(other, "conv1")[0])
    kernels = [_weights(first, name)[0].ravel()[:4] for name in ("conv1", "conv2")]
    assert not np.allclose(*kernels / np.abs(kernels).max(axis=1, keepdims=True))  # not one seed for all layers


def test_each_layer_has_its_own_initialiser():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="ones", kernel_initializer="ones", bias_initializer="zeros")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, name="logits", kernel_initializer=keras.initializers.Constant(3))(x))
    for layer in model.layers:
        layer.set_weights([np.full_like(weight, 9.0) for weight in layer.get_weights()])
    copy = randomised_copy(model)
    assert np.all(_weights(copy, "ones")[0] == 1) and np.all(_weights(copy, "ones")[1] == 0)
    assert [weight[0] for weight in _weights(copy, "norm")] == [1, 0, 0, 1]  # gamma, beta, mean, variance
    assert np.all(_weights(copy, "logits")[0] == 3)


def test_what_a_picture_is_prepared_by_stays():
    inputs = keras.Input((8, 8, 3))
    x = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 4.0, 4.0], name="prepared")(inputs)
    adapted = layers.Normalization(name="adapted")
    adapted.adapt(np.full((2, 8, 8, 3), [[[5.0, 6.0, 7.0]]]) + np.array([-1.0, 1.0])[:, None, None, None])
    x = layers.Conv2D(2, 3)(adapted(x))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x)))
    copy = randomised_copy(model)
    pictures = random_inputs(2, side=8)
    parts = [keras.Model(one.inputs, one.get_layer("adapted").output) for one in (model, copy)]
    np.testing.assert_allclose(parts[0].predict(pictures, verbose=0), parts[1].predict(pictures, verbose=0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["functional", "Sequential", "nested twice"])
def test_nested_models(kind):
    model, inputs = nested_network(kind), random_inputs()
    assert not np.allclose(model.predict(inputs, verbose=0), randomised_copy(model).predict(inputs, verbose=0))
    upper = randomised_copy(model, share=1e-9)
    assert len(upper.get_weights()) == len(model.get_weights())
    assert sum(not np.array_equal(*pair) for pair in zip(model.get_weights(), upper.get_weights())) == 1  # a bias is 0


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_shares_that_are_none(share):
    with pytest.raises(UserError, match="share"):
        randomised_copy(random_network(), share=share)


def test_nothing_to_draw():
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(UserError, match="no weights"):
        randomised_copy(keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs)))
