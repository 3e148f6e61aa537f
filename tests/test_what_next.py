"""The sheet and the table of what to do next, and what the report makes of them."""

import csv
import html
import json
import os
from pathlib import Path

import numpy as np
import pytest

from src import what_next
from src.imaging import read_image, write_image
from src.report import main as report
from src.what_next import write_what_next
from tests.reporting.made import make_data, make_model

NAMES = ["cat", "dog"]


@pytest.fixture
def pictures(tmp_path):
    paths = []
    for number in range(6):
        paths.append(tmp_path / "pictures" / f"{number}.png")
        write_image(paths[-1], np.full((30, 40, 3), 30 * number, np.uint8))
    return paths


LABELS = np.array([0, 0, 0, 1, 1, 1])
PROBABILITIES = np.array([[0.1, 0.9], [0.9, 0.1], [0.55, 0.45], [0.0, 1.0], [0.7, 0.3], [0.02, 0.98]])
NOVELTY = np.array([0.1, 0.11, 0.12, 0.1, 0.11, 0.5])


def test_the_sheet_the_table_and_the_record(pictures, tmp_path, monkeypatch):
    drawn, original = [], what_next.draw_contact_sheet
    monkeypatch.setattr(
        what_next, "draw_contact_sheet", lambda *given, **more: (drawn.append(given), original(*given, **more))
    )
    names = [f"train/x/{path.name}" for path in pictures]
    record = write_what_next(
        tmp_path, pictures, LABELS, NAMES, PROBABILITIES, NOVELTY, fingerprint="abc", names=names, command="python x"
    )
    folder = tmp_path / "what_next"
    assert json.loads((folder / "what_next.json").read_text()) == record
    assert record["counts"] == {"second label": 2, "near the boundary": 1, "atypical": 0} and record["data"] == "abc"
    with open(folder / "what_next.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["file"], row["reason"], row["rank"]) for row in rows] == [
        ("train/x/0.png", "second label", "1"),
        ("train/x/4.png", "second label", "2"),
        ("train/x/2.png", "near the boundary", "1"),
    ]
    assert (rows[0]["label"], rows[0]["suggested"], rows[0]["confidence"]) == ("cat", "dog", "0.9")
    tiles, captions, path = drawn[0]
    assert Path(path).name == "what_next.png" and read_image(folder / "what_next.png").std() > 5
    assert captions[0] == "second label 1\n0.png\nlabelled cat (10%)\nlooks like dog (90%)"
    assert captions[2:6] == [""] * 4 and captions[6].startswith("near the boundary 1\n2.png")  # a new row
    assert len(tiles) == 12 and (np.asarray(tiles[3]) == 255).all()


def test_the_atypical_say_how_far_they_are(pictures, tmp_path):
    labels, sure = np.zeros(6, int), np.tile([0.99, 0.01], (6, 1))
    (row,) = write_what_next(tmp_path, pictures, labels, NAMES, sure, NOVELTY)["proposals"]
    assert row["file"] == str(pictures[5]) and row["suggested"] == "" and row["score"] > 20


def test_a_picture_that_has_gone_stays_in_the_table(pictures, tmp_path):
    os.remove(pictures[0])
    record = write_what_next(tmp_path, pictures, LABELS, NAMES, PROBABILITIES)
    assert record["sheet"] and record["proposals"][0]["file"] == str(pictures[0])


def test_nothing_to_propose_leaves_no_sheet(pictures, tmp_path):
    write_what_next(tmp_path, pictures, LABELS, NAMES, PROBABILITIES)
    record = write_what_next(tmp_path, pictures, LABELS, NAMES, np.eye(2)[LABELS])
    assert record["proposals"] == [] and not record["sheet"]
    assert sorted(path.name for path in (tmp_path / "what_next").iterdir()) == ["what_next.csv", "what_next.json"]


@pytest.mark.large
def test_the_report_shows_it_where_it_is_of_these_pictures(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_data(Path("data"), ("cat", "dog"), test=2)
    make_model(Path("gradcam"), Path("models"), "transfer", Path("data"), {1: 1})
    page = Path("gradcam/report.html")
    names = ["train/cat/<b>.png", *(path.name for path in pictures[1:])]
    write_what_next("gradcam", pictures, LABELS, NAMES, PROBABILITIES, NOVELTY, names=names)
    assert report([]) == 0
    text = page.read_text(encoding="utf-8")
    assert 'id="what-next"' in text and "train/cat/&lt;b&gt;.png" in text and "<b>.png" not in text
    assert "<strong>second label</strong> (2)" in html.unescape(text) and "The pictures most worth a look" in text
    write_what_next("gradcam", pictures, LABELS, NAMES, PROBABILITIES, fingerprint="of other pictures")
    assert report([]) == 0 and "of other pictures than these" in capsys.readouterr().err
    assert 'id="what-next"' not in page.read_text(encoding="utf-8")
    Path("gradcam/what_next/what_next.json").write_text('{"n": 3}')
    assert report([]) == 0 and "counts is missing" in capsys.readouterr().err
