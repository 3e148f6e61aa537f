"""Gradients at the picture: closed forms of linear and quadratic models, completeness, identities, guided ReLUs."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from src.errors import UserError
from src.explainers.gradients import (
    GradientTimesInput,
    GuidedGradCAM,
    IntegratedGradients,
    Saliency,
    SmoothGrad,
    guide_relus,
)
from tests.explainers.networks import assert_unchanged, linear_network, random_inputs, random_network, snapshot


@pytest.fixture(scope="module")
def linear():
    """A linear model (4 x 4 x 3 -> 2 logits) and its weights (2, 4, 4, 3)."""
    return linear_network()


def _quadratic() -> keras.Model:
    """Logits (sum x^2, -sum x^2) of pictures (4, 4, 3): the gradient is 2 x."""
    inputs = keras.Input((4, 4, 3))
    total = layers.Lambda(lambda x: keras.ops.sum(x**2, axis=(1, 2, 3), keepdims=False)[:, None])(inputs)
    head = layers.Dense(2, use_bias=False, name="logits")
    model = keras.Model(inputs, head(total))
    head.set_weights([np.array([[1.0, -1.0]])])
    return model


def test_closed_forms_of_a_linear_model(linear):
    model, weights = linear
    inputs = random_inputs(3, side=4)
    np.testing.assert_allclose(Saliency(model).explain(inputs, 1).heatmaps[2], np.abs(weights[1]).max(-1), rtol=1e-5)
    expected = (weights[0] * inputs).sum(axis=-1)
    np.testing.assert_allclose(GradientTimesInput(model).explain(inputs, 0).heatmaps, expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(IntegratedGradients(model).explain(inputs, 0).heatmaps, expected, rtol=1e-4, atol=1e-3)
    smooth = SmoothGrad(model, samples=3).explain(inputs, 1).heatmaps
    np.testing.assert_allclose(smooth[0], np.abs(weights[1]).max(-1), rtol=1e-4)  # its gradient is the same everywhere


def test_black_is_what_the_input_says_it_is(linear):
    model, weights = linear
    inputs = random_inputs(1, side=4)
    expected = (weights[0] * (inputs - [10.0, 20.0, 30.0])).sum(axis=-1)
    for method in (GradientTimesInput, IntegratedGradients):
        found = method(model, black=[10.0, 20.0, 30.0]).explain(inputs, 0).heatmaps
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_integrated_gradients_of_a_square_are_the_squares():
    """The integral of 2 a x from 0 to 1 times x: exact with one point, half the gradient times input."""
    inputs = random_inputs(2, side=4)
    squares = (inputs**2).sum(axis=-1)
    found = IntegratedGradients(_quadratic(), steps=1).explain(inputs, 0).heatmaps
    np.testing.assert_allclose(found, squares, rtol=1e-5)
    np.testing.assert_allclose(GradientTimesInput(_quadratic()).explain(inputs, 0).heatmaps, 2 * squares, rtol=1e-5)


@pytest.mark.parametrize("baseline", ["black", "mean", "blur"])
def test_integrated_gradients_are_complete(baseline):
    """They sum to y(x) - y(b); more steps come nearer."""
    from src.explainers.baselines import removed_picture

    model, inputs = random_network(), random_inputs(3)
    errors = []
    for steps in (2, 64):
        explainer = IntegratedGradients(model, steps=steps, baseline=baseline)
        starts = np.stack([removed_picture(picture, baseline) for picture in inputs])
        gain = explainer.explained.score(inputs, 2) - explainer.explained.score(starts, 2)
        sums = explainer.explain(inputs, 2).heatmaps.sum(axis=(1, 2))
        errors.append(np.abs(sums - gain).max() / np.abs(gain).max())
    assert errors[1] < 0.02 and errors[1] < errors[0]


def test_smoothgrad_without_noise_is_the_saliency():
    model, inputs = random_network(), random_inputs()
    found = SmoothGrad(model, noise=0.0, samples=2).explain(inputs).heatmaps
    np.testing.assert_allclose(found, Saliency(model).explain(inputs).heatmaps, rtol=1e-5, atol=1e-9)


def test_the_noise_is_relative_to_the_range_of_the_picture():
    """A network that divides by 255 first sees the same noise in pictures of 0..1 as its twin in those of 0..255."""
    model, inputs = random_network("bare logits"), random_inputs(2)
    twin_inputs = keras.Input((12, 12, 3))
    twin = keras.Model(twin_inputs, model(twin_inputs * 255.0))
    twin = keras.Model(twin_inputs, layers.Dense(3, use_bias=False, kernel_initializer="identity")(twin.output))
    plain = keras.Model(model.inputs, layers.Dense(3, use_bias=False, kernel_initializer="identity")(model.output))
    expected = SmoothGrad(plain, samples=4).explain(inputs, 0).heatmaps
    found = SmoothGrad(twin, samples=4).explain(inputs / 255, 0).heatmaps / 255
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3 * expected.max())


RELUS = {
    "relu": layers.Activation("relu"),
    "ReLU": layers.ReLU(),
    "relu6": layers.Activation("relu6"),
    "ReLU(6)": layers.ReLU(max_value=6),
    "LeakyReLU": layers.LeakyReLU(negative_slope=0.5),
    "a layer in Activation": layers.Activation(layers.ReLU()),
    "tf.nn.relu": layers.Activation(tf.nn.relu),
    "tf.nn.relu6": layers.Activation(tf.nn.relu6),
    "tf.nn.leaky_relu": layers.Activation(tf.nn.leaky_relu),
    "keras.ops.relu": layers.Activation(keras.ops.relu),
    "keras.ops.relu6": layers.Activation(keras.ops.relu6),
    "keras.ops.leaky_relu": layers.Activation(keras.ops.leaky_relu),
    "an operation": keras.ops.relu,
    "within Dense": layers.Dense(4, "relu", kernel_initializer="identity"),
    "nested": keras.Sequential([keras.Input((4,)), layers.ReLU()]),
}


@pytest.mark.parametrize("form", RELUS)
def test_guided_relu_stops_negative_gradients_both_ways(form):
    x, upstream = tf.constant([[-1.0, 2.0, 3.0, 8.0]]), tf.constant([[4.0, 5.0, -6.0, 7.0]])
    slope = 0.5 if form == "LeakyReLU" else 0.2 if "leaky" in form else 0.0
    inputs = keras.Input((4,))
    model = keras.Model(inputs, RELUS[form](inputs))
    guided, count = guide_relus(model)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = guided(x)
    assert count == 1 and np.array_equal(y, model(x))
    expected = [[4 * slope, 5, 0, 0 if "6" in form else 7]]
    np.testing.assert_allclose(tape.gradient(y, x, output_gradients=upstream), expected, rtol=1e-6)


def test_guided_models_answer_alike_and_leave_the_original():
    model, inputs = random_network(), random_inputs()
    before = snapshot(model)
    guided, count = guide_relus(model)
    assert count == 2 and np.array_equal(guided(inputs), model(inputs))
    assert all(mine is theirs for mine, theirs in zip(guided.weights, model.weights, strict=True))
    assert_unchanged(model, before)


class _Halved(layers.Layer):
    """A layer of one's own, without a configuration."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def call(self, inputs):
        return inputs / self.by


