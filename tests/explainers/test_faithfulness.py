import numpy as np
import pytest

from src.explainers.baselines import removed_picture
from src.explainers.faithfulness import (
    area_under,
    average_drop,
    average_increase,
    correlate,
    deletion_curve,
    draw_subsets,
    explanation_picture,
    insertion_curve,
    mu_fidelity,
    rank_pixels,
    road,
    road_score,
    score_drops,
)
from src.explainers.imputation import noisy_linear_imputation
from src.heatmap_drawing import enlarge_heatmap

SIZE = (10, 20)


class Recorder:
    """A linear score: the weighted sum of all values; it keeps what it was given."""

    def __init__(self, weights):
        self.weights, self.calls = np.asarray(weights, np.float64), []

    def __call__(self, pictures):
        assert pictures.dtype == np.float32
        self.calls.append(pictures)
        return (pictures * self.weights).sum(axis=(1, 2, 3))


def _case(seed=0, size=SIZE):
    generator = np.random.default_rng(seed)
    return generator.random((*size, 3), dtype=np.float32) * 255, generator.normal(size=(*size, 3))


# ------------------------------------------------------------------------------------------------------- order


def test_most_relevant_pixels_rank_first_and_negative_ones_last():
    heatmap = np.array([[0.5, -2.0], [3.0, 0.0]], np.float32)
    np.testing.assert_array_equal(rank_pixels(heatmap, (2, 2)), [[1, 3], [0, 2]])


def test_the_order_is_that_of_the_enlarged_map():
    heatmap = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    ranks = rank_pixels(heatmap, (24, 30))
    values = enlarge_heatmap(heatmap, (24, 30)).ravel()
    assert (np.diff(values[np.argsort(ranks.ravel())]) <= 0).all()
    np.testing.assert_array_equal(np.sort(ranks.ravel()), np.arange(720))


def test_equal_values_favour_no_corner():
    ranks = rank_pixels(np.ones((4, 4), np.float32), (40, 40), seed=1)
    quarters = [ranks[:20, :20], ranks[:20, 20:], ranks[20:, :20], ranks[20:, 20:]]
    for quarter in quarters:  # the mean of 400 of 1600 ranks: 799.5, standard error 20
        assert abs(quarter.mean() - 799.5) < 80
    np.testing.assert_array_equal(ranks, rank_pixels(np.ones((4, 4), np.float32), (40, 40), seed=1))
    assert (ranks != rank_pixels(np.ones((4, 4), np.float32), (40, 40), seed=2)).mean() > 0.9


# ----------------------------------------------------------------------------------------- deletion, insertion


def test_deletion_of_a_sum_by_hand():
    picture, baseline = np.zeros((2, 2, 3), np.float32), np.full((2, 2, 3), 1, np.float32)
    picture[0, 0], picture[0, 1], picture[1, 0] = 8, 4, 2
    heatmap = picture[..., 0]  # the truth
    score = Recorder(np.full((2, 2, 3), 1 / 3))
    curve = deletion_curve(score, picture, heatmap, baseline=baseline, steps=4)
    np.testing.assert_allclose(curve, [14, 7, 4, 3, 4])
    assert area_under(curve) == pytest.approx((7 + 7 + 4 + 3 + 2) / 4)
    assert [len(call) for call in score.calls] == [5]
    np.testing.assert_array_equal(score.calls[0][0], picture)
    np.testing.assert_array_equal(score.calls[0][-1], baseline)


def test_insertion_of_a_sum_by_hand():
    picture, baseline = np.zeros((2, 2, 3), np.float32), np.full((2, 2, 3), 1, np.float32)
    picture[0, 0], picture[0, 1], picture[1, 0] = 8, 4, 2
    score = Recorder(np.full((2, 2, 3), 1 / 3))
    curve = insertion_curve(score, picture, picture[..., 0], baseline=baseline, steps=4)
    np.testing.assert_allclose(curve, [4, 11, 14, 15, 14])
    np.testing.assert_array_equal(score.calls[0][0], baseline)
    np.testing.assert_array_equal(score.calls[0][-1], picture)
    assert len(insertion_curve(score, picture, picture[..., 0], baseline=baseline, steps=2)) == 3


@pytest.mark.parametrize("curve", [deletion_curve, insertion_curve])
def test_ties_depend_on_the_seed_only_where_there_are_any(curve):
    picture, weights = _case()
    score, flat = Recorder(weights), np.ones((5, 5), np.float32)
    strict = np.arange(200, dtype=np.float32).reshape(SIZE)

    def first_steps(heatmap, seed):
        return curve(score, picture, heatmap, baseline=np.zeros_like(picture), seed=seed)[1:-1]

    assert (first_steps(flat, 0) != first_steps(flat, 1)).all()
    np.testing.assert_array_equal(first_steps(strict, 0), first_steps(strict, 1))


