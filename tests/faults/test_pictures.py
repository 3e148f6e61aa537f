"""The commands on a tree of hostile pictures: what is bad is named once with its reason, what is good is used."""

import csv
import json

import numpy as np
import pytest

from split_dataset import main as split_main
from src.datasets import split
from src.datasets.checking import check_pictures
from src.datasets.sources import read_folder
from src.explainers.gallery import free_name
from src.imaging import write_image
from tests.conftest import check_user_error, read_json_line, run_command, write_data_folder
from tests.faults.pictures import CLASSES, make_tree

TIMEOUT = 240  # a command that has not ended by then hangs
NOT_ENTERED = f"{CLASSES[0]}/round"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile") / "tree"
    root.mkdir()
    return make_tree(root)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A network that knows nothing, and is over in a moment."""
    import keras

    from src.bundle import save_bundle
    from src.networks.baseline import BASELINE_TARGET_LAYER, build_baseline_model

    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("models")
    save_bundle(
        "tiny", folder, build_baseline_model(2, (32, 32)), class_names=list(CLASSES),
        image_size=(32, 32), interpolation="bilinear", target_layer=BASELINE_TARGET_LAYER, info={},
    )  # fmt: skip
    return folder


def check_reasons(tree, reasons: list[tuple[str, str]]) -> None:
    """Every bad file once, with a reason that suits it, and no other."""
    assert sorted(name for name, _ in reasons) == sorted(tree.bad)
    for name, reason in reasons:
        assert tree.bad[name] in reason and "\n" not in reason, (name, reason)


@pytest.mark.commands
def test_splitting_sets_the_bad_ones_aside(tree, tmp_path):
    result = run_command(
        "split_dataset.py", "--source", tree.root, "--output", tmp_path / "data", "--json", timeout=TIMEOUT
    )
    record = read_json_line(result)
    manifest = json.loads((tmp_path / "data" / "split.json").read_text())
    reasons = [(entry["path"], entry["reason"]) for entry in manifest["set_aside"]]
    assert (NOT_ENTERED, "a link to a folder, not entered") in reasons
    check_reasons(tree, [entry for entry in reasons if entry[0] != NOT_ENTERED])
    placed = [tmp_path / "data" / name for name in manifest["files"]]
    assert sorted(path.read_bytes() for path in placed) == sorted((tree.root / n).read_bytes() for n in tree.good)
    assert not any(path.is_symlink() for path in placed) and record["set_aside"] == len(reasons)
    again = run_command(
        "-m", "src.data_loader", "--data", tmp_path / "data", "--output", tmp_path / "out", timeout=TIMEOUT
    )
    assert again.returncode == 0, again.stderr


@pytest.mark.commands
def test_the_audit_names_the_bad_ones(tree, tmp_path):
    words = ("--data", tree.root, "--output", tmp_path / "audit", "--no-features", "--json")
    result = run_command("-m", "src.audit", *words, timeout=TIMEOUT)
    assert result.returncode == 0, result.stderr
    read_json_line(result)
    with open(tmp_path / "audit" / "findings.csv", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        rows = list(csv.DictReader(stream))
    names = {f"'{name}" if name.startswith("=") else name: name for name in [*tree.bad, NOT_ENTERED]}
    reasons = [
        (names[row["file"]], row["reason"])
        for row in rows
        if row["kind"] in ("empty", "unreadable", "damaged", "stray")
    ]
    check_reasons(tree, [entry for entry in reasons if entry[0] != NOT_ENTERED])
    assert not any(row["file"][:1] in "=+-@" for row in rows)
    moved = {row["file"] for row in rows if row["kind"] == "animated"}
    assert moved == {f"'{CLASSES[0]}/moving.{kind}" for kind in ("gif", "webp", "png")}


def check_failures(tree, found: dict[str, str], result) -> None:
    """As :func:`check_reasons`; what lies outside the classes is a picture as any other here."""
    expected = {name for name in tree.bad if name != "outside.png"}
    assert found.keys() == {str(tree.root / name) for name in expected} and result.returncode == 3
    assert "Traceback" not in result.stderr
    for path, reason in found.items():
        assert result.stderr.count(f"not read: {path}: {reason}\n") == 1


@pytest.mark.commands
def test_prediction_answers_for_the_good_ones(tree, models):
    result = run_command("-m", "src.predict", tree.root, "--models-dir", models, "--json", timeout=TIMEOUT)
    record = read_json_line(result)
    check_failures(tree, {failure["path"]: failure["reason"] for failure in record["failed"]}, result)
    predicted = sorted(row["path"] for row in record["predictions"])
    assert predicted == sorted(str(tree.root / name) for name in [*tree.good, "outside.png"])


@pytest.mark.commands
@pytest.mark.slow
def test_good_pictures_are_explained_under_names_that_can_be_written(tree, models, tmp_path):
    words = ("--image", tree.root, "--models-dir", models, "--output", tmp_path, "--json")
    result = run_command("-m", "src.gradcam", *words, timeout=TIMEOUT)
    record = read_json_line(result)
    found = dict(
        line.removeprefix("not read: ").split(": ", 1) for line in result.stderr.splitlines() if line.startswith("not")
    )
    check_failures(tree, found, result)
    assert sorted(row["path"] for row in record["pictures"]) == sorted(
        str(tree.root / name) for name in [*tree.good, "outside.png"]
    )
    saved = [row["saved"] for row in record["pictures"]]
    assert len(set(saved)) == len(saved) and all(
        (tmp_path / "tiny" / "pictures").samefile(path.rsplit("/", 1)[0]) for path in saved
    )


def test_files_that_vanish_once_they_are_listed_are_set_aside(tmp_path):
    root = write_data_folder(tmp_path, {"a": 4}) / "a"
    listing = read_folder(root)
    (root / "dark" / "dark_001.png").unlink()
    (root / "light" / "light_002.png").write_bytes(b"")
    pictures, set_aside = check_pictures(listing.pictures, 42, thumbnails=True)
    assert [name for name, _ in set_aside] == ["dark/dark_001.png", "light/light_002.png"]
    assert "no such file" in set_aside[0][1] and len(pictures) == 6


def test_a_file_that_vanishes_before_it_is_copied_leaves_the_earlier_split(tmp_path, monkeypatch, capsys):
    source = write_data_folder(tmp_path, {"source": 6}) / "source"
    words = ["--source", str(source), "--output", str(tmp_path / "data")]
    assert split_main(words) == 0
    before = (tmp_path / "data" / "split.json").read_bytes()
    real = split.build_split

    def build_split(listing, pictures, *rest):
        (source / "dark" / "dark_001.png").unlink()
        return real(listing, pictures, *rest)

    monkeypatch.setattr(split, "build_split", build_split)
    assert split_main([*words, "--force", "--seed", "1"]) == 2
    assert "dark_001.png: no such file" in capsys.readouterr().err
    assert (tmp_path / "data" / "split.json").read_bytes() == before
    assert len(list((tmp_path / "data").rglob("*.png"))) == 12


@pytest.mark.commands
def test_a_tree_of_nothing_but_bad_files_is_one_sentence(tree, models, tmp_path):
    for number, name in enumerate(["pipe.png", "zeros.jpg", "loop.png"]):
        (tmp_path / "bad" / CLASSES[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "bad" / CLASSES[number % 2] / name).symlink_to(tree.root / CLASSES[0] / name)
    check_user_error(
        run_command("split_dataset.py", "--source", tmp_path / "bad", "--output", tmp_path / "x", timeout=TIMEOUT),
        "none of the pictures of class",
    )
    check_user_error(
        run_command("-m", "src.audit", "--data", tmp_path / "bad", "--output", tmp_path / "y", timeout=TIMEOUT),
        "can be read",
    )
    check_user_error(
        run_command("-m", "src.predict", tmp_path / "bad", "--models-dir", models, timeout=TIMEOUT), "could be read"
    )


@pytest.mark.parametrize("letter", ["x", "é", "馬"])
def test_what_is_drawn_of_a_long_name_gets_one_that_can_be_written(tmp_path, letter):
    suffixes = ("", "_overlay", "_layer")
    path = free_name(tmp_path, f"{letter * 80}.png", ".png", set(), suffixes)
    for suffix in suffixes:
        write_image(path.with_name(f"{path.stem}{suffix}.png"), np.zeros((1, 1, 3), np.uint8))
    assert path.stem and set(path.stem) == {letter}
