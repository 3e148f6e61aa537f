"""Does the network lose its answer with what a map calls relevant? Measures that remove pixels; NumPy and OpenCV.

Each rests on a choice of what "removed" is, named in its docstring, and on pictures unlike those that the network
learnt from. So compare methods under one measure, beside the controls of ``controls``: a figure alone says little.

All take a ``Score``: inputs float32 (M, H, W, 3) as the network takes them -> (M,), the explained class's score of
each. Which score is the caller's choice; the docstrings name the customary one. ``heatmap`` is (h, w), raw, of any
size, and enlarged to the picture's by ``src.heatmap_drawing.enlarge_heatmap``.
"""

from collections.abc import Callable, Sequence

import numpy as np

from src.explainers.imputation import TOLERANCE, add_noise, draw_noise, linear_imputation
from src.heatmap_drawing import enlarge_heatmap
from src.settings import random_generator

Score = Callable[[np.ndarray], np.ndarray]

_BATCH = 64  # pictures given to a score at once where there are many: 38 MB at 224 x 224


# ------------------------------------------------------------------------------------------ deletion, insertion


def rank_pixels(heatmap: np.ndarray, size: tuple[int, int], *, seed: int = 0) -> np.ndarray:
    """Each pixel's place in the order of falling relevance, int (H, W), 0 for the most relevant.

    The order is that of the raw values, negative ones last. Equal ones are shuffled by ``seed``: in their order in
    memory, a constant map would remove the picture from its top, and not be the random order that it stands for.
    """
    values = enlarge_heatmap(heatmap, size).ravel()
    # Keys of the draws of this package: 0 the order, 1 ROAD's noise, 2 subsets, 3 random maps, 4 noisy copies.
    shuffled = random_generator(seed, 0).permutation(values.size)
    order = shuffled[np.argsort(-values[shuffled], kind="stable")]
    ranks = np.empty(values.size, np.int64)
    ranks[order] = np.arange(values.size)
    return ranks.reshape(size)


def deletion_curve(
    score: Score, picture: np.ndarray, heatmap: np.ndarray, *, baseline: np.ndarray, steps: int = 20, seed: int = 0
) -> np.ndarray:
    """Scores while the most relevant pixels go first (Petsiuk et al. 2018, RISE). A small area is good.

    What it cannot tell: half-deleted pictures are unlike any that the network learnt from, so a fall may be its answer
    to the holes. A map of scattered pixels destroys texture everywhere at once and gains by that alone. The area
    depends on ``baseline``, and on how sure the network was of the whole picture.

    Args:
        score: customarily the class's probability.
        picture: (H, W, 3) as the network takes it.
        heatmap: (h, w), raw.
        baseline: (H, W, 3), what removed pixels are replaced by; customarily its mean colour.
        steps: the curve's steps; all their pictures are scored in one call.
        seed: of the order among equal values.

    Returns:
        float64 (steps + 1,): the scores with the shares 0, 1 / steps ... 1 of the pixels removed.

    Raises:
        ValueError: the baseline's size is not the picture's, or the score does not give one value for each picture.
    """
    ranks = rank_pixels(heatmap, picture.shape[:2], seed=seed)
    return _score_replacement(score, picture, baseline, ranks, steps)


def insertion_curve(
    score: Score, picture: np.ndarray, heatmap: np.ndarray, *, baseline: np.ndarray, steps: int = 20, seed: int = 0
) -> np.ndarray:
    """Scores while the most relevant pixels come first, upon ``baseline`` (RISE). A large area is good.

    What it cannot tell: as for ``deletion_curve``. Upon a blurred picture, a few compact regions in focus suit the
    network better than as many scattered pixels, whichever are the relevant ones.

    Args:
        baseline: (H, W, 3), what is there at first; customarily ``removed_picture(picture, "blur")``.
        score, picture, heatmap, steps, seed: as for ``deletion_curve``.

    Returns:
        float64 (steps + 1,): the scores with the shares 0, 1 / steps ... 1 of the pixels inserted.

    Raises:
        ValueError: as for ``deletion_curve``.
    """
    ranks = rank_pixels(heatmap, picture.shape[:2], seed=seed)
    return _score_replacement(score, baseline, picture, ranks, steps)


