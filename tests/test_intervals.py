import math

import numpy as np
import pytest

from src.intervals import (
    Interval,
    bootstrap_interval,
    paired_interval,
    paired_share_interval,
    share_interval,
    wilson_interval,
)


def _table(both, first_only, second_only, neither):
    """0/1 values of two methods on the same pictures, from the counts of a paired table."""
    first = [1] * (both + first_only) + [0] * (second_only + neither)
    second = [1] * both + [0] * first_only + [1] * second_only + [0] * neither
    return first, second


def test_wilson_interval_of_known_cases():
    # Newcombe (1998), table I: 81 of 263 and 0 of 20
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_bootstrap_of_a_mean_agrees_with_its_standard_error():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    interval = bootstrap_interval(values, draws=4000)
    half = 1.96 * values.std() / 20  # the standard error of 400 drawn values
    assert interval.mean == pytest.approx(values.mean()) and interval.n == 400
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_bootstrap_of_two_values_is_their_distribution():
    # The mean of two draws from {0, 4} is 0, 2, 4 with 1/4, 1/2, 1/4.
    assert bootstrap_interval([0.0, 4.0], confidence=0.9) == Interval(2.0, 0.0, 4.0, 2)
    assert bootstrap_interval([0.0, 4.0], confidence=0.4) == Interval(2.0, 2.0, 2.0, 2)


def test_bootstrap_is_a_function_of_its_seed():
    values = np.random.default_rng(4).normal(size=30)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)
    assert bootstrap_interval(values, draws=20) != bootstrap_interval(values, draws=2000)


def test_shares_get_wilsons_interval():
    interval = share_interval([1] * 81 + [0] * 182 + [np.nan] * 5)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert interval.mean == pytest.approx(81 / 263) and interval.n == 263
    assert share_interval(np.zeros(20, bool)).high == pytest.approx(0.1611, abs=1e-4)
    assert share_interval(np.zeros(20), confidence=0.5).high == pytest.approx(0.6745**2 / (20 + 0.6745**2), abs=1e-4)


def test_equal_values_that_are_no_hits_leave_the_bootstrap_without_width():
    assert bootstrap_interval(np.zeros(20)) == Interval(0.0, 0.0, 0.0, 20)


def test_values_that_are_not_defined_are_left_out():
    assert bootstrap_interval([0.0, np.nan, 4.0], confidence=0.9) == Interval(2.0, 0.0, 4.0, 2)
    paired = paired_interval([np.nan, 0.5, 4.5, 1.0], [1.0, 0.5, 0.5, np.nan], confidence=0.9)
    assert paired == Interval(2.0, 0.0, 4.0, 2)


def test_too_few_values_have_no_bounds():
    nothing, one = bootstrap_interval([np.nan]), bootstrap_interval([0.3])
    assert nothing.n == 0 and math.isnan(nothing.mean) and math.isnan(nothing.low)
    assert (one.mean, one.n) == (0.3, 1) and math.isnan(one.low) and math.isnan(one.high)
    for interval in (share_interval([]), paired_share_interval([1], [np.nan]), paired_interval([], [])):
        assert interval.n == 0 and math.isnan(interval.mean) and math.isnan(interval.high)


def test_paired_differences_do_not_see_what_pictures_share():
    pictures = np.random.default_rng(2).normal(0, 10, 100)
    better = paired_interval(pictures + 0.5 + 0.1 * np.sin(np.arange(100)), pictures)
    assert 0.45 < better.low < 0.5 < better.high < 0.55
    assert paired_interval([0.25, 0.5], [0.75, 1.5]).mean == -0.75


def test_paired_draws_follow_their_arguments():
    values, control = np.random.default_rng(3).normal(size=(2, 12))
    plain = paired_interval(values, control)
    assert plain == paired_interval(values, control, seed=0)
    assert plain != paired_interval(values, control, seed=1)
    assert plain != paired_interval(values, control, draws=50)
    assert plain.low < paired_interval(values, control, confidence=0.5).low


def test_paired_shares_get_newcombes_interval():
    # Newcombe (1998, paired): 36, 12, 2, 0; Altman (2000), p. 52: 14, 5, 0, 22; Bentur et al. (2009): 1, 1, 7, 12
    for table, mean, low, high in (
        ((36, 12, 2, 0), 0.2, 0.0569, 0.3404),
        ((14, 5, 0, 22), 5 / 41, 0.0115, 0.2265),
        ((1, 1, 7, 12), -6 / 21, -0.5069, -0.0256),
    ):
        interval = paired_share_interval(*_table(*table))
        assert interval.mean == pytest.approx(mean) and interval.n == sum(table)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)
    assert paired_share_interval(*_table(36, 12, 2, 0), confidence=0.8).low > 0.0569 + 0.01


def test_paired_shares_that_are_always_equal_are_not_certain():
    same = paired_share_interval(*_table(10, 0, 0, 10))
    assert same.mean == 0 and same.low == pytest.approx(-same.high) and 0.05 < same.high < 0.2
    all_right = paired_share_interval([1] * 20, [1] * 20)
    assert all_right.high == pytest.approx(0.1611, abs=1e-4)  # no correlation is known: 1 - Wilson's bound of 20 in 20


def test_pairs_must_be_of_the_same_pictures():
    for measure in (paired_interval, paired_share_interval):
        with pytest.raises(ValueError, match=r"Received: \(2,\), \(3,\)"):
            measure([1, 0, 1], [1, 0])


def test_hits_are_zero_or_one():
    with pytest.raises(ValueError, match="Received: 0.5"):
        share_interval([1, 0.5])
    with pytest.raises(ValueError, match="Received: 2.0"):
        paired_share_interval([1, 0], [2, 0])
