"""Figures, table and sheet of covered pictures."""

import csv

import numpy as np
import pytest

from src.explainers import covering_summary
from src.explainers.base import Explanation
from src.explainers.covering import Covering
from src.explainers.covering_summary import choose_drawn, draw_covering, summarize_covering, write_covering
from src.explainers.covering_words import CATEGORIES, VIEWS, format_covering, list_findings
from src.explainers.stream import ExplainedPictures
from src.imaging import read_image, write_image
from src.intervals import wilson_interval

NAMES = ["cat", "dog"]
# Whether the answer changes with the region covered, and with the region alone, of six pictures.
CHANGED = {
    "region_covered": [1, 1, 0, 0, 0, 1],
    "region_alone": [0, 0, 1, 0, 1, 1],
    "control_covered": [0, 0, 0, 0, 1, 0],
}
BEFORE = np.array([0.9, 0.8, 0.7, 0.9, 0.6, 0.9], np.float32)
CLASSES = np.array([0, 0, 0, 1, 1, 1])


@pytest.fixture
def covering():
    answer, probability = {}, {}
    for view in VIEWS:
        changed = np.array(CHANGED.get(view, [0] * 6), bool)
        answer[view] = np.where(changed, 1 - CLASSES, CLASSES)
        probability[view] = np.where(changed, 0.1, BEFORE).astype(np.float32)
    return Covering(np.array([0, 1, 2, 4, 5, 6]), CLASSES, BEFORE, np.full(6, 0.25), probability, answer, 1)


@pytest.fixture
def explained(tmp_path):
    paths = [str(tmp_path / f"{number}.png") for number in range(7)]
    for number, path in enumerate(paths):
        write_image(path, np.random.default_rng(number).integers(0, 255, (40, 50, 3), np.uint8))
    heatmaps = np.random.default_rng(9).random((7, 4, 4)).astype(np.float32)
    logits = np.zeros((7, 2), np.float32)
    return ExplainedPictures(
        paths, np.array([0, 0, 1, 0, 1, 1, -1]), Explanation(heatmaps, logits, logits, np.zeros(7, int)), []
    )


def test_figures_of_each_class_and_of_all(covering, explained):
    found = summarize_covering(covering, explained, NAMES, 0.25)
    assert (found["n"], found["without_region"], list(found["classes"])) == (6, 1, NAMES)
    cat, everything = found["classes"]["cat"], found["all"]
    assert cat["n"] == 3 and cat["changed"]["region_covered"] == pytest.approx([2 / 3, *wilson_interval(2, 3)])
    assert everything["changed"]["control_covered"] == pytest.approx([1 / 6, *wilson_interval(1, 6)])
    assert everything["moved"]["region_covered"][0] == pytest.approx((-0.8 - 0.7 - 0.8) / 6)
    assert cat["beyond_control"][0] == pytest.approx(2 / 3)
    assert cat["categories"] == dict(zip(CATEGORIES.values(), (2, 0, 0, 1)))
    assert everything["categories"] == dict(zip(CATEGORIES.values(), (2, 1, 1, 2)))
    # The clearest first: 0.7 - 0.1 and 0.6 - 0.1 of the probability.
    assert [(row["path"], row["true"], row["class"]) for row in found["rest_decides"]] == [
        (explained.paths[2], "dog", "cat"),
        (explained.paths[5], "dog", "dog"),
    ]
    assert found["rest_decides"][0]["region_alone"] == pytest.approx(0.1)


def test_no_picture_is_no_failure(covering, explained, tmp_path):
    none = np.empty(0, int)
    empty = Covering(none, none, none, none, dict.fromkeys(VIEWS, none), dict.fromkeys(VIEWS, none), 7)
    found = summarize_covering(empty, explained, NAMES, 0.25)
    assert found["n"] == 0 and found["classes"] == {} and found["rest_decides"] == []
    assert "No map has a hottest region" in "\n".join(format_covering(found))
    path = tmp_path / "sheet.png"
    path.write_bytes(b"older")
    assert draw_covering(path, empty, explained, NAMES, size=(32, 32), share=0.25, title="t") is None
    assert not path.exists()


