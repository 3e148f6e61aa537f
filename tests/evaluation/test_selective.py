"""Accuracy against coverage, by hand."""

import itertools
import math

import numpy as np
import pytest

from src.evaluation.selective import confidence_threshold, trade_coverage


def test_the_curve_by_hand():
    curve = trade_coverage(np.array([0.6, 0.9, 0.7, 0.8]), np.array([False, True, False, True]))
    assert [(point.n, point.right, point.threshold) for point in curve.points] == [
        (1, 1, 0.9), (2, 2, 0.8), (3, 2, 0.7), (4, 2, 0.6),
    ]  # fmt: skip
    assert curve.aurc == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert curve.points[2].coverage == 0.75 and curve.points[2].accuracy == pytest.approx(2 / 3)


def test_the_least_coverage_that_is_enough():
    curve = trade_coverage(np.linspace(1, 0.5, 20), np.ones(20, bool))
    assert [curve.at(share).n for share in (1.0, 0.95, 0.9, 0.8, 0.5, 0.51, 0.01)] == [20, 19, 18, 16, 10, 11, 1]
    assert [trade_coverage(np.arange(100), np.ones(100, bool)).at(share).n for share in (0.07, 0.29, 0.57)] == [
        7,
        29,
        57,
    ]
    for wrong in (0.0, 1.01):
        with pytest.raises(ValueError, match="Received"):
            curve.at(wrong)


def test_ties_go_together():
    confidences, right = np.array([0.9, 0.5, 0.5, 0.5]), np.array([True, True, False, False])
    curve = trade_coverage(confidences, right)
    assert [(point.n, point.right) for point in curve.points] == [(1, 1), (4, 2)]
    assert curve.at(0.5) == curve.at(1.0) and curve.at(0.5).coverage == 1.0
    orders = list(itertools.permutations(right[1:]))  # the mean over all orders of the tied
    areas = [np.mean(np.cumsum([0, *(~np.array(order)).tolist()]) / [1, 2, 3, 4]) for order in orders]
    assert curve.aurc == pytest.approx(np.mean(areas))
    again = trade_coverage(confidences[::-1], right[::-1])
    assert again.points == curve.points and again.aurc == curve.aurc


def test_extremes_and_wrong_shapes():
    assert trade_coverage(np.array([0.5, 0.6]), np.array([True, True])).aurc == 0
    assert trade_coverage(np.array([0.5, 0.6]), np.array([False, False])).aurc == 1
    for confidences, right in ((np.ones(2), np.ones(3, bool)), (np.ones(0), np.ones(0, bool))):
        with pytest.raises(ValueError, match="Received"):
            trade_coverage(confidences, right)


def test_the_least_confidence_of_sure_answers_by_hand():
    confidences, right = np.linspace(0.99, 0.50, 50), np.ones(50, bool)
    assert confidence_threshold(confidences, right, 0.05) == pytest.approx(0.5)
    right[45] = False  # (1 + 1) / (n + 1) <= 0.05 takes 39
    assert confidence_threshold(confidences, right, 0.05) == pytest.approx(0.5)
    right[40] = False  # (2 + 1) / (n + 1) takes 59: the 45 before the second are sure
    assert confidence_threshold(confidences, right, 0.05) == pytest.approx(confidences[44])
    right[30] = False  # the 31st fails, but the 40th has 39 before it with one wrong, and the 41st fails again
    assert confidence_threshold(confidences, right, 0.05) == pytest.approx(confidences[39])
    assert confidence_threshold(confidences[:38], right[:38], 0.05) == pytest.approx(confidences[29])
    assert confidence_threshold(confidences, right, 0.2) == pytest.approx(0.5)


def test_too_few_answers_promise_nothing_and_bad_ones_are_never_sure():
    few = np.linspace(1, 0.9, 18)
    assert confidence_threshold(few, np.ones(18, bool), 0.05) is None
    assert confidence_threshold(np.append(few, 0.8), np.ones(19, bool), 0.05) == 0.8
    assert confidence_threshold(np.linspace(1, 0.5, 40), np.arange(40) % 2 == 1, 0.05) == math.inf
    assert confidence_threshold(np.full(40, 0.7), np.arange(40) > 0, 0.05) == 0.7, "ties are sure together"
    assert confidence_threshold(np.linspace(1, 0.5, 38), np.arange(38) != 3, 0.05) == math.inf, "one of the first 19"
    for rate in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="Received"):
            confidence_threshold(few, np.ones(18, bool), rate)


def test_a_wrong_label_among_the_surest_leaves_the_others_sure():
    """Of 170 answers the fourth surest is called wrong."""
    confidences, right = np.linspace(1, 0.5, 170), np.arange(170) != 3
    assert confidence_threshold(confidences, right, 0.05) == 0.5
    assert confidence_threshold(confidences[:39], right[:39], 0.05) == pytest.approx(confidences[38])


@pytest.mark.parametrize("count", [60, 200])
def test_sure_answers_are_wrong_as_seldom_as_was_asked_on_average(count):
    """Answers as right as they are sure, 90% in all: the share of wrong ones among the sure of new pictures."""
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(400):
        confidences = 1 - 0.5 * rng.beta(0.5, 2, 2 * count)
        right = rng.uniform(size=2 * count) < confidences
        chosen = confidences[count:] >= confidence_threshold(confidences[:count], right[:count], 0.1)
        shares.append([chosen.mean(), (~right[count:])[chosen].mean() if chosen.any() else 0.0])
    sure, wrong = np.mean(shares, axis=0)
    assert sure > 0.7 and 0.04 < wrong < 0.1
