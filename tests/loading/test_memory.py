"""The memory keeps to its budget, and what comes from it is what comes from the files."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from src.loading.generator import ImageDataGenerator
from src.loading.memory import PictureMemory

RANDOM = {"rotation_range": 20, "zoom_range": 0.2, "horizontal_flip": True}
BYTES = 24 * 32 * 3


def flow(folder, memory_gb, **options):
    options = {"target_size": (24, 32), "batch_size": 4, "seed": 3} | options
    return ImageDataGenerator(**RANDOM).flow_from_directory(str(folder), memory_gb=memory_gb, **options)


def test_first_come_first_kept_within_the_budget():
    memory, pictures = PictureMemory(250), np.arange(400, dtype=np.uint8).reshape(4, 5, 20)
    for index, picture in enumerate(pictures):
        memory.keep(index, picture)
        memory.keep(index, picture)
    assert memory.used == 200
    np.testing.assert_array_equal(memory.recall(1), pictures[1])
    assert memory.recall(2) is None and memory.recall(3) is None
    assert memory.recall(0).base is None and not memory.recall(0).flags.writeable


def test_threads_together_keep_to_the_budget():
    memory, picture = PictureMemory(1050), np.zeros(100, np.uint8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: memory.keep(index % 40, picture), range(400)))
    assert memory.used == 1000 and sum(memory.recall(index) is not None for index in range(40)) == 10


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("options", [{}, {"color_mode": "grayscale"}, {"color_mode": "rgba"}])
def test_memory_changes_no_bit(pictures, threads, options):
    plain = flow(pictures, 0, **options)
    kept, half = (flow(pictures, n * BYTES / 1e9, threads=threads, **options) for n in (20, 6))
    for _ in range(3):
        for batch in range(len(plain)):
            expected = plain[batch]
            for iterator in (kept, half):
                np.testing.assert_array_equal(iterator[batch][0], expected[0])
                np.testing.assert_array_equal(iterator[batch][1], expected[1])
        for iterator in (plain, kept, half):
            iterator.on_epoch_end()


def test_what_is_kept_is_not_read_again(pictures, monkeypatch):
    iterator = flow(pictures, 5 * BYTES / 1e9, threads=1)
    read, paths = iterator._read, []
    monkeypatch.setattr(iterator, "_read", lambda path: (paths.append(path), read(path))[1])
    for _ in range(3):
        for batch in range(len(iterator)):
            iterator[batch]
        iterator.on_epoch_end()
    assert len(paths) == 13 + 8 + 8 and len(set(paths[13:])) == 8


def _first_batch(_):
    return shared[0][0].sum()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes cannot be forked here")
def test_a_forked_process_gives_the_same(pictures):
    global shared
    shared = flow(pictures, 1.0, threads=2)
    expected = shared[0][0].sum()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map_async(_first_batch, [0]).get(timeout=60) == expected
