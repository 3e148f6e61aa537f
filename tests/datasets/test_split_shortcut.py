"""A split of drawn shapes with planted marks: its files, its counterpart without them, and who may ask for it."""

import json

import pytest

import split_dataset
from src.datasets.manifest import MARKS, load_manifest, mask_path
from src.datasets.split import split_dataset as split
from src.datasets.split_settings import MARKED_CLASS, SplitSettings
from src.errors import UserError
from src.settings import PARTS
from tests.datasets.pictures import class_folders, files_below

SMALL = {"source": "shapes", "images_per_class": 4, "picture_size": 64, "classes": (MARKED_CLASS, "star")}


def run(output, **changes):
    return split(SplitSettings(**SMALL | {"output": str(output)} | changes))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("splits")
    manifests = {name: run(root / str(name), shortcut=name) for name in (None, "planted", "everywhere")}
    return root, manifests


def test_each_marked_picture_has_a_mask_of_its_mark_in_its_part(folders):
    root, manifests = folders
    for name, classes in (("planted", {MARKED_CLASS}), ("everywhere", {MARKED_CLASS, "star"})):
        manifest = manifests[name]
        found = [path for path in manifest.files if path.startswith(f"{MARKS}/")]
        assert {path.split("/")[2] for path in found} == classes and {path.split("/")[1] for path in found} == {*PARTS}
        assert len(found) == manifest.marks and manifest.masks
        assert set(files_below(root / name)) == {*manifest.files, "split.json"}
        assert manifest.settings["shortcut"] == name and load_manifest(root / name) == manifest
    assert manifests["everywhere"].marks == 8 and 0 < manifests["planted"].marks <= 4
    assert manifests[None].marks == 0 and manifests[None].settings["shortcut"] is None
    assert not (root / "None" / MARKS).exists()


def test_the_plain_split_holds_the_same_pictures_in_the_same_parts(folders):
    root, manifests = folders
    plain = files_below(root / "None")
    for name in ("planted", "everywhere"):
        files = files_below(root / name)
        changed = [path for path in plain if path != "split.json" and plain[path] != files[path]]
        assert {path for path in files if not path.startswith(f"{MARKS}/")} == plain.keys()
        assert {mask_path("", path, MARKS).as_posix() for path in changed} == files.keys() - plain.keys()
    assert len({manifest.content_hash for manifest in manifests.values()}) == 3


def test_a_forced_split_takes_earlier_marks_away(tmp_path):
    first = run(tmp_path, shortcut="everywhere")
    foreign = tmp_path / MARKS / "notes.txt"
    foreign.write_text("mine")
    run(tmp_path, force=True)
    assert foreign.read_text() == "mine" and not list((tmp_path / MARKS).rglob("*.png"))
    foreign.unlink()
    foreign.parent.rmdir()
    again = run(tmp_path, shortcut="everywhere", force=True)
    assert again.content_hash == first.content_hash
    planted = run(tmp_path, shortcut="planted", force=True)
    assert set(files_below(tmp_path)) == {*planted.files, "split.json"}
    assert not list(tmp_path.glob(f"{MARKS}/*/star"))


def test_a_failure_leaves_the_earlier_marks(tmp_path, monkeypatch):
    run(tmp_path, shortcut="everywhere")
    before = files_below(tmp_path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("src.datasets.swapping.save_manifest", fail)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, force=True)
    assert files_below(tmp_path) == before


def test_marks_come_along_when_the_split_is_a_source(folders, tmp_path):
    root, manifests = folders
    again = split(SplitSettings(source=str(root / "planted"), output=str(tmp_path / "again")))
    assert (again.content_hash, again.marks) == (manifests["planted"].content_hash, manifests["planted"].marks)


def test_the_option_is_refused_where_nothing_would_be_marked(tmp_path, monkeypatch):
    class_folders(tmp_path / "shapes", {MARKED_CLASS: 4, "star": 4})
    output = tmp_path / "out"
    with pytest.raises(UserError, match="drawn data only"):
        split(SplitSettings(source=str(tmp_path / "shapes"), output=str(output), shortcut="planted"))
    monkeypatch.chdir(tmp_path)  # here "shapes" is a folder
    with pytest.raises(UserError, match="drawn data only"):
        split(SplitSettings(source="shapes", output=str(output), shortcut="planted"))
    monkeypatch.undo()
    with pytest.raises(UserError, match=f"class {MARKED_CLASS}, which --classes leaves out"):
        run(output, shortcut="planted", classes=("star", "wheel"))
    with pytest.raises(UserError, match="must be one of planted, everywhere. Received: logo"):
        run(output, shortcut="logo")
    assert not output.exists()
    assert run(output, shortcut="everywhere", classes=("star", "wheel")).marks == 8


def test_the_command_line_plants_without_a_value(tmp_path, capsys):
    small = ["--source", "shapes", "--images-per-class", "3", "--picture-size", "64", "--json"]
    counts = []
    for value in ([], ["everywhere"]):
        folder = tmp_path / "-".join(["out", *value])
        assert split_dataset.main([*small, "--output", str(folder), "--shortcut", *value]) == 0
        captured = capsys.readouterr()
        counts.append(json.loads(captured.out)["marks"])
        assert f"Planted: {counts[-1]} of the pictures carry a mark" in captured.err
    assert 0 < counts[0] <= 3 and counts[1] == 12
