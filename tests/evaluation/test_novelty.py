"""How unlike a picture is: against the dense formula, by hand, and what thresholds keep."""

import numpy as np
import pytest

from src.evaluation.novelty import Novelty, acceptance_threshold, auroc, fit_novelty, held_out_scores


def _features(count: int, classes: int = 3, dimensions: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """``count`` of each class, about means of their own."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    centers = 4 * np.eye(classes, dimensions)
    return (centers[labels] + rng.normal(size=(len(labels), dimensions))).astype(np.float32), labels


def _dense(features, labels, queries, shrinkage):
    """The definition, with the whole matrix."""
    unit, asked = (each / np.linalg.norm(each.astype(float), axis=1, keepdims=True) for each in (features, queries))
    classes = np.unique(labels)
    means = np.stack([unit[labels == label].mean(axis=0) for label in classes])
    rest = unit - means[np.searchsorted(classes, labels)]
    covariance, size = rest.T @ rest / (len(unit) - len(classes)), unit.shape[1]
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / size * np.eye(size)
    inverse = np.linalg.inv(shrunk)
    return np.stack([np.sqrt(np.einsum("nd,de,ne->n", asked - mean, inverse, asked - mean)) for mean in means], 1)


@pytest.mark.parametrize("count, shrinkage", [(20, 0.3), (4, 0.3), (4, 0.05), (2, 0.9), (20, 1.0)])
def test_the_factor_gives_what_the_dense_matrix_gives(count, shrinkage):
    features, labels = _features(count)
    queries = np.random.default_rng(5).normal(size=(7, 20)).astype(np.float32)
    found = fit_novelty(features, labels, shrinkage=shrinkage)
    assert len(found.directions) <= 3 * count - 3
    np.testing.assert_allclose(found.distances(queries), _dense(features, labels, queries, shrinkage), rtol=1e-5)


def test_fewer_directions_keep_the_variance_of_the_largest():
    """Three of four directions kept, the fourth small: little is lost."""
    far = np.float64([1000, 0, 0, 0, 0])  # so that unit length changes next to nothing
    sides = np.concatenate([np.diag([0, 1, 0.5, 0.1, 0.1]), -np.diag([0, 1, 0.5, 0.1, 0.1])])
    features = far + sides[np.any(sides != 0, axis=1)]
    labels, queries = np.zeros(8, int), far + np.float64([[0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0.3, 0.2, 0.1, 0.1]])
    whole, part = (fit_novelty(features, labels, rank=rank).distances(queries) for rank in (256, 3))
    np.testing.assert_allclose(part, whole, rtol=0.02)
    assert len(fit_novelty(features, labels, rank=3).directions) == 3


def test_the_score_is_the_nearest_distance_times_its_ratio_to_the_second():
    """No direction counts less, scale 4: distances are twice Euclid's, of features of length 1."""
    found = Novelty(np.float32([[1, 0], [0, 1]]), np.zeros((0, 2), np.float32), 4.0)
    asked = np.array([[3.0, 0.0], [5.0, 5.0], [-1.0, 0.0]])
    middle = 2 * np.hypot(np.sqrt(0.5) - 1, np.sqrt(0.5))
    far = [4.0, 2 * np.sqrt(2)]
    np.testing.assert_allclose(found.distances(asked), [[0, 2 * np.sqrt(2)], [middle] * 2, far], atol=1e-6)
    np.testing.assert_allclose(found.scores(asked), [0, middle, far[1] * far[1] / far[0]], atol=1e-6)
    alone = Novelty(np.float32([[1, 0]]), np.zeros((0, 2), np.float32), 4.0)
    np.testing.assert_allclose(alone.scores(asked), [0, middle, 4], atol=1e-6)


def test_unlike_pictures_score_higher_and_a_fold_has_not_seen_itself():
    features, labels = _features(12)
    folds = np.arange(len(labels)) % 4
    scores = held_out_scores(features, labels, folds)
    third = folds == 2
    expected = fit_novelty(features[~third], labels[~third]).scores(features[third])
    np.testing.assert_array_equal(scores[third], expected)
    assert scores.mean() > fit_novelty(features, labels).scores(features).mean(), "what was seen looks nearer"
    away = -4 * np.eye(3, 20)[labels].astype(np.float32) + np.random.default_rng(9).normal(size=features.shape)
    assert auroc(scores, fit_novelty(features, labels).scores(away)) > 0.9


def test_what_cannot_be_fitted_is_refused():
    features, labels = _features(3)
    same = np.repeat(features[:2], 2, axis=0)
    for wrong, of in ((features[0], labels), (features, labels[:-1]), (features * np.nan, labels)):
        with pytest.raises(ValueError, match="Received"):
            fit_novelty(wrong, of)
    for few, of in ((same, [0, 0, 1, 1]), (features[:2], [0, 1])):
        with pytest.raises(ValueError, match="no two pictures of a class differ"):
            fit_novelty(few, np.array(of))
    zeros = np.concatenate([features, np.zeros((1, 20), np.float32)])
    assert np.isfinite(fit_novelty(zeros, np.append(labels, 0)).scores(zeros)).all()


def test_the_acceptance_threshold():
    scores = np.arange(1.0, 101)
    assert acceptance_threshold(scores, 0.95) == 96  # ceil(101 * 0.95)
    assert acceptance_threshold(scores[:30]) == 30  # ceil(31 * 0.95)
    assert acceptance_threshold(scores[:5]) == 5, "too few: the largest, by which 5 of 6 are kept"


def test_the_area_by_hand():
    assert auroc([1, 2, 3], [4, 5]) == 1 and auroc([4, 5], [1, 2]) == 0 and auroc([1, 1], [1]) == 0.5
    assert auroc([1, 3], [2, 3, 0]) == pytest.approx((1 + 1.5 + 0) / 6)
    for known, unknown in (([], [1]), ([1], [])):
        with pytest.raises(ValueError, match="both kinds"):
            auroc(known, unknown)
