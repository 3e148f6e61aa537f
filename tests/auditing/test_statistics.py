from itertools import count

import numpy as np
import pytest

from src.auditing.inspection import Inspected, Look
from src.auditing.statistics import compare_shares, find_drift, summarize, tell_parts_apart
from src.datasets.sources import Picture
from src.verification import Verified

NUMBERS = count()


def inspected(part, class_name="cat", brightness=0.5, width=100):
    values = np.random.default_rng(next(NUMBERS)).normal(0, 0.05, 6)
    look = Look(brightness + values[0], 0.2 + values[1], 0, 1, 0.3, (0.5 + values[2], 0.5, 0.5), 0.3 + values[3])
    return Inspected(Picture("", f"{part}/x", class_name, part, "x"), None, Verified(80, width, "PNG", 1), look)


def parts(**changes):
    return {part: [inspected(part, **changes.get(part, {})) for _ in range(60)] for part in ("train", "val", "test")}


def test_parts_that_are_alike_do_not_drift():
    rows = find_drift(parts())
    assert {row["part"] for row in rows} == {"val", "test"} and not any(row["drifts"] for row in rows)


def test_a_part_that_is_darker_drifts():
    rows = find_drift(parts(test={"brightness": 0.4}))
    assert [(row["part"], row["measure"]) for row in rows if row["drifts"]] == [("test", "brightness")]
    [row] = [row for row in rows if row["drifts"]]
    assert -3 < row["difference"] < -1 and row["p_value"] < 1e-6  # 0.1 darker, of a spread of 0.05


def test_sure_but_small_differences_are_none():
    many = {part: [inspected(part, brightness=0.5 + (part == "test") * 0.0075) for _ in range(3000)]
            for part in ("train", "test")}  # fmt: skip
    [row] = [row for row in find_drift(many) if row["measure"] == "brightness"]
    assert row["p_value"] < 1e-3 and 0.1 < row["difference"] < 0.2 and not row["drifts"]


def test_nothing_to_compare():
    assert find_drift({"all": [inspected(None)] * 20}) == []
    assert find_drift({"train": [inspected("train")] * 20, "test": [inspected("test")] * 3}) == []


def test_shares_by_hand():
    even = {"train": {"cat": 70, "dog": 30}, "test": {"cat": 14, "dog": 6}}
    assert compare_shares(even) == {"p_value": pytest.approx(1), "differ": False}
    uneven = compare_shares({"train": {"cat": 70, "dog": 30}, "test": {"cat": 2, "dog": 18}})
    assert uneven["differ"] and uneven["p_value"] < 1e-4
    assert compare_shares({"all": {"cat": 3, "dog": 4}}) is None
    assert compare_shares({"train": {"cat": 3}, "test": {"cat": 4}}) is None and compare_shares({}) is None


def test_the_summary_counts_and_measures():
    everything = [each for of in parts(train={"class_name": "dog", "width": 200}).values() for each in of]
    summary = summarize(everything)
    assert list(summary["counts"]) == ["train", "val", "test"] and summary["counts"]["train"] == {"dog": 60}
    assert summary["balance"] == {"largest": 120, "smallest": 60, "ratio": 2.0}
    assert summary["measures"]["train"]["width"] == [200, 200, 200] and summary["class_shares_differ"]["differ"]
    assert summary["measures"]["test"]["aspect"] == [1.25, 1.25, 1.25]


def test_parts_are_told_apart_by_features_or_not():
    draw = np.random.default_rng(0)
    features = draw.normal(0, 1, (300, 8)).astype(np.float32)
    labels = ["train"] * 200 + ["test"] * 60 + ["val"] * 40
    alike = tell_parts_apart(features, labels)
    assert alike["interval"][0] < 0.5 + 0.06 and not alike["differ"]
    features[200:, 0] += 2
    told = tell_parts_apart(features, labels)
    assert told["differ"] and told["interval"][0] < told["auc"] < told["interval"][1] and told["auc"] > 0.85
    assert tell_parts_apart(features[:20], labels[:20]) is None
