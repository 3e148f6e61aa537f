"""Accuracy against coverage, by hand."""

import itertools

import numpy as np
import pytest

from src.evaluation.selective import trade_coverage


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
