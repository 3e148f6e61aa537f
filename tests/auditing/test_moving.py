"""Pictures move when told to, all of them or none, and back; the split's record follows."""

import csv
import os

import pytest

from src.auditing import moving
from src.auditing.auditor import list_pictures
from src.auditing.moving import quarantine, undo
from src.datasets.manifest import load_manifest, mask_path, picture_key
from src.datasets.split import split_dataset
from src.datasets.split_settings import SplitSettings
from src.errors import UserError
from src.files import sha256_file
from src.loading.folder import check_data_folder
from tests.datasets.pictures import class_folders, files_below, write


@pytest.fixture
def data(tmp_path):
    class_folders(tmp_path / "source", {"cat": 20, "dog": 20})
    settings = SplitSettings(source=str(tmp_path / "source"), output=str(tmp_path / "data"))
    split_dataset(settings)
    return tmp_path / "data"


def table(tmp_path, *rows, columns=("file", "class")):
    path = tmp_path / "table.csv"
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return path


def relabel(data, corrections):
    return moving.relabel(list_pictures(data), corrections)


def first(data, part, name):
    return sorted(path.relative_to(data).as_posix() for path in (data / part / name).iterdir())[0]


def content(data):
    """Every picture's bytes by its place; what the audit keeps aside is left out."""
    return {
        name: data for name, data in files_below(data).items() if not name.startswith((".audit/undo", "split.json"))
    }


def test_a_relabelled_picture_is_in_its_new_class_for_good(data, tmp_path):
    wrong = first(data, "train", "cat")
    digest = sha256_file(data / wrong)
    before, manifest = content(data), load_manifest(data)
    moved = relabel(data, table(tmp_path, (wrong, "dog"), (first(data, "val", "dog"), "dog")))
    assert moved.pictures == 1 and moved.undo_list == data / ".audit" / "undo-001.csv"
    target = wrong.replace("train/cat", "train/dog")
    after = content(data)
    assert after == {**{name: data for name, data in before.items() if name != wrong}, target: before[wrong]}
    record = load_manifest(data)
    assert record.files == sorted([*(set(manifest.files) - {wrong}), target])
    assert record.counts["train"] == {"cat": 13, "dog": 15} and record.counts["val"] == manifest.counts["val"]
    assert record.content_hash != manifest.content_hash and record.corrections == {picture_key(digest): "dog"}
    assert check_data_folder(data)[1]["train"] == {"cat": 13, "dog": 15}
    # the next split of the same source does the same
    split_dataset(SplitSettings(source=str(tmp_path / "source"), output=str(data), force=True))
    assert content(data) == after and load_manifest(data).content_hash == record.content_hash


def test_everything_can_be_undone(data, tmp_path):
    before, manifest = content(data), load_manifest(data)
    wrong, bad = first(data, "train", "cat"), first(data, "test", "dog")
    relabelled = relabel(data, table(tmp_path, (wrong, "dog")))
    hidden = quarantine(data, [bad, bad])
    assert (hidden.pictures, hidden.undo_list.name) == (1, "undo-002.csv")
    assert not (data / bad).exists() and (data / ".audit" / "quarantine" / bad).is_file()
    assert load_manifest(data).corrections[picture_key(sha256_file(data / ".audit" / "quarantine" / bad))] == ""
    assert undo(data, hidden.undo_list).pictures == undo(data, relabelled.undo_list).pictures == 1
    record = load_manifest(data)
    assert content(data) == before
    assert (record.files, record.counts, record.content_hash) == (
        manifest.files, manifest.counts, manifest.content_hash,
    )  # fmt: skip
    assert record.corrections == {}  # so that the source has its say again
    assert undo(data, hidden.undo_list) == undo(data, relabelled.undo_list)  # there is nothing left to undo
    assert undo(data, hidden.undo_list).undo_list is None
    # and an undoing can be undone, too
    relabelled = undo(data, data / ".audit" / "undo-004.csv")
    assert relabelled.pictures == 1 and not (data / wrong).exists()


