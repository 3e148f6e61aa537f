"""Occlusion and RISE: closed forms of linear and constant models, coverage, determinism."""

import numpy as np
import pytest

from src.errors import UserError
from src.explainers.baselines import removed_picture
from src.explainers.explained_model import ExplainedModel
from src.explainers.perturbation import RISE, Occlusion
from tests.explainers.networks import linear_network, random_inputs


@pytest.fixture(scope="module")
def linear():
    return linear_network()


def test_occlusion_of_single_pixels_is_the_linear_model(linear):
    model, weights = linear
    inputs = random_inputs(2, side=4)
    found = Occlusion(model, window=0.25, stride=1.0).explain(inputs, 1).heatmaps
    removed = np.stack([removed_picture(picture) for picture in inputs])
    np.testing.assert_allclose(found, (weights[1] * (inputs - removed)).sum(axis=-1), rtol=1e-3, atol=1e-2)


def test_occlusion_is_the_mean_over_the_windows_that_cover_a_pixel(linear):
    """Windows of 2 x 2 at the rows and columns 0, 1, 2: the corner is covered once, a middle pixel four times."""
    model, weights = linear
    picture = random_inputs(1, side=4)
    explainer = Occlusion(model, window=0.5, stride=0.5)
    assert explainer.passes.forward == 1 + 9
    found = explainer.explain(picture, 0).heatmaps[0]
    pixels = (weights[0] * (picture[0] - removed_picture(picture[0]))).sum(axis=-1)
    drops = np.array([[pixels[r : r + 2, c : c + 2].sum() for c in range(3)] for r in range(3)])
    np.testing.assert_allclose(found[0, 0], drops[0, 0], rtol=1e-3)
    np.testing.assert_allclose(found[1, 2], drops[:2, 1:].mean(), rtol=1e-3)


def test_the_last_window_ends_at_the_border(linear):
    """A window of 3 of 4 pixels with steps of 3: the places 0 and 1, and no pixel without a value."""
    explainer = Occlusion(linear[0], window=0.75, stride=1.0)
    assert explainer.passes.forward == 1 + 4
    assert np.isfinite(explainer.explain(random_inputs(1, side=4), 0).heatmaps).all()


def test_rise_of_a_constant_score_is_zero(linear):
    model, _ = linear_network(zero=True)
    assert np.abs(RISE(model, samples=50, cells=2).explain(random_inputs(1, side=4), 0).heatmaps).max() < 1e-6


def test_rise_is_the_weighted_mean_over_its_masks(linear):
    model, weights = linear
    picture = random_inputs(1, side=4)
    explainer = RISE(model, samples=70, cells=2, seed=3)
    masks = np.stack([explainer._mask(i, 4, 4) for i in range(70)]).astype(np.float64)
    pixels = (weights[0] * (picture[0] - removed_picture(picture[0]))).sum(axis=-1)
    scores = (masks * pixels).sum(axis=(1, 2))
    expected = np.tensordot(scores, masks, axes=1) / masks.sum(axis=0) - scores.mean()
    found = explainer.explain(picture, 0).heatmaps[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_masks_are_soft_shifted_each_and_kept_by_half():
    network = ExplainedModel(linear_network()[0])
    rise = RISE(network, samples=1)
    masks = np.stack([rise._mask(i, 56, 56) for i in range(400)])
    assert masks.shape == (400, 56, 56) and masks.min() == 0 and masks.max() == 1
    assert abs(masks.mean() - 0.5) < 0.02
    assert abs(masks.mean(axis=0) - 0.5).max() < 0.15  # no pixel stands apart
    sparse = RISE(network, kept=0.2)
    few = np.stack([sparse._mask(i, 56, 56) for i in range(100)])
    assert abs(few.mean() - 0.2) < 0.03
    uneven = RISE(network, cells=3)._mask(0, 10, 7)
    assert uneven.shape == (10, 7)


@pytest.mark.parametrize(
    "method, options, word",
    [
        (Occlusion, {"window": 0}, "window"),
        (Occlusion, {"stride": 1.5}, "stride"),
        (RISE, {"samples": 0}, "samples"),
        (RISE, {"kept": 1.0}, "kept"),
        (RISE, {"removal": "white"}, "white"),
    ],
)
def test_impossible_options_are_refused(linear, method, options, word):
    with pytest.raises(UserError, match=word):
        method(linear[0], **options)
