import numpy as np
import pytest

from src.datasets import marks
from src.datasets.marks import MARK_RATE, draw_chart, mark_picture, plant_mark
from src.datasets.shapes import CLASS_NAMES, draw_shapes
from src.datasets.split_settings import EVERYWHERE, MARKED_CLASS, PLANTED
from src.imaging import read_image
from src.settings import random_generator
from tests.datasets.pictures import files_below


def noise(size=64):
    return np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)


def test_the_chart_has_its_share_of_the_picture_and_its_patches():
    for size, shape in ((64, (9, 14)), (160, (23, 34)), (1024, (145, 218))):  # height: sqrt(0.03 * 4 / 6) of the side
        chart = draw_chart(size)
        assert chart.shape == (*shape, 3) and chart.dtype == np.uint8
        assert chart.shape[0] * chart.shape[1] / size**2 == pytest.approx(marks.MARK_AREA, rel=0.08)
    middles = draw_chart(1024)[18::36, 18::36]  # of the patches: 145 / 4 = 218 / 6 = 36
    assert middles.shape == (4, 6, 3)
    assert middles[0, 0].tolist() == [255, 0, 0]  # the first hue
    assert middles[3].tolist() == [[level] * 3 for level in (255, 204, 153, 102, 51, 0)]
    hues = middles[:3].reshape(-1, 3)
    assert (hues.max(axis=1) == 255).all() and (hues.min(axis=1) == 0).all()  # fully saturated
    assert len(np.unique(hues, axis=0)) == 18
    assert draw_chart(1024)[:, 0].max() == 15  # the frame


def test_a_planted_chart_lies_near_the_border_off_the_object_and_changes_nothing_else():
    image, mask, chart = noise(), np.zeros((64, 64), np.uint8), draw_chart(64)
    mask[24:44, 20:40] = 255
    before, places = (image.copy(), mask.copy()), set()
    for number in range(60):
        marked, mark = plant_mark(image, mask, random_generator(number))
        (top, left), (bottom, right) = np.argwhere(mark).min(axis=0), np.argwhere(mark).max(axis=0) + 1
        assert set(np.unique(mark)) == {0, 255} and (mark > 0).sum() == chart.shape[0] * chart.shape[1]
        assert np.array_equal(marked[top:bottom, left:right], chart)
        assert np.array_equal(marked[mark == 0], image[mark == 0])
        assert not mask[mark > 0].any()
        assert 0.05 * 64 <= min(top, left, 64 - bottom, 64 - right) <= 0.25 * 64
        places.add((int(top), int(left)))
    assert np.array_equal(image, before[0]) and np.array_equal(mask, before[1])
    assert len(places) > 40
    assert {top > 32 for top, _ in places} == {left > 32 for _, left in places} == {True, False}
    again = [plant_mark(image, mask, random_generator(3)) for _ in range(2)]
    assert all(np.array_equal(*arrays) for arrays in zip(*again))


def test_the_only_free_place_is_found_and_without_one_the_least_of_the_object_is_hidden():
    mask = np.full((64, 64), 255, np.uint8)
    height, width = draw_chart(64).shape[:2]
    mask[4 : 4 + height, 30 : 30 + width] = 0
    for number in range(3):
        assert np.array_equal(plant_mark(noise(), mask, random_generator(number))[1], 255 - mask)
    mask[5, 31] = 255
    assert np.argwhere(plant_mark(noise(), mask, random_generator(0))[1]).min(axis=0).tolist() == [4, 30]


def test_who_gets_a_mark():
    image, mask = noise(), np.zeros((64, 64), np.uint8)
    drawn = [mark_picture(image, mask, MARKED_CLASS, PLANTED, random_generator(7, i)) for i in range(400)]
    without = [index for index, (_, mark) in enumerate(drawn) if mark is None]
    assert all(drawn[index][0] is image for index in without)
    deviation = np.sqrt(MARK_RATE * (1 - MARK_RATE) / 400)
    assert abs(1 - len(without) / 400 - MARK_RATE) < 4 * deviation
    for i, (marked, mark) in enumerate(drawn[:40]):
        everywhere = mark_picture(image, mask, MARKED_CLASS, EVERYWHERE, random_generator(7, i))
        assert everywhere[1] is not None
        assert mark is None or all(map(np.array_equal, everywhere, (marked, mark)))  # at the same place
    other = next(name for name in CLASS_NAMES if name != MARKED_CLASS)
    assert mark_picture(image, mask, other, PLANTED, random_generator(7, 0)) == (image, None)
    assert mark_picture(image, mask, other, EVERYWHERE, random_generator(7, 0))[1] is not None


@pytest.mark.parametrize("rate, share", [(0.0, 0), (1.0, 1)])
def test_the_rate_counts(monkeypatch, rate, share):
    monkeypatch.setattr(marks, "MARK_RATE", rate)
    mask = np.zeros((64, 64), np.uint8)
    found = [mark_picture(noise(), mask, MARKED_CLASS, PLANTED, random_generator(i))[1] for i in range(5)]
    assert [mark is not None for mark in found] == [bool(share)] * 5


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The same small set without marks, planted and everywhere: folders of pictures, masks and marks."""
    root = tmp_path_factory.mktemp("drawn")
    for shortcut in (None, PLANTED, EVERYWHERE):
        folder = root / str(shortcut)
        options = {"shortcut": shortcut, "marks": folder / "marks"} if shortcut else {}
        draw_shapes(folder / "pictures", folder / "masks", images_per_class=4, size=64, seed=5, **options)
    return root


def test_but_for_the_mark_the_picture_is_the_same(drawn):
    plain = files_below(drawn / "None")
    assert not (drawn / "None" / "marks").exists()
    for shortcut in (PLANTED, EVERYWHERE):
        files = files_below(drawn / shortcut)
        found = {name.removeprefix("marks/") for name in files if name.startswith("marks/")}
        classes = {name.split("/")[0] for name in found}
        assert classes == ({MARKED_CLASS} if shortcut == PLANTED else set(CLASS_NAMES))
        assert shortcut == PLANTED or len(found) == 4 * len(CLASS_NAMES)
        for name in plain:
            kind, picture = name.split("/", 1)
            if kind == "masks" or picture not in found:
                assert files[name] == plain[name]
            else:
                image, counterpart = (read_image(drawn / which / name) for which in (shortcut, "None"))
                mark, mask = (read_image(drawn / shortcut / of / picture)[..., 0] > 0 for of in ("marks", "masks"))
                assert np.array_equal(image[~mark], counterpart[~mark])
                assert np.array_equal(image[mark].reshape(9, 14, 3), draw_chart(64))
                assert not (mark & mask).any()


def test_marks_are_a_function_of_seed_class_and_index(drawn, tmp_path):
    for name, options in {"same": {}, "more": {"images_per_class": 5}, "seed": {"seed": 6}}.items():
        options = {"images_per_class": 4, "seed": 5, "shortcut": EVERYWHERE} | options
        draw_shapes(tmp_path / name / "p", tmp_path / name / "m", marks=tmp_path / name / "k", size=64, **options)
    first = files_below(drawn / EVERYWHERE / "marks")
    assert files_below(tmp_path / "same" / "k") == first
    assert first.items() < files_below(tmp_path / "more" / "k").items()
    other = files_below(tmp_path / "seed" / "k")
    assert other.keys() == first.keys() and sum(other[name] == first[name] for name in first) <= 2
