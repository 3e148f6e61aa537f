"""What decides, on pictures where it is known by construction: bright blocks, and a judge that counts bright pixels."""

import numpy as np
import pytest

from src.errors import UserError
from src.explainers.covering import choose_covered, cover, hottest_region, measure_covering, move_region
from src.explainers.covering_words import VIEWS
from src.imaging import ImageError

SIZE = (32, 32)
TOP_LEFT = np.array([[4.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, -1]], np.float32)


def test_the_hottest_region_is_that_share_of_the_picture():
    rising = np.arange(16, dtype=np.float32).reshape(4, 4) + 1
    region = hottest_region(rising, SIZE, 0.25)
    assert region.shape == SIZE and region.mean() == pytest.approx(0.25, abs=0.02)
    assert region[-1].all() and not region[:16].any()  # rows rise by 4, columns by 1
    assert hottest_region(rising, SIZE, 0.5).sum() > region.sum()


def test_no_more_than_what_is_positive_is_hot():
    region = hottest_region(TOP_LEFT, SIZE, 0.5)
    # Enlarged bilinearly, the cell of 8 pixels is positive up to the centres of its neighbours, at 12.
    assert region[:12, :12].all() and region.sum() == 144


@pytest.mark.parametrize("heatmap", [np.zeros((4, 4)), -np.ones((4, 4)), np.ones((4, 4))])
def test_a_map_without_evidence_or_alike_everywhere_has_none(heatmap):
    assert hottest_region(heatmap, SIZE) is None


def test_scattered_pixels_hold_together():
    heatmap = np.zeros((224, 224), np.float32)
    heatmap[:112:4, :112:4] = 1  # single pixels in one quarter
    region = hottest_region(heatmap, (224, 224), 0.25)
    assert region[:100, :100].mean() > 0.95 and region[120:].sum() == 0


def test_the_control_is_as_large_and_elsewhere():
    region = hottest_region(TOP_LEFT, SIZE, 0.25)
    moved = [move_region(region, 42, picture) for picture in range(8)]
    assert all(each.sum() == region.sum() for each in moved)
    assert np.array_equal(moved[3], move_region(region, 42, 3))
    assert len({each.tobytes() for each in moved}) == 8 and not np.array_equal(moved[3], move_region(region, 43, 3))


def test_what_is_covered_is_filled_from_around():
    picture = np.full((*SIZE, 3), 80, np.float32)
    region = hottest_region(TOP_LEFT, SIZE)
    picture[region] = 250
    filled = cover(picture, region)
    assert np.abs(filled[region] - 80).max() < 15 and np.array_equal(filled[~region], picture[~region])


def test_every_predicted_class_has_its_share_of_the_pictures():
    predicted = np.array([0] * 90 + [1] * 3 + [4] * 7)
    chosen = choose_covered(predicted, 12, seed=1)
    assert np.bincount(predicted[chosen]).tolist() == [5, 3, 0, 0, 4]
    assert np.array_equal(chosen, np.unique(chosen)) and not np.array_equal(chosen, choose_covered(predicted, 12, 2))
    assert choose_covered(predicted, 500).tolist() == list(range(100))


def _block(picture: np.ndarray, row: int, column: int) -> None:
    picture[row : row + 8, column : column + 8] = 250


def _judge(inputs: np.ndarray) -> np.ndarray:
    """Class 1 where at least 40 pixels of 1,024 are bright, all but sure."""
    bright = (inputs[..., 0] > 200).sum(axis=(1, 2))
    return np.where(bright[:, None] >= 40, [[0.1, 0.9]], [[0.8, 0.2]]).astype(np.float32)


@pytest.fixture
def pictures():
    """By name: the block below the map's peak; there and elsewhere; half a block at each place; elsewhere alone; one
    without a region."""
    made = {name: np.full((*SIZE, 3), 60, np.float32) for name in ("region", "either", "both", "rest", "none")}
    for name in ("region", "either", "none"):
        _block(made[name], 2, 2)
    for name in ("either", "rest"):
        _block(made[name], 22, 22)
    made["both"][2:6, 2:8] = 250  # 24 pixels here and 24 there
    made["both"][24:28, 24:30] = 250
    return made


def _measure(pictures: dict, **options):
    names = list(pictures)
    heatmaps = np.stack([TOP_LEFT] * len(names))
    heatmaps[[name == "none" for name in names]] = 0
    probabilities = _judge(np.stack(list(pictures.values())))
    return measure_covering(
        _judge, pictures.__getitem__, names, heatmaps, probabilities, np.arange(len(names)), **options
    )


def test_who_decides_is_told(pictures):
    found = _measure(pictures)
    assert found.categories == ["region decides", "either suffices", "both needed", "rest decides"]
    assert found.index.tolist() == [0, 1, 2, 3] and found.without_region == 1 and found.class_index.tolist() == [1] * 4
    assert found.changed("region_covered").tolist() == [True, False, True, False]
    assert found.changed("region_alone").tolist() == [False, False, True, True]
    np.testing.assert_allclose(found.moved("region_covered"), [-0.7, 0, -0.7, 0], atol=1e-6)
    assert found.changed("blank").all()  # gray has no bright pixels
    assert found.area == pytest.approx(144 / 1024) and set(found.answer) == set(found.probability) == set(VIEWS)


def test_the_same_seed_gives_the_same_answers(pictures):
    first, again = _measure(pictures, seed=7), _measure(pictures, seed=7)
    assert all(np.array_equal(first.probability[view], again.probability[view]) for view in VIEWS)


def test_without_any_region_nothing_is_asked(pictures):
    found = _measure({"none": pictures["none"]})
    assert len(found.index) == 0 and found.without_region == 1 and found.categories == []


def test_a_picture_that_has_gone_is_said(pictures):
    def read(path):
        raise ImageError(path, "gone")

    with pytest.raises(UserError, match="leave the pictures alone"):
        measure_covering(_judge, read, ["a"], TOP_LEFT[None], np.array([[0.1, 0.9]]), np.arange(1))
