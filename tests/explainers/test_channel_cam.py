"""Score-CAM and Ablation-CAM against values computed by hand and by brute force."""

import keras
import numpy as np
import pytest
from keras import layers

from src.errors import UserError
from src.explainers.channel_cam import AblationCAM, ScoreCAM, blend, softmax, unit_masks
from tests.explainers.networks import HAND_INPUT, hand_weighted, random_inputs, random_network, residual_network


def test_score_cam_by_hand():
    """Masks (0, 1/3, 2/3, 1) and its complement over x = (1, 2, 3, 4) and the mean 2.5 leave means of 2.5 +- 5/12, so
    the weights differ by tanh(5/12), and L = ReLU(w_1 x - w_2 x)."""
    explained = ScoreCAM(hand_weighted(), target_layer="conv").explain(HAND_INPUT, 0)
    np.testing.assert_allclose(explained.heatmaps, np.tanh(5 / 12) * HAND_INPUT[..., 0], rtol=1e-5)


def test_score_cam_of_one_channel_is_its_activation():
    inputs = keras.Input((2, 2, 1))
    x = layers.Conv2D(1, 1, use_bias=False, name="conv", kernel_initializer="ones")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x)))
    picture = HAND_INPUT - 2.0
    found = ScoreCAM(model, target_layer="conv").explain(picture, 0).heatmaps
    np.testing.assert_allclose(found, np.maximum(picture[..., 0], 0), rtol=1e-6)


def test_channels_without_an_area_are_left_out():
    model = hand_weighted()
    model.get_layer("conv").set_weights([np.array([1.0, 0.0]).reshape(1, 1, 1, 2)])
    explainer = ScoreCAM(model, target_layer="conv")
    np.testing.assert_allclose(explainer.explain(HAND_INPUT, 0).heatmaps, HAND_INPUT[..., 0], rtol=1e-6)
    assert explainer.channels_used == [1]


def test_score_cam_stops_where_the_map_stays():
    """Of 200 channels 64 are strong and alike, the others a millionth of them: from the second batch on all is calm."""
    strengths = np.where(np.arange(200) < 64, 1.0, 1e-6)
    inputs = keras.Input((2, 2, 1))
    convolution = layers.Conv2D(200, 1, use_bias=False, name="conv")
    logits = layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(convolution(inputs)))
    model = keras.Model(inputs, logits)
    convolution.set_weights([strengths[::-1].reshape(1, 1, 1, 200).copy()])
    short, long = (ScoreCAM(model, target_layer="conv", tolerance=tolerance) for tolerance in (0.01, 0))
    early, full = (explainer.explain(HAND_INPUT, 0).heatmaps for explainer in (short, long))
    assert short.channels_used == [128] and long.channels_used == [200]
    assert str(short.passes) == "at most 201 forward and 1 with gradient"
    assert str(long.passes) == "201 forward and 1 with gradient"
    np.testing.assert_allclose(early / early.max(), full / full.max(), atol=0.01)


def test_removal_changes_the_map_and_unknown_kinds_are_refused():
    model, inputs = random_network(), random_inputs(1)
    maps = [ScoreCAM(model, removal=kind).explain(inputs, 0).heatmaps for kind in ("mean", "blur", "black")]
    assert not np.allclose(maps[0], maps[1]) and not np.allclose(maps[0], maps[2])
    with pytest.raises(UserError, match="removed by mean, blur, black"):
        ScoreCAM(model, removal="white")
    with pytest.raises(UserError, match="tolerance"):
        ScoreCAM(model, tolerance=-1)


def test_blend_and_softmax():
    picture, removed = np.full((2, 4, 3), 10, np.float32), np.full((2, 4, 3), 2, np.float32)
    masks = unit_masks(np.array([[[7.0, 5.0], [9.0, 5.0]]], np.float32), (2, 4))  # two channels of one row
    np.testing.assert_allclose(masks[0], [[0, 0.25, 0.75, 1]] * 2)
    assert np.array_equal(masks[1], np.zeros((2, 4)))
    np.testing.assert_allclose(blend(picture, removed, masks)[0, 0, :, 0], [2, 4, 8, 10])
    np.testing.assert_allclose(blend(picture, removed, masks)[1], 2)
    tall = unit_masks(np.array([[[0.0]], [[1.0]], [[0.0]]], np.float32), (6, 2))  # its peak falls between two rows
    assert tall.shape == (1, 6, 2) and tall.max() == 1
    np.testing.assert_allclose(softmax(np.array([1e4, 1e4 + np.log(3)])), [0.25, 0.75], rtol=1e-6)


def test_ablation_cam_by_hand():
    """y = mean x = 2.5 comes all from the first channel: its weight is 1. For the other class all of y = -5 comes from
    the second, -x, which speaks against it: its weight is -1, and L = ReLU(-1 (-x)) = x."""
    explainer = AblationCAM(hand_weighted(), target_layer="conv")
    np.testing.assert_allclose(explainer.explain(HAND_INPUT, 0).heatmaps, HAND_INPUT[..., 0], rtol=1e-6)
    np.testing.assert_allclose(explainer.explain(HAND_INPUT, 1).heatmaps, HAND_INPUT[..., 0], rtol=1e-6)


@pytest.mark.parametrize("network", ["flat", "residual"])
def test_ablation_cam_equals_networks_without_the_channel(network):
    """By brute force: each channel's kernel and bias set to 0 in turn, also where a shortcut leads past the layer."""
    model, layer = (random_network(), "conv2") if network == "flat" else (residual_network(), "within")
    inputs = random_inputs(2)
    answers = keras.Model(model.inputs, model.get_layer("logits").output)
    activations = keras.Model(model.inputs, model.get_layer(layer).output).predict(inputs, verbose=0)
    score, weights = answers.predict(inputs, verbose=0)[:, 1], []
    kernel, bias = model.get_layer(layer).get_weights()
    for channel in range(kernel.shape[-1]):
        kept = np.arange(kernel.shape[-1]) != channel
        model.get_layer(layer).set_weights([kernel * kept, bias * kept])
        weights.append((score - answers.predict(inputs, verbose=0)[:, 1]) / np.abs(score))
    model.get_layer(layer).set_weights([kernel, bias])
    expected = np.maximum(np.einsum("nhwk,kn->nhw", activations, np.stack(weights)), 0)
    assert expected.max() > 0
    found = AblationCAM(model, target_layer=layer).explain(inputs, 1).heatmaps
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_ablation_where_activations_cannot_be_replaced_is_refused():
    with pytest.raises(UserError, match="another way around it"):
        AblationCAM(residual_network("all nested"), target_layer="within").explain(random_inputs(1))
