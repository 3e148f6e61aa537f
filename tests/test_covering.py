"""The command covers test pictures: a network that finds coloured squares by construction, and calls all else red."""

import csv
import html
import json
import shutil
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from src.covering import is_covered
from src.evaluate import main as evaluate
from src.files import write_json
from src.imaging import read_image, write_image
from src.report import main as report
from tests.test_gradcam import place, run  # noqa: F401 - a fixture

pytestmark = pytest.mark.large

FILES = ("covering.json", "covering.csv", "what_decides.png")


@pytest.fixture
def copied(place, tmp_path):  # noqa: F811
    return shutil.copytree(place, tmp_path / "place", ignore=shutil.ignore_patterns("gradcam"))


def test_green_goes_with_its_square_and_red_is_what_remains(copied, capsys):
    code, out, _ = run(copied, capsys, "--samples", 1, "--json")
    found = json.loads(out)["covering"]
    assert code == 0 and found["n"] == 12 and found["without_region"] == 0 and found["share"] == 0.25
    green, red = found["classes"]["green"], found["classes"]["red"]
    assert (green["n"], red["n"]) == (6, 6)  # by the predicted class
    assert green["changed"]["region_covered"][0] == 1 and green["changed"]["region_alone"][0] == 0
    assert green["categories"]["region decides"] == 6 and green["moved"]["region_covered"][2] < 0
    # A black picture is a weak red: covering changes nothing, which the blank picture says as well.
    assert red["categories"]["either suffices"] == 6
    folder = copied / "gradcam" / "transfer"
    kept = json.loads((folder / "covering.json").read_text())
    assert kept == found and kept["network"] and "--json" in kept["command"]
    assert "covering" not in json.loads((folder / "explained.json").read_text())
    with open(folder / "covering.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 12 and {row["category"] for row in rows} == {"region decides", "either suffices"}
    assert read_image(folder / "what_decides.png").std() > 10


def test_it_is_left_out_where_it_is_not_asked_for(copied, capsys):
    folder = copied / "gradcam" / "transfer"
    for name in FILES:
        write_json(folder / name, "of an earlier run")
    code, out, _ = run(copied, capsys, "--samples", 1, "--no-covering", "--json")
    assert code == 0 and json.loads(out)["covering"] is None
    assert not any((folder / name).exists() for name in FILES)


@pytest.mark.parametrize(
    "asked, method, class_index, covered",
    [
        (None, "gradcam", None, True),
        (None, "rise", None, False),
        (True, "rise", None, True),
        (False, "gradcam", None, False),
        (None, "gradcam", 1, False),
    ],
)
def test_by_default_grad_cam_of_the_predicted_class_alone_is_covered(asked, method, class_index, covered):
    task = SimpleNamespace(arguments=Namespace(covering=asked, method=method), class_index=class_index, versus=None)
    assert is_covered(task) == covered


def test_other_methods_cover_where_they_are_told_to(copied, capsys):
    record = json.loads(run(copied, capsys, "--method", "saliency", "--samples", 1, "--covering", "--json")[1])
    assert (copied / "gradcam/transfer/saliency/covering.json").is_file()
    assert record["covering"]["title"] == "Saliency"


def test_one_class_and_maps_of_zeros_are_no_failure(copied, capsys):
    for path in copied.glob("data/test/*/*.png"):
        write_image(path, np.zeros((32, 32, 3), np.uint8))
    code, out, _ = run(copied, capsys, "--samples", 1)
    assert code == 0 and "No map has a hottest region" in out
    record = json.loads((copied / "gradcam/transfer/covering.json").read_text())
    assert record["n"] == 0 and record["without_region"] == 12 and record["sheet"] is None


@pytest.mark.parametrize(
    "more", [["--image", "x.png"], ["--compare"], ["--method", "all"], ["--class", "red"], ["--versus", "red"]]
)
def test_what_means_nothing_together_is_said(place, capsys, more):  # noqa: F811
    code, _, err = run(place, capsys, "--covering", *more)
    assert code == 2 and "--covering" in err and "leave out" in err


def test_the_report_has_the_table_and_leaves_out_what_does_not_agree(copied, capsys, monkeypatch):
    monkeypatch.chdir(copied)
    _, out, _ = run(copied, capsys, "--samples", 1)
    assert "Covered in turn" in out and "red: its hottest region is not shown to be needed" in out
    assert evaluate([]) == 0 and report([]) == 0
    text = html.unescape(Path("gradcam/report.html").read_text(encoding="utf-8"))
    table = text.split("Does the hottest region decide, or the rest?")[1].split("</table>")[0]
    assert "100%" in table and '<td class="number">6</td>' in table and "Covered pictures, by transfer" in text
    path = Path("gradcam/transfer/covering.json")
    found = json.loads(path.read_text())
    for change, words in (({"network": "x"}, "of another network"), ({"classes": {"red": 3}}, "is no dict")):
        path.write_text(json.dumps(found | change))
        capsys.readouterr()
        assert report([]) == 0 and words in capsys.readouterr().err
        assert "Does the hottest region decide" not in Path("gradcam/report.html").read_text(encoding="utf-8")
