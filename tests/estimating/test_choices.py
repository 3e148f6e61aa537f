"""The choice: the simplest that is about as good as the best, and words that the training command understands."""

import numpy as np
import pytest

from src.estimating.choices import COLUMNS, EXACT, GRADIENT, Candidate, choose, table, try_features
from src.estimating.cross_validation import CrossValidation, CrossValidationSettings
from src.estimating.gradient_head import cross_validate_gradient
from src.evaluation.calibration import losses
from src.settings import parse_options
from src.transfer_model import KINDS


def _found(losses):
    """Answers of two classes with these losses."""
    right = np.exp(-np.asarray(losses, float))
    return CrossValidation(np.zeros(len(right), int), np.stack([right, 1 - right], axis=1)[None], 5)


def test_the_simplest_within_one_standard_error_of_the_difference():
    draw = np.random.default_rng(0)
    best = draw.uniform(0.1, 0.5, 100)
    noise = draw.normal(0, 0.05, 100)
    noise -= noise.mean()
    error = noise.std(ddof=1) / 10
    candidates = [
        Candidate("a", 4, EXACT, 0.01),  # the best
        Candidate("a", 0, EXACT, 0.01),  # simpler, worse by less than the error
        Candidate("a", 0, EXACT, 0.1),  # simpler still, worse by more
        Candidate("b", 0, EXACT, 0.01, backbone_rank=1),
    ]
    found = [_found(best), _found(best + noise + 0.9 * error), _found(best + noise + 1.2 * error), _found(best + 1)]
    choice = choose(candidates, found)
    assert (choice.best, choice.chosen) == (0, 1)
    assert choice.differences[1].mean == pytest.approx(0.9 * error, rel=1e-2)
    assert choice.differences[2].low < choice.differences[2].mean < choice.differences[2].high
    rows = choice.rows()
    assert [row["chosen"] for row in rows] == [False, True, False, False] and rows[0]["difference"] == 0
    assert [row["log_loss"] for row in rows] == sorted(row["log_loss"] for row in rows)
    assert table(rows)[1][-1] == "yes" and len(table(rows)[0]) == len(COLUMNS)
    assert choose(candidates[:1], found[:1]).chosen == 0


def test_what_is_simpler():
    order = [
        Candidate("light", 0, EXACT, 1.0),
        Candidate("light", 0, EXACT, 0.1),
        Candidate("light", 4, EXACT, 1.0),
        Candidate("light", 4, GRADIENT, None),
        Candidate("heavy", 0, EXACT, 1.0, backbone_rank=1),
    ]
    assert sorted([*order[1:], order[0]], key=lambda each: each.complexity) == order


@pytest.mark.parametrize("views", [0, 4])
def test_the_words_are_options_of_the_training_command(views):
    words = Candidate("efficientnet_lite0", views, EXACT, 0.03).words()
    settings, schedule, training, augmentation = parse_options(KINDS, words)
    schedule.verify(training)
    assert (schedule.phase1_epochs, schedule.l2, schedule.phase2_epochs) == ("exact", 0.03, 0)
    assert (augmentation.augment, schedule.views) == (views > 0, max(1, views))
    assert settings.backbone == "efficientnet_lite0" and settings.head(True) == {"dense_units": 0, "dropout": 0.0}
    _, schedule, training, _ = parse_options(KINDS, Candidate("resnet50", 4, GRADIENT, None).words())
    schedule.verify(training)
    assert (schedule.phase1_epochs, schedule.phase2_epochs) == (5, 0)


def test_candidates_of_one_backbone_are_judged_on_the_same_pictures():
    draw = np.random.default_rng(1)
    labels = np.tile([0, 1], 12)
    plain = (draw.normal(0, 1, (24, 20)) + 6 * np.eye(2, 20)[labels]).astype(np.float32)
    views = plain + draw.normal(0, 0.5, (3, 24, 20)).astype(np.float32)
    settings = CrossValidationSettings(folds=3, repeats=2)
    candidates, found = try_features((0, "a"), plain, views, labels, np.arange(24), settings, 7)
    kinds = {(each.views, each.schedule) for each in candidates}
    assert kinds == {(0, EXACT), (3, EXACT), (3, GRADIENT)} and len(candidates) == len(found)
    assert all(each.n == 24 and each.folds == 3 for each in found)
    assert choose(candidates, found).result.accuracy > 0.9
    again = try_features((0, "a"), plain, views, labels, np.arange(24), settings, 7)[1]
    np.testing.assert_array_equal(found[-1].probabilities, again[-1].probabilities)


def test_the_classic_head_learns_and_is_given_nothing_of_what_is_held_out():
    draw = np.random.default_rng(1)
    labels = np.tile([0, 1], 40)
    rows = (draw.normal(0, 1, (80, 300)) + 2 * labels[:, None]).astype(np.float32)  # ten steps are few
    folds = [(np.arange(40), np.arange(40, 80)), (np.arange(40, 80), np.arange(40))]
    answers = cross_validate_gradient(rows[None], rows, labels, folds, seed=3)
    assert losses(answers, labels).mean() < 0.55 < np.log(2) and answers.sum(axis=1) == pytest.approx(1, abs=1e-5)
    changed = rows.copy()
    changed[40:] = 0  # held out in the first fold
    other = cross_validate_gradient(changed[None], rows, labels, folds[:1], seed=3)
    np.testing.assert_allclose(other[40:], answers[40:], atol=1e-6)
