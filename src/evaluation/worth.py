"""Which pictures are most worth a second label, or another shot: from answers of classifiers that have not seen them.

* "second label": the score is the margin max_k p_k - p_label over the other classes k, above 0 (the normalised margin
  of Northcutt et al. 2021, confident learning, and Kuan & Mueller 2022, label quality scores).
* "near the boundary": one less the margin of the two likeliest classes (Scheffer et al. 2001), of the mean over the
  repeats, so that repeats that disagree count as well; from 0.5 on.
* "atypical": by how many robust standard deviations the novelty lies beyond the median of its class; from 1.5 on. So a
  class of many looks does not fill the list. There are no quotas of classes otherwise: errors are where they are.

Each list is spread out: the next picture is the one with the largest product of its score and min(1, d / typical d), d
its distance to the nearest one that is chosen, typical d the median distance of a picture to its nearest neighbour
(the farthest-first choice of k-center, Sener & Savarese 2018, weighed by the score). So a series of one thing gives
way, and what is merely of the same kind does not. Of a group only one is named.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.neighbours import find_neighbours

# In the order of the lists; a picture stands in the first one that it belongs to.
REASONS = {
    "second label": "another class is likelier than its own: a wrong label, or a picture that can be read two ways",
    "near the boundary": "the classifier wavers between two classes: see what such pictures have in common",
    "atypical": "unlike the others of its class: where such pictures matter, take more of them",
}
_WAVERS = 0.5  # between the two likeliest classes: nearer ones are near the boundary
_ATYPICAL = 1.5  # robust standard deviations beyond the median of its class: the farthest fifteenth of a normal one
_LEAST = 5  # pictures of a class, from which on it has a spread of its own
_NEIGHBOURS, _LARGEST_GROUP = 5, 20


@dataclass(frozen=True)
class Proposal:
    """One picture that is worth a look.

    Attributes:
        place: among the N pictures.
        reason: one of ``REASONS``.
        score: above 0; within one reason the higher, the clearer.
        given: probability of the picture's own label, 0..1.
        suggested: the likeliest of the other classes, and ``likely``, its probability.
        disagreement: share of the repeats whose likeliest class is not the one of the mean.
    """

    place: int
    reason: str
    score: float
    given: float
    suggested: int
    likely: float
    disagreement: float


def propose(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    novelty: np.ndarray | None = None,
    features: np.ndarray | None = None,
    groups: Sequence[int] | None = None,
    each: int = 40,
) -> list[Proposal]:
    """The pictures that are most worth a look, reason by reason, the clearest first; see the module.

    Args:
        labels: int (N,), 0..C - 1.
        probabilities: (N, C), or (R, N, C) of R repeats, each by classifiers that have not learned from that picture;
            NaN where a repeat has no answer. A picture without any answer is not judged.
        novelty: (N,), how far each picture lies from the rest, the higher the farther; None takes
            :func:`measure_novelty` of the features, and where there are none no picture counts as atypical.
        features: (N, D); None spreads by groups alone.
        groups: (N,), equal for what belongs together, as copies of one picture; None for none.
        each: at most so many of each reason.

    Raises:
        ValueError: the lengths do not agree, or a label is none of the classes.
    """
    labels, repeats = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
    repeats = repeats[None] if repeats.ndim == 2 else repeats
    groups = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    _check(labels, repeats, novelty, features, groups)
    known = np.flatnonzero(np.isfinite(repeats).all(axis=2).any(axis=0))
    if not len(known) or repeats.shape[2] < 2:
        return []
    labels, groups, answers = labels[known], groups[known], _Answers.of(labels[known], repeats[:, known])
    unit = None if features is None else _unit(np.asarray(features, np.float32)[known])
    if novelty is not None:
        novelty = np.asarray(novelty, np.float64)[known]
    elif unit is not None:
        novelty = measure_novelty(unit, labels, groups)
    scores = {
        "second label": np.maximum(answers.likely - answers.given, 0),
        "near the boundary": np.where(answers.wavering >= _WAVERS, answers.wavering, 0),
        "atypical": np.zeros(len(known)) if novelty is None else _deviate(novelty, labels),
    }
    proposals, taken = [], np.zeros(len(known), bool)
    for reason, score in scores.items():
        chosen = _spread(np.where(taken, 0, score), unit, groups, each)
        taken |= np.isin(groups, groups[chosen])
        proposals += [Proposal(int(known[row]), reason, float(score[row]), *answers.describe(row)) for row in chosen]
    return proposals


@dataclass(frozen=True)
class _Answers:
    """The means over the repeats: for each picture what its own label and the likeliest other class get (``given``;
    ``suggested``, ``likely``), one less the margin of the two likeliest classes, and how far the repeats disagree."""

    given: np.ndarray
    suggested: np.ndarray
    likely: np.ndarray
    disagreement: np.ndarray
    wavering: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, repeats: np.ndarray) -> "_Answers":
        """Of labels (n,) and repeats (R, n, C), of which each picture has one that is finite at least."""
        judged = np.isfinite(repeats).all(axis=2)
        repeats = np.where(judged[..., None], repeats, 0)
        mean = repeats.sum(axis=0) / judged.sum(axis=0)[:, None]
        rows, others = np.arange(len(labels)), mean.copy()
        others[rows, labels] = -1
        suggested, two = others.argmax(axis=1), np.sort(mean, axis=1)[:, -2:]
        differs = (repeats.argmax(axis=2) != mean.argmax(axis=1)) & judged
        disagreement = differs.sum(axis=0) / judged.sum(axis=0)
        return cls(mean[rows, labels], suggested, mean[rows, suggested], disagreement, 1 - (two[:, 1] - two[:, 0]))

    def describe(self, row: int) -> tuple[float, int, float, float]:
        """``given``, ``suggested``, ``likely`` and ``disagreement`` of a picture."""
        return (
            float(self.given[row]),
            int(self.suggested[row]),
            float(self.likely[row]),
            float(self.disagreement[row]),
        )


def measure_novelty(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean cosine distance float64 (N,) in 0..2 to the five nearest of the same label and of other groups (as many as
    there are; NaN without any), of features (N, D)."""
    unit, novelty = _unit(features), np.full(len(labels), np.nan)
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        largest = min(_LARGEST_GROUP, int(np.unique(groups[of_class], return_counts=True)[1].max()))
        places, cosines = find_neighbours(unit[of_class], unit[of_class], _NEIGHBOURS + largest)
        for row, (near, alike) in enumerate(zip(places, cosines)):
            others = alike[groups[of_class][near] != groups[of_class[row]]][:_NEIGHBOURS]
            if len(others):
                novelty[of_class[row]] = 1 - others.mean(dtype=np.float64)
    return novelty