def test_what_is_in_quarantine_stays_out_of_the_next_split(data, tmp_path):
    bad = first(data, "train", "dog")
    quarantine(data, [bad])
    manifest = split_dataset(SplitSettings(source=str(tmp_path / "source"), output=str(data), force=True))
    assert bad not in manifest.files and sum(manifest.counts["train"].values()) == 27
    assert (data / ".audit" / "quarantine" / bad).is_file()


def test_masks_move_with_their_pictures(tmp_path):
    data = tmp_path / "data"
    split_dataset(SplitSettings(output=str(data), images_per_class=6, picture_size=64))
    wrong = first(data, "train", "star")
    mask = (data / mask_path("", wrong)).read_bytes()
    before = files_below(data)
    moved = relabel(data, table(tmp_path, (wrong, "wheel")))
    target = wrong.replace("/star/", "/wheel/")
    assert moved.pictures == 1 and (data / mask_path("", target)).read_bytes() == mask
    assert not (data / mask_path("", wrong)).exists()
    hidden = quarantine(data, [target])
    assert hidden.pictures == 1 and not (data / mask_path("", target)).exists()
    undo(data, hidden.undo_list)
    undo(data, moved.undo_list)
    after = {name: data for name, data in files_below(data).items() if not name.startswith(".audit/")}
    assert {name: data for name, data in after.items() if name != "split.json"} == {
        name: data for name, data in before.items() if name != "split.json"
    }


def test_names_that_are_taken_are_kept_apart(tmp_path):
    data = tmp_path / "photos"
    for number, name in enumerate(("cat", "dog", "fox")):
        write(data / name / "0001.png", number)
        write(data / name / "0002.png", 10 + number)
    moved = relabel(data, table(tmp_path, ("cat/0001.png", "dog"), ("fox/0001.png", "dog")))
    assert moved.pictures == 2 and not (data / "split.json").exists()
    assert sorted(path.name for path in (data / "dog").iterdir()) == [
        "0001-cat.png", "0001-fox.png", "0001.png", "0002.png",
    ]  # fmt: skip
    undo(data, moved.undo_list)
    assert (data / "cat" / "0001.png").is_file() and (data / "fox" / "0001.png").is_file()


def test_odd_names_survive_the_table(tmp_path):
    data = tmp_path / "photos"
    for number, name in enumerate(("cat/=1+1.png", "cat/-x.png", "cat/a, b.png", "dog/a.png")):
        write(data / name, number)
    before = content(data)
    moved = quarantine(data, ["cat/=1+1.png", "cat/-x.png", "cat/a, b.png"])
    assert moved.pictures == 3
    undo(data, moved.undo_list)
    assert content(data) == before
    write(data / "-top" / "x.png", 9)
    moved = quarantine(data, ["-top/x.png"])
    assert "'-top" in moved.undo_list.read_text()  # no formula for a spreadsheet
    undo(data, moved.undo_list)
    assert (data / "-top" / "x.png").is_file()


@pytest.mark.parametrize(
    "row, message",
    [
        (("../outside.png", "dog"), "does not lie within"),
        (("train/../../outside.png", "dog"), "does not lie within"),
        (("/etc/passwd", "dog"), "does not lie within"),
        (("linked/outside.png", "dog"), "does not lie within"),
        (("train/cat/nothing.png", "dog"), "there is no file train/cat/nothing.png"),
        (("train/cat", "dog"), "there is no file train/cat"),
        (("split.json", "dog"), "lies in no class's folder"),
        (("README.md", "dog"), "there is no file"),
        (("GOOD", "emu"), "'emu' is no class of .*; there are cat, dog"),
        (("GOOD", "../../x"), "is no class"),
        (("GOOD", ""), "a row without file or without class"),
    ],
)
def test_what_does_not_belong_here_moves_nothing(data, tmp_path, row, message):
    (tmp_path / "outside.png").write_bytes(b"precious")
    os.symlink(tmp_path, data / "linked")
    good = first(data, "train", "cat")
    row = tuple(good if cell == "GOOD" else cell for cell in row)
    before = files_below(data)
    with pytest.raises(UserError, match=message):
        relabel(data, table(tmp_path, (first(data, "train", "dog"), "cat"), row))
    assert files_below(data) == before and (tmp_path / "outside.png").read_bytes() == b"precious"


