"""Two models on the same pictures, by hand."""

import csv
import json
import math

import numpy as np
import pytest

from src.evaluation.pairs import compare_pair, compare_pairs, save_pairs
from src.intervals import paired_share_interval


def _right(both, first, second, neither):
    return (
        np.array([True] * (both + first) + [False] * (second + neither)),
        np.array([True] * both + [False] * first + [True] * second + [False] * neither),
    )


def test_mcnemars_exact_test_by_hand():
    one, other = _right(10, 8, 2, 5)
    found = compare_pair("a", one, "b", other)
    assert (found.both_right, found.only_first, found.only_second, found.both_wrong) == (10, 8, 2, 5)
    # of ten coins two or fewer, on either side: 2 * (1 + 10 + 45) / 1024
    assert found.p_value == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert found.difference == paired_share_interval(one, other) and found.difference.mean == pytest.approx(6 / 25)
    turned = compare_pair("b", other, "a", one)
    assert turned.p_value == found.p_value and turned.difference.mean == -found.difference.mean


def test_where_both_agree_nothing_can_be_told():
    one, other = _right(7, 0, 0, 3)
    found = compare_pair("a", one, "b", other)
    assert found.p_value == 1.0 and found.difference.mean == 0 and found.difference.low < 0 < found.difference.high
    one_way, other_way = _right(0, 3, 3, 0)
    assert compare_pair("a", one_way, "b", other_way).p_value == 1.0
    with pytest.raises(ValueError, match="Received"):
        compare_pair("a", one, "b", other[:-1])
    with pytest.raises(ValueError, match="Received"):
        compare_pair("a", one[:0], "b", other[:0])


def test_every_pair_in_words_and_in_files(tmp_path):
    one, other = _right(1, 0, 6, 1)
    pairs = compare_pairs({"a": one, "b": other, "c": one})
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    text = str(pairs[0])
    assert "a against b: -0.7500" in text and "right alone 0 and 6 of 8" in text and "p = 0.031" in text
    save_pairs(tmp_path / "pairs.csv", pairs)
    with open(tmp_path / "pairs.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["difference"] == "-0.75" and float(rows[0]["p_value"]) == pytest.approx(2 / 64, rel=1e-3)
    assert [rows[0][key] for key in ("n", "both_right", "only_first", "only_second", "both_wrong")] == list("81061")
    record = json.loads(json.dumps(pairs[2].as_json()))
    assert record["difference"] == 0.75 and record["n"] == 8 and math.isclose(record["p_value"], 2 / 64)
    assert record["low"] == pairs[2].difference.low and record["first"] == "b"
