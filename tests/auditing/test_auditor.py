"""The audit of a small folder with a fault of every kind, and the command."""

import csv
import json
import shutil

import numpy as np
import pytest

from src.audit import main
from src.auditing.findings import KINDS, Finding, count_kinds, sort_findings
from src.datasets.shapes import draw_shapes
from src.imaging import read_image, write_image
from tests.datasets.pictures import files_below
from tests.encoded import pillow

pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """40 drawn pictures, split by hand into parts and classes, with nothing wrong."""
    folder = tmp_path_factory.mktemp("sound")
    draw_shapes(folder / "drawn", folder / "masks", images_per_class=20, size=96, seed=5)
    for name in ("star", "wheel"):
        for number, path in enumerate(sorted((folder / "drawn" / name).iterdir())):
            part = "train" if number < 14 else "val" if number < 17 else "test"
            target = folder / "data" / part / name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return folder / "data"


@pytest.fixture
def data(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "data")


def run(data, output, capsys, *arguments):
    code = main(["--data", str(data), "--output", str(output), *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def rows(output):
    with open(output / "findings.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def plant(data):
    """A fault of each kind that takes no network; returns the expected (file, kind)."""
    train, pictures = data / "train" / "star", sorted((data / "test" / "star").iterdir())
    image = read_image(pictures[0])
    jpeg = pillow(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8), "JPEG")
    (train / "empty.png").write_bytes(b"")
    (train / "page.jpg").write_bytes(b"<!DOCTYPE html><html></html>")
    (train / "torn.jpg").write_bytes(jpeg[: len(jpeg) // 2] + b"\xff\xd9")
    shutil.copy(pictures[0], train / "same.png")
    write_image(data / "train" / "wheel" / "mirrored.jpg", np.ascontiguousarray(read_image(pictures[1])[:, ::-1]))
    write_image(train / "flat.png", np.full((96, 96, 3), 90, np.uint8))
    write_image(train / "dark.png", read_image(pictures[2]) // 6)
    write_image(train / "tiny.png", read_image(sorted((data / "val" / "star").iterdir())[0])[:18, :18])
    write_image(train / "wide.png", np.random.default_rng(1).integers(0, 256, (60, 320, 3), np.uint8))
    (train / "named.jpg").write_bytes(pillow(np.rot90(image).copy(), "PNG"))
    write_image(data / "train" / "lost.png", np.rot90(image, 3).copy())
    return {
        ("train/star/empty.png", "empty"), ("train/star/page.jpg", "unreadable"), ("train/star/torn.jpg", "damaged"),
        ("train/star/same.png", "identical"), ("train/wheel/mirrored.jpg", "near_copy"),
        ("train/star/flat.png", "uniform"), ("train/star/dark.png", "dark"), ("train/star/dark.png", "near_copy"),
        ("train/star/tiny.png", "tiny"), ("train/star/wide.png", "odd_aspect"),
        ("train/star/named.jpg", "wrong_extension"), ("train/lost.png", "stray"),
    }  # fmt: skip


def test_faults_of_every_kind_are_found_and_nothing_is_changed(data, tmp_path, capsys):
    expected = plant(data)
    before = files_below(data)
    output = tmp_path / "audit"
    code, out, err = run(data, output, capsys, "--no-features", "--json")
    assert code == 0, err
    found = {(row["file"], row["kind"]) for row in rows(output)}
    assert expected <= found and len(found - expected) <= 2, found ^ expected
    assert files_below(data) == before
    [line] = out.splitlines()
    record = json.loads(line)
    assert record["findings"] == {kind: sum(k == kind for _, k in found) for kind in KINDS if any(
        k == kind for _, k in found)}  # fmt: skip
    assert record["pairs"]["identical"] == {"found": 1, "across_parts": 1, "across_classes": 0}
    assert record["pairs"]["near_copy"]["across_classes"] == 1
    assert record["counts"]["test"] == {"star": 3, "wheel": 3} and "parts_told_apart" not in record
    assert json.loads((output / "audit.json").read_text())["findings"] == record["findings"]
    by_file = {(row["file"], row["kind"]): row for row in rows(output)}
    assert "a leak" in by_file["train/star/same.png", "identical"]["reason"]
    assert "web page" in by_file["train/star/page.jpg", "unreadable"]["reason"]
    assert all(0 <= float(row["score"]) <= 1 and row["reason"] for row in rows(output))
    for kind in ("damaged", "near_copy", "dark", "stray", "overview"):
        assert read_image(output / f"{kind}.png").std() > 0
    assert not (output / "empty.png").exists() and set(record["sheets"]) <= set(KINDS)
    assert err == ""  # nothing of what decoders say of damaged files


def test_sound_pictures_give_a_short_answer(data, tmp_path, capsys):
    output = tmp_path / "audit"
    output.mkdir()
    write_image(output / "dark.png", np.zeros((9, 9, 3), np.uint8))  # of an earlier audit
    code, out, _ = run(data, output, capsys, "--no-features")
    assert code == 0 and rows(output) == [] and "Nothing was found." in out
    assert "Classes of 20 to 20 pictures" in out and not (output / "dark.png").exists()


def test_quarantine_and_undo(data, tmp_path, capsys):
    plant(data)
    before = files_below(data)
    code, out, _ = run(data, tmp_path / "audit", capsys, "--no-features", "--quarantine")
    assert code == 0 and "3 pictures in quarantine." in out
    assert not any((data / "train" / "star" / name).exists() for name in ("empty.png", "page.jpg", "torn.jpg"))
    undo_list = data / ".audit" / "undo-001.csv"
    assert f"--data {data} --undo {undo_list}" in out
    code, out, err = run(data, tmp_path / "audit", capsys, "--no-features", "--quarantine", "near_copy", "--json")
    assert json.loads(out)["quarantined"] == 2 and "To undo it" in err
    for number, moved in ((2, 2), (1, 3)):
        code, out, _ = run(data, tmp_path / "x", capsys, "--undo", data / ".audit" / f"undo-00{number}.csv", "--json")
        assert code == 0 and json.loads(out)["moved"] == moved
    after = {name: content for name, content in files_below(data).items() if not name.startswith(".audit/")}
    assert after == before


def test_corrections_are_applied(data, tmp_path, capsys):
    wrong = next((data / "train" / "star").iterdir()).relative_to(data).as_posix()
    (tmp_path / "corrections.csv").write_text(f"file,class,score\n{wrong},wheel,0.9\n")
    code, out, _ = run(data, tmp_path / "x", capsys, "--apply", tmp_path / "corrections.csv")
    assert code == 0 and "1 pictures moved." in out and (data / wrong.replace("/star/", "/wheel/")).is_file()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--data", "nowhere"], "there is no folder nowhere"),
        (["--data", "empty"], "neither folders of classes with pictures nor pictures named"),
        (["--data", "broken"], "none of the 2 pictures of broken can be read"),
        (["--data", "data", "--output", "data/train"], "lies within the data"),
        (["--data", "data", "--quarantine", "ugly"], "there is no kind ugly; the kinds are empty, unreadable"),
        (["--data", "data", "--apply", "nothing.csv"], "nothing.csv: no such file"),
        (["--data", "nowhere", "--undo", "nothing.csv"], "there is no folder nowhere"),
        (["--data", "outer"], "only wraps outer"),
    ],
)
def test_errors_of_the_user(data, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "a.jpg").write_text("no picture")
    shutil.copytree(data / "train", tmp_path / "outer" / "inner")
    before = files_below(data)
    code = main(["--output", "out", "--no-features", *arguments] if "--output" not in arguments else arguments)
    said = capsys.readouterr()
    assert code == 2 and said.err.splitlines()[-1].startswith("error: ") and message in said.err, said.err
    assert files_below(data) == before


def test_findings_in_order():
    findings = [Finding("b", "tiny", 0.1, ""), Finding("c", "empty", 1, ""), Finding("a", "tiny", 0.9, "")]
    assert [finding.file for finding in sort_findings(findings)] == ["c", "a", "b"]
    assert count_kinds(findings) == {"empty": 1, "tiny": 2}


@pytest.mark.large
def test_with_features(data, tmp_path, capsys):
    """Enough that labels are judged; a star among the wheels is told."""
    for number, path in enumerate(sorted((data / "train" / "star").iterdir())[:2]):
        shutil.move(path, data / "train" / "wheel" / f"moved{number}.png")
    code, out, err = run(data, tmp_path / "audit", capsys)
    assert code == 0, err
    named = [row for row in rows(tmp_path / "audit") if row["kind"] == "label_error"]
    assert any("moved" in row["file"] for row in named)
    assert all(row["suggested"] in ("star", "wheel") and row["suggested"] not in row["file"] for row in named)
    with open(tmp_path / "audit" / "corrections.csv", newline="") as stream:
        assert [row["file"] for row in csv.DictReader(stream)] == [row["file"] for row in named]
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["parts_told_apart"] is None  # too few
    assert ("Look through" in out) == bool(named)
