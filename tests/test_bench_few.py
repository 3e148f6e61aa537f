"""bench_few: draws are disjoint and whole, and its figures are those of the pictures."""

import dataclasses

import numpy as np
import pytest

from benchmarks import bench_few, few_parts
from benchmarks.few_pools import Draw, Pool, draw_pictures
from src.errors import UserError

LABELS = np.repeat([0, 1, 2], 40)


def _pool(shift: float = 3.0) -> Pool:
    """Three classes around points of their own, in five dimensions."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 5)) + shift * np.eye(3, 5)[LABELS] + 4
    return Pool(["a", "b", "c"], LABELS, {"pooling": features.astype(np.float32)}, [])


def test_a_draw_parts_all_pictures_class_by_class():
    draw = draw_pictures(LABELS, 20, (1, 2))
    parts = dataclasses.astuple(draw)
    counts = [np.bincount(LABELS[part]).tolist() for part in parts]
    assert counts == [[14, 14, 14], [3, 3, 3], [3, 3, 3], [20, 20, 20]]
    assert sorted(np.concatenate(parts)) == list(range(120)) and len(draw.labelled) == 60
    again, other = draw_pictures(LABELS, 20, (1, 2)), draw_pictures(LABELS, 20, (2, 2))
    assert (again.train == draw.train).all() and sorted(other.train) != sorted(draw.train)
    whole = draw_pictures(LABELS, 5, (0,), (0.0, 0.0))
    assert len(whole.train) == 15 and not len(whole.val) and not len(whole.test)


def test_the_accuracy_is_of_what_was_not_drawn():
    pool = _pool()
    right = np.eye(3)[LABELS]
    wrong = [3, 50, 90]  # the first of them was drawn
    right[wrong] = np.roll(right[wrong], 1, axis=1)
    places = {tuple(row): place for place, row in enumerate(pool.features)}
    draw = Draw(np.arange(10), np.array([], int), np.array([], int), np.arange(10, 120))

    def answer(features):
        return right[[places[tuple(row)] for row in features]]

    assert few_parts.measure_accuracy(answer, pool, draw) == pytest.approx(108 / 110)


def test_intervals_and_sets_of_classes_that_are_told_apart(capsys):
    found = few_parts.check_sets("drawn", _pool(8.0), 2, (60, 30, 30))
    assert found["asked_0.9"]["mean"] == 1 and found["asked_0.9"]["mean_size"] == 1
    assert "sets at 0.9 held the true class in 1.0000 of 30 pictures" in capsys.readouterr().out


def test_what_lies_elsewhere_is_told():
    pool, draw = _pool(), draw_pictures(LABELS, 20, (0,), (0.0, 0.0))
    known, far = pool.features[draw.remainder[:5]], np.full((6, 5), 1.0) * [[1, -9, 1, -9, 9]]
    found = few_parts.tell_unlike(pool, draw.train, draw.remainder, {"far": far, "same": known})
    assert found["auroc_far"] == found["refused_far"] == 1 and found["kept"] > 0.85
    assert found["auroc_same"] < 0.95


def test_without_the_data_sets_it_says_so(tmp_path):
    with pytest.raises(UserError, match="--datasets"):
        bench_few.Pictures(tmp_path, tmp_path / "cache")