def test_the_true_map_deletes_better_than_its_reverse():
    picture, weights = _case()
    score, zero = Recorder(weights), np.zeros_like(picture)
    truth = (picture * weights).sum(axis=2).astype(np.float32)
    areas = {
        sign: [
            area_under(curve(score, picture, sign * truth, baseline=zero))
            for curve in (deletion_curve, insertion_curve)
        ]
        for sign in (1, -1)
    }
    assert areas[1][0] < areas[-1][0] and areas[1][1] > areas[-1][1]
    # Deleting in one order is inserting in the reverse order, read backwards.
    assert areas[1][0] == pytest.approx(areas[-1][1])


def test_area_of_straight_lines():
    assert area_under(np.array([1.0, 0.0])) == 0.5
    assert area_under(np.full(21, 0.3)) == pytest.approx(0.3)
    assert area_under(np.array([1.0, 0.0, 0.0, 0.0, 0.0])) == pytest.approx(0.125)


@pytest.mark.parametrize("curve", [deletion_curve, insertion_curve])
def test_sizes_and_scores_are_checked(curve):
    picture, weights = _case()
    heatmap = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match=r"\(5, 20, 3\)"):
        curve(Recorder(weights), picture, heatmap, baseline=picture[:5])
    with pytest.raises(ValueError, match=r"each of 21 pictures. Received: \(1, 21\)"):
        curve(lambda pictures: np.zeros((1, len(pictures))), picture, heatmap, baseline=picture)


# ------------------------------------------------------------------------------------------------ average drop


def test_explanation_picture_fades_to_its_baseline():
    picture, baseline = np.full((2, 2, 3), 200, np.float32), np.full((2, 2, 3), 100, np.float32)
    heatmap = np.array([[4.0, 1.0], [0.0, -3.0]], np.float32)
    kept = explanation_picture(picture, heatmap, baseline=baseline)
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept[..., 0], [[200, 125], [100, 100]])
    np.testing.assert_allclose(explanation_picture(picture, heatmap, baseline=0 * picture)[..., 0], [[200, 50], [0, 0]])


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_a_map_without_positive_values_keeps_nothing(value):
    picture, _ = _case()
    baseline = removed_picture(picture)
    kept = explanation_picture(picture, np.full((3, 3), value, np.float32), baseline=baseline)
    np.testing.assert_array_equal(kept, baseline)


def test_average_drop_and_increase_by_hand():
    full, kept = np.array([0.8, 0.5, 0.4, 0.0]), np.array([0.2, 0.6, 0.4, 0.3])
    np.testing.assert_allclose(average_drop(full, kept), [0.75, 0, 0, np.nan])
    np.testing.assert_array_equal(average_increase(full, kept), [0, 1, 0, 1])


# -------------------------------------------------------------------------------------------------------- ROAD


def test_road_scores_what_imputation_fills():
    picture, weights = _case()
    heatmap = np.random.default_rng(1).normal(size=SIZE).astype(np.float32)
    score = Recorder(weights)
    most, least = road(score, picture, heatmap, shares=(0.1, 0.5), noise=0.05, seed=7)
    assert [len(call) for call in score.calls] == [4]
    order = np.sort(heatmap.ravel())
    for place, removed in enumerate(
        [heatmap >= order[-20], heatmap >= order[-100], heatmap <= order[19], heatmap <= order[99]]
    ):
        expected = noisy_linear_imputation(picture, removed, noise=0.05, seed=7)
        np.testing.assert_array_equal(score.calls[0][place], expected)
    np.testing.assert_allclose(np.concatenate([most, least]), (score.calls[0] * weights).sum(axis=(1, 2, 3)), rtol=1e-6)


def test_road_follows_seed_noise_and_range():
    picture, weights = _case()
    heatmap = np.arange(200, dtype=np.float32).reshape(SIZE)

    def filled(**options):
        score = Recorder(weights)
        road(score, picture, heatmap, **options)
        return score.calls[0]

    plain = filled()
    np.testing.assert_array_equal(plain, filled(seed=0))
    assert len(plain) == 8 and np.abs(plain - filled(seed=1)).max() > 1
    silent = filled(noise=0.0)
    np.testing.assert_array_equal(silent, filled(noise=0.0, seed=1))  # no equal values, no noise: nothing is drawn
    np.testing.assert_allclose(filled(noise=0.02) - silent, 2 * (plain - silent), atol=1e-3)
    half = filled(value_range=(0.0, 127.5))  # half the noise, but for what a nearer tolerance changes
    np.testing.assert_allclose(half - silent, (plain - silent) / 2, atol=1.0)
    assert np.abs(half - plain).max() > 1