@pytest.mark.parametrize("row", [("../a.png", "train/cat/b.png"), ("train/cat/b.png", "../a.png"),
                                 ("/tmp/a.png", "train/cat/b.png"), ("linked/a.png", "train/cat/b.png")])  # fmt: skip
def test_a_list_that_leads_elsewhere_is_refused(data, tmp_path, row):
    os.symlink(tmp_path, data / "linked")
    before = files_below(data)
    with pytest.raises(UserError, match="does not lie within"):
        undo(data, table(tmp_path, row, columns=("from", "to")))
    assert files_below(data) == before


def test_tables_that_are_none(data, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        relabel(data, tmp_path / "missing.csv")
    with pytest.raises(UserError, match="columns file and class"):
        relabel(data, table(tmp_path, columns=("name", "class")))
    with pytest.raises(UserError, match="into two classes, cat and dog"):
        good = first(data, "train", "cat")
        relabel(data, table(tmp_path, (good, "cat"), (good, "dog")))
    assert relabel(data, table(tmp_path)).pictures == 0 and not (data / ".audit").exists()


def test_something_in_the_way_is_not_overwritten(data, tmp_path):
    bad = first(data, "train", "cat")
    moved = quarantine(data, [bad])
    write(data / bad, 999)
    with pytest.raises(UserError, match="is in the way of"):
        undo(data, moved.undo_list)
    (data / bad).unlink()
    (data / ".audit" / "quarantine" / bad).unlink()
    with pytest.raises(UserError, match="is gone, so that"):
        undo(data, moved.undo_list)


def test_a_failure_in_the_middle_puts_all_back(data, tmp_path, monkeypatch):
    files = [first(data, "train", "cat"), first(data, "train", "dog"), first(data, "test", "cat")]
    before = files_below(data)
    rename, done = os.rename, []

    def fail_at_the_third(source, target):
        if ".audit" in str(target):
            done.append(source)
            if len(done) == 3:
                raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_at_the_third)
    with pytest.raises(OSError, match="No space"):
        quarantine(data, files)
    after = {name: content for name, content in files_below(data).items() if not name.startswith(".split-in")}
    assert after == before


def test_links_move_and_what_they_point_to_stays(tmp_path):
    class_folders(tmp_path / "source", {"cat": 10, "dog": 10})
    data = tmp_path / "data"
    split_dataset(SplitSettings(source=str(tmp_path / "source"), output=str(data), link="symlink"))
    before = files_below(tmp_path / "source")
    wrong = first(data, "train", "cat")
    assert relabel(data, table(tmp_path, (wrong, "dog"))).pictures == 1
    target = data / wrong.replace("/cat/", "/dog/")
    assert target.is_symlink() and target.is_file() and files_below(tmp_path / "source") == before


# ------------------------------------------------------------------------------ what a review with fresh eyes found


def test_pictures_that_no_split_has_placed_are_never_the_next_splits_to_remove(data, tmp_path):
    settings = SplitSettings(source=str(tmp_path / "source"), output=str(data), force=True)
    write(data / "train" / "cat" / "mine.png", 777)
    write(data / "train" / "cat" / "away.png", 778)
    relabel(data, table(tmp_path, ("train/cat/mine.png", "dog")))
    undo(data, quarantine(data, ["train/cat/away.png"]).undo_list)
    record = load_manifest(data)
    assert record.corrections == {} and len(record.files) == 40
    split_dataset(settings)
    assert (data / "train" / "dog" / "mine.png").is_file() and (data / "train" / "cat" / "away.png").is_file()


