import numpy as np
import pytest
from scipy.stats import spearmanr

from src.explainers.sanity import map_likeness, map_similarity, map_structure, max_sensitivity, noisy_copies


def test_noise_is_uniform_within_its_radius():
    picture = np.full((30, 30, 3), 100, np.float32)
    copies = noisy_copies(picture, radius_share=0.1, count=6, seed=1)
    assert copies.shape == (6, 30, 30, 3) and copies.dtype == np.float32
    noise = (copies - 100) / 25.5
    assert np.abs(noise).max() <= 1 + 1e-6
    shares, _ = np.histogram(noise, bins=4, range=(-1, 1))
    np.testing.assert_allclose(shares / noise.size, 0.25, atol=0.02)  # a standard error is 0.0034
    np.testing.assert_array_equal(copies, noisy_copies(picture, radius_share=0.1, count=6, seed=1))
    assert (copies != noisy_copies(picture, radius_share=0.1, count=6, seed=2)).mean() > 0.99
    assert (copies[0] != copies[1]).mean() > 0.99


def test_noise_is_relative_to_the_range_and_stays_in_it():
    picture = np.zeros((20, 20, 3), np.float32)
    copies = noisy_copies(picture, radius_share=0.5)
    assert len(copies) == 10 and copies.min() == 0 and 120 < copies.max() <= 127.5
    assert (copies == 0).mean() == pytest.approx(0.5, abs=0.03)  # all that would lie below
    narrow = noisy_copies(picture, radius_share=0.5, value_range=(-0.25, 1.0))
    assert narrow.min() == -0.25 and 0.6 < narrow.max() <= 0.625


def test_max_sensitivity_by_hand():
    heatmap = np.array([[3.0, 4.0]])  # of length 5
    noisy = [heatmap + [[0, 1.0]], heatmap - [[3.0, 4.0]], heatmap]
    assert max_sensitivity(heatmap, noisy) == pytest.approx(1.0)
    assert max_sensitivity(heatmap, noisy[::2]) == pytest.approx(0.2)
    assert max_sensitivity(10 * heatmap, [10 * other for other in noisy]) == pytest.approx(1.0)
    assert max_sensitivity(heatmap, [heatmap]) == 0.0


def test_sensitivity_of_a_map_without_length_is_not_defined():
    assert np.isnan(max_sensitivity(np.zeros((2, 2)), np.ones((3, 2, 2))))
    assert np.isnan(max_sensitivity(np.ones((2, 2)), np.ones((0, 2, 2))))


def test_similarity_is_spearmans_with_equal_values_at_their_mean_rank():
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 5, (2, 8, 8)).astype(float)
    assert map_similarity(first, second) == pytest.approx(spearmanr(first.ravel(), second.ravel()).statistic)
    # By hand: ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4.
    value = map_similarity(np.array([[0, 7], [7, 9]]), np.array([[1, 2], [3, 4]]))
    assert value == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_similarity_looks_at_order_alone():
    first = np.random.default_rng(1).normal(size=(7, 7))
    assert map_similarity(first, np.exp(first)) == pytest.approx(1)
    assert map_similarity(first, -(first**3)) == pytest.approx(-1)
    assert map_similarity(first, -first, absolute=True) == pytest.approx(1)


def test_likeness_is_the_amount_on_a_common_grid():
    first, second = np.random.default_rng(4).normal(size=(2, 14, 14))
    expected = abs(spearmanr(first.ravel(), second.ravel()).statistic)
    assert map_likeness(first, second) == pytest.approx(expected)
    assert map_likeness(first, -second) == pytest.approx(expected)  # an inverted map is as much the picture's
    # Single pixels count by the mean of their cell: 3 x 3 pixels here, with noise whose sum is 0 in each cell.
    noise = np.random.default_rng(5).normal(size=(14, 14, 9))
    noise = (noise - noise.mean(axis=2, keepdims=True)).reshape(14, 14, 3, 3).swapaxes(1, 2).reshape(42, 42)
    fine = np.kron(first, np.ones((3, 3))) + 100 * noise
    assert map_likeness(fine, first) == pytest.approx(1, abs=1e-3)
    # Two cells in a row, brought to 14 columns, are in the order of a ramp.
    assert map_likeness(np.array([[0.0, 1.0]]), np.tile(np.arange(14.0), (14, 1))) > 0.9


def test_maps_that_are_not_finite_are_like_nothing():
    first = np.random.default_rng(6).normal(size=(7, 7))
    broken = first.copy()
    broken[2, 3] = np.inf
    assert np.isnan(map_likeness(first, broken)) and np.isnan(map_likeness(np.full((7, 7), np.nan), first))


def test_constant_maps_are_like_nothing():
    first, flat = np.random.default_rng(2).normal(size=(7, 7)), np.full((7, 7), 0.1)
    assert np.isnan([map_similarity(first, flat), map_similarity(flat, flat), map_likeness(flat, first)]).all()
    assert map_structure(first, flat) == map_structure(flat, flat) == 0.0
    assert np.isnan(map_similarity(np.sign(first), first, absolute=True))  # constant in absolute value


def test_structure_of_known_maps():
    first = np.random.default_rng(3).random((12, 12))
    assert map_structure(first, first) == pytest.approx(1)
    assert map_structure(first, 5 * first - 2) == pytest.approx(1)  # each on its own scale
    assert map_structure(first, -first) < -0.5
    # One window of 3 x 3, by SSIM's definition with sample variances.
    small, other = np.arange(9.0).reshape(3, 3) / 8, np.eye(3)
    covariance = np.cov(small.ravel(), other.ravel())
    means, (c1, c2) = (small.mean(), other.mean()), (0.01**2, 0.03**2)
    expected = (2 * means[0] * means[1] + c1) * (2 * covariance[0, 1] + c2)
    expected /= (means[0] ** 2 + means[1] ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
    assert map_structure(small, other) == pytest.approx(expected)


def test_maps_must_be_of_one_size():
    for measure in (map_similarity, map_structure):
        with pytest.raises(ValueError, match=r"Received: \(3, 3\), \(3, 4\)"):
            measure(np.ones((3, 3)), np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"at least 3 x 3. Received: \(2, 5\)"):
        map_structure(np.eye(5)[:2], np.eye(5)[:2])
