"""Class activation maps by gradient against maps computed by hand, identities, and what must not happen."""

import keras
import numpy as np
import pytest

from src.errors import UserError
from src.explainers.cam import (
    CAM_METHODS,
    ClassActivationMap,
    first_component,
    gradcam_plus_plus_weights,
    weighted_map,
    xgradcam_weights,
)
from src.explainers.registry import create_explainer
from src.explainers.targets import class_logit
from tests.explainers.networks import (
    HAND_INPUT,
    hand_weighted,
    random_inputs,
    random_network,
)


def test_hand_computed_map_with_pooling():
    """dy0/dA = (1/4, 0) in every cell, so alpha = (1/4, 0) and L = x / 4; for class 1 L = ReLU(-x / 2) = 0."""
    explainer = ClassActivationMap(hand_weighted(), target_layer="conv")
    explained = explainer.explain(HAND_INPUT)
    assert explained.class_index.tolist() == [0]
    np.testing.assert_allclose(explained.logits, [[2.5, -5.0]], rtol=1e-6)
    np.testing.assert_allclose(explained.heatmaps, HAND_INPUT[..., 0] / 4, rtol=1e-6)
    assert np.array_equal(explainer.explain(HAND_INPUT, 1).heatmaps, np.zeros((1, 2, 2)))


def test_hand_computed_map_with_weights_of_each_cell():
    """Gradients 1, 3, 5, 7 and 2, 4, 6, 8: alpha = (4, 5), so L0 = ReLU(4x - 5x) = 0 and L1 = ReLU(-4x + 5x) = x."""
    explainer = ClassActivationMap(hand_weighted(pooled=False), target_layer="conv")
    assert np.array_equal(explainer.explain(HAND_INPUT, 0).heatmaps, np.zeros((1, 2, 2)))
    np.testing.assert_allclose(explainer.explain(HAND_INPUT, 1).heatmaps, HAND_INPUT[..., 0], rtol=1e-6)