def area_under(curve: np.ndarray) -> float:
    """The area under a curve over the shares 0..1 at even distances, by trapezoids."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def _score_replacement(score: Score, first: np.ndarray, last: np.ndarray, ranks: np.ndarray, steps: int) -> np.ndarray:
    """Scores from ``first`` to ``last``, whose pixels take its place in the order of ``ranks``."""
    _check_baseline(first, last)
    pictures = np.empty((steps + 1, *first.shape), np.float32)
    for picture, count in zip(pictures, np.rint(np.linspace(0, ranks.size, steps + 1))):
        picture[:] = np.where((ranks < count)[..., None], last, first)
    return _scores(score, pictures)


# ------------------------------------------------------------------------------------------------- average drop


def explanation_picture(picture: np.ndarray, heatmap: np.ndarray, *, baseline: np.ndarray) -> np.ndarray:
    """What the map keeps of its picture, float32 (H, W, 3) (Chattopadhay et al. 2018, Grad-CAM++).

    The paper multiplies the picture by its map in 0..1, which fades to black. Here it fades to ``baseline``: m *
    picture + (1 - m) * baseline, so zeros give the paper's. m is the map divided by its maximum, its negative parts 0;
    a map without positive values keeps nothing.
    """
    _check_baseline(picture, baseline)
    kept = np.maximum(enlarge_heatmap(heatmap, picture.shape[:2]), 0)
    greatest = kept.max()
    kept = (kept / greatest if greatest > 0 else kept)[..., None]
    return (kept * picture + (1 - kept) * baseline).astype(np.float32)


def average_drop(score_full: np.ndarray, score_kept: np.ndarray) -> np.ndarray:
    """The term of each picture in Average Drop: max(0, Y - O) / Y (Grad-CAM++); small is good.

    What it cannot tell: a map that is 1 everywhere drops nothing. A method may so look better by covering more; say
    beside it what a control reaches.

    Args:
        score_full: (N,), Y: the class's probability on the whole pictures.
        score_kept: (N,), O: the same on their ``explanation_picture``.

    Returns:
        float64 (N,) in 0..1; the mean over pictures is Average Drop as a share. NaN where Y is not above 0.
    """
    full, kept = np.asarray(score_full, np.float64), np.asarray(score_kept, np.float64)
    drop = np.maximum(full - kept, 0)
    return np.divide(drop, full, out=np.full_like(drop, np.nan), where=full > 0)


def average_increase(score_full: np.ndarray, score_kept: np.ndarray) -> np.ndarray:
    """float64 (N,): 1 where the score rises on the kept part, Y < O, else 0 (Grad-CAM++); large is good.

    Its mean over pictures is the share of pictures whose confidence increases. It says nothing of by how much, and
    rises by chance where the network was unsure of the whole picture.
    """
    return (np.asarray(score_full, np.float64) < np.asarray(score_kept, np.float64)).astype(np.float64)


# --------------------------------------------------------------------------------------------------------- ROAD


def road(
    score: Score,
    picture: np.ndarray,
    heatmap: np.ndarray,
    *,
    shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    noise: float = 0.01,
    seed: int = 0,
    value_range: tuple[float, float] = (0.0, 255.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Scores with relevant pixels removed and filled from their neighbours (ROAD, Rong et al. 2022).

    Filling instead of painting over hides the shape of what was removed, to which a network could answer.

    What it cannot tell: a large region filled is a smooth patch, still unlike any real picture, while scattered pixels
    are restored by their neighbours almost as they were. So coarse maps gain, and blurring a map can raise its score
    without a gain in knowledge (Song et al., arXiv 2304.13836). Compare maps that are about as coarse.

    Args:
        score: customarily the class's probability. The paper measures accuracy over many pictures.
        picture: (H, W, 3) as the network takes it.
        heatmap: (h, w), raw.
        shares: of the pixels removed, each above 0 and below 1.
        noise, value_range: as for ``noisy_linear_imputation``.
        seed: of the noise, one draw for all shares, and of the order among equal values.

    Returns:
        (scores with the most relevant pixels removed, with the least relevant removed), float64 (len(shares),) each.
        The first should fall at once, the second late; ``road_score`` makes one figure of them.
    """
    size, extent = picture.shape[:2], value_range[1] - value_range[0]
    ranks = rank_pixels(heatmap, size, seed=seed)
    drawn = noise * extent * draw_noise(picture.shape, seed)
    counts = [round(share * ranks.size) for share in shares]
    masks = [ranks < count for count in counts] + [ranks >= ranks.size - count for count in counts]
    filled = (linear_imputation(picture, mask, tolerance=TOLERANCE * extent) for mask in masks)
    scores = _scores(score, np.stack([add_noise(part, mask, drawn) for part, mask in zip(filled, masks)]))
    return scores[: len(counts)], scores[len(counts) :]


