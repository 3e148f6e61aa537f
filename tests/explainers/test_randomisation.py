"""Layers drawn anew: which, by what, and that all else stays."""

import random

import keras
import numpy as np
import pytest
from keras import layers

from src.errors import UserError
from src.explainers.randomisation import randomised_copy
from tests.explainers.networks import assert_unchanged, nested_network, random_inputs, random_network, snapshot

pytestmark = pytest.mark.large


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
    before, after = (
        keras.Sequential([keras.Input((8, 8, 3)), *(one.get_layer(name) for name in ("prepared", "adapted"))])
        for one in (model, copy)
    )
    pictures = random_inputs(2, side=8)
    expected = ((pictures - [1.0, 2.0, 3.0]) / 2 - [5.0, 6.0, 7.0]) / 1.0
    for one in (before, after):
        np.testing.assert_allclose(one.predict(pictures, verbose=0), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["functional", "Sequential", "nested twice"])
def test_nested_models(kind):
    model, inputs = nested_network(kind), random_inputs()
    next(layer for layer in model.layers if layer.name in ("backbone", "wrapper")).trainable = False
    before = snapshot(model)
    assert not np.allclose(model.predict(inputs, verbose=0), randomised_copy(model).predict(inputs, verbose=0))
    upper = randomised_copy(model, share=1e-9)
    assert len(upper.get_weights()) == len(model.get_weights())
    assert sum(not np.array_equal(*pair) for pair in zip(model.get_weights(), upper.get_weights())) == 1  # a bias is 0
    assert_unchanged(model, before)


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_shares_that_are_none(share):
    with pytest.raises(UserError, match="share"):
        randomised_copy(random_network(), share=share)


def test_nothing_to_draw():
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(UserError, match="no weights"):
        randomised_copy(keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs)))


@keras.saving.register_keras_serializable("tests")
class _Block(layers.Layer):
    """A layer of layers, whose configuration knows nothing of their initialisers."""

    def __init__(self, units=4, **options):
        super().__init__(**options)
        self.units = units
        self.convolution = layers.Conv2D(units, 3)

    def build(self, shape):
        self.convolution.build(shape)

    def call(self, inputs):
        return self.convolution(inputs)

    def get_config(self):
        return super().get_config() | {"units": self.units}


class _Unknown(_Block):
    """One that cannot be made from its configuration."""

    def __init__(self, units):
        super().__init__(units)

    def get_config(self):
        return {"name": self.name}


def _with(layer) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(layer(layers.Lambda(lambda z: z * 2)(inputs)))
    return keras.Model(inputs, layers.Dense(2, name="logits")(x))


def _rows() -> layers.Layer:
    """Rows of the picture as steps; their kernel has a seed of its own."""
    return layers.TimeDistributed(layers.Dense(4, kernel_initializer=keras.initializers.GlorotUniform(seed=5)))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("make", [_Block, _rows])
def test_layers_within_layers_are_drawn_by_the_seed(make, frozen):
    layer = make(name="block") if make is _Block else make()
    model = _with(layer)
    layer.trainable = not frozen
    state = random.getstate()
    first, again, other = (randomised_copy(model, seed=seed).get_layer(layer.name).get_weights() for seed in (1, 1, 2))
    assert random.getstate() == state
    assert first[0].shape == layer.get_weights()[0].shape and np.abs(first[0]).max() > 0
    assert not np.array_equal(first[0], layer.get_weights()[0]) and not np.array_equal(first[0], other[0])
    assert np.array_equal(first[0], again[0])


class _Holds(_Block):
    """One whose configuration holds its sub-layer itself."""

    def __init__(self, convolution, **options):
        layers.Layer.__init__(self, **options)
        self.convolution = convolution

    def build(self, shape):
        if not self.convolution.built or self.name == "twice":
            self.convolution.build(shape)

    def get_config(self):
        return layers.Layer.get_config(self) | {"convolution": self.convolution}


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(UserError, match=r"held \(_Holds\) cannot be drawn anew: its copy shares its weights"):
        randomised_copy(_with(_Holds(layers.Conv2D(4, 3), name="held")))
    with pytest.raises(UserError, match="copies of .*twice.* do not fit together: ValueError"):
        randomised_copy(_with(_Holds(layers.Conv2D(4, 3), name="twice")))
    with pytest.raises(UserError, match=r"unknown_one \(_Unknown\) cannot be drawn anew"):
        layer = _Unknown(4)
        layer.name = "unknown_one"
        randomised_copy(_with(layer))


def test_layers_that_are_kept_are_the_models_own():
    layer = _Unknown(4)
    model = _with(layer)
    copy = randomised_copy(model, share=0.5)  # the Dense layer alone, so that the other need not be made anew
    assert copy.layers[1] is model.layers[1] and copy.get_layer(layer.name) is layer
    assert not np.array_equal(_weights(copy, "logits")[0], _weights(model, "logits")[0])


def test_seeds_of_the_model_are_not_drawn_again():
    initializer = keras.initializers.HeNormal(seed=11)
    model = _with(layers.Conv2D(4, 3, name="seeded", kernel_initializer=initializer))
    assert not np.array_equal(_weights(randomised_copy(model), "seeded")[0], _weights(model, "seeded")[0])


def test_heads_of_attention_are_not_drawn_alike():
    inputs = keras.Input((4, 4, 6))
    x = layers.Reshape((16, 6))(inputs)
    x = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 3, name="attention")(x, x))
    copy = randomised_copy(keras.Model(inputs, layers.Dense(2)(x)))
    query, key = _weights(copy, "attention")[0], _weights(copy, "attention")[2]
    assert query.shape == key.shape and not np.array_equal(query, key)
