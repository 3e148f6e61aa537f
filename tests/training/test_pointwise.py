"""1 x 1 convolutions as matrix products: the same values, the same gradients, nothing left behind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from src.training.pointwise import pointwise_as_products


def _network():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 5, 4))
    x = layers.Conv2D(8, 1, activation="relu", name="biased")(inputs)
    x = layers.Conv2D(8, 3, padding="same", name="wide")(x)
    x = layers.Conv2D(6, 1, strides=2, name="strided")(x)
    x = layers.Conv2D(6, 1, groups=2, name="grouped")(x)
    return keras.Model(inputs, layers.Conv2D(3, 1, use_bias=False, name="plain")(x))


def _values_and_gradients(model, images):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(images)))
    return [loss.numpy(), *(gradient.numpy() for gradient in tape.gradient(loss, model.trainable_variables))]


def test_values_and_gradients_are_those_of_the_convolution():
    model = _network()
    images = np.random.default_rng(0).normal(size=(3, 6, 5, 4)).astype(np.float32)
    expected, config = _values_and_gradients(model, images), model.get_config()
    with pointwise_as_products(model):
        replaced = {layer.name for layer in model.layers if "convolution_op" in vars(layer)}
        assert replaced == {"biased", "plain"}, "only what a product can do"
        for a, b in zip(_values_and_gradients(model, images), expected):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert not any("convolution_op" in vars(layer) for layer in model.layers)
    assert model.get_config() == config


def test_an_error_leaves_nothing_behind():
    model = _network()
    with pytest.raises(RuntimeError), pointwise_as_products(model):
        raise RuntimeError
    assert not any("convolution_op" in vars(layer) for layer in model.layers)


def test_pictures_of_any_size():
    inputs = keras.Input((None, None, 4))
    model = keras.Model(inputs, layers.Conv2D(3, 1)(inputs))
    for shape in ((2, 5, 6, 4), (1, 3, 2, 4)):
        images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        expected = model(images)
        with pointwise_as_products(model):
            np.testing.assert_allclose(tf.function(model)(images), expected, atol=1e-5)


def test_a_way_to_convolve_that_someone_else_set_stays():
    model = _network()
    own = model.get_layer("plain").convolution_op = lambda inputs, kernel: inputs[..., :3] * 0
    with pointwise_as_products(model):
        assert model.get_layer("plain").convolution_op is own
    assert model.get_layer("plain").convolution_op is own
