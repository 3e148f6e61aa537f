"""The streams computed together are NumPy's own, one by one."""

import numpy as np
import pytest

from src.loading.streams import view_generator, view_states
from src.settings import random_generator


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1, 2**32, 2**63 + 5, -1])
@pytest.mark.parametrize("epoch", [0, 3, 2**32 + 1])
def test_states_computed_together_are_numpys(seed, epoch):
    indices, n = np.array([7, 0, 99, 100, 307, 12, 7]), 100
    states = view_states(seed, epoch, indices, n)
    assert states == [view_generator(seed, epoch, index, n).bit_generator.state for index in indices]
    draw = np.random.Generator(np.random.PCG64(0))
    draw.bit_generator.state = states[2]
    np.testing.assert_array_equal(draw.random(5), random_generator(seed, epoch, 99).random(5))
    draw.integers(9, dtype=np.uint32)  # leaves half a number behind
    draw.bit_generator.state = states[0]
    np.testing.assert_array_equal(
        draw.integers(9, size=5, dtype=np.uint32), random_generator(seed, epoch, 7).integers(9, size=5, dtype=np.uint32)
    )


def test_many_indices():
    indices = np.random.default_rng(0).integers(0, 2**31, 500)
    for index, state in zip(indices, view_states(5, 1, indices, 2**31)):
        assert state == random_generator(5, 1, index).bit_generator.state


def test_repeats_have_streams_of_their_own():
    draws = {view_generator(1, 2, index, 10).random() for index in (3, 13, 23, 4, 14)}
    assert len(draws) == 5
    assert view_generator(1, 2, 13, 10).random() == random_generator(1, 2, 3, 1).random()
    with pytest.raises(ValueError, match="at least 0. Received: -1"):
        view_states(1, -1, np.arange(3), 10)
