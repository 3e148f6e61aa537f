"""Gradients at the picture: closed forms of linear and quadratic models, completeness, identities, guided ReLUs."""

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
    clone_with_guided_relu,
    guided,
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


def test_guided_relu_stops_negative_gradients_both_ways():
    x = tf.constant([-1.0, 2.0, 3.0, 8.0])
    for activation, expected in ((tf.nn.relu, [0, 5, 0, 7]), (tf.nn.relu6, [0, 5, 0, 0])):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = guided(activation)(x)
        assert np.array_equal(y, activation(x))
        assert np.array_equal(tape.gradient(y, x, output_gradients=tf.constant([4.0, 5.0, -6.0, 7.0])), expected)


def test_guided_copies_answer_alike_and_leave_the_original():
    model, inputs = random_network(), random_inputs()
    before = snapshot(model)
    copy = clone_with_guided_relu(model)
    np.testing.assert_allclose(copy.predict(inputs, verbose=0), model.predict(inputs, verbose=0), atol=1e-6)
    kinds = {layer.name: type(layer).__name__ for layer in copy.layers}
    assert kinds["relu2"] == "Activation" and copy.get_layer("conv1").activation is not keras.activations.relu
    assert_unchanged(model, before)


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
