"""Figures of confidences by hand, the temperature against closed forms."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from src.evaluation.calibration import (
    LEAST_PROBABILITY,
    TEMPERATURES,
    apply_temperature,
    average_logits,
    fit_temperature,
    losses,
    measure_calibration,
    sort_into_bins,
)


def _softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def test_figures_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.25, 0.75]])
    labels = np.array([0, 1, 1, 0])
    found = measure_calibration(probabilities, labels, bins=2)
    # one bin of all four: right 2 of 4, mean confidence 3.15 / 4
    assert found.ece == pytest.approx(0.7875 - 0.5) and found.mce == pytest.approx(0.2875)
    assert found.brier == pytest.approx(2 * (0.01 + 0.64 + 0.09 + 0.5625) / 4)
    assert found.nll == pytest.approx(-np.log([0.9, 0.2, 0.7, 0.25]).mean())
    assert found.nll == pytest.approx(log_loss(labels, probabilities))
    np.testing.assert_array_equal(found.reliability.counts, [0, 4])
    np.testing.assert_array_equal(found.reliability.right, [0, 2])
    # in bins of a tenth .7 and .9, both right, stand alone; .75 and .8, both wrong, are in one
    finer = measure_calibration(probabilities, labels, bins=10)
    assert finer.ece == pytest.approx((0.3 + 2 * 0.775 + 0.1) / 4) and finer.mce == pytest.approx(0.775)
    assert measure_calibration(probabilities, labels).ece != found.ece, "15 bins unless said otherwise"


def test_bins_are_closed_above_and_hold_their_mean():
    bins = sort_into_bins(np.array([0.0, 0.25, 0.26, 0.5, 1.0]), np.array([1, 0, 1, 1, 0], bool), 4)
    np.testing.assert_array_equal(bins.counts, [2, 2, 0, 1])
    np.testing.assert_array_equal(bins.right, [1, 2, 0, 0])
    np.testing.assert_allclose(bins.confidence, [0.125, 0.38, np.nan, 1.0])
    np.testing.assert_allclose(bins.gaps, [0.375, 0.62, 0, 1])


def test_an_honest_model_has_no_error():
    """Of ten answers of 0.8 eight are right, of ten of 0.6 six."""
    probabilities = np.repeat([[0.8, 0.2], [0.6, 0.4]], 10, axis=0)
    labels = np.array([0] * 8 + [1] * 2 + [0] * 6 + [1] * 4)
    found = measure_calibration(probabilities, labels)
    assert found.ece == pytest.approx(0, abs=1e-12) and found.mce == pytest.approx(0, abs=1e-12)
    assert found.brier == pytest.approx((0.8 * 0.08 + 0.2 * 1.28 + 0.6 * 0.32 + 0.4 * 0.72) / 2)


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0])
def test_the_temperature_that_made_the_answers_is_found(factor):
    """Labels as often as the honest probabilities say, which are the answers' at T = ``factor``: an exact minimum."""
    honest = np.array([[0.75, 0.25, 1e-9], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    honest[0] /= honest[0].sum()
    counts = 40 * np.array([[3, 1, 0], [5, 3, 2], [1, 1, 8]])  # enough to be believed
    rows = np.repeat(np.arange(3), counts.sum(axis=1))
    labels = np.concatenate([np.repeat(np.arange(3), count) for count in counts])
    answers = _softmax(factor * np.log(honest))[rows]
    fit = fit_temperature(answers, labels)
    assert fit.temperature == pytest.approx(factor, rel=1e-5)
    assert fit.note == (
        ""
        if factor != 1
        else "960 answers do not show that the temperature 1, the best for them, is better than 1; it stays 1"
    )
    np.testing.assert_allclose(apply_temperature(answers, fit.temperature), honest[rows], atol=1e-5)


def test_the_temperature_of_drawn_labels():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20000, 5))
    labels = (rng.random(20000)[:, None] > _softmax(logits / 2).cumsum(axis=1)).sum(axis=1)
    assert fit_temperature(_softmax(logits), labels).temperature == pytest.approx(2.0, rel=0.03)


def test_where_all_answers_are_right_nothing_changes():
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7], [0.4, 0.6]])
    fit = fit_temperature(probabilities, np.array([0, 1, 1]))
    assert fit.temperature == 1.0 and fit.note.startswith("all 3 answers are right")


def test_ties_are_not_called_right():
    """Where all classes are alike, as of a network that is dead, or where the true one is level with another."""
    alike, level = np.full((7, 2), 0.5), np.array([[0.6, 0.4], [0.5, 0.5]])
    for probabilities, words in (
        (alike, "the answers do not tell the classes apart"),
        (level, "no answer puts a wrong"),
    ):
        fit = fit_temperature(probabilities, np.arange(len(probabilities)) % 2)
        assert fit.temperature == 1.0 and fit.note.startswith(words)


