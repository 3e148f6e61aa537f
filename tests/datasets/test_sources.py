import os

import pytest

from src.datasets.sources import read_folder
from src.errors import UserError
from tests.datasets.pictures import class_folders, write


def found(listing):
    return [(picture.relative, picture.class_name, picture.part) for picture in listing.pictures]


def test_class_folders_with_nested_folders_and_other_files(tmp_path):
    write(tmp_path / "dog" / "deep" / "b.JPG".lower(), 1)
    write(tmp_path / "cat" / "a.png", 2)
    write(tmp_path / "cat" / "._a.png", 3)
    write(tmp_path / "loose.png", 4)
    (tmp_path / "cat" / "notes.txt").write_text("x")
    listing = read_folder(tmp_path)
    assert found(listing) == [("cat/a.png", "cat", None), ("dog/deep/b.jpg", "dog", None)]
    assert listing.class_names == ["cat", "dog"] and listing.ignored == 1
    assert listing.set_aside == [("loose.png", "lies outside the class folders")]


@pytest.mark.parametrize(
    "name, class_name",
    [("cat.0", "cat"), ("cat_12", "cat"), ("big-cat (3)", "big-cat"), ("cifar10_5", "cifar10"), ("cat7", "cat")],
)
def test_flat_names_tell_the_class(tmp_path, name, class_name):
    write(tmp_path / f"{name}.png", 1)
    write(tmp_path / "other.3.png", 2)
    write(tmp_path / "12.png", 3)
    write(tmp_path / "cover.png", 4)
    listing = read_folder(tmp_path)
    assert sorted(picture.class_name for picture in listing.pictures) == sorted([class_name, "other"])
    assert [path for path, _ in listing.set_aside] == ["12.png", "cover.png"]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_parts_are_found_under_their_usual_names(tmp_path, val):
    for part in ("train", val):
        class_folders(tmp_path / "wrapped" / part, {"cat": 1, "dog": 1})
    listing = read_folder(tmp_path)
    assert [part for _, _, part in found(listing)] == (["val"] * 2 + ["train"] * 2 if val == "Val" else
                                                       ["train"] * 2 + ["val"] * 2)  # fmt: skip
    assert listing.parts == ("train", "val") and listing.class_names == ["cat", "dog"]


def test_two_folders_for_one_part_are_refused(tmp_path):
    for part in ("train", "val", "valid"):
        class_folders(tmp_path / part, {"cat": 1, "dog": 1})
    with pytest.raises(UserError, match="two folders for val"):
        read_folder(tmp_path)


def test_train_may_be_a_class(tmp_path):
    listing = read_folder(class_folders(tmp_path, {"bus": 2, "train": 2}))
    assert listing.class_names == ["bus", "train"] and listing.parts == ()


@pytest.mark.parametrize(
    "names, parts",
    [
        (("train", "val", "test"), ("train", "val", "test")),
        (("Training", "Testing"), ("train", "test")),
        (("train", "dev"), ("train", "val")),
    ],
)
@pytest.mark.parametrize("other", [None, "labels", "nested"])
def test_a_split_source_is_one_whatever_lies_beside_it(tmp_path, capsys, names, parts, other):
    for name in names:
        class_folders(tmp_path / name, {"cat": 1, "dog": 1})
    if other == "labels":
        (tmp_path / other).mkdir()
        (tmp_path / other / "train.txt").write_text("x")
    elif other:  # as in the archive of chest X-rays: the same once more
        for name in names:
            class_folders(tmp_path / other / name, {"cat": 1, "dog": 1})
    listing = read_folder(tmp_path)
    assert listing.class_names == ["cat", "dog"] and listing.parts == parts
    assert len(listing.pictures) == 2 * len(parts)
    assert other is None or f"left out: {other}" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("fold1", "fold2"), ("train", "rest")])
def test_folders_that_hold_the_same_folders_are_no_classes(tmp_path, names):
    for name in names:
        class_folders(tmp_path / name, {"cat": 1, "dog": 1})
    with pytest.raises(UserError, match="both hold the folders cat, dog"):
        read_folder(tmp_path)


def test_a_train_folder_that_may_be_either_is_refused(tmp_path):
    class_folders(tmp_path / "train", {"cat": 1, "dog": 1})
    write(tmp_path / "test1" / "1.png", 5)
    with pytest.raises(UserError, match="is train a class, or are its folders .cat, dog. the classes"):
        read_folder(tmp_path)
    assert read_folder(tmp_path / "train").class_names == ["cat", "dog"]


