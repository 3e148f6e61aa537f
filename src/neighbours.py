"""Nearest neighbours among many vectors, by a graph of neighbours (HNSW: Malkov and Yashunin 2018) of usearch."""

import numpy as np

_EXACT_UP_TO = 4000  # so many are compared with all others, which takes no longer than building the graph


def find_neighbours(vectors: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each query the vectors of the largest inner product with it, which for vectors of length 1 is the cosine.

    Time grows as n log n. The same input gives the same result: the graph is built by one thread.

    Args:
        vectors: float32 (N, D), N >= 1.
        queries: float32 (Q, D).
        count: how many neighbours; fewer where N is smaller.

    Returns:
        Their places, int (Q, count), and the products, float32 (Q, count), the nearest first. Of more than 4,000
        vectors some of the true neighbours may be missing, the nearest hardly ever.
    """
    from usearch.index import Index  # here: it takes a tenth of a second, and few commands need it

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(vectors)), vectors, threads=1)
    found = index.search(queries, min(count, len(vectors)), exact=len(vectors) <= _EXACT_UP_TO)
    shape = len(queries), min(count, len(vectors))
    return np.asarray(found.keys).reshape(shape).astype(int), 1 - np.asarray(found.distances).reshape(shape)
