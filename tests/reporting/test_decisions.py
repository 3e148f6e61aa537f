"""What covering found and what to do next, read again: damage is a note, whatever it is."""

import copy
import json

import numpy as np
import pytest

from src.explainers.covering import Covering
from src.explainers.covering_summary import summarize_covering
from src.explainers.covering_words import VIEWS
from src.files import finite, write_json
from src.reporting.decisions import COVERING, check_covering, describe_covering, describe_what_next, read_what_next
from src.reporting.page import write_report
from src.reporting.pictures import PicturePool
from src.reporting.results import read_results
from src.reporting.schema import conform
from tests.reporting.made import make_data, make_model

DAMAGE = ([], {}, None, "x", -1, float("nan"), 1e308, 10**400, [None, None, None])


@pytest.fixture
def covering() -> dict:
    """Of three cats and an only dog, whose means have no interval; as covering.json holds it."""
    changed = {view: np.array([0, 1, 0, place % 2]) for place, view in enumerate(VIEWS)}
    probability = {view: np.linspace(0.1, 0.9, 4).astype(np.float32) for view in VIEWS}
    class_index = np.array([0, 0, 0, 1])
    answer = {view: np.where(changed[view], 1 - class_index, class_index) for view in VIEWS}
    found = Covering(np.arange(4), class_index, np.full(4, 0.9, np.float32), np.full(4, 0.25), probability, answer)
    explained = type("Explained", (), {"paths": [f"test/{n}.png" for n in range(4)], "labels": class_index})
    record = summarize_covering(found, explained, ("cat", "dog"), 0.25)
    record["classes"]["cat"]["repeated"] = {"share": [1.0, 0.3, 1.0], "path": "test/0.png"}
    record["classes"]["dog"]["repeated"] = {"share": [float("nan")] * 3, "path": None}
    return json.loads(json.dumps(finite(record | {"network": "abc", "data": None})))


@pytest.fixture
def proposals() -> dict:
    row = {"file": "a.png", "label": "cat", "reason": "second label", "suggested": "dog", "confidence": 0.8}
    counts = {"second label": 1, "near the boundary": 0, "atypical": 0}
    return {"data": None, "n": 9, "counts": counts, "proposals": [row | {"rank": 1, "given": 0.2}]}


def _places(value, above=()):
    """The places of all values within a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*above, key)
        yield from _places(each, (*above, key))


def _damaged(record: dict):
    """The record with each value deleted or replaced in turn."""
    for *above, last in _places(record):
        for value in (*DAMAGE, "deleted"):
            changed = copy.deepcopy(record)
            inner = changed
            for key in above:
                inner = inner[key]
            if value == "deleted":
                del inner[last]
            else:
                inner[last] = value
            yield changed


def test_covering_without_damage_is_described(covering, tmp_path):
    shown = describe_covering(check_covering(conform(covering, COVERING)), tmp_path, PicturePool(tmp_path))
    assert [row["n"] for row in shown["rows"]] == [3, 1, 4] and shown["rows"][1]["cells"][3]["interval"] == ""
    assert "Compare 0.png" in shown["findings"][0]


def test_no_damage_of_covering_is_more_than_a_value_error(covering, tmp_path):
    pool, refused, shown = PicturePool(tmp_path), 0, 0
    for changed in _damaged(covering):
        try:
            found = check_covering(conform(changed, COVERING))
        except ValueError:
            refused += 1
            continue
        shown += describe_covering(found, tmp_path, pool) is not None
    assert refused > 1000 and 0 < shown < 600


@pytest.mark.parametrize(
    "change",
    [
        {"beyond_control": []},
        {"beyond_control": [None, None, None]},
        {"changed": {}},
        {"categories": {}},
        {"categories": {"region decides": 2, "either suffices": 0, "both needed": 0, "rest decides": 0}},
        {"repeated": {"share": [0.5, 0.5, 0.5], "path": None}},
        {"n": 0},
        {"n": 4},
    ],
)
def test_covering_that_does_not_fit_is_left_out_with_a_note(covering, tmp_path, change):
    data = make_data(tmp_path / "data", test=2)
    output = tmp_path / "out"
    make_model(output, tmp_path / "models", "m", data, {}, maps=False)
    write_json(output / "m" / "covering.json", covering)
    results = read_results(data, tmp_path / "models", output)
    assert results.notes == [] and results.models[0].covering["n"] == 4
    covering["classes"]["cat"] |= change
    write_json(output / "m" / "covering.json", covering)
    results = read_results(data, tmp_path / "models", output)
    (note,) = results.notes
    assert results.models[0].covering is None and "covering.json is damaged" in note
    assert write_report(results, output / "report.html", "x")["bytes"] > 0
    assert "Does the hottest region decide" not in (output / "report.html").read_text(encoding="utf-8")


def test_no_damage_of_what_next_is_more_than_a_note(proposals, tmp_path):
    path, pool, noted = tmp_path / "what_next" / "what_next.json", PicturePool(tmp_path), 0
    write_json(path, proposals)
    found = read_what_next(tmp_path, None, [])
    assert describe_what_next(found, tmp_path, pool)["reasons"][0]["count"] == 1
    for changed in _damaged(proposals):
        path.write_text(json.dumps(changed))
        notes = []
        found = read_what_next(tmp_path, None, notes)
        assert (found is None) == (len(notes) == 1)
        noted += len(notes)
        describe_what_next(found, tmp_path, pool)
    assert noted > 80


@pytest.mark.parametrize("counts", [{"second label": 0}, {"atypical": 1}, {"other": 3}])
def test_counts_that_are_not_those_of_the_list_are_a_note(proposals, tmp_path, counts):
    proposals["counts"] |= counts
    write_json(tmp_path / "what_next" / "what_next.json", proposals)
    notes = []
    found = read_what_next(tmp_path, None, notes)
    assert (found is None) == ("other" not in counts), "keys that are not asked for are not read"
    assert len(notes) == (found is None)
