"""A mark that recurs is found, things that are merely of a kind are not."""

import numpy as np
import pytest

from src.explainers.repeated import SIDE, find_repeated


def _pictures(count: int, marked: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Noise, each picture its own; in the first ones the same mark, and the maps' peaks about there."""
    mark = np.random.default_rng(99).integers(0, 256, (32, 32, 3), np.uint8)
    images, heatmaps = [], np.zeros((count, 7, 7), np.float32)
    for number in range(count):
        rng = np.random.default_rng(number)
        image = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        row, column = rng.integers(1, 5, 2)
        if number < marked:
            top, left = 16 * row + rng.integers(-3, 4), 16 * column + rng.integers(-3, 4)
            image[top : top + 32, left : left + 32] = mark
        heatmaps[number, row, column] = 1 + rng.random()
        images.append(image)
    return images, heatmaps


def test_a_mark_in_most_pictures_is_found():
    found, place = find_repeated(*_pictures(11, 8))
    assert found.mean == pytest.approx(7 / 10) and found.n == 10 and place < 8
    assert found.low < 0.7 < found.high


def test_different_pictures_share_nothing():
    found, place = find_repeated(*_pictures(8, 0))
    assert found.mean == 0 and found.n == 7 and place is not None


def test_smooth_patches_are_no_mark():
    slopes = [np.broadcast_to(np.linspace(0, 100 + n, SIDE)[:, None, None], (SIDE, SIDE, 3)) for n in range(6)]
    flat = [np.full((SIDE, SIDE, 3), 40 * n) for n in range(6)]
    heatmaps = np.zeros((6, 7, 7))
    heatmaps[:, 3, 3] = 1
    for images in (slopes, flat):
        assert find_repeated([image.astype(np.uint8) for image in images], heatmaps)[0].mean == 0


@pytest.mark.parametrize("count", [0, 1])
def test_of_fewer_than_two_peaks_nothing_can_be_said(count):
    images, heatmaps = _pictures(3, 3)
    heatmaps[count:] = 0
    found, place = find_repeated(images, heatmaps)
    assert np.isnan(found.mean) and place is None
    assert find_repeated([], np.empty((0, 7, 7)))[1] is None


def test_of_a_group_one_picture_counts():
    images, heatmaps = _pictures(12, 8)  # the marked ones as of one burst
    found, _ = find_repeated(images, heatmaps, groups=[0] * 8 + [1, 2, 3, 4])
    assert found.mean == 0 and found.n == 4
    pairs, place = find_repeated(images, heatmaps, groups=[0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7])
    assert pairs.n == 7 and pairs.mean == pytest.approx(3 / 7) and place < 8, "what recurs in other groups is found"


def test_a_group_is_not_lost_with_its_picture_without_a_peak():
    images, heatmaps = _pictures(6, 6)
    heatmaps[[0, 2, 4]] = 0
    found, place = find_repeated(images, heatmaps, groups=[0, 0, 1, 1, 2, 2])
    assert found.mean == 1 and found.n == 2 and place in (1, 3, 5)
    alone, place = find_repeated(images, heatmaps, groups=[0] * 6)
    assert np.isnan(alone.mean) and place is None
