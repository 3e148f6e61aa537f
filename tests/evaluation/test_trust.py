"""What verdicts are worth, by hand."""

import math

import numpy as np
import pytest

from src.evaluation.trust import Answered, measure_trust
from src.intervals import wilson_interval

THRESHOLDS = {"n": 20, "keep": 0.95, "accept_errors": 0.05}
LABELS = np.array([0, 1, 0, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])  # the second is wrong
NOVELTIES = np.array([0.5, 1.2, 1.0, 0.25])


def _measure(novelties=NOVELTIES, sure=(True, False, True, True), **options):
    sure = None if sure is None else np.array(sure)
    return measure_trust(
        THRESHOLDS, {0.9: 0.6, 0.95: math.inf}, Answered(LABELS, PROBABILITIES, novelties, sure), **options
    )


def test_figures_by_hand():
    found = _measure(held_out=np.array([0.1, 1.0]), unknown=np.array([0.9, 1.1, 7.0]))
    assert (found.n, found.known, found.sure, found.sure_right) == (4, 3, 3, 3)
    assert (found.unknown, found.refused) == (3, 2)
    # of 4 x 3 pairs the unknown one is the higher in 2 (0.9), 3 (1.1) and 4 (7)
    assert found.unknown_auroc == pytest.approx(9 / 12)
    assert found.least_like == [(1, 1.2), (2, 1.0), (0, 0.5), (3, 0.25)]
    narrow, wide = found.sets[0.9], found.sets[0.95]
    assert (narrow.covered, narrow.mean_size, wide.covered, wide.mean_size) == (4, 1.25, 4, 2)
    bins = found.histogram
    assert len(bins["edges"]) == 21 and bins["edges"][10] == 1.0
    assert np.flatnonzero(bins["test"]).tolist() == [2, 4, 9, 11], "what is at the threshold lies below it"
    assert np.flatnonzero(bins["unknown"]).tolist() == [8, 10, 19], "what is beyond counts in the last bin"
    assert sum(bins["held_out"]) == 2


def test_as_json():
    record = _measure(unknown=np.array([2.0])).as_json()
    assert record["known"] == {"count": 3, "n": 4, "share": 0.75, "interval": list(wilson_interval(3, 4))}
    assert record["right_of_sure"]["n"] == 3 and record["thresholds"] == THRESHOLDS
    assert record["unknown"]["auroc"] == 1 and record["unknown"]["refused"]["share"] == 1
    assert [entry["asked"] for entry in record["sets"]] == [0.9, 0.95] and record["sets"][0]["coverage"] == 1


def test_what_cannot_be_told_is_none():
    record = _measure(novelties=None, sure=None, unknown=np.array([2.0])).as_json()
    for name in ("known", "sure", "right_of_sure", "unknown", "histogram"):
        assert record[name] is None
    assert record["least_like"] == []
    nobody = _measure(sure=(False,) * 4, unknown=np.array([]))
    assert nobody.as_json()["right_of_sure"]["share"] is None and nobody.unknown is None
