import numpy as np
import pytest

from src.ranking import Compared, Measure, Score, mean_ranks, rank_scores

COLUMNS = [Measure("up", True), Measure("down", False), Measure("neither")]
nan = np.nan


def _compared(title, *values, beats=(), is_control=False):
    """Scores of these values; ``beats``: column -> what is said of the controls, True if nothing."""
    beats = dict(beats)
    scores = [None if value is None else Score(value, None, None, beats.get(n, True)) for n, value in enumerate(values)]
    return Compared(title, scores, is_control)


def test_ranks_follow_the_better_way():
    rows = [
        _compared("a", 0.9, 1.0, 1),
        _compared("b", 0.5, 1.0, 2),
        _compared("c", 0.7, 3.0, 3, beats={0: False}),
        _compared("control", 9.0, 0.0, 4, is_control=True),
        _compared("d", None, 0.5, 5),
        _compared("e", nan, 9.0, 5),
    ]
    ranks = rank_scores(rows, COLUMNS)
    np.testing.assert_array_equal(ranks[:, 0], [1, 2, 3, nan, nan, nan])  # c is better than b, but beats no control
    np.testing.assert_array_equal(ranks[:, 1], [2.5, 2.5, 4, nan, 1, 5])
    assert np.isnan(ranks[:, 2]).all()


def test_what_cannot_be_said_to_beat_the_controls_is_ranked_by_its_value():
    rows = [_compared("a", 0.5), _compared("b", 0.9, beats={0: None}), _compared("c", 0.1, beats={0: None})]
    assert rank_scores(rows, COLUMNS[:1]).tolist() == [[2], [1], [3]]


def test_values_that_differ_by_rounding_share_a_rank():
    rows = [_compared("a", 0.03868978705), _compared("b", 0.03868978632), _compared("c", 0.0386899), _compared("d", 0)]
    assert rank_scores(rows, COLUMNS[:1]).tolist() == [[2.5], [2.5], [1], [4]]


def test_mean_ranks_leave_out_what_has_none():
    found = mean_ranks(np.array([[1.0, nan, 4.0], [2.0, 3.0, 4.0], [nan, nan, nan]]))
    np.testing.assert_array_equal(found, [2.5, 3.0, nan])


@pytest.mark.parametrize(("low", "high", "bounded"), [(0.1, 0.2, True), (nan, 0.2, False), (0.1, None, False)])
def test_bounds_are_finite_or_none_at_all(low, high, bounded):
    assert Score(0.15, low, high).is_bounded is bounded
