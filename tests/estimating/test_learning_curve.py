"""The learning curve: a law that is known is found again, and what cannot be told is not."""

import numpy as np
import pytest

from src.estimating.cross_validation import CrossValidationSettings, prepare
from src.estimating.described import describe_curve, describe_needs
from src.estimating.learning_curve import (
    SHARES,
    PowerLaw,
    _subsets,
    compare_halves,
    fit_curve,
    fit_power_laws,
    measure_curve,
    measure_needs,
)
from src.estimation_plotting import plot_learning_curve
from src.imaging import read_image

SIZES = np.array([7.0, 10, 14, 20, 28, 40, 56])


@pytest.mark.parametrize(("a", "b", "c"), [(0.05, 0.6, 0.5), (0.0, 0.9, 0.8), (0.1, 1.0, 1.2), (0.2, 0.0, 0.2)])
def test_a_known_power_law_is_found_again(a, b, c):
    found = fit_power_laws(SIZES, PowerLaw(a, b, c).error(SIZES)[None])[:, 0]
    assert found[:2] == pytest.approx([a, b], abs=0.02) and (b == 0 or found[2] == pytest.approx(c, abs=0.03))
    assert PowerLaw(*found).error(112) == pytest.approx(PowerLaw(a, b, c).error(112), abs=2e-3)


def test_errors_that_rise_are_taken_for_constant_and_none_is_below_zero():
    rising, steep = np.linspace(0.1, 0.2, 7), 0.9 * SIZES**-1.5 - 0.01
    found = fit_power_laws(SIZES, np.stack([rising, np.maximum(steep, 0)]))
    assert found[1, 0] == 0 and 0.1 < found[0, 0] < 0.2
    assert (found[:2] >= 0).all()


def _answers(law, count, seed):
    """Whether pictures are wrong: each has a difficulty of its own, so that sizes agree on which are hard."""
    difficulty = (
        np.random.default_rng(seed).uniform(size=(3, count)) * 0.2
        + np.random.default_rng(seed + 1).uniform(size=count) * 0.8
    )
    ranks = difficulty.argsort(axis=1).argsort(axis=1) / count
    return np.stack([(ranks < law.error(n)).astype(float) for n in SIZES])


def test_twice_as_many_pictures_lies_within_the_interval_of_a_known_law():
    law = PowerLaw(0.02, 1.2, 0.6)
    inside = 0
    for seed in range(10):
        curve = fit_curve(SIZES, _answers(law, 200, 10 * seed), np.arange(200), 70.0, seed)
        inside += curve.at_twice.low <= 1 - law.error(140) <= curve.at_twice.high
        assert curve.at_now.low <= curve.at_now.mean <= curve.at_now.high and curve.gain.mean > 0
    assert inside >= 9


def test_a_steep_curve_of_many_pictures_can_be_told_and_a_flat_one_of_few_not():
    steep = fit_curve(SIZES, _answers(PowerLaw(0.0, 2.0, 0.5), 3000, 0), np.arange(3000), 70.0)
    flat = fit_curve(SIZES, _answers(PowerLaw(0.03, 0.0, 1.0), 60, 0), np.arange(60), 70.0)
    assert steep.can_tell and steep.gain.mean == pytest.approx(2 * (70**-0.5 - 140**-0.5), abs=0.02)
    assert not flat.can_tell
    none = fit_curve(SIZES, np.zeros((7, 3, 60)), np.arange(60), 70.0)
    assert none.at_twice.mean == 1.0 and none.at_twice.low < 1.0 and not none.can_tell


