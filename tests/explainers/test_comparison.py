"""The comparison of methods: values of methods whose answers are known, ranks, controls."""

import numpy as np
import pytest

from src.explainers.base import Explainer, Explanation, Passes
from src.explainers.comparison import MethodComparison
from src.explainers.explained_model import ExplainedModel
from src.explainers.measures import MEASURES, NEED_MASKS, REMOVING
from src.explainers.randomisation import randomised_copy
from src.explainers.scoring import ComparisonSettings, MethodResult, conclude
from src.intervals import mean_interval
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
        },
        scattered=["right"],
    )


def test_the_truth_comes_first_and_beats_the_controls(comparison):
    assert list(comparison.results) == ["right", "wrong", "random", "random_pixels", "blob"]
    ranks = comparison.ranks
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
    assert [row.is_control for row in rows] == [False, False, True, True, True]
    assert comparison.measures == list(MEASURES)
    pointing = rows[0].scores[0]
    assert (
        pointing.value == 1 and 0.8 < pointing.low < 0.85 and pointing.high == pytest.approx(1)
    )  # Wilson's, of 19 pictures
    assert pointing.n == 19 and rows[0].scores[-1].n is None  # one time for all pictures
    road, expected = comparison.scores["right"]["road"], mean_interval(comparison.results["right"].values["road"])
    assert (road.value, road.low, road.high, road.n) == (expected.mean, expected.low, expected.high, COUNT)
    assert rows[0].scores[comparison.measures.index("road")] == road


def test_without_masks_what_needs_them_is_left_out():
    explained = ExplainedModel(linear_network(SIDE)[0])
    inputs = np.random.default_rng(1).uniform(0, 255, (3, SIDE, SIDE, 3)).astype(np.float32)
    found = MethodComparison(explained, inputs, [None] * 3, explained, SETTINGS).run({"right": ("The truth", Truth)})
    assert "pointing_game" not in found.measures and "insertion_auc" in found.measures
    np.testing.assert_allclose(found.results["right"].values["randomisation"], 1)  # its layers are the same


# ------------------------------------------------------------------------------------------- what values amount to


def _result(values, is_control=False, scattered=False):
    nothing = Explanation(*(np.zeros((0, 1, 1)),) * 4)
    values = {measure: np.asarray(column, float) for measure, column in values.items()}
    return MethodResult("title", is_control, False, Passes(), nothing, values, scattered)


def _conclude(method, random, blob, pixels=None, scattered=False):
    results = {"method": _result(method, scattered=scattered), "random": _result(random, True)}
    results |= {"random_pixels": _result(pixels, True, True)} if pixels else {}
    return conclude({**results, "blob": _result(blob, True)}, list(method), 5, SETTINGS)


def test_of_fewer_than_five_pictures_nothing_is_said():
    rng = np.random.default_rng(0)
    for n, said in ((1, None), (4, None), (5, True)):
        better, control = {"road": rng.normal(5, 1, n)}, {"road": rng.normal(0, 1, n)}
        assert _conclude(better, control, control).beats_controls("method", "road") is said
        assert _conclude(control, better, better).beats_controls("method", "road") is (said and False)
    # The method has seven values, of which four are the control's too.
    gaps = {"road": [0.1, 0.2, 0.15, np.nan, 0.12, np.nan, np.nan]}
    assert _conclude({"road": np.arange(5.0, 12)}, gaps, gaps).beats_controls("method", "road") is None


def test_one_control_that_is_not_beaten_decides():
    rng = np.random.default_rng(1)
    better, low = {"road": rng.normal(5, 1, 8)}, {"road": rng.normal(0, 1, 8)}
    few = {"road": low["road"][:3]}
    assert _conclude(better, low, few).beats_controls("method", "road") is None
    assert _conclude(low, better, few).beats_controls("method", "road") is False
    small, large, larger = ({"deletion_auc": mean + low["road"]} for mean in (0, 5, 9))
    assert _conclude(small, large, larger).beats_controls("method", "deletion_auc") is True
    assert _conclude(large, small, larger).beats_controls("method", "deletion_auc") is False


def test_hits_are_compared_as_hits():
    """Of six pictures all hit by the method: Wilson's bound is 0.61, so that a control of 0.7 is not beaten."""
    hits, misses = {"pointing_game": np.ones(6)}, {"pointing_game": np.zeros(6)}
    for share, beaten in ((0.5, True), (0.7, False)):
        control = {"pointing_game": np.full(6, share) + 0.001 * np.arange(6)}
        assert _conclude(hits, control, misses).beats_controls("method", "pointing_game") is beaten
    some = {"pointing_game": [0, 0, 1, 1, 1, 1]}
    assert _conclude(hits, misses, misses).beats_controls("method", "pointing_game") is True
    assert _conclude(hits, misses, some).beats_controls("method", "pointing_game") is False