def test_the_table_has_a_row_for_each_picture(covering, explained, tmp_path):
    write_covering(tmp_path / "covering.csv", covering, explained, NAMES)
    with open(tmp_path / "covering.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["category"] for row in rows] == covering.categories
    assert rows[2]["region_alone_class"] == "dog" and rows[2]["region_alone_probability"] == "0.1000"
    assert rows[5]["true"] == "" and rows[5]["class"] == "dog"


def test_the_sheet_shows_where_the_rest_decides_and_an_example_of_each_class(
    covering, explained, tmp_path, monkeypatch
):
    drawn = []
    original = covering_summary.draw_grid
    monkeypatch.setattr(
        covering_summary, "draw_grid", lambda *given, **more: (drawn.append((given, more)), original(*given, **more))
    )
    assert choose_drawn(covering) == ([2, 4], [0, 3])
    path = draw_covering(tmp_path / "s.png", covering, explained, NAMES, size=(32, 32), share=0.25, title="m")
    (tiles, captions, headers, _), more = drawn[0]
    assert "the rest decides in 2 of 6 pictures" in more["title"] and headers[2] == "hottest 25% covered"
    assert captions[0] == ["70% cat\nis dog", "rest decides", "70% cat", "now dog\n(10% cat)"]
    assert captions[2][2].startswith("now dog") and captions[2][3] == "90% cat"
    picture, _, covered, alone = tiles[0]
    assert not np.array_equal(picture, covered) and not np.array_equal(covered, alone)
    assert read_image(path).std() > 10


def test_what_is_worth_a_look_is_said(covering, explained):
    found = summarize_covering(covering, explained, NAMES, 0.25)
    assert list_findings(found) == [
        "cat: in 1 of 3 pictures not the hottest region decides, but the rest",
        "dog: in 1 of 3 pictures not the hottest region decides, but the rest",
    ]
    found["classes"]["cat"]["repeated"] = {"share": [0.6, 0.4, 0.8], "path": "data/x.png"}
    found["classes"]["dog"] |= {"n": 9, "beyond_control": [0.1, -0.1, 0.3]}
    found["classes"]["dog"]["changed"]["blank"] = [0.0, 0.0, 0.3]
    texts = list_findings(found)
    assert "60% of its pictures show the same patch" in texts[0] and texts[0].endswith("Compare x.png")
    assert "not shown to be needed" in texts[2] and "+10% of the answers, -10% to +30%" in texts[2]
    assert texts[2].startswith("dog") and texts[2].endswith("100% keep the answer as a blank picture")
    assert len(texts) == 4
    assert all(f"  {text}" in format_covering(found) for text in texts)


@pytest.mark.parametrize(
    "beyond, blank, words",
    [
        ([0.0, -0.1, 0.2], [1.0, 0.7, 1.0], "its evidence is spread"),
        ([0.4, -0.1, 0.7], [1.0, 0.7, 1.0], "9 pictures are too few to tell"),
        ([0.0, -0.3, 0.25], [1.0, 0.7, 1.0], "9 pictures are too few to tell"),
        ([0.4, -0.1, 0.7], [0.1, 0.0, 0.5], "90% keep the answer as a blank picture"),
        ([0.4, -0.1, 0.7], [0.4, 0.2, 0.7], "9 pictures are too few to tell"),
    ],
)
def test_a_reason_is_named_only_where_it_is_shown(covering, explained, beyond, blank, words):
    found = summarize_covering(covering, explained, NAMES, 0.25)
    found["classes"]["dog"] |= {"n": 9, "beyond_control": beyond}
    found["classes"]["dog"]["changed"]["blank"] = blank
    (text,) = [text for text in list_findings(found) if "not shown to be needed" in text]
    assert text.endswith(f"; {words}")
