"""Sets of classes: their quantile by hand, and the promise on drawn answers."""

import math

import numpy as np
import pytest

from src.evaluation.conformal import conformal_quantile, fit_sets, measure_sets, predict_sets
from src.intervals import wilson_interval


@pytest.mark.parametrize(
    "count, share, rank", [(9, 0.9, 9), (19, 0.95, 19), (20, 0.95, 20), (39, 0.95, 38), (99, 0.9, 90), (4, 0.5, 3)]
)
def test_the_quantile_is_the_kth_smallest(count, share, rank):
    scores = np.random.default_rng(count).permutation(np.arange(1.0, count + 1))
    assert conformal_quantile(scores, share) == rank


@pytest.mark.parametrize("count, share", [(8, 0.9), (18, 0.95), (1, 0.51)])
def test_too_few_scores_bound_nothing(count, share):
    assert conformal_quantile(np.zeros(count), share) == math.inf


@pytest.mark.parametrize("scores, share", [([], 0.9), ([[1.0]], 0.9), ([np.nan, 1], 0.5), ([1.0], 0), ([1.0], 1)])
def test_what_is_no_quantile_is_refused(scores, share):
    with pytest.raises(ValueError, match="Received"):
        conformal_quantile(np.array(scores), share)


def test_sets_by_hand():
    held_out = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])  # 1 - p of the truth: 0.1, 0.4, 0.3, 0.8
    labels = np.array([0, 1, 0, 0])
    threshold = fit_sets(held_out, labels, 0.6)  # the 3rd of 4
    assert threshold == pytest.approx(0.4)
    new = np.array([[0.6, 0.4], [0.5, 0.5], [0.39, 0.61]])
    assert predict_sets(new, threshold).tolist() == [[True, False], [True, False], [False, True]]
    assert predict_sets(new, 0.5).tolist() == [[True, False], [True, True], [False, True]]
    assert predict_sets(new, 0.0).tolist() == [[True, False], [True, False], [False, True]], "never empty"
    assert predict_sets(new, math.inf).all(), "too few pictures: every class is possible"


def test_figures_by_hand():
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]], bool)
    found = measure_sets(sets, np.array([0, 1, 0, 2]))
    assert (found.n, found.covered, found.mean_size, found.singletons) == (4, 3, 1.75, 2)
    record = found.as_json()
    assert record["coverage"] == 0.75 and record["singletons"] == 0.5
    assert record["interval"] == list(wilson_interval(3, 4))
    for rows, labels in ((sets, np.array([0])), (sets[0], np.array([0, 1, 2])), (sets[:0], np.zeros(0, int))):
        with pytest.raises(ValueError, match="expected rows"):
            measure_sets(rows, labels)


def test_the_promise_holds_on_2000_pictures_for_a_classifier_that_errs_often():
    """Of an honest classifier of 5 classes, by 1,000 held-out answers: within 0.02 of what was asked."""
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet([0.5] * 5, 3000)
    labels = np.array([rng.choice(5, p=row) for row in probabilities])
    for asked in (0.8, 0.9, 0.95):
        threshold = fit_sets(probabilities[:1000], labels[:1000], asked)
        found = measure_sets(predict_sets(probabilities[1000:], threshold), labels[1000:])
        assert found.n == 2000 and found.covered / found.n == pytest.approx(asked, abs=0.02)
        assert found.mean_size < 3.5


def test_over_many_draws_of_few_pictures_the_promise_holds_on_average():
    """P(score of a new picture <= threshold) = k / (n + 1), here 29 / 31 for 0.91 of 30."""
    scores = np.random.default_rng(2).uniform(size=(4000, 31))
    held = np.mean([row[-1] <= conformal_quantile(row[:-1], 0.91) for row in scores])
    assert held == pytest.approx(29 / 31, abs=0.015)
