"""Verdicts on answers, by hand: unlike, sure, possible; of one model and of several."""

import dataclasses
import hashlib
import math

import numpy as np
import pytest

from src.evaluation.calibration import apply_temperature
from src.evaluation.novelty import Novelty
from src.held_out import FILE_NAME, HeldOut
from src.limits import Limits
from src.verdicts import Judge, Verdict, create_judges
from tests.test_ensemble import _member

# One mean, no direction that counts less: the score is Euclid's distance of what has length 1 to (1, 0).
NOVELTY = Novelty(np.float32([[1, 0]]), np.zeros((0, 2), np.float32), 1.0)
SCORES = np.linspace(0.01, 0.4, 40)


def _held_out(**options) -> HeldOut:
    """40 answers, of confidences 0.99 to 0.60; the last two are wrong."""
    confidences = np.linspace(0.99, 0.60, 40)
    probabilities = np.stack([confidences, 1 - confidences], axis=1).astype(np.float32)
    labels = (np.arange(40) >= 38).astype(int)
    return HeldOut(labels, probabilities, **{"novelty": NOVELTY, "scores": SCORES} | options)


def _at(distance: float) -> list[float]:
    """Features of this distance from (1, 0)."""
    angle = 2 * math.asin(distance / 2)
    return [math.cos(angle), math.sin(angle)]


def test_the_three_verdicts_by_hand():
    judge = Judge(_held_out(), 1.0, Limits())
    assert judge.known_up_to == SCORES[38]  # ceil(41 * 0.95) = 39
    assert judge.sure_from == pytest.approx(0.61)  # 38 right; with the next, wrong one (1 + 1) / 40 is still 0.05
    probabilities = np.float32([[0.97, 0.03], [0.3, 0.7], [0.55, 0.45], [0.9, 0.1]])
    features = np.array([_at(0.1), _at(0.2), _at(0.3), _at(0.8)])
    found = judge.judge(probabilities, features)
    assert [verdict.known for verdict in found] == [True, True, True, False]
    np.testing.assert_allclose([verdict.novelty for verdict in found], [0.1, 0.2, 0.3, 0.8] / SCORES[38], rtol=1e-5)
    assert [verdict.sure for verdict in found] == [True, True, False, False], "no answer to an unlike picture is sure"
    assert [verdict.classes for verdict in found] == [(0,), (1,), (0,), (0,)]
    # 1 - p of the truth: 0.01 to 0.38, then 0.61 and 0.6; the 39th of 40 is 0.6, by which 0.45 and 0.4 are possible
    wider = Judge(_held_out(), 1.0, Limits(coverage=0.95)).judge(probabilities, features)
    assert [verdict.classes for verdict in wider] == [(0,), (1,), (0, 1), (0,)]


def test_every_limit_changes_its_verdict():
    usual = Judge(_held_out(), 1.0, Limits())
    changed = {"keep": 0.5, "accept_errors": 0.2, "coverage": 0.5}
    for name, value in changed.items():
        other = Judge(_held_out(), 1.0, dataclasses.replace(Limits(), **{name: value}))
        moved = {
            "keep": other.known_up_to < usual.known_up_to,
            "accept_errors": other.sure_from < usual.sure_from,
            "coverage": other.set_threshold < usual.set_threshold,
        }
        assert [key for key, differs in moved.items() if differs] == [name]
        assert other.as_json()[name] == value and other.as_json()["n"] == 40


def test_thresholds_are_at_the_temperature():
    held_out = _held_out()
    softened = apply_temperature(held_out.probabilities, 2.0)
    hot, plain = (
        Judge(held_out, 2.0, Limits()),
        Judge(dataclasses.replace(held_out, probabilities=softened), 1.0, Limits()),
    )
    assert hot.sure_from == plain.sure_from != Judge(held_out, 1.0, Limits()).sure_from
    assert hot.set_threshold == plain.set_threshold


def test_of_few_held_out_pictures_less_is_said():
    few = HeldOut(np.zeros(8, int), np.tile(np.float32([[0.9, 0.1]]), (8, 1)))
    judge = Judge(few, 1.0, Limits())
    (verdict,) = judge.judge(np.float32([[0.6, 0.4]]), None)
    assert verdict == Verdict(known=None, novelty=None, sure=None, classes=(0, 1))
    first, second = judge.notes
    assert (
        "8 held-out pictures are too few for --accept-errors 0.05, which takes 19" in first and "--coverage" in second
    )
    assert judge.as_json()["set_threshold"] is None and judge.as_json()["known_up_to"] is None
    assert Judge(_held_out(), 1.0, Limits()).notes == []
    wrong = HeldOut(np.ones(40, int), np.tile(np.float32([[0.9, 0.1]]), (40, 1)))
    hopeless = Judge(wrong, 1.0, Limits())
    assert "No answer is sure enough: of 40 held-out answers" in hopeless.notes[0] and len(hopeless.notes) == 1
    assert hopeless.judge(np.float32([[1, 0]]), None)[0].sure is False and hopeless.as_json()["sure_from"] is None


