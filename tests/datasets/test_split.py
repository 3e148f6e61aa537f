import hashlib
import json
import os
from pathlib import Path

import cv2
import pytest

from src.datasets import placing, split, swapping
from src.datasets.manifest import load_manifest, mask_path
from src.datasets.split import split_dataset
from src.datasets.split_settings import SplitSettings
from src.errors import UserError
from tests.datasets.pictures import class_folders, files_below, tar_of, write, zip_of


def leftovers(tmp_path):
    return [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_counts_files_and_manifest(run, source, tmp_path):
    manifest = run()
    assert manifest.counts == {
        "train": {"cat": 14, "dog": 7}, "val": {"cat": 3, "dog": 2}, "test": {"cat": 3, "dog": 1},
    }  # fmt: skip
    data = files_below(tmp_path / "data")
    assert sorted(data) == sorted([*manifest.files, "split.json"])
    assert sorted(data[name] for name in manifest.files) == sorted(files_below(source).values())
    assert load_manifest(tmp_path / "data") == manifest and manifest.class_names == ["cat", "dog"]
    total = hashlib.sha256()
    for name in manifest.files:
        total.update(f"{name}\0{hashlib.sha256(data[name]).hexdigest()}\n".encode())
    assert manifest.content_hash == total.hexdigest()
    assert manifest.settings["seed"] == 42 and manifest.source == str(source) and not manifest.masks
    assert leftovers(tmp_path) == []


def test_every_setting_changes_what_it_should(run, tmp_path):
    first = run()
    again = run(output=str(tmp_path / "again"))
    assert (again.files, again.content_hash) == (first.files, first.content_hash)
    assert run(output=str(tmp_path / "seed"), seed=43).files != first.files
    even = run(output=str(tmp_path / "ratios"), ratios=(0.5, 0.0, 0.5))
    assert even.counts == {"train": {"cat": 10, "dog": 5}, "test": {"cat": 10, "dog": 5}}
    few = run(output=str(tmp_path / "limit"), limit_per_class=6)
    assert few.counts == {p: {"cat": n, "dog": n} for p, n in (("train", 4), ("val", 1), ("test", 1))}


@pytest.mark.parametrize("kind", ["flat", "zip", "tar.xz"])
def test_other_forms_of_the_same_pictures(run, source, tmp_path, kind):
    pictures = files_below(source)
    if kind == "flat":
        other = tmp_path / "flat"
        other.mkdir()
        for name, content in pictures.items():
            (other / name.split("/")[1].replace("_", ".")).write_bytes(content)
    else:
        wrapped = {f"wrapper/{name}": content for name, content in pictures.items()}
        make = zip_of if kind == "zip" else lambda path, members: tar_of(path, members, "w:xz")
        other = make(tmp_path / f"a.{kind}", wrapped)
    manifest = run(source=str(other))
    assert manifest.counts["train"] == {"cat": 14, "dog": 7}
    if kind != "flat":  # same relative paths, same split
        assert manifest.content_hash == run(output=str(tmp_path / "plain")).content_hash


def test_unreadable_pictures_are_set_aside_with_reasons(run, source, tmp_path, capsys):
    noise = cv2.imencode(".jpg", cv2.randu(cv2.UMat(64, 64, cv2.CV_8UC3).get(), 0, 255))[1].tobytes()
    (source / "cat" / "cut.jpg").write_bytes(noise[: len(noise) // 2])
    (source / "cat" / "empty.jpg").write_bytes(b"")
    (source / "dog" / "text.jpg").write_text("no picture")
    (source / "dog" / "Thumbs.db").write_text("x")
    manifest = run()
    assert sum(manifest.counts["train"].values()) == 21 and manifest.ignored == 1
    reasons = {entry["path"]: entry["reason"] for entry in manifest.set_aside}
    assert list(reasons) == ["cat/cut.jpg", "cat/empty.jpg", "dog/text.jpg"]
    assert "cut off" in reasons["cat/cut.jpg"] and "empty" in reasons["cat/empty.jpg"]
    assert "Set aside: 3" in capsys.readouterr().err
    # a limit is met by readable pictures
    limited = run(output=str(tmp_path / "limited"), limit_per_class=10)
    assert sum(n["dog"] for n in limited.counts.values()) == 10


def test_classes_without_pictures_are_named(run, source):
    (source / "emu").mkdir()
    with pytest.raises(UserError, match="no pictures in the folder of emu"):
        run()
    (source / "emu" / "a.jpg").write_text("no picture")
    with pytest.raises(UserError, match="none of the pictures of class emu"):
        run()
    assert run(classes=("dog", "cat")).class_names == ["cat", "dog"]
    with pytest.raises(UserError, match="no class emx in the source; it has cat, dog, emu"):
        run(classes=("cat", "emx"), force=True)
    with pytest.raises(UserError, match="at least two classes"):
        run(classes=("cat",), force=True)


def test_identical_pictures_never_part(run, source, tmp_path, capsys):
    for i in range(5):
        (source / "cat" / f"copy{i}.png").write_bytes((source / "cat" / "cat_003.png").read_bytes())
    (source / "dog" / "copy.png").write_bytes((source / "cat" / "cat_004.png").read_bytes())
    manifest = run()
    where = {}
    for name, content in files_below(tmp_path / "data").items():
        where.setdefault(content, set()).add(name.split("/")[0])
    assert all(len(parts) == 1 for parts in where.values())
    assert manifest.duplicates["groups"] == 2 and manifest.duplicates["pictures"] == 8
    assert manifest.duplicates["conflicts"] == [
        {"classes": ["cat", "dog"], "paths": ["cat/cat_004.png", "dog/copy.png"]}
    ]
    assert "Conflict" in capsys.readouterr().err


def test_a_split_source_is_kept_and_its_leaks_removed(run, tmp_path):
    parted = tmp_path / "parted"
    for i, (part, count) in enumerate((("train", 10), ("valid", 3), ("test", 4))):
        class_folders(parted / part, {"cat": count, "dog": count}, first=1000 * i)
    leak = parted / "train" / "cat" / "leak.png"
    leak.write_bytes((parted / "test" / "cat" / "cat_000.png").read_bytes())
    manifest = run(source=str(parted))
    assert manifest.counts == {p: {"cat": n, "dog": n} for p, n in (("train", 10), ("val", 3), ("test", 4))}
    assert "test/cat/cat_000.png" in manifest.files
    assert manifest.duplicates["removed"] == [
        {"path": "train/cat/leak.png", "part": "train", "kept": "test/cat/cat_000.png"}
    ]


def test_missing_parts_are_carved_from_train(run, tmp_path):
    parted = tmp_path / "parted"
    class_folders(parted / "train", {"cat": 17, "dog": 34})
    class_folders(parted / "test", {"cat": 4, "dog": 4}, first=1000)
    kept = {f"test/{n}" for n in files_below(parted / "test")}
    manifest = run(source=str(parted))  # val: .15 / .85 = 3 of 17
    assert manifest.counts == {
        "train": {"cat": 14, "dog": 28}, "val": {"cat": 3, "dog": 6}, "test": {"cat": 4, "dog": 4},
    }  # fmt: skip
    assert {name for name in manifest.files if name.startswith("test/")} == kept


def test_names_that_clash_are_kept_apart(run, source, tmp_path):
    write(source / "cat" / "deep" / "cat_000.png", 5000)
    write(source / "cat" / "deeper" / "CAT_000.png", 5001)
    manifest = run(ratios=(1.0, 0.0, 0.0))
    assert manifest.counts == {"train": {"cat": 22, "dog": 10}}
    assert len({name.casefold() for name in manifest.files}) == 32
    assert manifest.files == run(ratios=(1.0, 0.0, 0.0), output=str(tmp_path / "again")).files


def test_long_names_that_clash_are_shortened(run, source):
    for name in ("n" * 251 + ".png", "я" * 125 + "c.png"):
        for i, folder in enumerate(("a", "b")):
            write(source / "cat" / folder / name, 6000 + 100 * i + len(name))
    assert sum(n["cat"] for n in run().counts.values()) == 24


def test_odd_names_survive(run, tmp_path):
    odd = os.fsdecode(b"k\xff tz")
    manifest = run(source=str(class_folders(tmp_path / "odd", {odd: 4, "Кошка 猫": 4})))
    assert load_manifest(tmp_path / "data") == manifest and odd in manifest.class_names
    assert all((tmp_path / "data" / name).is_file() for name in manifest.files)


@pytest.mark.parametrize("link", ["hardlink", "symlink", "copy"])
def test_links(run, source, tmp_path, link):
    manifest = run(link=link)
    originals = {path.read_bytes(): path for path in source.rglob("*.png")}
    for name in manifest.files:
        placed = tmp_path / "data" / name
        original = originals[placed.read_bytes()]
        assert placed.is_symlink() == (link == "symlink")
        assert placed.samefile(original) == (link != "copy")
    run(force=True, seed=7)
    assert len(files_below(source)) == 30  # replacing links never touches what they point to


def test_no_hard_links_here_means_copies_and_one_sentence(run, source, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(placing.os, "link", refuse)
    manifest = run(link="hardlink")
    assert len(manifest.files) == 30 and capsys.readouterr().err.count("copying instead") == 1


# ------------------------------------------------------------------------------------------- an earlier split


def test_force_replaces_exactly_the_old_split(run, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "README.md").write_text("ships with the project")
    run()
    foreign = {"notes.txt": b"mine", "train/cat/mine.png": b"mine", "train/extra/x.bin": b"mine"}
    for name, content in foreign.items():
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(content)
    before = files_below(data)
    with pytest.raises(UserError, match="--force"):
        run(seed=1)
    assert files_below(data) == before
    manifest = run(seed=1, classes=("cat", "dog"), limit_per_class=8, force=True)
    after = files_below(data)
    assert set(after) == {*manifest.files, "split.json", "README.md", *foreign}
    assert {name: after[name] for name in foreign} == foreign
    parts = [{after[n] for n in manifest.files if n.startswith(part)} for part in ("train", "val", "test")]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_a_class_that_goes_leaves_no_empty_folder(run, source, tmp_path):
    class_folders(source, {"emu": 4}, first=900)
    run()
    run(classes=("cat", "dog"), force=True)
    assert [path.name for path in sorted((tmp_path / "data" / "train").iterdir())] == ["cat", "dog"]


@pytest.mark.parametrize("where", ["_assign", "build_split", "save_manifest", "rename"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_failure_anywhere_loses_nothing(run, tmp_path, monkeypatch, where, error):
    run()
    (tmp_path / "data" / "foreign.txt").write_text("mine")
    before = files_below(tmp_path / "data")
    calls = []
    real_rename = os.rename

    def fail(*values, **_):
        calls.append(values)
        if where != "rename":
            raise error
        if len(calls) == 40:  # past the 31 moves out, among the moves in
            raise error
        real_rename(*values)

    module = {"save_manifest": swapping, "rename": swapping.os}.get(where, split)
    monkeypatch.setattr(module, where, fail)
    with pytest.raises(type(error) if isinstance(error, OSError) else error):
        run(seed=1, force=True)
    monkeypatch.undo()
    assert calls and files_below(tmp_path / "data") == before and leftovers(tmp_path) == []


def test_a_foreign_file_in_the_way_is_refused(run, source, tmp_path):
    run()
    write(source / "cat" / "zzz.png", 7777)
    for part in ("train", "val", "test"):
        (tmp_path / "data" / part / "cat" / "zzz.png").write_text("mine")
    before = files_below(tmp_path / "data")
    with pytest.raises(UserError, match="in the way"):
        run(force=True)
    assert files_below(tmp_path / "data") == before


@pytest.mark.parametrize(
    "entry",
    ["../victim.txt", "train/../../victim.txt", "/etc/hostname", "README.md", "train", "", "train//cat/x", "./train/x",
     "other/x.png", "split.json"],
)  # fmt: skip
def test_a_hostile_manifest_deletes_nothing(run, tmp_path, entry):
    run()
    (tmp_path / "victim.txt").write_text("mine")
    path = tmp_path / "data" / "split.json"
    values = json.loads(path.read_text())
    values["files"].append(entry)
    path.write_text(json.dumps(values))
    before = files_below(tmp_path)
    with pytest.raises(UserError, match="no place of a split; nothing was removed"):
        run(force=True)
    assert files_below(tmp_path) == before


def test_a_manifest_through_a_linked_folder_deletes_nothing(run, tmp_path):
    run()
    write(tmp_path / "elsewhere" / "victim.png", 1)
    (tmp_path / "data" / "train" / "linked").symlink_to(tmp_path / "elsewhere")
    path = tmp_path / "data" / "split.json"
    values = json.loads(path.read_text())
    values["files"].append("train/linked/victim.png")
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="is a link to elsewhere; nothing was removed"):
        run(force=True)
    assert (tmp_path / "elsewhere" / "victim.png").is_file()


def test_other_content_is_refused_even_with_force(run, tmp_path):
    write(tmp_path / "data" / "train" / "cat" / "mine.png", 1)
    for force in (False, True):
        with pytest.raises(UserError, match="holds other files"):
            run(force=force)
    (tmp_path / "data" / "split.json").write_text("[]")
    with pytest.raises(UserError, match="not a split of format 1"):
        run(force=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="not a folder"):
        run(output=str(tmp_path / "file"))


def test_source_and_output_inside_each_other_are_refused(run, source, tmp_path):
    (tmp_path / "way").symlink_to(source)
    for output in (source, source / "data", tmp_path, tmp_path / "way" / "data"):
        with pytest.raises(UserError, match="inside each other"):
            run(output=str(output), force=True)
    run()
    linked = tmp_path / "linked"
    for name in ("cat", "dog"):
        (linked / name).mkdir(parents=True)
        for path in (tmp_path / "data" / "train" / name).iterdir():
            (linked / name / path.name).symlink_to(path)
    with pytest.raises(UserError, match="leads into the output"):
        run(source=str(linked), force=True)


@pytest.mark.parametrize("values", [(0.5, 0.5, 0.5), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_ratios_that_are_none_are_refused(run, values):
    with pytest.raises(UserError, match="--ratios"):
        run(ratios=values)


def test_malformed_manifests_are_refused(run, tmp_path):
    with pytest.raises(UserError, match="no split.json"):
        load_manifest(tmp_path)
    run()
    path = tmp_path / "data" / "split.json"
    whole = json.loads(path.read_text())
    changes = [{"files": "x"}, {"files": [1]}, {"counts": {"train": 3}}, {"class_names": None}, {"format": 2}]
    changes += [{"parts": {"a": []}}, {"counts": {"train": {"cat": -1}}}, {"set_aside": [{"path": "x"}]}]
    changes += [{"set_aside": ["x"]}, {"settings": {"seed": float("nan")}}, {"grouped": {"groups": float("inf")}}]
    for change in changes:
        path.write_text(json.dumps(whole | change))
        with pytest.raises(UserError, match="split anew"):
            load_manifest(path.parent)
    path.write_text("{")
    with pytest.raises(UserError, match=f"not valid JSON.*move {path.parent} away and split anew"):
        load_manifest(path.parent)
    with pytest.raises(UserError, match="split anew"):
        run(force=True)
    path.parent.rename(tmp_path / "away")
    run()


# ------------------------------------------------------------------------------------------- shapes, masks, reality


def test_shapes_come_with_masks(tmp_path):
    output = tmp_path / "data"
    manifest = split_dataset(SplitSettings(source="shapes", output=str(output), images_per_class=4, picture_size=64))
    assert manifest.masks and len(manifest.files) == 2 * 4 * len(manifest.class_names)
    for name in manifest.files:
        if not name.startswith("masks/"):
            mask = cv2.imread(str(mask_path(output, name)), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (64, 64) and set(mask.ravel()) == {0, 255}
    # a split that was written is itself a source, and its masks come along
    again = split_dataset(SplitSettings(source=str(output), output=str(tmp_path / "again")))
    assert (again.content_hash, again.masks) == (manifest.content_hash, True)
    with pytest.raises(UserError, match="drawn data only"):
        split_dataset(SplitSettings(source=str(output), output=str(tmp_path / "x"), picture_size=64))


def test_mask_path():
    assert mask_path("data", "train/cat/cat.0.jpg") == Path("data/masks/train/cat/cat.0.png")


@pytest.mark.slow
def test_the_real_dogs_and_cats(tmp_path):
    root = Path(os.environ.get("IMAGE_DATASETS") or Path(__file__).parents[2] / ".." / "shared" / "datasets")
    folder = root / "kaggle_dogs_vs_cats" / "train"
    if not folder.is_dir():
        pytest.skip(f"no real pictures at {folder}; set IMAGE_DATASETS")
    manifest = split_dataset(SplitSettings(source=str(folder), output=str(tmp_path / "data")))
    assert manifest.counts == {p: {"cat": n, "dog": n} for p, n in (("train", 700), ("val", 150), ("test", 150))}
    assert manifest.set_aside == []