def test_a_gain_that_may_be_chance_is_not_taken():
    """Two answers in three are right at 0.9: of however many the best is log(9) / log(2)."""
    few = np.repeat([[0.9, 0.1]], 6, axis=0), np.array([0, 0, 0, 0, 1, 1])
    fit = fit_temperature(*few)
    assert fit.temperature == 1.0
    assert (
        fit.note == "6 answers do not show that the temperature 3.17, the best for them, is better than 1; it stays 1"
    )
    assert fit_temperature(few[0][:1], np.array([1])).temperature == 1.0, "one alone shows nothing"
    many = fit_temperature(np.tile(few[0], (50, 1)), np.tile(few[1], 50))
    assert many.temperature == pytest.approx(np.log(9) / np.log(2), rel=1e-5) and many.note == ""


def test_honest_answers_mostly_keep_their_temperature():
    """100 times 20 answers of a binary model that is as right as it is sure."""
    rng = np.random.default_rng(0)
    moved = 0
    for _ in range(100):
        positive = 1 / (1 + np.exp(-rng.normal(0, 2, 20)))
        labels = (rng.random(20) < positive).astype(int)
        moved += fit_temperature(np.stack([1 - positive, positive], axis=1), labels).temperature != 1
    assert moved <= 8


def test_the_temperature_stays_within_its_bounds():
    worse = fit_temperature(np.tile([[0.9, 0.1], [0.8, 0.2]], (5, 1)), np.ones(10, int))
    assert worse.temperature == TEMPERATURES[1] and "no better than chance" in worse.note
    flat = np.full((1000, 2), 0.5) + np.array([1e-5, -1e-5])
    alike = fit_temperature(flat, np.array([0] * 999 + [1]))  # the best would be 4e-5 / log(999)
    assert alike.temperature == TEMPERATURES[0] and "hardly differ" in alike.note


def test_applied_by_hand():
    result = apply_temperature(np.array([[0.8, 0.2], [0.5, 0.5]]), 2.0)
    np.testing.assert_allclose(result, [[2 / 3, 1 / 3], [0.5, 0.5]], rtol=1e-6)
    assert result.dtype == np.float32
    np.testing.assert_allclose(apply_temperature([[0.8, 0.2]], 0.5), [[16 / 17, 1 / 17]], rtol=1e-6)
    same = np.float32([[0.9, 0.05, 0.04999]])
    np.testing.assert_array_equal(apply_temperature(same, 1), same)


def test_zeros_and_extreme_temperatures_give_probabilities():
    sure = np.float32([[0, 1, 0], [1e-42, 0.5, 0.5], [0.2, 0.3, 0.5]])
    for temperature in (1e-320, 1e-3, 0.5, 3.0, 1e6):
        with np.errstate(all="raise", under="ignore"):
            result = apply_temperature(sure, temperature)
        np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_array_equal(result.argmax(axis=1), sure.argmax(axis=1))
    assert apply_temperature(sure, 2.0)[0, 0] == pytest.approx(LEAST_PROBABILITY**0.5, rel=1e-5)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="Received"):
            apply_temperature(sure, wrong)


def test_rounding_leaves_the_class_ahead():
    ahead = np.nextafter(np.float32(0.5), np.float32(1))
    close = np.float32([[1 - ahead, ahead], [ahead, 1 - ahead]])
    result = apply_temperature(close, 50.0)
    np.testing.assert_array_equal(result.argmax(axis=1), [1, 0])
    np.testing.assert_allclose(result, 0.5, rtol=1e-6)


def test_losses_are_bounded():
    np.testing.assert_allclose(
        losses(np.array([[0.25, 0.75], [0, 1]]), np.array([0, 0])), [np.log(4), 87.336], rtol=1e-5
    )


def test_the_mean_of_logarithms_is_the_mean_of_logits():
    rng = np.random.default_rng(1)
    first, second, third = rng.normal(0, 4, (3, 6, 5))
    offsets = rng.normal(0, 9, (6, 1))
    answers = [_softmax(first), _softmax(second + offsets), _softmax(third)]
    np.testing.assert_allclose(average_logits(answers), _softmax((first + second + third) / 3), rtol=2e-6)
    np.testing.assert_allclose(average_logits([[[0.8, 0.2]], [[0.5, 0.5]]]), [[2 / 3, 1 / 3]], rtol=1e-6)
    np.testing.assert_allclose(average_logits(answers[:1]), answers[0], rtol=1e-6)


def test_wrong_shapes_are_refused():
    for probabilities, labels in ((np.ones(3), [0] * 3), (np.ones((2, 2)), [0]), (np.ones((0, 2)), [])):
        for function in (measure_calibration, fit_temperature):
            with pytest.raises(ValueError, match="Received"):
                function(probabilities, labels)
