"""What belongs together stays together, and what was placed once stays where it is."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest

from src.datasets.manifest import ONE_OF_MANY, load_manifest, picture_key, save_manifest
from src.errors import UserError
from src.files import sha256_file
from src.imaging import read_image, write_image
from tests.datasets.pictures import class_folders, write
from tests.datasets.textures import texture


@pytest.fixture
def pictures(tmp_path):
    """Two classes of 20 pictures, and an altered copy of every second one."""
    for number in range(40):
        folder = tmp_path / "pictures" / ("cat" if number < 20 else "dog")
        write_image(folder / f"{number:02d}.png", texture(number))
        if number % 2 == 0:
            write_image(folder / f"{number:02d}_copy.jpg", cv2.resize(texture(number)[2:, ::-1], (48, 50)))
    return tmp_path / "pictures"


def parts_of(manifest):
    """The part of each picture by its name."""
    return {name.split("/")[-1]: name.split("/")[0] for name in manifest.files}


def leaks(manifest):
    parts = parts_of(manifest)
    return [name for name in parts if "_copy" in name and parts[name] != parts[name.replace("_copy.jpg", ".png")]]


def test_near_copies_stay_in_one_part_unless_they_may_part(run, pictures, tmp_path, capsys):
    manifest = run(source=str(pictures))
    assert leaks(manifest) == [] and manifest.counts["test"] == {"cat": 4, "dog": 4}
    assert manifest.near_copies["groups"] == 20 and manifest.near_copies["pictures"] == 40
    assert ["cat/00.png", "cat/00_copy.jpg"] in manifest.near_copies["members"]
    assert "Near-copies: 40 pictures in 20 groups" in capsys.readouterr().err
    parted = run(source=str(pictures), allow_near_duplicates=True, output=str(tmp_path / "parted"))
    assert leaks(parted) and parted.near_copies == {"groups": 0, "pictures": 0, "conflicts": [], "members": []}
    assert load_manifest(tmp_path / "parted").settings["allow_near_duplicates"] is True


def test_near_copies_in_two_classes_are_named(run, pictures, capsys):
    shutil.move(pictures / "cat" / "04_copy.jpg", pictures / "dog" / "false_friend.jpg")
    manifest = run(source=str(pictures))
    assert manifest.near_copies["conflicts"] == [
        {"classes": ["cat", "dog"], "paths": ["cat/04.png", "dog/false_friend.jpg"]}
    ]
    assert "Conflict: near-copies in the classes cat, dog" in capsys.readouterr().err
    parts = parts_of(manifest)
    assert parts["04.png"] == parts["false_friend.jpg"]


def test_near_copies_leave_the_training_part_of_a_split_source(run, tmp_path):
    source = tmp_path / "parted"
    for number in range(24):
        part = "train" if number < 16 else "val" if number < 20 else "test"
        write_image(source / part / ("cat" if number % 2 else "dog") / f"{number}.png", texture(number))
    write_image(source / "train" / "cat" / "leak.jpg", (texture(23) * 0.8).astype(np.uint8))
    manifest = run(source=str(source))
    assert manifest.duplicates["removed"] == [
        {"path": "train/cat/leak.jpg", "part": "train", "kept": "test/cat/23.png"}
    ]
    assert sum(manifest.counts["train"].values()) == 16


def test_groups_by_expression_and_by_table(run, tmp_path):
    source = class_folders(tmp_path / "animals", {"cat": 20, "dog": 20})
    by_last = parts_of(run(source=str(source), group_by=r"(\d)\.png", output=str(tmp_path / "by_last")))
    assert all(len({part for name, part in by_last.items() if name[-5] == digit}) == 1 for digit in "0123456789")
    table = tmp_path / "groups.csv"
    rows = [f"cat/cat_{i:03d}.png,animal{i // 5}" for i in range(20)]
    table.write_text("\n".join(["file,group", *rows]))
    manifest = run(source=str(source), group_by=str(table))
    parts = parts_of(manifest)
    for first in range(0, 20, 5):
        assert len({parts[f"cat_{i:03d}.png"] for i in range(first, first + 5)}) == 1
    members = manifest.grouped.pop("members")
    assert manifest.grouped == {"groups": 4, "pictures": 20}
    digests = [picture_key(sha256_file(source / "cat" / f"cat_{i:03d}.png")) for i in range(20)]
    assert sorted(map(sorted, members)) == sorted(sorted(digests[first : first + 5]) for first in range(0, 20, 5))
    with pytest.raises(UserError, match="class cat has 2 different readable pictures.*belong together"):
        rows = [f"cat/cat_{i:03d}.png,animal{i // 10}" for i in range(20)]
        table.write_text("\n".join(["file,group", *rows]))
        run(source=str(source), group_by=str(table), force=True)


# --------------------------------------------------------------------------------------- splitting again, with more


def test_more_pictures_move_none(run, source, tmp_path, capsys):
    before = parts_of(run())
    for number in range(12):
        write(source / "cat" / f"new_{number}.png", 7000 + number)
    manifest = run(force=True)
    after = parts_of(manifest)
    assert {name: after[name] for name in before} == before and len(after) == len(before) + 12
    assert "30 pictures stay in the parts of the earlier split; 12 are new." in capsys.readouterr().err
    # and the shares of all are what was asked for: 32 cats, by 0.7, 0.15, 0.15
    assert {part: counts["cat"] for part, counts in manifest.counts.items()} == {"train": 22, "val": 5, "test": 5}
    fresh = parts_of(run(output=str(tmp_path / "fresh")))
    assert any(fresh[name] != before[name] for name in before)  # without the earlier split they would have moved


def test_a_picture_that_was_away_comes_back_to_its_part(run, source):
    before = parts_of(run())
    away = [name for name in before if name.startswith("cat") and before[name] == "test"][1:]
    held = {name: (source / "cat" / name).read_bytes() for name in away}
    for name in away:
        (source / "cat" / name).unlink()
    run(force=True)
    for name, content in held.items():
        (source / "cat" / f"renamed_{name}").write_bytes(content)
    after = parts_of(run(force=True))
    assert all(after[f"renamed_{name}"] == "test" for name in away)


def test_a_copy_of_a_test_picture_comes_to_it(run, pictures):
    for path in pictures.glob("*/*_copy.jpg"):
        path.unlink()
    before = parts_of(run(source=str(pictures)))
    tested = [name for name, part in before.items() if part == "test"]
    for name in tested:
        path = next(pictures.glob(f"*/{name}"))
        write_image(path.with_name(f"{path.stem}_copy.jpg"), np.ascontiguousarray(read_image(path)[:, ::-1]))
    manifest = run(source=str(pictures), force=True)
    after = parts_of(manifest)
    assert leaks(manifest) == [] and {name: after[name] for name in before} == before
    assert all(after[name.replace(".png", "_copy.jpg")] == "test" for name in tested)


ALONE = {"allow_near_duplicates": False}


def test_a_picture_between_train_and_test_is_left_out(run, pictures, tmp_path):
    """Near-copies that were parted once: test keeps its own, and nothing moves."""
    earlier = run(source=str(pictures), allow_near_duplicates=True)
    before = parts_of(earlier)
    save_manifest(tmp_path / "data", dataclasses.replace(earlier, settings=earlier.settings | ALONE))
    manifest = run(source=str(pictures), force=True)
    after = parts_of(manifest)
    gone = {entry["path"].split("/")[-1] for entry in manifest.duplicates["removed"]}
    assert gone and gone == set(before) - set(after) and leaks(_without(manifest, gone)) == []
    assert all(before[name] == part for name, part in after.items())
    assert not any(before[name] == "test" for name in gone)


def _without(manifest, gone):
    """The manifest without pictures whose copy is gone."""
    partners = {name.replace("_copy.jpg", ".png") for name in gone} | {n.replace(".png", "_copy.jpg") for n in gone}
    return dataclasses.replace(manifest, files=[f for f in manifest.files if f.split("/")[-1] not in partners])


@pytest.mark.parametrize(
    "change",
    [{"seed": 43}, {"ratios": (0.5, 0.25, 0.25)}, {"limit_per_class": 6}, {"group_by": "_00(.)"},
     {"allow_near_duplicates": True, "seed": 1}],
)  # fmt: skip
def test_another_seed_or_ratios_draw_anew(run, tmp_path, capsys, change):
    before = run()
    after = run(force=True, **change)
    assert "parts are drawn anew" in capsys.readouterr().err
    assert parts_of(after) != parts_of(before)
    assert parts_of(after) == parts_of(run(output=str(tmp_path / "fresh"), **change))
    assert after.parts == load_manifest(tmp_path / "fresh").parts


def test_a_split_source_is_carved_alike_again(run, tmp_path):
    source = tmp_path / "parted"
    class_folders(source / "train", {"cat": 20, "dog": 20})
    class_folders(source / "test", {"cat": 4, "dog": 4}, first=500)
    before = run(source=str(source))
    for number in range(8):
        write(source / "train" / "cat" / f"new_{number}.png", 900 + number)
    after = run(source=str(source), force=True)
    by_digest = {name: part for name, part in after.parts.items() if name in before.parts}
    assert by_digest == before.parts and len(after.parts) == 56


def test_a_part_that_would_be_gone_is_an_error(run, tmp_path):
    source = tmp_path / "parted"
    class_folders(source / "train", {"cat": 20, "dog": 20})
    class_folders(source / "test", {"cat": 4, "dog": 4}, first=500)
    run(source=str(source), ratios=(0.9, 0.1, 0))
    pooled = tmp_path / "pooled"
    shutil.copytree(source / "train", pooled)
    shutil.copytree(source / "test", pooled, dirs_exist_ok=True)
    with pytest.raises(UserError, match="has pictures in test, a part that this one would lack"):
        run(source=str(pooled), ratios=(0.9, 0.1, 0), force=True)


def test_of_identical_pictures_in_quarantine_one_stays(run, source, tmp_path):
    copy = source / "cat" / "cat_copy.png"
    shutil.copy(source / "cat" / "cat_003.png", copy)
    manifest = run()
    corrections = {picture_key(sha256_file(copy)): ONE_OF_MANY}
    save_manifest(tmp_path / "data", dataclasses.replace(manifest, corrections=corrections))
    again = run(force=True)
    assert [name for name in again.files if "cat_003" in name] and not [n for n in again.files if "copy" in n]


def test_what_the_audit_was_told_holds_for_the_next_split(run, source, tmp_path, capsys):
    manifest = run()
    data = tmp_path / "data"
    moved, quarantined = source / "cat" / "cat_003.png", source / "dog" / "dog_004.png"
    corrections = {picture_key(sha256_file(moved)): "dog", picture_key(sha256_file(quarantined)): ""}
    save_manifest(data, dataclasses.replace(manifest, corrections=corrections))
    again = run(force=True)
    assert any(name.endswith("dog/cat_003.png") for name in again.files)
    assert not any("dog_004" in name for name in again.files)
    assert {"path": "dog/dog_004.png", "reason": "in quarantine"} in again.set_aside
    assert again.corrections == corrections and load_manifest(data).corrections == corrections
    assert "1 pictures in another class, 1 left out" in capsys.readouterr().err


def test_manifests_of_before_hold_no_parts(run, source, tmp_path):
    """What they placed lies there to be looked at."""
    before = parts_of(run())
    path = tmp_path / "data" / "split.json"
    values = json.loads(path.read_text())
    for name in ("parts", "corrections", "near_copies", "grouped"):
        del values[name]
    for name in ("group_by", "allow_near_duplicates"):
        del values["settings"][name]
    path.write_text(json.dumps(values))
    assert load_manifest(tmp_path / "data").parts == {}
    for number in range(12):
        write(source / "cat" / f"new_{number}.png", 7000 + number)
    after = parts_of(run(force=True))
    assert {name: after[name] for name in before} == before and len(after) == len(before) + 12
    values["parts"] = {"0123": "nowhere"}
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="malformed"):
        load_manifest(tmp_path / "data")