def test_copies_make_the_interval_wider():
    wrong = _answers(PowerLaw(0.02, 1.2, 0.6), 50, 3).repeat(4, axis=2)
    alone = fit_curve(SIZES, wrong, np.arange(200), 70.0)
    joined = fit_curve(SIZES, wrong, np.arange(200) // 4, 70.0)
    widths = [curve.at_twice.high - curve.at_twice.low for curve in (alone, joined)]
    assert widths[1] > 1.4 * widths[0]


def test_subsets_are_nested_and_have_their_share_of_each_class():
    labels = np.repeat([0, 1, 2], [40, 20, 16])
    learned = np.arange(0, 76)
    found = list(_subsets(labels, learned, 5, 0))
    assert [share for share, _ in found] == list(SHARES)
    for (_, few), (_, more) in zip(found, found[1:]):
        assert set(few) < set(more)
    for share, chosen in found:
        assert np.bincount(labels[chosen]).tolist() == [round(share * count) for count in (40, 20, 16)]
        assert len(set(chosen)) == len(chosen)


def test_measured_on_pictures_and_which_class_needs_more():
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 24)
    centers = np.zeros((3, 40))
    centers[0, 0] = 12.0  # class 0 is told from the others by itself, 1 and 2 hardly from each other
    centers[1, 1] = 2.0
    rows = (centers[labels] + draw.normal(0, 1, (72, 40)))[None]
    prepared, groups = prepare(rows, labels), np.arange(72)
    settings = CrossValidationSettings(l2=0.1, repeats=2)
    curve = measure_curve(prepared, groups, settings, 1)
    assert len(curve.pictures) == 7 and curve.pictures[-1] == pytest.approx(24 * 0.8, abs=0.5) and curve.now == 24
    assert curve.accuracy[-1] > curve.accuracy[0] and curve.law is not None
    record = curve.as_json()
    assert record["twice"]["pictures_per_class"] == 48 and len(record["points"]) == 7
    assert "Twice as many pictures of each class (144 in all) would bring" in describe_curve(record)
    needs = measure_needs(prepared, groups, settings, 1)
    assert {need.label for need in needs} == {0, 1, 2} and needs[0].label in (1, 2)
    assert needs[0].loss.low <= needs[0].loss.mean <= needs[0].loss.high
    again = measure_needs(prepared, groups, settings, 1)
    assert [need.loss for need in again] == [need.loss for need in needs]


def test_two_pictures_of_a_class_are_too_few_for_a_curve(tmp_path):
    rows, labels = np.random.default_rng(0).normal(size=(1, 4, 5)), np.repeat([0, 1], 2)
    curve = measure_curve(prepare(rows, labels), np.arange(4), CrossValidationSettings(l2=0.1), 0)
    assert (
        curve.pictures.tolist() == [1.0]
        and curve.law is None
        and not curve.can_tell
        and curve.as_json()["twice"] is None
    )
    plot_learning_curve(curve.as_json(), tmp_path / "curve.png")
    assert read_image(tmp_path / "curve.png").std() > 1


@pytest.mark.parametrize(("second", "told"), [(18, False), (2, True)])
def test_a_class_needs_the_most_only_where_it_surely_loses_more_than_the_next(second, told):
    labels, whole, halved = np.repeat([0, 1, 2], 50), np.ones(150), np.ones((3, 150))
    halved[1, 50:70] = 0  # 20 pictures lost, which is surely more than none
    halved[2, 100 : 100 + second] = 0
    needs = compare_halves(whole, halved, [0, 1, 2], labels, np.arange(150))
    assert [need.label for need in needs] == [1, 2, 0] and [need.can_tell for need in needs] == [told, False, False]
    assert needs[0].loss.mean == pytest.approx(20 / 150) and needs[0].recall.mean == pytest.approx(0.4)
    assert needs[0].loss.low > 0
    text = describe_needs([{"class": "cat", "loss": 0.13, "interval": [0.08, 0.19], "can_be_told": told}])
    assert ("cat needs more pictures the most" in text) is told and "half of " in text
    joined = compare_halves(whole, halved, [0, 1, 2], labels, np.arange(150) // 50)
    assert not joined[0].can_tell, "three groups of alike pictures tell nothing"
