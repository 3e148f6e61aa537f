"""Cross-validation: honest about noise, blind to nothing that belongs together, the same for the same seed."""

import numpy as np
import pytest

from src.estimating.cross_validation import (
    CrossValidation,
    CrossValidationSettings,
    Prepared,
    can_cross_validate,
    cross_validate,
    cross_validate_strengths,
    deal,
    prepare,
)
from src.intervals import wilson_interval
from src.training.logistic import fit_head, scale_features

FIXED = CrossValidationSettings(l2=0.1, repeats=2)


def _pictures(apart, count=40, dimension=30, classes=2, seed=0):
    draw = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), count // classes)
    rows = draw.normal(0, 1, (count, dimension)) + apart * np.eye(classes, dimension)[labels]
    return rows[None], labels


def test_labels_of_pure_noise_come_to_chance():
    accuracies = []
    for seed in range(8):
        rows, labels = _pictures(0.0, seed=seed)
        accuracies.append(cross_validate(rows, labels, np.arange(40), FIXED, seed).accuracy)
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.08)


def test_copies_do_not_speak_for_each_other():
    """Each picture four times, labels by chance: seen across folds, all would be known."""
    rows, labels = _pictures(0.0, count=24, dimension=60)
    rows, labels, groups = np.repeat(rows, 4, axis=1), np.repeat(labels, 4), np.repeat(np.arange(24), 4)
    leaking = cross_validate(rows, labels, np.arange(96), FIXED).accuracy
    assert leaking > 0.9 and cross_validate(rows, labels, groups, FIXED).accuracy < 0.8


def test_what_is_told_of_clear_classes():
    rows, labels = _pictures(8.0, count=45, classes=3)
    found = cross_validate(rows, labels, np.arange(45), CrossValidationSettings(repeats=2, folds=4), seed=1)
    assert found.probabilities.shape == (2, 45, 3) and len(found.strengths) == 8 and found.folds == 4
    np.testing.assert_allclose(found.probabilities.sum(axis=2), 1, atol=1e-5)
    hits = found.probabilities.argmax(axis=2) == labels
    assert found.accuracy == hits.mean() > 0.9
    assert found.interval == pytest.approx(wilson_interval(hits.mean() * 30, 30))  # two thirds of them
    true = found.probabilities[:, np.arange(45), labels]
    assert found.log_loss == pytest.approx(-np.log(true).mean(), rel=1e-5)
    assert found.recalls() == [hits[:, labels == label].mean() for label in range(3)]
    record = found.as_json(["a", "b", "c"])
    assert (record["n"], record["folds"], record["repeats"]) == (45, 4, 2)
    assert record["per_class"]["b"]["n"] == 15 and record["interval"][0] < record["accuracy"] <= record["interval"][1]


def test_the_same_seed_gives_the_same_and_another_other_folds():
    rows, labels = _pictures(1.0)
    first, again, other = (cross_validate(rows, labels, np.arange(40), FIXED, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    assert (first.probabilities != other.probabilities).any()


def test_each_picture_is_held_out_once_in_each_repeat_and_groups_with_it():
    labels, groups = np.tile([0, 1], 15), np.arange(30) // 4
    held_out = np.zeros((2, 30), int)
    for repeat, learned, held in deal(labels, groups, FIXED, 0):
        held_out[repeat, held] += 1
        assert not set(groups[learned]) & set(groups[held]) and len(learned) + len(held) == 30
    assert (held_out == 1).all()


def test_several_strengths_at_once_are_each_as_by_itself():
    rows, labels = _pictures(1.0)
    groups = np.arange(40)
    found = cross_validate_strengths(prepare(rows, labels), groups, FIXED, (1.0, 0.1), 5)
    alone = cross_validate(rows, labels, groups, FIXED, 5)
    np.testing.assert_allclose(found[0.1].probabilities, alone.probabilities, atol=2e-3)
    assert abs(found[1.0].probabilities - alone.probabilities).max() > 0.01


def test_pictures_are_learned_from_in_one_view_and_judged_in_another():
    rows, labels = _pictures(8.0)
    draw = np.random.default_rng(2)
    useless = draw.normal(0, 1, rows[0].shape)
    found = [cross_validate(rows, labels, np.arange(40), FIXED, plain=plain).accuracy for plain in (rows[0], useless)]
    assert found[0] > 0.95 and found[1] < 0.75


def test_a_class_of_one_picture_is_refused_and_of_two_is_enough():
    rows, labels = _pictures(8.0, count=12)
    groups = np.where(labels == 1, 99, np.arange(12))
    assert not can_cross_validate(labels, groups)
    with pytest.raises(ValueError, match="fewer than two groups"):
        cross_validate(rows, labels, groups, FIXED)
    few = np.array([0, 1, 2, 3])
    assert can_cross_validate(labels[few], few)
    assert isinstance(cross_validate(rows[:, few], labels[few], few), CrossValidation)


def test_intervals_of_groups_hold_the_truth_about_other_groups():
    """20 groups of 10 pictures that are hardly different, as several shots of one object."""
    held = 0
    for seed in range(6):
        draw, kinds = np.random.default_rng(seed), np.arange(2020) % 2
        objects = draw.normal(size=(2020, 20)) + np.eye(1, 20) * 2 * kinds[:, None]
        groups = np.repeat(np.arange(20), 10)
        rows, labels = objects[groups] + 0.15 * draw.normal(size=(200, 20)), kinds[groups]
        found = cross_validate(rows[None], labels, groups, FIXED)
        scaled = scale_features(rows[None])
        head = scaled.unscale(fit_head(scaled.values, labels, 2, 0.1))
        truth = (head.logits(objects[20:]).argmax(axis=1) == kinds[20:]).mean()
        held += found.interval[0] <= truth <= found.interval[1]
    assert held >= 5, "taken for independent it were about 2"
    low, high = found.as_json(["a", "b"])["per_class"]["a"]["interval"]
    assert high - low > 0.3


def test_of_many_pictures_and_classes_a_strength_is_chosen_once_for_each_repeat(monkeypatch):
    rows, labels = _pictures(2.0)
    settings, asked = CrossValidationSettings(repeats=2, folds=4), []
    choose = Prepared.choose
    monkeypatch.setattr(Prepared, "choose", lambda *words: asked.append(words[1]) or choose(*words))
    own = cross_validate(rows, labels, np.arange(40), settings)
    assert len(asked) == 8 == len(own.strengths)
    monkeypatch.setattr("src.estimating.cross_validation._ONE_STRENGTH", 79)  # 40 pictures of two classes
    found = cross_validate(rows, labels, np.arange(40), settings)
    assert len(asked) == 10 and found.strengths == own.strengths[:1] * 4 + own.strengths[4:5] * 4
