"""Which pictures a shuffled pass over a part draws, and in which order."""

import numpy as np

from src.settings import random_generator

SAMPLINGS = ("all", "balanced")


def draw_order(classes: np.ndarray, sampling: str, seed: int, epoch: int) -> np.ndarray:
    """The draws of one pass, as many as there are pictures: a function of (seed, epoch).

    Args:
        classes: int (n,), the class of each picture.
        sampling: "all" draws each picture once. "balanced" draws every class equally often to within one, and of a
            class every picture equally often to within one; which ones come once more, the seed says.

    Returns:
        int64 (n,) of ``index + n * repeat``: a picture's first draw in the pass is its index, each further one has a
        number of its own, so that it can have a view of its own.
    """
    n = len(classes)
    # One past the last picture in the place of a picture's index: no view draws from the same stream.
    if sampling == "all":
        return random_generator(seed, epoch, n).permutation(n)
    draw = random_generator(seed, epoch, n, 1)
    present = np.unique(classes)
    quotas = np.full(len(present), n // len(present))
    quotas[draw.permutation(len(present))[: n % len(present)]] += 1
    drawn = []
    for label, quota in zip(present, quotas):
        members = draw.permutation(np.flatnonzero(classes == label))
        places = np.arange(quota)
        drawn.append(members[places % len(members)] + n * (places // len(members)))
    return draw.permutation(np.concatenate(drawn))