def test_stray_folders_in_a_flat_one_are_no_classes(tmp_path):
    for i in range(20):
        write(tmp_path / f"{'cat' if i % 2 else 'dog'}.{i}.png", i)
    for name in ("more", "thumbs"):
        write(tmp_path / name / "x.png", 50)
    (tmp_path / "more" / "notes.txt").write_text("x")
    listing = read_folder(tmp_path)
    assert listing.class_names == ["cat", "dog"] and len(listing.pictures) == 20 and listing.ignored == 1
    assert [path for path, _ in listing.set_aside] == ["more/x.png", "thumbs/x.png"]
    for i in range(6):
        write(tmp_path / "thumbs" / f"{i}.png", i)
    with pytest.raises(UserError, match="not clear which are the classes"):
        read_folder(tmp_path)


def test_stray_pictures_beside_class_folders_are_no_classes(tmp_path):
    class_folders(tmp_path, {"cat": 10, "dog": 10})
    for name in ("IMG_1", "DSC_2"):
        write(tmp_path / f"{name}.png", 50)
    assert read_folder(tmp_path).class_names == ["cat", "dog"]
    for i in range(30):
        write(tmp_path / f"{'IMG' if i % 2 else 'DSC'}_{i}.png", i)
    with pytest.raises(UserError, match="not clear which are the classes"):
        read_folder(tmp_path)


def test_named_classes_settle_what_could_be_read_in_two_ways(tmp_path):
    for name in ("cat", "dog"):
        class_folders(tmp_path / name, {"indoor": 2, "outdoor": 2})
    with pytest.raises(UserError, match="--classes cat dog"):
        read_folder(tmp_path)
    listing = read_folder(tmp_path, ["cat", "dog"])
    assert listing.class_names == ["cat", "dog"] and len(listing.pictures) == 8
    with pytest.raises(UserError, match="both hold the folders"):
        read_folder(tmp_path, ["indoor", "outdoor"])


def test_parts_without_train_are_refused(tmp_path):
    for part in ("val", "test"):
        class_folders(tmp_path / part, {"cat": 1, "dog": 1})
    with pytest.raises(UserError, match="no folder train"):
        read_folder(tmp_path)


def test_a_linked_folder_in_a_class_is_set_aside(tmp_path):
    class_folders(tmp_path / "source", {"cat": 1, "dog": 1})
    class_folders(tmp_path / "elsewhere", {"more": 1})
    (tmp_path / "source" / "cat" / "more").symlink_to(tmp_path / "elsewhere" / "more")
    listing = read_folder(tmp_path / "source")
    assert len(listing.pictures) == 2 and listing.set_aside == [("cat/more", "a link to a folder, not entered")]


def test_the_folder_that_kaggle_ships_beside_train_is_left_out(tmp_path, capsys):
    write(tmp_path / "train" / "cat.0.png", 1)
    write(tmp_path / "train" / "dog.0.png", 2)
    write(tmp_path / "test1" / "1.png", 3)
    assert [name for _, name, _ in found(read_folder(tmp_path))] == ["cat", "dog"]
    assert "test1" in capsys.readouterr().err


def test_folders_without_anything_to_classify_are_refused(tmp_path):
    with pytest.raises(UserError, match="neither folders of classes"):
        read_folder(tmp_path)
    write(tmp_path / "cover.png", 1)
    with pytest.raises(UserError, match="neither folders of classes"):
        read_folder(tmp_path)


def test_odd_names_come_through(tmp_path):
    odd = os.fsdecode(b"k\xff tz\n")
    listing = read_folder(class_folders(tmp_path, {odd: 1, "Кошка 猫": 1}))
    assert listing.class_names == sorted([odd, "Кошка 猫"])


def test_links_that_lead_nowhere_are_no_folders(tmp_path):
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    for name, target in (("loop", "loop"), ("loop.png", "loop.png"), ("gone.png", "nothing.png")):
        (tmp_path / name).symlink_to(target)
    listing = read_folder(tmp_path)
    assert listing.class_names == ["cat", "dog"] and listing.ignored == 1
    assert [name for name, _ in listing.set_aside] == ["gone.png", "loop.png"]
