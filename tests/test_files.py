import os

import pytest

from src import files
from src.errors import UserError
from src.files import atomic_file, atomic_folder, expand_path, read_json, sha256_file, write_csv, write_json


def test_atomic_file_keeps_the_old_content_after_a_failure(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_writing_never_touches_the_umask_which_all_threads_share(tmp_path, monkeypatch):
    usual = tmp_path / "usual.txt"
    usual.write_text("x")
    monkeypatch.delattr(files.os, "umask")
    write_json(tmp_path / "a.json", 1)
    assert (tmp_path / "a.json").stat().st_mode == usual.stat().st_mode


def test_atomic_folder_replaces_whole_or_not_at_all(tmp_path):
    target = tmp_path / "bundle"
    for content in ("one", "two"):
        with atomic_folder(target) as folder:
            (folder / content).write_text(content)
    assert os.listdir(target) == ["two"]
    with pytest.raises(KeyboardInterrupt), atomic_folder(target) as folder:
        (folder / "three").write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(target) == ["two"]
    assert os.listdir(tmp_path) == ["bundle"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_folder_that_is_interrupted_while_it_is_replaced_is_never_lost(tmp_path, monkeypatch, number, when, error):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_text("old")
    real, calls = os.rename, []

    def rename(*paths):
        calls.append(paths)
        if len(calls) == number and when == "before":
            raise error
        real(*paths)
        if len(calls) == number:
            raise error

    monkeypatch.setattr(files.os, "rename", rename)
    with pytest.raises(error), atomic_folder(target) as folder:
        (folder / "new").write_text("new")
    assert os.listdir(target) == (["new"] if (number, when) == (2, "after") else ["old"])
    assert os.listdir(tmp_path) == ["bundle"]


def test_a_folder_that_cannot_be_put_back_is_kept(tmp_path, monkeypatch):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_text("old")
    real = os.rename

    def rename(source, place):
        if place == target:
            raise OSError(5, "Input/output error")
        real(source, place)

    monkeypatch.setattr(files.os, "rename", rename)
    with pytest.raises(OSError), atomic_folder(target) as folder:
        (folder / "new").write_text("new")
    assert [path.read_text() for path in tmp_path.rglob("old")] == ["old"]


def test_an_unknown_home_folder_is_the_users_error():
    with pytest.raises(UserError, match="no such home folder"):
        expand_path("~no-such-user-here/pictures")


def test_json_round_trip_and_damage(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, "é"], "a": None})
    assert read_json(tmp_path / "a.json") == {"b": [1, "é"], "a": None}
    (tmp_path / "a.json").write_text('{"b": [1')
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "missing.json")


def test_csv_cells_that_a_spreadsheet_would_run_are_quoted(tmp_path):
    write_csv(tmp_path / "a.csv", ["name", "n"], [("=cmd()", -1), ("-x", 2), ("plain", 3)])
    assert (tmp_path / "a.csv").read_text().splitlines() == ["name,n", "'=cmd(),-1", "'-x,2", "plain,3"]


def test_sha256_of_known_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