def test_of_identical_pictures_the_kept_one_stays_in_the_next_split(tmp_path):
    source = class_folders(tmp_path / "source", {"cat": 12, "dog": 12})
    (source / "cat" / "copy.png").write_bytes((source / "cat" / "cat_003.png").read_bytes())
    settings = SplitSettings(source=str(source), output=str(tmp_path / "data"), force=True)
    split_dataset(settings)
    data = tmp_path / "data"
    copy = next(path.relative_to(data).as_posix() for path in data.rglob("copy.png"))
    quarantine(data, [copy])
    files = split_dataset(settings).files
    assert any("cat_003" in name for name in files) and not any("copy" in name for name in files)
    kept = next(name for name in files if "cat_003" in name)
    quarantine(data, [kept])
    assert not any("cat_003" in name or "copy" in name for name in split_dataset(settings).files)


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("training", "validation", "testing")])
def test_parts_of_other_names_stay_parts(tmp_path, names):
    data = tmp_path / "data"
    for number, part in enumerate(names):
        class_folders(data / part, {"cat": 4, "dog": 4}, first=100 * number)
    assert relabel(data, table(tmp_path, (f"{names[1]}/cat/cat_000.png", "dog"))).pictures == 1
    assert (data / names[1] / "dog" / "cat_000.png").is_file()


def test_a_class_called_train_is_a_class(tmp_path):
    class_folders(tmp_path / "data", {"train": 4, "bus": 4})
    relabel(tmp_path / "data", table(tmp_path, ("train/train_000.png", "bus")))
    assert (tmp_path / "data" / "bus" / "train_000.png").is_file()


def test_flat_folders_have_no_folders_of_classes(tmp_path):
    for number in range(4):
        write(tmp_path / "data" / f"{'cat' if number % 2 else 'dog'}.{number}.png", number)
    with pytest.raises(UserError, match="lies in no class's folder"):
        relabel(tmp_path / "data", table(tmp_path, ("cat.1.png", "dog")))


def test_masks_of_others_are_not_overwritten(tmp_path):
    data = tmp_path / "data"
    split_dataset(SplitSettings(output=str(data), images_per_class=6, picture_size=64))
    cat, dog = first(data, "train", "star"), first(data, "train", "wheel")
    same = dog.replace("wheel/", "star/")
    os.rename(data / cat, data / same)
    os.rename(data / mask_path("", cat), data / mask_path("", same))
    os.rename(data / same, (data / same).with_suffix(".jpg"))  # another suffix, the same mask's name
    before = files_below(data)
    moved = relabel(data, table(tmp_path, (f"{same[:-4]}.jpg", "wheel")))
    assert (data / mask_path("", dog)).read_bytes() == before[mask_path("", dog).as_posix()]
    undo(data, moved.undo_list)
    after = {name: content for name, content in files_below(data).items() if not name.startswith(".audit/")}
    assert {n: c for n, c in after.items() if n != "split.json"} == {
        n: c for n, c in before.items() if n != "split.json"
    }


@pytest.mark.parametrize("linked", ["dog", ".audit"])
def test_links_lead_no_move_out(tmp_path, linked):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    class_folders(data, {"cat": 4, "dog": 4})
    if linked == "dog":
        os.rename(data / "dog", elsewhere)
    else:
        elsewhere.mkdir()
    os.symlink(elsewhere, data / linked)
    before = files_below(tmp_path)
    corrections = table(tmp_path, ("cat/cat_000.png", "dog"))
    with pytest.raises(UserError, match="does not lie within"):
        relabel(data, corrections)
    with pytest.raises(UserError, match="does not lie within"):
        quarantine(data, ["dog/dog_000.png"] if linked == "dog" else ["cat/cat_000.png"])
    assert files_below(tmp_path) == before | {"table.csv": corrections.read_bytes()}


def test_a_link_that_leads_nowhere_can_be_put_away(tmp_path):
    class_folders(tmp_path / "source", {"cat": 10, "dog": 10})
    data = tmp_path / "data"
    split_dataset(SplitSettings(source=str(tmp_path / "source"), output=str(data), link="symlink"))
    wrong = first(data, "train", "cat")
    os.unlink(os.path.realpath(data / wrong))
    moved = quarantine(data, [wrong])
    assert moved.pictures == 1 and not os.path.lexists(data / wrong)
    assert wrong not in load_manifest(data).files


def test_a_record_that_cannot_be_saved_puts_all_back(data, monkeypatch):
    before = files_below(data)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(moving, "save_manifest", refuse)
    with pytest.raises(OSError, match="No space"):
        quarantine(data, [first(data, "train", "cat")])
    assert files_below(data) == before