def road_score(most_relevant_first: np.ndarray, least_relevant_first: np.ndarray) -> float:
    """(LeRF - MoRF) / 2, averaged over the shares, as ROADCombined of pytorch-grad-cam; higher is better.

    -0.5..0.5 for probabilities; 0 for a map that orders pixels no better than chance.
    """
    return float(np.mean(np.asarray(least_relevant_first) - np.asarray(most_relevant_first)) / 2)


# -------------------------------------------------------------------------------------------------- mu-fidelity


def draw_subsets(*, grid: int = 14, share: float = 0.2, count: int = 128, seed: int = 0) -> np.ndarray:
    """Random subsets of ``grid`` x ``grid`` cells, bool (count, grid, grid), each with ``share`` of the cells."""
    places = random_generator(seed, 2).random((count, grid * grid)).argsort(axis=1)
    return (places < round(share * grid * grid)).reshape(count, grid, grid)


def score_drops(score: Score, picture: np.ndarray, subsets: np.ndarray, *, baseline: np.ndarray) -> np.ndarray:
    """f(x) - f(x with the subset's cells replaced by ``baseline``), float64 (count,): no map goes in.

    So they are computed once for all methods. The pictures are scored in batches.

    Args:
        score: customarily the class's logit, which adds up where a probability saturates.
        picture: (H, W, 3) as the network takes it.
        subsets: bool (count, grid, grid), of ``draw_subsets``; no side of the picture may be shorter than ``grid``.
        baseline: (H, W, 3).
    """
    _check_baseline(picture, baseline)
    grid = subsets.shape[1]
    _cell_starts(picture.shape[:2], grid)
    rows, columns = (np.arange(side) * grid // side for side in picture.shape[:2])
    scores = [_scores(score, np.asarray(picture, np.float32)[None])]
    for start in range(0, len(subsets), _BATCH):
        removed = subsets[start : start + _BATCH][:, rows][:, :, columns, None]
        scores.append(_scores(score, np.where(removed, baseline, picture).astype(np.float32, copy=False)))
    return scores[0] - np.concatenate(scores[1:])


def mu_fidelity(heatmap: np.ndarray, subsets: np.ndarray, drops: np.ndarray, size: tuple[int, int]) -> float:
    """Pearson's correlation between what the map gives subsets of cells and what the score loses by them, -1..1.

    Bhatt et al. 2020 ("Evaluating and aggregating feature-based model explanations"), over subsets of cells rather
    than single pixels. It is the one measure here that reads the map's values, not only their order.

    What it cannot tell: it judges a map as if effects added up. Where the class rests on either of two regions, no map
    correlates. It rests on the baseline and the cells' size.

    Args:
        heatmap: (h, w), raw.
        subsets: bool (count, grid, grid).
        drops: (count,), of ``score_drops`` with the same subsets.
        size: (height, width) of the picture.

    Returns:
        The correlation; 0.0 for a constant map and where all drops are equal, for which it is not defined.
    """
    if np.ptp(heatmap) == 0:  # uneven cells alone would let its sums differ
        return 0.0
    rows, columns = _cell_starts(size, subsets.shape[1])
    values = enlarge_heatmap(heatmap, size).astype(np.float64)
    cells = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    given = subsets.reshape(len(subsets), -1) @ cells.ravel()
    return correlate(given, np.asarray(drops, np.float64))


def correlate(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation of two (n,), -1..1; 0.0 where either is constant (to 1e-12 of its values)."""
    parts = [values - values.mean() for values in (first, second)]
    lengths = [np.linalg.norm(part) for part in parts]
    if any(length <= 1e-12 * np.linalg.norm(values) for length, values in zip(lengths, (first, second))):
        return 0.0
    return float(np.clip(parts[0] @ parts[1] / (lengths[0] * lengths[1]), -1, 1))


def _cell_starts(size: tuple[int, int], grid: int) -> list[np.ndarray]:
    """The first row and the first column of each cell: pixel p of a side lies in the cell p * grid // side."""
    if grid > min(size):
        raise ValueError(f"a grid of {grid} x {grid} cells does not fit. Received: {size}")
    return [-(-np.arange(grid) * side // grid) for side in size]


# ------------------------------------------------------------------------------------------------------- checks


def _scores(score: Score, pictures: np.ndarray) -> np.ndarray:
    scores = np.asarray(score(pictures), np.float64)
    if scores.shape != (len(pictures),):
        raise ValueError(f"expected a score for each of {len(pictures)} pictures. Received: {scores.shape}")
    return scores


def _check_baseline(picture: np.ndarray, baseline: np.ndarray) -> None:
    if picture.shape != baseline.shape or picture.ndim != 3:
        raise ValueError(f"picture and baseline must be of one (H, W, 3). Received: {picture.shape}, {baseline.shape}")