def test_features_of_another_network_are_not_rated():
    judge = Judge(_held_out(), 1.0, Limits())
    assert judge.rate(np.ones((3, 5))) is None and judge.rate(None) is None
    assert judge.judge(np.float32([[0.9, 0.1]]), np.ones((1, 5)))[0].known is None


def _saved(folder, name, scale):
    folder = folder / name
    folder.mkdir()
    _held_out(novelty=dataclasses.replace(NOVELTY, scale=scale)).save(folder / FILE_NAME)
    digest = hashlib.sha256((folder / FILE_NAME).read_bytes()).hexdigest()
    return _member(name, 8, "light", "dark", folder=folder, info={"sha256": {FILE_NAME: digest}})


def _of_first(count: int, keep: float = 0.95) -> Judge:
    whole = _held_out()
    first = HeldOut(whole.labels[:count], whole.probabilities[:count], novelty=NOVELTY, scores=SCORES[:count])
    return Judge(first, 1.0, Limits(keep=keep))


def test_few_scores_call_no_picture_unlike_or_say_how_many_they_keep():
    rows, far = np.float32([[0.99, 0.01]]), np.array([_at(1.0)])
    assert _of_first(8).judge(rows, far)[0].known is None
    assert "No picture is called unlike: 8 held-out pictures are too few" in _of_first(8).notes[0]
    assert _of_first(9).judge(rows, far)[0].known is False and _of_first(18).known_up_to == SCORES[17]
    assert "9 held-out pictures can keep 90.0% of the pictures" in _of_first(9).notes[0]
    assert "18 held-out pictures can keep 94.7%" in _of_first(18).notes[0]
    assert _of_first(19).notes == [], "19 can keep 0.95"
    assert _of_first(4, keep=0.8).known_up_to == SCORES[3] and "unlike" not in " ".join(_of_first(4, keep=0.8).notes)


def test_limits_that_change_nothing_are_named(tmp_path):
    known, without = _saved(tmp_path, "known", 1.0), _member("none", 8, "light", "dark")
    strict = Limits(keep=0.9, accept_errors=0.1, coverage=0.8)
    assert create_judges([known], strict)[1] == []
    (note,) = create_judges([without], strict)[1]
    assert "--keep and --accept-errors and --coverage change nothing: no record of held-out pictures" in note
    (note,) = create_judges([known, without], strict)[1]
    assert note.startswith("--accept-errors and --coverage change nothing: several models together")
    assert create_judges([known, without], Limits(keep=0.9))[1] == []
    (note,) = create_judges([without, without], Limits(keep=0.9))[1]
    assert note.startswith("--keep changes nothing: no record")
    plain = HeldOut(_held_out().labels, _held_out().probabilities)
    plain.save(tmp_path / FILE_NAME)
    digest = hashlib.sha256((tmp_path / FILE_NAME).read_bytes()).hexdigest()
    scoreless = _member("m", 8, "light", "dark", folder=tmp_path, info={"sha256": {FILE_NAME: digest}})
    (note,) = create_judges([scoreless], strict)[1]
    assert note.startswith("--keep changes nothing: no record of what the training pictures look like")


def test_several_judge_by_the_median_of_their_novelties(tmp_path):
    """Distances are 1, 2 and 3 times as long, against the same threshold."""
    members = [_saved(tmp_path, str(factor), float(factor**2)) for factor in (1, 3, 2)]
    features, rows = np.array([_at(0.15), _at(0.25)]), np.float32([[0.9, 0.1]] * 2)
    judge, notes = create_judges(members)
    found = judge(rows, [features] * 3)
    np.testing.assert_allclose([verdict.novelty for verdict in found], [0.3, 0.5] / SCORES[38], rtol=1e-5)
    assert [verdict.known for verdict in found] == [True, False] and notes == []
    assert all(verdict.sure is None and verdict.classes is None for verdict in found)
    alone, _ = create_judges(members[:1])
    assert alone(rows, [features])[0].sure is True
    without = _member("none", 8, "light", "dark")
    judge, _ = create_judges([without, members[1]])
    assert judge(rows, [None, features])[1].novelty == pytest.approx(0.75 / SCORES[38])
    for members in ([without], [without, without]):
        judge, notes = create_judges(members)
        assert judge(rows, [None] * len(members)) == [Verdict(), Verdict()] and notes == []
