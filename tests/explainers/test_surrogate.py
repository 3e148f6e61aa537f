"""LIME and Kernel SHAP against closed forms: linear and additive games, Shapley's own formula, exact sums."""

from itertools import permutations
from math import comb

import numpy as np
import pytest

from src.errors import UserError
from src.explainers import surrogate
from src.explainers.baselines import REMOVALS, removed_picture
from src.explainers.surrogate import (
    kernel_shap_values,
    lime_values,
    score_coalitions,
    segment_picture,
    shapley_coalitions,
    values_to_map,
)

EXPLAIN = {"lime": lime_values, "kernel_shap": kernel_shap_values}


def strips(count):
    """Segments side by side, one pixel wide and two high."""
    return np.tile(np.arange(count), (2, 1))


def game(worth, count):
    """A picture of ones, a baseline of zeros and a score that reads off a coalition (K,) and asks ``worth`` for it."""
    picture = np.ones((2, count, 3), np.float32)

    def score(batch):
        assert np.array_equal(batch[:, 0], batch[:, 1]) and set(np.unique(batch)) <= {0, 1}  # whole segments only
        return np.array([worth(row) for row in batch[:, 0, :, 0]])

    return score, picture, strips(count), np.zeros_like(picture)


def shapley_by_hand(worth, count):
    """Each segment's gain on joining, averaged over all orders in which the segments may come."""
    values, orders = np.zeros(count), list(permutations(range(count)))
    for order in orders:
        kept = np.zeros(count, np.float32)
        for segment in order:
            before = worth(kept)
            kept[segment] = 1
            values[segment] += worth(kept) - before
    return values / len(orders)


def tangled(kept):
    """Not additive: products of two and three segments, a square, and one that counts only where another is gone."""
    return (
        2.0 * kept[0] * kept[1] - 3.0 * kept[1] * kept[2] * kept[3] + (kept @ np.arange(1, len(kept) + 1)) ** 2 / 10
        + kept[3] * (1 - kept[0]) + 0.5
    )  # fmt: skip


def teams(members, seed, count):
    """A game in which every two (or three) segments together are worth something of their own, and its Shapley values:
    each of a team gets an equal part."""
    drawn = np.random.default_rng(seed).normal(size=(count,) * members)
    drawn *= np.all(np.diff(np.indices(drawn.shape), axis=0) > 0, axis=0)  # each team once

    def worth(kept):
        total = drawn
        for _ in range(members):
            total = total @ kept
        return float(total) - 2.0

    others = [tuple(a for a in range(members) if a != axis) for axis in range(members)]
    return worth, sum(drawn.sum(axis=rest) for rest in others) / members


# ------------------------------------------------------------------------------------------------ segments


@pytest.fixture(scope="module")
def photograph():
    """Four quadrants in different colours under faint noise, RGB 0..255."""
    picture = np.random.default_rng(0).normal(0, 4, (40, 48, 3)) + 100
    picture[:20, :24] += [90, -40, -40]
    picture[20:, 24:] += [-60, 60, 10]
    return np.clip(picture, 0, 255).astype(np.float32)


def test_segments_are_numbered_without_gaps_and_follow_edges(photograph):
    segments = segment_picture(photograph, segments=16)
    assert segments.shape == (40, 48)
    assert np.array_equal(np.unique(segments), np.arange(segments.max() + 1))
    quadrant = np.zeros((40, 48), int)
    quadrant[:20, :24], quadrant[20:, 24:] = 1, 2
    purity = [np.bincount(quadrant[segments == label]).max() for label in range(segments.max() + 1)]
    assert sum(purity) / quadrant.size > 0.95
    assert np.array_equal(segments, segment_picture(photograph, segments=16))


def test_segments_do_not_depend_on_the_range_but_on_their_number(photograph):
    segments = segment_picture(photograph, segments=16)
    assert np.array_equal(segments, segment_picture(photograph / 127.5 - 1, segments=16))
    assert segment_picture(photograph, segments=60).max() > 2 * segments.max()
    assert len(np.unique(segment_picture(np.full((20, 20, 3), 7.0), segments=4))) > 1  # one colour: a plain grid
    with pytest.raises(UserError, match="at least 2 segments.*1"):
        segment_picture(photograph, segments=1)