def test_scattered_methods_have_random_pixels_as_rivals_where_pixels_are_removed():
    rng = np.random.default_rng(2)
    values, low, high = ({name: rng.normal(mean, 0.1, 8) for name in ("road", "energy_in_mask")} for mean in (5, 0, 9))
    for scattered, beaten in ((True, False), (False, True)):
        found = _conclude(values, low, low, pixels=high, scattered=scattered)
        assert found.beats_controls("method", "road") is beaten
        assert found.beats_controls("method", "energy_in_mask") is True
    assert {"deletion_auc", "insertion_auc", "road"} < set(REMOVING) < set(MEASURES) - set(NEED_MASKS)


def test_zeros_are_written_without_a_minus():
    assert {MEASURES[name].format.format(-0.0001) for name in MEASURES if name != "seconds_per_image"} == {
        "0.00",
        "0.000",
    }


def test_values_that_are_not_defined_are_no_ranks():
    found = _conclude({"road": [np.nan] * 6}, {"road": np.zeros(6)}, {"road": np.ones(6)})
    assert np.isnan(found.ranks["method"]) and list(found.results) == ["method", "random", "blob"]


# ----------------------------------------------------------------------------------------- how methods are measured


class Recording(Explainer):
    """Maps of an own size; keeps the batches that it was given."""

    passes = Passes(forward=1)

    def __init__(self, model, size=(4, 3), batches=None):
        super().__init__(model)
        self.size, self.batches = size, batches if batches is not None else []

    def compute_maps(self, inputs, class_index, logits):
        self.batches.append(inputs)
        return np.stack([np.resize(one.ravel(), self.size) for one in inputs])


QUICK = ComparisonSettings(steps=1, shares=(0.5,), subsets=2, grid=4, sanity_pictures=3, noise=0.0)


def _measured(count, build, randomised=None, scattered=(), settings=QUICK):
    explained = ExplainedModel(linear_network(SIDE)[0])
    inputs = np.random.default_rng(3).uniform(0, 255, (count, SIDE, SIDE, 3)).astype(np.float32)
    masks = [np.eye(SIDE, dtype=bool)] * count
    return inputs, MethodComparison(explained, inputs, masks, randomised or explained, settings).run(
        build, scattered=scattered
    )


def test_controls_are_as_coarse_as_the_methods():
    build = {
        "layer": ("Layer", Recording),
        "other": ("Other", lambda model: Recording(model, (4, 3))),
        "finer": ("Finer", lambda model: Recording(model, (8, 8))),
        "whole": ("Whole", lambda model: Recording(model, (SIDE, SIDE))),
        "scattered": ("Scattered", lambda model: Recording(model, (SIDE, SIDE))),
    }
    _, found = _measured(3, build, scattered=["scattered"])
    assert found.results["random"].explanation.heatmaps.shape == (3, 4, 3)
    assert found.results["random_pixels"].explanation.heatmaps.shape == (3, SIDE, SIDE)
    assert np.isnan(found.results["random_pixels"].values["energy_in_mask"]).all()
    assert np.isfinite(found.results["random"].values["energy_in_mask"]).all()
    _, found = _measured(3, {"whole": build["whole"]})
    assert list(found.results) == ["whole", "random", "blob"]
    assert found.results["random"].explanation.heatmaps.shape == (3, 7, 7)


def test_the_pictures_that_are_checked_are_spread_over_all():
    batches = []
    inputs, _ = _measured(9, {"method": ("Method", lambda model: Recording(model, batches=batches))})
    copies = batches[2:5]  # after a first one alone and all nine; without noise they are the pictures themselves
    assert [len(batch) for batch in batches] == [1, 9, 1, 1, 1, 3]
    np.testing.assert_array_equal(np.concatenate(copies), inputs[[0, 4, 8]])
    np.testing.assert_array_equal(batches[5], inputs[[0, 4, 8]])


def test_pictures_are_explained_in_batches():
    batches = []
    _measured(40, {"method": ("Method", lambda model: Recording(model, batches=batches))})
    assert [len(batch) for batch in batches[:3]] == [1, 32, 8]


@pytest.mark.parametrize("kind", ["answers", "maps"])
def test_a_randomised_network_whose_values_overflow_says_nothing(kind):
    class Overflowing(Recording):
        def compute_maps(self, inputs, class_index, logits):
            maps = super().compute_maps(inputs, class_index, logits)
            if self.explained is randomised and kind == "maps":
                maps[0] = np.inf
            return maps

    model = linear_network(SIDE)[0]
    if kind == "answers":
        model.set_weights([np.full_like(weights, np.inf) for weights in model.get_weights()])
    randomised = ExplainedModel(model)
    _, found = _measured(6, {"method": ("Method", Overflowing)}, randomised)
    alike = found.results["method"].values["randomisation"]
    assert np.isnan(alike).tolist() == {"answers": [True] * 3, "maps": [True, False, False]}[kind]
    np.testing.assert_allclose(alike[~np.isnan(alike)], 1)  # its maps are of the picture alone