def _deviate(novelty: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Robust standard deviations beyond the median of the class, 0 below ``_ATYPICAL`` and where it cannot be said."""
    beyond = np.zeros(len(novelty))
    for label in np.unique(labels):
        of_class = np.flatnonzero((labels == label) & np.isfinite(novelty))
        if len(of_class) < _LEAST:
            continue
        values = novelty[of_class]
        median = np.median(values)
        deviation = 1.4826 * np.median(np.abs(values - median))
        if deviation > 0:
            beyond[of_class] = (values - median) / deviation
    return np.where(beyond >= _ATYPICAL, beyond, 0)


def _spread(scores: np.ndarray, unit: np.ndarray | None, groups: np.ndarray, most: int) -> list[int]:
    """Rows with scores above 0, chosen one by one; see :func:`propose`. Equal ones in their order."""
    left, chosen = scores.astype(np.float64).copy(), []
    nearness = np.ones(len(scores))
    typical = None if unit is None else _typical_distance(unit)
    while len(chosen) < most:
        weighed = left * nearness
        best = int(weighed.argmax()) if len(weighed) else 0
        if not len(weighed) or not weighed[best] > 0:
            break
        chosen.append(best)
        left[groups == groups[best]] = 0
        if typical:
            nearness = np.minimum(nearness, np.maximum(1 - unit @ unit[best], 0) / typical)
    return chosen


def _typical_distance(unit: np.ndarray) -> float | None:
    """The median cosine distance to the nearest other picture; None of fewer than two, or where that is 0."""
    if len(unit) < 2:
        return None
    cosines = find_neighbours(unit, unit, 2)[1][:, 1]
    return float(np.median(np.maximum(1 - cosines, 0))) or None


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)


def _check(labels: np.ndarray, repeats: np.ndarray, novelty, features, groups: np.ndarray) -> None:
    lengths = [len(each) for each in (novelty, features) if each is not None] + [len(groups)]
    if repeats.ndim != 3 or repeats.shape[1] != len(labels) or any(length != len(labels) for length in lengths):
        raise ValueError(f"expected values of {len(labels)} pictures. Received: {repeats.shape}, {lengths}")
    if len(labels) and (labels.min() < 0 or labels.max() >= repeats.shape[2]):
        raise ValueError(f"labels are 0 to {repeats.shape[2] - 1}. Received: {labels.min()}, {labels.max()}")