def test_a_map_repeats_each_value_over_its_segment():
    heatmap = values_to_map(np.array([0.5, -2.0]), np.array([[0, 1], [1, 1]]))
    assert heatmap.dtype == np.float32
    assert np.array_equal(heatmap, [[0.5, -2.0], [-2.0, -2.0]])


# ------------------------------------------------------------------------------------------------ coalitions


def test_coalitions_are_made_in_chunks_of_whole_segments():
    rng = np.random.default_rng(1)
    picture, baseline = rng.normal(size=(2, 5, 6, 3)).astype(np.float32)
    segments = rng.integers(0, 4, (5, 6))
    coalitions = rng.integers(0, 2, (70, 4)).astype(bool)
    batches = []

    def score(batch):
        batches.append(batch)
        return np.arange(sum(map(len, batches[:-1])), sum(map(len, batches)), dtype=np.float32)

    assert np.array_equal(score_coalitions(score, picture, segments, baseline, coalitions), np.arange(70.0))
    assert [len(batch) for batch in batches] == [32, 32, 6] and batches[0].dtype == np.float32
    for made, coalition in zip(np.concatenate(batches), coalitions):
        for row, column in np.ndindex(5, 6):
            expected = (picture if coalition[segments[row, column]] else baseline)[row, column]
            assert np.array_equal(made[row, column], expected)


@pytest.mark.parametrize("method", EXPLAIN)
def test_what_does_not_fit_is_said(method):
    score, picture, segments, baseline = game(lambda kept: np.nan, 4)
    with pytest.raises(UserError, match="not finite"):
        EXPLAIN[method](score, picture, segments, baseline, samples=10)
    with pytest.raises(UserError, match="at least 2 samples.*1"):
        EXPLAIN[method](score, picture, segments, baseline, samples=1)
    with pytest.raises(ValueError, match="one size"):
        EXPLAIN[method](score, picture, segments[:, 1:], baseline, samples=10)
    with pytest.raises(ValueError, match="one score for each"):
        EXPLAIN[method](lambda batch: np.zeros((len(batch), 2)), picture, segments, baseline, samples=10)


@pytest.mark.parametrize("method", EXPLAIN)
def test_equal_coalitions_are_asked_once(method):
    asked = []
    score, *pictures = game(lambda kept: asked.append(tuple(kept)) or sum(kept), 4)
    EXPLAIN[method](score, *pictures, samples=500)
    assert len(asked) == len(set(asked)) == 16


# ------------------------------------------------------------------------------------------------ Kernel SHAP


@pytest.mark.parametrize("count, samples", [(1, 2), (2, 2), (3, 6), (5, 30), (12, 100), (40, 90)])
def test_an_additive_model_gives_weight_times_difference(count, samples):
    """f(x) = sum_p w_p x_p: a segment's value is the sum of w_p (x_p - b_p) over its pixels."""
    rng = np.random.default_rng(count)
    picture, baseline, weights = rng.normal(size=(3, 4, count, 3)).astype(np.float32)
    segments = np.tile(np.arange(count), (4, 1))
    values = kernel_shap_values(
        lambda batch: np.einsum("mhwc,hwc->m", batch.astype(np.float64), weights),
        picture, segments, baseline, samples=samples,
    )  # fmt: skip
    expected = (weights.astype(np.float64) * (picture - baseline)).sum(axis=(0, 2))
    np.testing.assert_allclose(values, expected, atol=1e-5)


@pytest.mark.parametrize("count", [4, 5, 6])
def test_all_coalitions_give_the_shapley_values(count):
    expected = shapley_by_hand(tangled, count)
    for samples in (2**count - 2, 10**6):
        values = kernel_shap_values(*game(tangled, count), samples=samples)
        np.testing.assert_allclose(values, expected, atol=1e-12)
    few = kernel_shap_values(*game(tangled, count), samples=8)
    assert np.allclose(few, expected) == (count == 4)  # by symmetry, of four segments those of one and three suffice


@pytest.mark.parametrize("samples", [2, 3, 7, 24, 25, 100, 601])
def test_values_always_sum_to_the_difference_of_the_ends(samples):
    worth, _ = teams(3, 3, 12)
    values = kernel_shap_values(*game(worth, 12), samples=samples)
    total = worth(np.ones(12)) - worth(np.zeros(12))
    assert values.sum() == pytest.approx(total, abs=1e-12)
    strong = kernel_shap_values(*game(lambda kept: 1e6 * worth(kept), 12), samples=samples)
    assert strong.sum() == pytest.approx(1e6 * total, rel=1e-12)