def test_road_prefers_the_map_that_knows():
    picture = np.full((32, 32, 3), 10, np.float32)
    picture[8:16, 8:16] = 200  # all that the score looks at
    weights = np.zeros((32, 32, 3))
    weights[8:16, 8:16] = 1 / (200 * 64 * 3)
    truth = (picture[..., 0] > 100).astype(np.float32)
    knowing, reverse = (road_score(*road(Recorder(weights), picture, sign * truth)) for sign in (1, -1))
    assert knowing > 0.25 and reverse == pytest.approx(-knowing, abs=0.05)
    flat = road_score(*road(Recorder(weights), picture, np.ones((4, 4))))
    assert abs(flat) < 0.1


def test_road_score_is_half_the_mean_difference():
    assert road_score(np.array([0.2, 0.1]), np.array([0.8, 0.7])) == pytest.approx(0.3)


# ------------------------------------------------------------------------------------------------- mu-fidelity


def test_subsets_have_their_share_of_cells():
    subsets = draw_subsets(grid=9, share=0.3, count=500, seed=2)
    assert subsets.shape == (500, 9, 9) and subsets.dtype == bool
    assert (subsets.sum(axis=(1, 2)) == 24).all()
    np.testing.assert_allclose(subsets.mean(axis=0), 24 / 81, atol=0.09)  # a standard error is 0.02
    np.testing.assert_array_equal(subsets, draw_subsets(grid=9, share=0.3, count=500, seed=2))
    assert (subsets != draw_subsets(grid=9, share=0.3, count=500, seed=3)).any()
    assert draw_subsets().shape == (128, 14, 14) and draw_subsets().sum() == 128 * 39


def test_drops_of_a_sum_are_the_removed_contributions():
    picture, weights = _case()
    baseline = np.full_like(picture, 50)
    subsets = np.zeros((70, 2, 2), bool)
    subsets[0, 0, 1] = subsets[1, 1, 0] = subsets[1, 1, 1] = True  # more than one batch; the others remove nothing
    score = Recorder(weights)
    drops = score_drops(score, picture, subsets, baseline=baseline)
    parts = (weights * (picture - baseline)).sum(axis=2)
    expected = np.zeros(70)
    expected[:2] = parts[:5, 10:].sum(), parts[5:].sum()
    np.testing.assert_allclose(drops, expected, atol=1e-6)
    assert [len(call) for call in score.calls] == [1, 64, 6]


@pytest.mark.parametrize("size", [(28, 28), (23, 37)])  # even cells, uneven cells
def test_mu_fidelity_is_one_where_the_score_is_a_sum_and_the_map_its_parts(size):
    picture, weights = _case(size=size)
    baseline = removed_picture(picture)
    subsets = draw_subsets(grid=7, count=40)
    drops = score_drops(Recorder(weights), picture, subsets, baseline=baseline)
    parts = (weights * (picture - baseline)).sum(axis=2)
    assert mu_fidelity(parts, subsets, drops, size) == pytest.approx(1, abs=1e-6)
    assert mu_fidelity(-3 * parts, subsets, drops, size) == pytest.approx(-1, abs=1e-6)
    other = np.random.default_rng(5).normal(size=size)
    assert abs(mu_fidelity(other, subsets, drops, size)) < 0.6


def test_mu_fidelity_by_hand():
    subsets = np.array([[[1, 0], [0, 0]], [[0, 1], [0, 0]], [[0, 0], [1, 1]]], bool)
    heatmap = np.array([[1, 2], [3, 3]], np.float32)  # sums 1, 2, 6
    assert mu_fidelity(heatmap, subsets, np.array([0, 3, 3]), (2, 2)) == pytest.approx(6 / np.sqrt(14 * 6))


def test_a_constant_map_or_score_has_no_fidelity():
    subsets = draw_subsets(grid=3, count=10)
    drops = np.arange(10.0)
    for size in ((9, 9), (10, 11)):  # uneven cells give a constant map uneven sums
        assert mu_fidelity(np.full((4, 4), 0.1, np.float32), subsets, drops, size) == 0.0
        assert mu_fidelity(np.arange(16.0).reshape(4, 4), subsets, np.full(10, 0.3), size) == 0.0


def test_a_grid_finer_than_the_picture_is_refused():
    picture, weights = _case()
    subsets = draw_subsets(grid=11, count=2)
    with pytest.raises(ValueError, match=r"11 x 11 cells does not fit. Received: \(10, 20\)"):
        score_drops(Recorder(weights), picture, subsets, baseline=picture)
    with pytest.raises(ValueError, match="11 x 11"):
        mu_fidelity(np.arange(4.0).reshape(2, 2), subsets, np.arange(2), SIZE)


def test_correlation_is_that_of_numpy():
    first, second = np.random.default_rng(0).normal(size=(2, 30))
    assert correlate(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert correlate(1e-20 * first, second) == pytest.approx(correlate(first, second))
    assert correlate(first, np.full(30, 0.1)) == 0.0
