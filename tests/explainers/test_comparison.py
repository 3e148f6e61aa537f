"""The comparison of methods: values of methods whose answers are known, ranks, controls."""

import numpy as np
import pytest

from src.explainers.base import Explainer, Passes
from src.explainers.comparison import MEASURES, ComparisonSettings, MethodComparison
from src.explainers.explained_model import ExplainedModel
from src.explainers.randomisation import randomised_copy
from tests.explainers.networks import linear_network

SIDE, COUNT = 16, 10
SETTINGS = ComparisonSettings(steps=8, subsets=40, grid=8, sanity_pictures=2, seed=3)


class Truth(Explainer):
    """What each pixel adds to the score of the linear network, from its very weights; or the opposite."""

    signed = True
    passes = Passes(forward=1)

    def __init__(self, model, sign: float = 1.0):
        super().__init__(model)
        self.sign = sign

    def compute_maps(self, inputs, class_index, logits):
        weights = self.explained.model.get_layer("logits").get_weights()[0].T.reshape(2, SIDE, SIDE, 3)
        gray = inputs.mean(axis=(1, 2), keepdims=True)
        return self.sign * (weights[class_index] * (inputs - gray)).sum(axis=-1)


@pytest.fixture(scope="module")
def comparison():
    """A linear network that looks at a square only, pictures bright there, and the square as everyone's mask."""
    model, _ = linear_network(SIDE)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[2:6, 9:14] = True
    weights = np.repeat(np.where(mask, 1.0, 0.0)[..., None], 3, axis=-1).ravel() / 2000
    model.get_layer("logits").set_weights([np.stack([-weights, weights], axis=1).astype(np.float32)])
    rng = np.random.default_rng(0)
    inputs = rng.uniform(20, 60, (COUNT, SIDE, SIDE, 3)).astype(np.float32)
    inputs[:, mask] += rng.uniform(120, 160, (COUNT, mask.sum(), 3))
    explained = ExplainedModel(model)
    randomised = ExplainedModel(randomised_copy(explained.model))
    masks, further = [mask] * (COUNT - 1) + [None], (inputs[::-1] + 1, [mask] * COUNT)
    measured = MethodComparison(explained, inputs, masks, randomised, SETTINGS, further)
    return measured.run(
        {
            "wrong": ("The opposite", lambda model: Truth(model, -1.0)),
            "right": ("The truth", Truth),
        }
    )


def test_the_truth_comes_first_and_beats_the_controls(comparison):
    assert list(comparison.results) == ["right", "wrong", "random", "blob"]
    ranks = comparison.mean_ranks()
    assert set(ranks) == {"right", "wrong"} and ranks["right"] < ranks["wrong"]
    for measure in ("pointing_game", "energy_in_mask", "insertion_auc", "deletion_auc", "road", "mu_fidelity"):
        assert comparison.beats_controls("right", measure) is True, measure
        assert comparison.beats_controls("wrong", measure) is False, measure
    assert comparison.beats_controls("right", "sensitivity") is None
    assert comparison.beats_controls("blob", "road") is None


def test_values_that_are_known(comparison):
    right, wrong = comparison.results["right"].values, comparison.results["wrong"].values
    assert len(right["pointing_game"]) == 2 * COUNT and len(right["road"]) == COUNT
    assert (
        np.flatnonzero(np.isnan(right["pointing_game"])).tolist() == [COUNT - 1]
        and np.nanmin(right["pointing_game"]) == 1
    )
    np.testing.assert_allclose(right["energy_in_mask"][: COUNT - 1], 1, atol=1e-3)
    np.testing.assert_allclose(right["mu_fidelity"], 1, atol=1e-3)  # the score is a sum of its pixels
    np.testing.assert_allclose(wrong["mu_fidelity"], -1, atol=1e-3)
    assert np.all(right["insertion_auc"] > wrong["insertion_auc"]) and np.all(right["road"] > 0)
    assert len(right["sensitivity"]) == 2 and 0 < right["sensitivity"].max() < 0.2
    assert len(right["seconds_per_image"]) == 1 and right["seconds_per_image"][0] > 0


def test_the_random_control_is_near_the_share_of_the_object(comparison):
    """Of 50 maps each; the mask is 7.8% of the picture, but not every pixel is as often a peak of an enlarged map."""
    values = comparison.results["random"].values
    assert abs(np.nanmean(values["energy_in_mask"]) - 20 / 256) < 0.01
    assert abs(np.nanmean(values["pointing_game"]) - 20 / 256) < 0.06


def test_rows_are_as_the_table_takes_them(comparison):
    rows = comparison.rows()
    assert [row.title for row in rows][:2] == ["The truth", "The opposite"]
    assert [row.is_control for row in rows] == [False, False, True, True]
    assert comparison.measures == list(MEASURES)
    pointing = rows[0].scores[0]
    assert (
        pointing.value == 1 and 0.8 < pointing.low < 0.85 and pointing.high == pytest.approx(1)
    )  # Wilson's, of 19 pictures


def test_without_masks_what_needs_them_is_left_out():
    explained = ExplainedModel(linear_network(SIDE)[0])
    inputs = np.random.default_rng(1).uniform(0, 255, (3, SIDE, SIDE, 3)).astype(np.float32)
    found = MethodComparison(explained, inputs, [None] * 3, explained, SETTINGS).run({"right": ("The truth", Truth)})
    assert "pointing_game" not in found.measures and "insertion_auc" in found.measures
    np.testing.assert_allclose(found.results["right"].values["randomisation"], 1)  # its layers are the same
