"""On photographs of dogs and cats: intervals that hold the truth about the pictures that were left out."""

import numpy as np
import pytest

from src.estimating.cross_validation import CrossValidationSettings, cross_validate, prepare
from src.estimating.learning_curve import measure_curve
from src.training.logistic import fit_head, scale_features

pytestmark = pytest.mark.slow

DRAWS, EACH, POOL = 8, 30, 300  # draws; pictures of a class in each; in all


@pytest.fixture(scope="module")
def pool(real_pictures):
    """Features of 600 pictures, and their labels."""
    from src.auditing.features import compute_features
    from src.datasets.sources import Picture

    folder = real_pictures / "kaggle_dogs_vs_cats" / "train"
    paths = [path for name in ("cat", "dog") for path in sorted(folder.glob(f"{name}.*"))[:POOL]]
    features = compute_features([Picture(str(path), path.name, "", None) for path in paths])
    return features, np.repeat([0, 1], POOL)


def _learn(features, labels, learned):
    scaled = scale_features(features[learned][None])
    return scaled.unscale(fit_head(scaled.values, labels[learned], 2, 0.01))


def test_most_intervals_hold_the_accuracy_on_all_others_and_with_twice_as_many(pool):
    features, labels = pool
    settings, held = CrossValidationSettings(l2=0.01), []
    for number in range(DRAWS):
        draw = np.random.default_rng(number)
        of_class = [draw.permutation(np.flatnonzero(labels == label)) for label in (0, 1)]
        few, twice = (np.concatenate([places[:count] for places in of_class]) for count in (EACH, 2 * EACH))
        others = np.setdiff1d(np.arange(len(labels)), twice)
        truth = [
            (_learn(features, labels, learned).logits(features[others]).argmax(axis=1) == labels[others]).mean()
            for learned in (few, twice)
        ]
        groups = np.arange(len(few))
        found = cross_validate(features[few][None], labels[few], groups, settings, number)
        curve = measure_curve(prepare(features[few][None], labels[few]), groups, settings, number)
        held.append(
            (
                found.interval[0] <= truth[0] <= found.interval[1],
                curve.at_twice.low <= truth[1] <= curve.at_twice.high,
                curve.gain.low <= truth[1] - truth[0] <= curve.gain.high,
            )
        )
    assert truth[0] > 0.93, "an exact head of 30 pictures of a class"
    assert (np.sum(held, axis=0) >= DRAWS - 1).all(), held