def test_players_that_do_the_same_get_the_same_and_idle_ones_nothing():
    values = kernel_shap_values(*game(lambda kept: 6 * kept[0] * kept[1] * kept[2] + 5 * kept[3] + 1, 6), samples=62)
    np.testing.assert_allclose(values, [2, 2, 2, 5, 0, 0], atol=1e-12)


def test_more_samples_come_nearer():
    worth, expected = teams(3, 8, 14)
    errors = [np.abs(kernel_shap_values(*game(worth, 14), samples=n) - expected).mean() for n in (40, 400, 4000)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0
    np.testing.assert_allclose(kernel_shap_values(*game(worth, 14), samples=2**14), expected, atol=1e-10)


def test_pairs_of_complements_make_teams_of_two_exact():
    worth, expected = teams(2, 2, 9)
    np.testing.assert_allclose(kernel_shap_values(*game(worth, 9), samples=120), expected, atol=1e-10)


def test_sizes_are_taken_whole_from_outside_inwards_and_drawn_within():
    """Ten segments: shares 2/9, 2/16, 2/21, 2/24 and 1/25 (halves together); of 150 samples the outermost 20 fit, and
    of the 130 left the next 90 do not (their share pays for 47)."""
    coalitions, weights = shapley_coalitions(10, 150, seed=4)
    sizes = coalitions.sum(axis=1)
    assert len(coalitions) == 150 == len(np.unique(coalitions, axis=0))
    assert sizes.min() == 1 and sizes.max() == 9
    shares = np.array([2 / 9, 2 / 16, 2 / 21, 2 / 24, 1 / 25])
    shares /= shares.sum()
    assert np.sum(sizes == 1) == np.sum(sizes == 9) == 10
    np.testing.assert_allclose(weights[(sizes == 1) | (sizes == 9)], shares[0] / 20)
    assert weights.sum() == pytest.approx(1)
    rows = {tuple(row): weight for row, weight in zip(coalitions, weights)}
    assert all(rows[tuple(~np.array(row))] == weight for row, weight in rows.items())


def test_what_is_drawn_again_counts_again():
    """Six segments, 50 samples: shares 2/5, 2/8, 1/9; the 12 outermost fit, and of the other 25 pairs 19 are drawn."""
    shares = np.array([2 / 5, 2 / 8, 1 / 9])
    shares /= shares.sum()
    found = []
    for seed in range(200):
        coalitions, weights = shapley_coalitions(6, 50, seed)
        sizes = coalitions.sum(axis=1)
        assert len(np.unique(coalitions, axis=0)) == len(coalitions) <= 50
        times = weights[12:] / weights[12:].min()
        np.testing.assert_allclose(times, times.round(), atol=1e-9)
        found.append([weights[np.minimum(sizes, 6 - sizes) == s].sum() for s in (1, 2, 3)])
    np.testing.assert_allclose(np.mean(found, axis=0), shares, atol=0.02)


def test_coalitions_of_one_size_are_drawn_by_the_kernel():
    """With one pair a seed: how often the smaller of the two sizes is s must follow the shares."""
    count, seeds = 7, 1500
    drawn = [shapley_coalitions(count, 2, seed)[0] for seed in range(seeds)]
    smaller = np.array([coalitions.sum(axis=1).min() for coalitions in drawn])
    shares = np.array([1 / (s * (count - s)) for s in (1, 2, 3)])
    expected = shares / shares.sum()
    found = np.array([np.mean(smaller == s) for s in (1, 2, 3)])
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / seeds)
    kept = np.mean([coalitions[np.argmin(coalitions.sum(axis=1))] for coalitions in drawn], axis=0)
    assert np.abs(kept - kept.mean()).max() < 4 * np.sqrt(0.25 / seeds)  # no segment is favoured


def test_all_coalitions_weigh_as_the_shapley_kernel():
    """Theorem 2: (K - 1) / (C(K, s) s (K - s)), here up to a common factor."""
    coalitions, weights = shapley_coalitions(6, 62, seed=0)
    assert len(coalitions) == 62
    kernel = np.array([5 / (comb(6, s) * s * (6 - s)) for s in coalitions.sum(axis=1)])
    np.testing.assert_allclose(weights, kernel / kernel.sum())


# ------------------------------------------------------------------------------------------------ LIME


