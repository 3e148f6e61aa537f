"""How unlike the training pictures a picture is, by a network's features.

The Mahalanobis distance (Lee et al., NeurIPS 2018; here of features of unit length) of x to the mean of class c, by the
covariance S that all classes share, drawn towards a multiple of the identity because pictures are few:

    d(x, c)^2 = (x - m_c)^T P^-1 (x - m_c),    P = (1 - a) S + a t I,    t = trace(S) / D

A picture's novelty is d_1 * (d_1 / d_2), with d_1 its distance to the nearest class and d_2 that to the second: what
lies between two classes is rather unlike both (the ratio is Lowe's, 2004). By it the pictures of a class that was left
out were told better than by d_1 alone (docs/few_pictures.md).

n pictures of C classes leave S at most n - C directions, so that P^-1 is these and one number for all the rest
(Woodbury's identity): a few hundred vectors in the place of D x D values. NumPy; SciPy to fit.
"""

from dataclasses import dataclass

import numpy as np

from src.evaluation.conformal import conformal_quantile

SHRINKAGE = 0.3  # a: 0.1 to 0.6 told unlike pictures equally well (docs/few_pictures.md)
RANK = 256  # directions that are kept; of the others the mean variance is


@dataclass(frozen=True)
class Novelty:
    """What the distance is computed from.

    Attributes:
        means: float32 (C, D), of each class that there was, of features of unit length.
        directions: float32 (R, D), orthogonal; the squared length of each, below 1, is how much less than elsewhere a
            step in this direction counts.
        scale: 1 over the variance of all other directions.
    """

    means: np.ndarray
    directions: np.ndarray
    scale: float

    def distances(self, features: np.ndarray) -> np.ndarray:
        """To the mean of each class, float64 (N, C), of features (N, D)."""
        unit = _normalize(features)
        means, directions = self.means.astype(np.float64), self.directions.astype(np.float64)
        squares = _squared_distances(unit, means) - _squared_distances(unit @ directions.T, means @ directions.T)
        return np.sqrt(self.scale * np.maximum(squares, 0.0))

    def scores(self, features: np.ndarray) -> np.ndarray:
        """The novelty of pictures by features (N, D): d_1 * (d_1 / d_2), float64 (N,); of a single class d_1."""
        distances = np.sort(self.distances(features), axis=1)[:, :2]
        ratio = distances[:, 0] / np.maximum(distances[:, -1], 1e-12) if distances.shape[1] > 1 else 1.0
        return distances[:, 0] * ratio


def fit_novelty(features: np.ndarray, labels: np.ndarray, *, shrinkage: float = SHRINKAGE, rank: int = RANK) -> Novelty:
    """Class means and the shared covariance of training pictures.

    Args:
        features: (N, D), finite; each is brought to length 1.
        labels: int (N,).
        shrinkage: a, above 0 and at most 1.
        rank: at most so many directions of the largest variance keep their own; the others share their mean, which is
            exact where N - C are no more.

    Raises:
        ValueError: other shapes, features that are not finite, or none that differ within a class.
    """
    features, labels = np.asarray(features), np.asarray(labels, int)
    if features.ndim != 2 or labels.shape != features.shape[:1] or not np.isfinite(features).all():
        raise ValueError(f"expected finite features (N, D) and N labels. Received: {features.shape}, {labels.shape}")
    unit, (classes, places) = _normalize(features), np.unique(labels, return_inverse=True)
    means = np.stack([unit[labels == label].mean(axis=0) for label in classes])
    freedom, dimensions, rest = len(unit) - len(classes), unit.shape[1], unit - means[places]
    mean_variance = (rest**2).sum() / max(freedom, 1) / dimensions
    if not mean_variance > 1e-12:
        raise ValueError("no two pictures of a class differ")
    variances, axes = _find_largest(rest, min(rank, freedom, dimensions))
    variances = variances / freedom
    left = max(mean_variance * dimensions - variances.sum(), 0.0) / max(dimensions - len(variances), 1)
    shrunk = (1 - shrinkage) * variances + shrinkage * mean_variance
    elsewhere = (1 - shrinkage) * left + shrinkage * mean_variance
    # 1 / shrunk = (1 - w) / elsewhere, with w the squared length of a direction; the order of variances makes it >= 0.
    weights = np.maximum(1 - elsewhere / shrunk, 0.0)
    directions = (np.sqrt(weights)[:, None] * axes).astype(np.float32)
    return Novelty(means.astype(np.float32), directions, float(1 / elsewhere))


def _find_largest(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest squared singular values of (N, D), at most ``count``, and their right vectors (R, D), by the smaller
    of the two products of the matrix with itself, whose every value is not needed."""
    from scipy.linalg import eigh  # prediction needs this module, and no SciPy

    few = len(rows) < rows.shape[1]
    product = rows @ rows.T if few else rows.T @ rows
    values, vectors = eigh(product, subset_by_index=[len(product) - count, len(product) - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    sound = values > 1e-10 * values[0]
    values, vectors = values[sound], vectors[:, sound]
    return values, (rows.T @ vectors / np.sqrt(values)).T if few else vectors.T


def held_out_scores(features: np.ndarray, labels: np.ndarray, folds: np.ndarray, **options) -> np.ndarray:
    """The novelty of pictures by the others' classes, float64 (N,): each fold is scored by a fit on the rest.

    Args:
        features, labels: as for :func:`fit_novelty`, as are ``options``.
        folds: int (N,), the fold of each picture; -1 of one that is only fitted to, whose score is NaN. What belongs
            together (near-copies, one patient) shares a fold, or the scores are too small.
    """
    folds, scores = np.asarray(folds), np.full(len(features), np.nan)
    for fold in np.unique(folds[folds >= 0]):
        inside = folds == fold
        scores[inside] = fit_novelty(features[~inside], labels[~inside], **options).scores(features[inside])
    return scores


def acceptance_threshold(scores: np.ndarray, keep: float = 0.95) -> float:
    """The score up to which a picture counts as like the training pictures, so that the share ``keep`` of such pictures
    does.

    Args:
        scores: (n,), of pictures of the known classes that the fit has not seen, n >= 1.
        keep: above 0 and below 1.

    Returns:
        :func:`~src.evaluation.conformal.conformal_quantile`; where n is too small for it the largest score, by which
        n / (n + 1) are kept on average.
    """
    return min(conformal_quantile(scores, keep), float(np.max(scores)))


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """The chance that an unknown picture's score is above a known one's, ties counting half (Mann and Whitney 1947).

    Args:
        known, unknown: scores, at least one each. Raises ``ValueError`` otherwise.
    """
    known, unknown = np.sort(np.asarray(known, np.float64)), np.asarray(unknown, np.float64)
    if not len(known) or not len(unknown):
        raise ValueError(f"expected scores of both kinds. Received: {len(known)}, {len(unknown)}")
    below, up_to = (np.searchsorted(known, unknown, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(known)))


def _normalize(features: np.ndarray) -> np.ndarray:
    """float64, each row of length 1; zeros stay zeros."""
    features = np.asarray(features, np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _squared_distances(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """(N, C) between rows."""
    products = -2 * points @ centers.T
    return (points**2).sum(axis=1)[:, None] + (centers**2).sum(axis=1) + products