def test_guided_gradcam_takes_layers_that_cannot_be_copied_and_draws_nothing():
    inputs = keras.Input((12, 12, 3))
    x = _Halved(2.0)(layers.Lambda(lambda z: z * 2)(inputs))
    x = layers.Conv2D(3, 3, activation=lambda z: keras.ops.relu(z), name="unknown")(x)
    x = layers.Conv2D(4, 3, activation=tf.nn.relu, name="conv")(x)
    model = keras.Model(inputs, layers.Dense(2, "softmax")(layers.GlobalAveragePooling2D()(x)))
    random.seed(3)
    state = random.getstate()
    explainer = GuidedGradCAM(model)
    assert random.getstate() == state
    heatmaps = np.concatenate([explainer.explain(random_inputs(2), index).heatmaps for index in (0, 1)])
    assert heatmaps.max() > 0 and guide_relus(model)[1] == 1


def test_a_network_without_a_relu_gets_the_plain_gradient_and_it_is_said(capsys):
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, activation="swish", name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(2, "softmax")(layers.GlobalAveragePooling2D()(x)))
    guided = GuidedGradCAM(model)
    assert capsys.readouterr().err.count("no ReLU to guide") == 1
    pictures = random_inputs(1) / 255
    cam = tf.image.resize(guided._cam.explain(pictures, 0).heatmaps[..., None], (12, 12))[..., 0]
    plain = Saliency(model).explain(pictures, 0).heatmaps
    np.testing.assert_allclose(guided.explain(pictures, 0).heatmaps, plain * cam, rtol=1e-4)
    GuidedGradCAM(random_network())
    assert "no ReLU" not in capsys.readouterr().err


def test_guided_gradcam_is_the_product_and_follows_what_is_learnt():
    model, inputs = random_network(), random_inputs(2)
    explainer = GuidedGradCAM(model, target_layer="relu2")
    before = explainer.explain(inputs, 0).heatmaps
    model.get_layer("logits").set_weights([3 * weight for weight in model.get_layer("logits").get_weights()])
    np.testing.assert_allclose(explainer.explain(inputs, 0).heatmaps, 9 * before, rtol=1e-4)  # both factors grow
    cam = explainer._cam.explain(inputs, 0).heatmaps
    product = explainer.explain(inputs, 0).heatmaps
    assert before.max() > 0 and not np.any((tf.image.resize(cam[..., None], (12, 12))[..., 0] == 0) & (product > 0))


@pytest.mark.parametrize("method, options", [(SmoothGrad, {"samples": 0}), (IntegratedGradients, {"steps": 0})])
def test_impossible_options_are_refused(method, options):
    with pytest.raises(UserError, match="at least 1"):
        method(random_network(), **options)
