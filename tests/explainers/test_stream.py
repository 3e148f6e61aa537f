"""Explanations of many pictures: kept in memory while they are few, in a file where they are many."""

import weakref

import numpy as np
import pytest

from src.explainers import stream
from src.explainers.base import Explanation, Passes
from src.explainers.stream import ExplanationStore, explain_again, explain_pictures


def _part(number: int, count: int = 3) -> Explanation:
    rng = np.random.default_rng(number)
    logits = rng.normal(size=(count, 4)).astype(np.float32)
    heatmaps = rng.random((count, 5, 6), dtype=np.float32)
    return Explanation(heatmaps, logits, logits + 1, logits.argmax(axis=1).astype(np.int32), "layer")


@pytest.mark.parametrize("memory", [10**9, 200, 0])
def test_what_is_kept_in_a_file_is_what_came(memory, monkeypatch):
    monkeypatch.setattr(stream, "MEMORY", memory)
    parts, store = [_part(number, count) for number, count in enumerate((3, 1, 4))], ExplanationStore()
    for part in parts:
        store.add(part)
    joined = store.join()
    assert isinstance(joined.heatmaps, np.memmap) == (memory < 10**9)
    assert np.array_equal(joined.heatmaps, np.concatenate([part.heatmaps for part in parts]))
    assert np.array_equal(joined.logits, np.concatenate([part.logits for part in parts]))
    assert joined.target_layer == "layer" and len(joined) == 8
    chosen = joined.select(np.array([7, 0]))
    assert np.array_equal(chosen.heatmaps, joined.heatmaps[[7, 0]]) and len(chosen.class_index) == 2


def test_maps_in_a_file_are_gone_from_memory(monkeypatch):
    monkeypatch.setattr(stream, "MEMORY", 0)
    store, part = ExplanationStore(), _part(1)
    maps = weakref.ref(part.heatmaps)
    store.add(part)
    del part
    assert maps() is None and len(store.join()) == 3


def test_the_runner_up_is_the_best_of_the_others():
    logits = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, -1.0]], np.float32)
    explanation = Explanation(np.zeros((2, 1, 1)), logits, logits, np.array([0, 0]))
    assert explanation.runner_up.tolist() == [2, 1]


class Index:
    """A map with the class's number in it."""

    target_layer, passes = "", Passes(forward=1)

    def explain(self, inputs, class_index=None):
        means = inputs.mean(axis=(1, 2, 3))
        logits = np.stack([np.zeros_like(means), means - 2, means - 5], axis=1)
        asked = np.broadcast_to(logits.argmax(axis=1) if class_index is None else class_index, len(inputs))
        heatmaps = asked[:, None, None] * np.ones((1, 2, 2), np.float32)
        return Explanation(heatmaps, logits, logits, np.array(asked))


def test_each_picture_may_have_a_class_of_its_own():
    values = {"a": 1.0, "b": 4.0, "c": 9.0, "d": 3.0}
    read = lambda path: np.full((2, 2, 3), values[path], np.float32)  # noqa: E731
    explained = explain_pictures(Index(), read, list(values), [-1] * 4, class_index=[2, 0, 1, 2], batch_size=3)
    assert explained.explanation.heatmaps[:, 0, 0].tolist() == [2, 0, 1, 2]
    plain = explain_pictures(Index(), read, list(values), [-1] * 4, batch_size=3)
    assert plain.explanation.class_index.tolist() == [0, 1, 1, 1]
    second = explain_again(Index(), read, plain, plain.explanation.runner_up, batch_size=2)
    assert second.class_index.tolist() == [1, 0, 2, 0]
    few = plain.select([2, 0])
    assert few.paths == ["c", "a"] and few.explanation.class_index.tolist() == [1, 0]