def test_of_a_linear_model_lime_finds_the_weights_as_the_ridge_vanishes():
    weights = np.array([3.0, -2.0, 0.0, 0.5, 1.0])
    pictures = game(lambda kept: kept @ weights + 7, 5)
    np.testing.assert_allclose(lime_values(*pictures, samples=300, ridge=0.0), weights, atol=1e-10)
    errors = [np.abs(lime_values(*pictures, samples=300, ridge=ridge) - weights).max() for ridge in (1e-2, 1.0, 100.0)]
    assert 0 < errors[0] < 0.01 * errors[1] * 2 and errors[1] < 0.3 < errors[2]


def test_lime_is_the_weighted_ridge_regression_of_its_formula():
    """By the normal equations with a column of ones for the intercept, which is not shrunk, over all drawn rows."""
    count, samples, width, ridge, asked = 6, 40, 0.4, 0.7, []
    score, *pictures = game(lambda kept: asked.append(kept) or tangled(kept), count)
    values = lime_values(score, *pictures, samples=samples, kernel_width=width, ridge=ridge, seed=9)
    drawn = surrogate.random_generator(9).integers(0, 2, (samples, count)).astype(float)
    drawn[0] = 1
    assert {tuple(row) for row in asked} == {tuple(row) for row in drawn}
    cosine = drawn.sum(axis=1) / np.sqrt(count * np.maximum(drawn.sum(axis=1), 1))
    nearness = np.diag(np.exp(-((1 - cosine) ** 2) / (2 * width**2)))
    columns = np.column_stack([drawn, np.ones(samples)])
    shrink = np.diag([ridge] * count + [0.0])
    answers = np.array([tangled(row) for row in drawn])
    expected = np.linalg.solve(columns.T @ nearness @ columns + shrink, columns.T @ nearness @ answers)
    np.testing.assert_allclose(values, expected[:-1], atol=1e-10)


def test_lime_refuses_values_without_meaning():
    pictures = game(sum, 8)
    for wrong in ({"kernel_width": 0.0}, {"ridge": -1.0}):
        with pytest.raises(UserError, match="Received: 50"):
            lime_values(*pictures, samples=50, **wrong)
    with pytest.raises(UserError, match="width 0.001 leaves every drawn picture out"):
        lime_values(*pictures, samples=50, kernel_width=0.001)


# ------------------------------------------------------------------------------------------------ both


@pytest.mark.parametrize("method", EXPLAIN)
def test_every_parameter_matters_and_nothing_else(method):
    pictures = game(teams(3, 1, 14)[0], 14)
    plain = EXPLAIN[method](*pictures, samples=60, seed=3)
    state = np.random.get_state()[1].copy()
    assert np.array_equal(plain, EXPLAIN[method](*pictures, samples=60, seed=3))
    assert np.array_equal(state, np.random.get_state()[1])
    changes = [{"samples": 90}, {"seed": 4}]
    if method == "lime":
        changes += [{"kernel_width": 0.5}, {"ridge": 2.0}]
    for change in changes:
        assert not np.allclose(plain, EXPLAIN[method](*pictures, **({"samples": 60, "seed": 3} | change)), atol=1e-4)
    score, picture, segments, baseline = pictures
    assert not np.allclose(plain, EXPLAIN[method](lambda b: score(b) ** 2, *pictures[1:], samples=60, seed=3))
    coarser = EXPLAIN[method](score, picture, segments // 2, baseline, samples=60, seed=3)
    assert coarser.shape == (7,)
    reading = lambda batch: batch.astype(np.float64).sum(axis=(1, 2, 3))  # noqa: E731
    one, half = (
        EXPLAIN[method](reading, picture, segments, np.full_like(picture, value), samples=60, seed=3)
        for value in (0.0, 0.5)
    )
    np.testing.assert_allclose(half, one / 2, atol=1e-9)


@pytest.mark.parametrize("kind", REMOVALS)
def test_what_is_removed_matters(kind, photograph):
    """A score that reads the brightness: each segment's value is what its removal takes of it."""
    segments = segment_picture(photograph, segments=9)
    baseline = removed_picture(photograph, kind)
    values = kernel_shap_values(
        lambda batch: batch.mean(axis=(1, 2, 3), dtype=np.float64), photograph, segments, baseline, samples=4000
    )
    difference = (photograph.astype(np.float64) - baseline).mean(axis=-1)
    expected = np.bincount(segments.ravel(), difference.ravel()) / segments.size
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert np.abs(values).max() > 1e-3