def test_with_global_average_and_linear_head_it_is_the_cam():
    """Selvaraju et al., sec. 3.1: then alpha_k = w_k^c / (H W), so the map is ReLU(CAM) / (H W)."""
    model, inputs = random_network(), random_inputs()
    activations = keras.Model(model.inputs, model.get_layer("relu2").output).predict(inputs, verbose=0)
    kernel = model.get_layer("logits").get_weights()[0]
    explainer = ClassActivationMap(model)
    assert explainer.target_layer == "relu2"
    for class_index in range(3):
        cam = np.einsum("nhwk,k->nhw", activations, kernel[:, class_index])
        expected = np.maximum(cam, 0) / cam[0].size
        assert expected.max() > 0
        np.testing.assert_allclose(explainer.explain(inputs, class_index).heatmaps, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("head", ["softmax in Dense", "Activation layer", "bare logits", "keras.ops"])
def test_every_form_of_head_gives_the_same_logits_and_maps(head):
    reference, model, inputs = random_network(), random_network(head), random_inputs()
    model.set_weights(reference.get_weights())
    expected = ClassActivationMap(reference).explain(inputs)
    explained = ClassActivationMap(model).explain(inputs)
    np.testing.assert_allclose(explained.logits, expected.logits, atol=1e-5)
    np.testing.assert_allclose(explained.heatmaps, expected.heatmaps, atol=1e-6)
    np.testing.assert_allclose(explained.probabilities, reference.predict(inputs, verbose=0), atol=1e-6)


def test_one_sigmoid_unit_speaks_for_class_1_and_its_negative_for_class_0():
    model, inputs = random_network("sigmoid unit"), random_inputs()
    explainer = ClassActivationMap(model, target_layer="conv1")
    zero, one = explainer.explain(inputs, 0), explainer.explain(inputs, 1)
    positive = model.predict(inputs, verbose=0)[:, 0]
    np.testing.assert_allclose(one.probabilities, np.stack([1 - positive, positive], axis=1), atol=1e-6)
    np.testing.assert_allclose(one.logits[:, 1], np.log(positive / (1 - positive)), atol=1e-4)
    np.testing.assert_allclose(one.logits[:, 0], -one.logits[:, 1])
    # Opposite weights before the ReLU: where one map is positive the other is zero, and together nothing is lost.
    assert not np.any((zero.heatmaps > 0) & (one.heatmaps > 0))
    assert zero.heatmaps.max() > 0 or one.heatmaps.max() > 0
    assert not np.array_equal(zero.heatmaps, one.heatmaps)


def test_a_saturated_softmax_still_has_a_map():
    model = hand_weighted()
    model.get_layer("logits").set_weights([np.array([[1e4, 0.0], [0.0, 2e4]])])
    explained = ClassActivationMap(model, target_layer="conv").explain(HAND_INPUT)
    assert explained.probabilities.max() == 1.0
    np.testing.assert_allclose(explained.heatmaps, HAND_INPUT[..., 0] * 2500, rtol=1e-6)


def test_nan_is_refused_rather_than_shown_as_no_evidence():
    with pytest.raises(UserError, match="not finite"):
        ClassActivationMap(hand_weighted()).explain(HAND_INPUT * np.nan)


def test_target_and_layer_change_the_map():
    model, inputs = random_network(), random_inputs()
    plain = ClassActivationMap(model).explain(inputs, 0).heatmaps
    negated = ClassActivationMap(model, target=lambda logits, index: -class_logit(logits, index))
    assert not np.any((negated.explain(inputs, 0).heatmaps > 0) & (plain > 0))
    assert ClassActivationMap(model, target_layer="conv1").explain(inputs, 0).heatmaps.shape == (4, 10, 10)


def test_weights_learnt_later_are_explained_without_building_anew():
    model, explainer = (model := hand_weighted()), ClassActivationMap(model, target_layer="conv")
    before = explainer.explain(HAND_INPUT, 0).heatmaps
    model.get_layer("logits").set_weights([np.array([[3.0, 0.0], [0.0, 2.0]])])
    np.testing.assert_allclose(explainer.explain(HAND_INPUT, 0).heatmaps, 3 * before, rtol=1e-6)


# Two channels of 2 x 2 cells and their gradients, for values computed by hand.
ACTIVATIONS = np.array([[[1, 2], [3, 4]], [[0, 1], [1, 2]]], np.float32)
GRADIENTS = np.array([[[1, -1], [2, 0]], [[-1, 1], [0, 4]]], np.float32)


@pytest.mark.parametrize(
    "method, expected",
    [
        ("gradcam", 0.5 * ACTIVATIONS[0] + 1.0 * ACTIVATIONS[1]),
        # alpha = 1 / (2 + g sum A): 1/12 and 1/22 of the first channel, 1/6 and 1/18 of the second
        ("gradcam++", (1 / 12 + 2 / 22) * ACTIVATIONS[0] + (1 / 6 + 4 / 18) * ACTIVATIONS[1]),
        ("hirescam", [[1, 0], [6, 8]]),  # -2 + 1 in the second cell
        ("layercam", [[1, 1], [6, 8]]),
        ("xgradcam", 5 / 10 * ACTIVATIONS[0] + 9 / 4 * ACTIVATIONS[1]),
    ],
)
def test_hand_computed_weights(method, expected):
    activations, gradients = (np.moveaxis(array, 0, -1)[None] for array in (ACTIVATIONS, GRADIENTS))
    found = weighted_map(activations, CAM_METHODS[method](activations, gradients))
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_channels_that_cancel_have_no_weight():
    activations = np.array([1.0, -1.0, 2.0, -2.0], np.float32).reshape(1, 2, 2, 1)
    assert np.array_equal(xgradcam_weights(activations, np.ones_like(activations)), np.zeros((1, 1, 1, 1)))
    flat = gradcam_plus_plus_weights(activations * 0, activations * 0)
    assert np.array_equal(flat, np.zeros((1, 1, 1, 1)))


@pytest.mark.parametrize("method", ["hirescam", "xgradcam"])
def test_with_global_average_and_linear_head_three_methods_are_one(method):
    model, inputs = random_network(), random_inputs()
    expected = create_explainer("gradcam", model).explain(inputs, 1).heatmaps
    assert expected.max() > 0
    np.testing.assert_allclose(
        create_explainer(method, model).explain(inputs, 1).heatmaps, expected, rtol=1e-4, atol=1e-7
    )


def test_first_component_is_the_singular_one_with_a_positive_sum():
    activations = np.random.default_rng(0).normal(0.3, 1, (3, 4, 5, 6)).astype(np.float32)
    found = first_component(activations)
    for one, expected in zip(found, activations):
        _, _, vectors = np.linalg.svd(expected.reshape(20, 6))
        projected = (expected.reshape(20, 6) @ vectors[0]).reshape(4, 5)
        projected *= np.sign(projected.sum())
        assert projected.min() < 0 < projected.max()
        np.testing.assert_allclose(one, np.maximum(projected, 0), atol=1e-4)
    outer = np.arange(1.0, 5.0).reshape(1, 2, 2, 1) * np.array([-3.0, -4.0])  # rank one: u v^T, |v| = 5
    np.testing.assert_allclose(first_component(np.float32(outer))[0], [[5, 10], [15, 20]], rtol=1e-5)
    assert np.array_equal(first_component(np.zeros((1, 2, 2, 3), np.float32)), np.zeros((1, 2, 2)))


def test_eigencam_answers_alike_for_every_class():
    explainer, inputs = create_explainer("eigencam", random_network()), random_inputs()
    assert np.array_equal(explainer.explain(inputs, 0).heatmaps, explainer.explain(inputs, 1).heatmaps)
