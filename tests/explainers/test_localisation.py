import numpy as np
import pytest

from src.explainers.controls import center_blob, random_map
from src.explainers.localisation import (
    describe_strength,
    energy_on_object,
    peak_on_object,
    peak_position,
)

MASK = np.array([[0, 0, 0], [0, 1, 1], [0, 0, 0]], bool)


def test_peak_without_tolerance():
    heatmap = np.zeros((3, 3), np.float32)
    heatmap[1, 2] = 2.0
    assert peak_position(heatmap) == (1, 2) and peak_on_object(heatmap, MASK)
    heatmap[0, 2] = 2.5  # the next pixel, off the object
    assert peak_position(heatmap) == (0, 2) and not peak_on_object(heatmap, MASK)


def test_equal_peaks_count_in_their_middle():
    heatmap = np.zeros((5, 5), np.float32)
    heatmap[:3, :3] = 1.0
    assert peak_position(heatmap) == (1, 1)


def test_energy_is_the_share_of_positive_values():
    heatmap = np.array([[1, 0, 0], [0, 2, 1], [-5, 0, 0]], np.float32)
    assert energy_on_object(heatmap, MASK) == pytest.approx(0.75)
    assert energy_on_object(heatmap, ~MASK) == pytest.approx(0.25)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_map_without_positive_values_is_a_miss(value):
    heatmap = np.full((3, 3), value, np.float32)
    assert peak_position(heatmap) is None
    assert not peak_on_object(heatmap, np.ones((3, 3), bool))
    assert energy_on_object(heatmap, np.ones((3, 3), bool)) == 0.0


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"Received: \(2, 2\), \(3, 3\)"):
        peak_on_object(np.ones((2, 2)), MASK)


def test_blob_is_centred_and_a_quarter_wide():
    blob = center_blob((9, 13))
    assert peak_position(blob) == (4, 6) and blob[4, 6] == 1.0
    np.testing.assert_allclose(blob, blob[::-1, ::-1], rtol=1e-6)
    assert blob[0, 6] == pytest.approx(np.exp(-0.5 * (4 / (9 / 4)) ** 2))


def test_random_map_is_uniform_and_a_function_of_its_seed():
    drawn = random_map(cells=(100, 100), seed=3)
    assert drawn.shape == (100, 100) and drawn.dtype == np.float32
    shares, _ = np.histogram(drawn, bins=4, range=(0, 1))
    np.testing.assert_allclose(shares / 10_000, 0.25, atol=0.02)  # a standard error is 0.0043
    np.testing.assert_array_equal(drawn, random_map(cells=(100, 100), seed=3))
    assert (drawn != random_map(cells=(100, 100), seed=4)).mean() > 0.99
    assert random_map().shape == (7, 7)


def test_strength_in_figures():
    heatmaps = np.zeros((4, 2, 2), np.float32)
    heatmaps[1:, 0, 0] = [4, 8, 12]
    strength = describe_strength(heatmaps)
    assert strength["n"] == 4 and strength["zero_maps"] == 1
    assert (strength["mean_mean"], strength["max_mean"]) == (1.5, 6.0)
    assert (strength["max_lower"], strength["max_median"], strength["max_upper"]) == (3.0, 6.0, 9.0)
    nothing = describe_strength(heatmaps[:0])
    assert nothing["n"] == 0 and np.isnan(nothing["max_median"])
