"""Memory of batches is used again when, and only when, nothing refers to it."""

import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from src.loading.buffers import BatchBuffers, _mallopt

pytestmark = pytest.mark.large


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_is_aligned_and_used_again():
    buffers = BatchBuffers()
    first = buffers.empty((3, 5, 7), np.float32)
    assert first.shape == (3, 5, 7) and first.dtype == np.float32 and first.flags.writeable
    address = _address(first)
    assert address % 64 == 0
    second = buffers.empty((3, 5, 7), np.float32)
    assert _address(second) != address, "the first is still alive"
    del first
    third = buffers.empty((2, 5, 7), np.float32)
    assert _address(third) == address, "a last, smaller batch fits in"


@pytest.mark.parametrize(
    "hold",
    [
        lambda batch: batch[1:, 2],
        lambda batch: batch.reshape(-1)[::2].reshape(-1, 1),
        lambda batch: memoryview(batch),
        lambda batch: batch.view(np.int32),
        lambda batch: batch.T,
    ],
)
def test_whatever_is_derived_from_a_batch_keeps_its_memory(hold):
    buffers = BatchBuffers()
    batch = buffers.empty((4, 6), np.float32)
    batch[...] = 1
    held = hold(batch)
    expected = np.array(held)
    del batch
    others = [buffers.empty((4, 6), np.float32) for _ in range(3)]
    for other in others:
        other[...] = 2
    np.testing.assert_array_equal(np.array(held), expected)


def test_tensors_made_of_a_batch_keep_their_values():
    buffers, tensors = BatchBuffers(), []
    for number in range(12):
        batch = buffers.empty((64, 64), np.float32)
        batch[...] = number
        tensors.append((number, tf.convert_to_tensor(batch)))
        del batch
        gc.collect()
    for number, tensor in tensors:
        np.testing.assert_array_equal(tensor.numpy(), np.full((64, 64), number, np.float32))


def test_batches_that_went_through_tf_data_keep_their_values():
    buffers = BatchBuffers()

    def batches():
        for number in range(20):
            batch = buffers.empty((8, 64), np.float32)
            batch[...] = number
            yield batch

    dataset = tf.data.Dataset.from_generator(batches, output_signature=tf.TensorSpec((8, 64))).prefetch(5)
    kept = list(dataset)
    for number, tensor in enumerate(kept):
        assert (tensor.numpy() == number).all()


def test_few_buffers_are_kept_and_none_travels():
    buffers = BatchBuffers()
    arrays = [buffers.empty((10,), np.float32) for _ in range(9)]
    arrays.clear()
    assert len(buffers._free) == 4
    assert not pickle.loads(pickle.dumps(buffers))._free


_COUNT_FAULTS = """
import resource
import numpy as np
import tensorflow as tf
from src.loading.buffers import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(4):
        np.empty(24 << 20, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

list(tf.data.Dataset.from_generator(lambda: iter([1]), output_signature=tf.TensorSpec((), tf.int32)))
forbidden = faults()
keep_freed_memory()
faults()
print("faults", forbidden, faults())
"""


def test_freed_arrays_keep_their_memory_although_tensorflow_forbids_it():
    pytest.importorskip("resource")
    if _mallopt() is None:
        pytest.skip("another C library")
    # In a process of its own: what other tests have left free here would serve the arrays without a fault.
    output = subprocess.run([sys.executable, "-c", _COUNT_FAULTS], capture_output=True, text=True, check=True).stdout
    forbidden, kept = map(int, output.split("faults")[-1].split())
    assert forbidden > 40, "even in pages of 2 MB each array has 12"
    assert kept < 10
