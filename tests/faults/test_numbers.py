"""Few pictures, many classes, odd names: the commands work, or say why not."""

import csv
import json
import os

import numpy as np
import pytest

from src.imaging import write_image
from tests.conftest import check_user_error, run_command

ODD = (
    "a,b",
    '"q"',
    "it's",
    "=1+1",
    "-x",
    "über 猫",
    "😀",
    "a\nb",
    " lead",
    "$x^2$",
    "%s",
    "{0}",
    "<b>&amp;",
    "x" * 200,
)


def _write(folder, class_names, parts=("train", "val", "test"), count=1):
    """As many pictures of noise for each class and part, 24 x 24."""
    rng = np.random.default_rng(0)
    for part in parts:
        for name in class_names:
            for number in range(count):
                image = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
                write_image(folder / part / name / f"{number}.png", image)


def _run_all(folder):
    """Train a little, evaluate, explain, report; returns what was printed on stdout by each."""
    training = ["-m", "src.baseline_cnn", "--network", "simple_cnn", "--width", "0.25", "--image-size", "24"]
    commands = [[*training, "--epochs", "1"], ["-m", "src.evaluate"], ["-m", "src.gradcam"], ["-m", "src.report"]]
    printed = []
    for command in commands:
        result = run_command(*command, "--json", cwd=folder)
        assert result.returncode == 0, result.stderr
        printed.append(json.loads(result.stdout.splitlines()[-1]))
    return printed


@pytest.mark.slow
@pytest.mark.commands
@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
def test_one_picture_of_each_class_and_classes_of_any_name(tmp_path):
    """A batch is larger than the whole part, too."""
    _write(tmp_path / "data", ODD)
    _run_all(tmp_path)
    info = json.loads((tmp_path / "models" / "baseline" / "bundle.json").read_text(encoding="utf-8"))
    assert info["class_names"] == sorted(ODD)
    with open(tmp_path / "gradcam" / "baseline" / "predictions.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["true"].removeprefix("'") for row in rows) == sorted(ODD)
    page = (tmp_path / "gradcam" / "report.html").read_text(encoding="utf-8")
    assert "<b>&amp;amp;" not in page and "&lt;b&gt;&amp;amp;" in page, "a name is text on the page, no element"


@pytest.mark.slow
def test_a_thousand_classes_of_one_picture(tmp_path):
    _write(tmp_path / "data", [f"class{number:04}" for number in range(1000)])
    assert _run_all(tmp_path)[1]["models"]["baseline"]["n"] == 1000


@pytest.mark.commands
def test_too_few_to_split_says_why(tmp_path):
    _write(tmp_path, ("cat", "dog"), ("few",), count=2)
    split = run_command("-m", "split_dataset", "--source", "few", "--output", "out", cwd=tmp_path)
    check_user_error(split, "class cat has 2", "at least 3 are needed", "add some, or leave the class out")
    assert not (tmp_path / "out").exists()
