"""Grad-CAM against maps computed by hand, an identity, and what must not happen."""

import keras
import numpy as np
import pytest

from src.errors import UserError
from src.explainers.cam import ClassActivationMap
from src.explainers.registry import EXPLAINERS, create_explainer
from src.explainers.targets import class_logit
from tests.explainers.networks import (
    HAND_INPUT,
    assert_unchanged,
    hand_weighted,
    random_inputs,
    random_network,
    snapshot,
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


@pytest.mark.parametrize("method", EXPLAINERS)
class TestContract:
    """What every explainer in the registry must satisfy."""

    def test_batch_equals_one_by_one_and_the_model_stays(self, method):
        model, inputs = random_network("softmax in Dense"), random_inputs(5)
        model.get_layer("conv1").trainable = False
        before = snapshot(model)
        explainer = create_explainer(method, model)
        together = explainer.explain(inputs)
        alone = [explainer.explain(inputs[i : i + 1]) for i in range(5)]
        assert together.heatmaps.dtype == np.float32 and together.heatmaps.ndim == 3 and len(together) == 5
        np.testing.assert_allclose(together.heatmaps, np.concatenate([one.heatmaps for one in alone]), atol=1e-6)
        assert np.array_equal(together.class_index, together.predicted)
        np.testing.assert_allclose(together.probabilities, model.predict(inputs, verbose=0), atol=1e-6)
        assert_unchanged(model, before)

    def test_the_class_matters_for_all_or_for_each(self, method):
        inputs, explainer = random_inputs(3), create_explainer(method, random_network())
        of_class = [explainer.explain(inputs, index).heatmaps for index in range(3)]
        assert not np.allclose(of_class[0], of_class[1])
        mixed = explainer.explain(inputs, [2, 0, 1])
        assert mixed.class_index.tolist() == [2, 0, 1]
        expected = np.stack([of_class[2][0], of_class[0][1], of_class[1][2]])
        np.testing.assert_allclose(mixed.heatmaps, expected, atol=1e-6)

    def test_errors_are_sentences_and_leave_the_model(self, method):
        model = random_network()
        before = snapshot(model)
        with pytest.raises(UserError, match=r"numbered 0 to 2.*7"):
            create_explainer(method, model).explain(random_inputs(), 7)
        with pytest.raises(UserError, match="Received"):
            create_explainer(method, model).explain(random_inputs(side=13))
        with pytest.raises(UserError, match="no layer nonsense"):
            create_explainer(method, model, target_layer="nonsense")
        assert_unchanged(model, before)


def test_unknown_method_is_named_with_those_there_are():
    with pytest.raises(UserError, match="there are gradcam"):
        create_explainer("grad-cam", hand_weighted())
