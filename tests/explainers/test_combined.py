"""Explainers made of others; the controls."""

import numpy as np
import pytest

from src.errors import UserError
from src.explainers.combined import FlipSmoothed, LayersAveraged
from src.explainers.controls import CenterBlob, RandomMap, center_blob
from src.explainers.explained_model import ExplainedModel
from src.explainers.registry import create_explainer
from tests.explainers.networks import random_inputs, random_network


def test_flips_are_averaged_and_turned_back():
    model, inputs = ExplainedModel(random_network()), random_inputs()
    plain = create_explainer("gradcam", model)
    smooth = FlipSmoothed(plain)
    explained = smooth.explain(inputs)
    straight, mirrored = plain.explain(inputs), plain.explain(inputs[:, :, ::-1], explained.class_index)
    expected = (straight.heatmaps + mirrored.heatmaps[:, :, ::-1]) / 2
    assert not np.allclose(expected, straight.heatmaps)
    np.testing.assert_allclose(explained.heatmaps, expected, rtol=1e-6)
    np.testing.assert_allclose(explained.logits, straight.logits)
    assert smooth.passes.backward == 2 and smooth.target_layer == plain.target_layer
    # The picture and its mirror image now have mirrored maps.
    turned = smooth.explain(inputs[:, :, ::-1], explained.class_index)
    np.testing.assert_allclose(turned.heatmaps[:, :, ::-1], explained.heatmaps, rtol=1e-5, atol=1e-8)


def test_layers_are_averaged_relative_to_their_largest_values():
    model, inputs = ExplainedModel(random_network()), random_inputs()
    coarse, fine = (create_explainer("gradcam", model, target_layer=name) for name in ("relu2", "conv1"))
    both = LayersAveraged([coarse, fine])
    explained = both.explain(inputs, 1)
    assert explained.target_layer == "relu2+conv1" and both.passes.backward == 2
    assert explained.heatmaps.shape == (4, 10, 10) and explained.heatmaps.max() <= 1
    twice = LayersAveraged([fine, fine]).explain(inputs, 1).heatmaps
    alone = fine.explain(inputs, 1).heatmaps
    scale = alone.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(twice, np.divide(alone, scale, where=scale > 0, out=np.zeros_like(alone)), rtol=1e-5)
    assert not np.allclose(explained.heatmaps, twice)
    with pytest.raises(UserError, match="at least one layer"):
        LayersAveraged([])


def test_controls_know_nothing_of_the_model_or_the_batch():
    inputs = random_inputs(5)
    for control in (RandomMap, CenterBlob):
        maps = control(random_network()).explain(inputs, 0).heatmaps
        other = control(random_network(seed=2)).explain(inputs[2:], 1).heatmaps
        assert np.array_equal(maps[2:], other)
    assert np.array_equal(CenterBlob(random_network()).explain(inputs).heatmaps[3], center_blob((12, 12)))
    random, again = (RandomMap(random_network(), seed=seed).explain(inputs).heatmaps for seed in (0, 1))
    assert RandomMap(random_network(), cells=(3, 5)).explain(inputs).heatmaps.shape == (5, 3, 5)
    assert random.shape == (5, 7, 7) and not np.allclose(random[0], random[1]) and not np.allclose(random, again)
