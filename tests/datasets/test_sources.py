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
