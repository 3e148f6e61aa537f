"""The check of the data folder: each fault is one sentence that names the folder or class."""

import errno
import shutil
import subprocess
import sys

import pytest

from src.errors import UserError
from src.loading.folder import check_data_folder, list_pictures


@pytest.fixture
def data(tmp_path):
    for part in ("train", "val", "test"):
        for name, count in (("dog", 2), ("cat", 3)):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index}.jpg").touch()
    return tmp_path


def test_names_are_sorted_and_pictures_counted(data):
    (data / "train" / "cat" / "._0.jpg").touch()
    (data / "train" / "cat" / "notes.txt").touch()
    (data / "train" / ".ipynb_checkpoints").mkdir()
    class_names, counts = check_data_folder(data)
    assert class_names == ["cat", "dog"]
    assert counts == {part: {"cat": 3, "dog": 2} for part in ("train", "val", "test")}


def test_a_models_class_order_is_kept(data):
    assert check_data_folder(data, ["test"], ["dog", "cat"])[0] == ["dog", "cat"]
    with pytest.raises(UserError, match="lacks the class bird that the model has"):
        check_data_folder(data, ["test"], ["dog", "cat", "bird"])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda d: shutil.rmtree(d), "no data folder .* split_dataset.py --source YOUR_FOLDER"),
        (lambda d: shutil.rmtree(d / "val"), "no folder val.* split_dataset.py --source YOUR_FOLDER"),
        (lambda d: [shutil.rmtree(p) for p in (d / "train").iterdir()], "train has no folders of classes"),
        (lambda d: [p.unlink() for p in (d / "val" / "dog").iterdir()], "val/dog holds no pictures"),
        (lambda d: shutil.rmtree(d / "test" / "cat"), "test lacks the class cat"),
        (lambda d: (d / "test" / "bird").mkdir(), "test has the class bird that .*train lacks"),
        (lambda d: [shutil.rmtree(d / p / "cat") for p in ("train", "val", "test")], "only one class, dog"),
    ],
)
def test_each_fault_is_one_sentence(data, break_it, message):
    break_it(data)
    with pytest.raises(UserError, match=message) as caught:
        check_data_folder(data)
    assert "\n" not in str(caught.value)


def test_a_half_replaced_split_is_refused(data):
    (data / ".split-in-progress").mkdir()
    assert check_data_folder(data)
    (data / ".split-in-progress" / "split.json").write_text("{}")
    with pytest.raises(UserError, match="half replaced"):
        check_data_folder(data)


def test_order_is_keras_own_and_links_are_followed_on_request(tmp_path):
    folder, elsewhere = tmp_path / "cat", tmp_path / "elsewhere"
    for path in ("b.jpg", "a.png", "z/c.jpg", "k/d.jpg"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    elsewhere.mkdir()
    (elsewhere / "e.jpg").touch()
    (folder / "link").symlink_to(elsewhere)
    assert list_pictures(folder) == ["a.png", "b.jpg", "k/d.jpg", "z/c.jpg"]
    assert list_pictures(folder, follow_links=True) == ["a.png", "b.jpg", "k/d.jpg", "link/e.jpg", "z/c.jpg"]


def test_the_check_does_not_load_tensorflow():
    code = "import sys, src.loading.folder; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_folder_that_cannot_be_listed_is_no_empty_one(tmp_path, monkeypatch):
    assert list_pictures(tmp_path / "gone") == []

    def refused(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("src.loading.folder.os.scandir", refused)
    with pytest.raises(PermissionError):
        list_pictures(tmp_path)
