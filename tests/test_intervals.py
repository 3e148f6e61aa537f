import math

import numpy as np
import pytest

from src.intervals import (
    Interval,
    are_hits,
    design_effect,
    mean_interval,
    paired_interval,
    paired_share_interval,
    share_difference_interval,
    share_interval,
    standard_error,
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


def test_the_interval_of_a_mean_is_students():
    # By hand: of 1, 2, 3, 4, 5 the mean is 3, its standard error sqrt(2.5 / 5), t(4) at 97.5% is 2.776445.
    half = 2.776445 * math.sqrt(0.5)
    interval = mean_interval([1, 2, 3, 4, 5])
    assert (interval.mean, interval.n) == (3.0, 5)
    assert (interval.low, interval.high) == pytest.approx((3 - half, 3 + half), abs=1e-6)
    # t(4) at 95% is 2.131847
    assert mean_interval([1, 2, 3, 4, 5], confidence=0.9).high == pytest.approx(3 + 2.131847 * math.sqrt(0.5), abs=1e-6)


@pytest.mark.parametrize("n", [2, 4, 16])
def test_the_interval_of_a_few_values_holds_as_often_as_it_says(n):
    drawn = np.random.default_rng(n).normal(1.0, 3.0, (2000, n))
    intervals = [mean_interval(values) for values in drawn]
    share = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert abs(share - 0.95) < 0.015  # three standard errors of 2,000 trials


def test_shares_get_wilsons_interval():
    interval = share_interval([1] * 81 + [0] * 182 + [np.nan] * 5)
    assert (interval.low, interval.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert interval.mean == pytest.approx(81 / 263) and interval.n == 263
    assert share_interval(np.zeros(20, bool)).high == pytest.approx(0.1611, abs=1e-4)
    assert share_interval(np.zeros(20), confidence=0.5).high == pytest.approx(0.6745**2 / (20 + 0.6745**2), abs=1e-4)


def test_equal_values_that_are_no_hits_leave_no_width():
    assert mean_interval(np.zeros(20)) == Interval(0.0, 0.0, 0.0, 20)


def test_values_that_are_not_defined_are_left_out():
    assert mean_interval([0.0, np.nan, 4.0]) == mean_interval([0.0, 4.0])
    paired = paired_interval([np.nan, 0.5, 4.5, 1.0], [1.0, 0.5, 0.5, np.nan])
    assert paired == mean_interval([0.0, 4.0]) and paired.n == 2


def test_too_few_values_have_no_bounds():
    nothing, one = mean_interval([np.nan]), mean_interval([0.3])
    assert nothing.n == 0 and math.isnan(nothing.mean) and math.isnan(nothing.low)
    assert (one.mean, one.n) == (0.3, 1) and math.isnan(one.low) and math.isnan(one.high)
    for interval in (share_interval([]), paired_share_interval([1], [np.nan]), paired_interval([], [])):
        assert interval.n == 0 and math.isnan(interval.mean) and math.isnan(interval.high)


def test_paired_differences_do_not_see_what_pictures_share():
    pictures = np.random.default_rng(2).normal(0, 10, 100)
    better = paired_interval(pictures + 0.5 + 0.1 * np.sin(np.arange(100)), pictures)
    assert 0.45 < better.low < 0.5 < better.high < 0.55
    assert paired_interval([0.25, 0.5], [0.75, 1.5]).mean == -0.75


def test_paired_intervals_are_those_of_the_differences():
    values, control = np.random.default_rng(3).normal(size=(2, 12))
    assert paired_interval(values, control) == mean_interval(values - control)
    assert paired_interval(values, control, confidence=0.5) == mean_interval(values - control, confidence=0.5)


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


def test_hits_against_a_control_of_many_draws():
    # Wilson's interval of 5 in 5 is (0.5655, 1); the control hits 0.2 on the pictures' average.
    interval = paired_share_interval([1, 1, np.nan, 1, 1, 1], [0.1, 0.3, 0.9, 0.15, 0.25, 0.2])
    assert (interval.mean, interval.n) == (pytest.approx(0.8), 5)
    assert (interval.low, interval.high) == pytest.approx((0.3655, 0.8), abs=1e-4)
    assert paired_share_interval([1] * 5, [0.2] * 5, confidence=0.5).low > 0.5


def test_hits_are_told_from_other_values():
    assert are_hits([0, 1, np.nan]) and are_hits(np.ones(3, bool)) and not are_hits([0, 0.5])


def test_pairs_must_be_of_the_same_pictures():
    for measure in (paired_interval, paired_share_interval):
        with pytest.raises(ValueError, match=r"Received: \(2,\), \(3,\)"):
            measure([1, 0, 1], [1, 0])


def test_hits_are_zero_or_one():
    with pytest.raises(ValueError, match="Received: 0.5"):
        share_interval([1, 0.5])
    with pytest.raises(ValueError, match="Received: 0.5"):
        paired_share_interval([1, 0.5], [1, 0])
    with pytest.raises(ValueError, match="Received: 2.0"):
        paired_share_interval([1, 0], [2, 0])


@pytest.mark.parametrize(
    "counts, expected",
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)), ((9, 10, 3, 10), (0.1705, 0.8090)), ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)), ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)  # fmt: skip
def test_the_difference_of_shares_of_different_pictures(counts, expected):
    """Newcombe (1998, 17:873), table II, method 10."""
    found = share_difference_interval(*counts)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-4)
    assert found.mean == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])
    assert found.n == counts[1] + counts[3]
    narrower = share_difference_interval(*counts, confidence=0.5)
    assert found.low < narrower.low <= narrower.mean <= narrower.high <= found.high


def test_a_difference_from_no_pictures_is_not_known():
    found = share_difference_interval(3, 4, 0, 0)
    assert math.isnan(found.mean) and math.isnan(found.low) and found.n == 0


def test_groups_of_alike_pictures_count_as_alike():
    groups = np.repeat(np.arange(20), 10)
    by_group, alone = np.repeat(np.arange(20) % 2, 10).astype(float), np.tile([0.0, 1.0], 100)
    assert design_effect(np.ones(200), groups) == 10, "sum of squared sizes / n"
    assert design_effect(by_group, groups) == pytest.approx(10)
    assert design_effect(alone, groups) == pytest.approx(100 / 60), "no group differs: only the one beside it counts"
    assert design_effect(by_group, np.arange(200)) == 1
    # sums over groups are +-5: sqrt(20 / 19 * 20 * 25) / 200
    assert standard_error(by_group, groups) == pytest.approx(np.sqrt(20 / 19 * 500) / 200)
    assert standard_error(by_group, np.arange(200)) == pytest.approx(standard_error(by_group))
    assert standard_error(alone, groups) == standard_error(alone), "never below that of independent pictures"
    few, many = paired_interval(by_group, 0 * alone, groups=groups), paired_interval(by_group, 0 * alone)
    assert few.high - few.low > 3 * (many.high - many.low) and few.n == 200
    assert np.isnan(paired_interval([1, 2], [0, 0], groups=np.zeros(2)).low)
