"""Whole or absent: also where the process is killed amid the writing, which its lock tells."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

import pytest

from src import atomic
from src.atomic import PARTIAL, atomic_file, atomic_folder, exchange, remove_leftovers
from src.files import write_json
from tests.conftest import ROOT

needs_locks = pytest.mark.skipif(os.name == "nt", reason="Windows locks nothing that is to be renamed")


def test_atomic_file_keeps_the_old_content_after_a_failure(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


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


def test_of_a_link_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").write_text("old")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "bundle").symlink_to("../real")
    with atomic_folder(tmp_path / "models" / "bundle") as folder:
        (folder / "new").write_text("new")
    assert os.readlink(tmp_path / "models" / "bundle") == "../real"
    assert os.listdir(tmp_path / "real") == ["new"]
    assert sorted(os.listdir(tmp_path)) == ["models", "real"] and os.listdir(tmp_path / "models") == ["bundle"]


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

    monkeypatch.setattr(atomic, "exchange", lambda *paths: False)
    monkeypatch.setattr(atomic.os, "rename", rename)
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

    monkeypatch.setattr(atomic, "exchange", lambda *paths: False)
    monkeypatch.setattr(atomic.os, "rename", rename)
    with pytest.raises(OSError), atomic_folder(target) as folder:
        (folder / "new").write_text("new")
    assert [path.read_text() for path in tmp_path.rglob("old")] == ["old"]


def test_writing_never_touches_the_umask_which_all_threads_share(tmp_path, monkeypatch):
    usual = tmp_path / "usual.txt"
    usual.write_text("x")
    monkeypatch.delattr(atomic.os, "umask")
    write_json(tmp_path / "a.json", 1)
    assert (tmp_path / "a.json").stat().st_mode == usual.stat().st_mode


def _kill_amid(statement: str, folder) -> None:
    """Run a statement in a process that is killed by it."""
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom src import atomic\n"
        "from src.atomic import atomic_file, atomic_folder\nfolder = Path(sys.argv[1])\n"
        f"def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n{statement}"
    )
    result = subprocess.run([sys.executable, "-c", script, str(folder)], cwd=ROOT, timeout=60)
    assert result.returncode == -signal.SIGKILL


@needs_locks
def test_what_a_killed_process_left_goes_with_the_next_writing_and_what_lives_stays(tmp_path):
    (tmp_path / "a.json").write_text("old")
    _kill_amid("with atomic_file(folder / 'a.json') as path: path.write_text('half'); die()", tmp_path)
    _kill_amid("with atomic_folder(folder / 'b') as path: (path / 'c').write_text('half'); die()", tmp_path)
    # the second process has removed what the first one left
    assert [name[-2:] for name in os.listdir(tmp_path) if name.startswith(PARTIAL)] == ["-b"]
    assert (tmp_path / "a.json").read_text() == "old"
    (tmp_path / f"{PARTIAL}somebody").symlink_to(tmp_path)
    with atomic_folder(tmp_path / "d") as alive:
        remove_leftovers(tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted([f"{PARTIAL}somebody", alive.name, "a.json"])


@needs_locks
@pytest.mark.parametrize("event", ["flush", "exchange", "rmtree"])
def test_a_process_killed_amid_the_exchange_leaves_the_old_folder_or_the_new_one(tmp_path, event):
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "old").write_text("old")
    place = {"flush": "atomic._flush", "exchange": "atomic.exchange", "rmtree": "atomic.shutil.rmtree"}[event]
    _kill_amid(f"{place} = die\nwith atomic_folder(folder / 'bundle') as path: (path / 'new').touch()", tmp_path)
    exchanged = event == "rmtree"
    assert os.listdir(target) == (["new"] if exchanged else ["old"])
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["bundle"]
    assert os.listdir(target) == (["new"] if exchanged else ["old"])


@needs_locks
def test_a_process_killed_between_two_renames_loses_nothing_either(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "old").write_text("old")
    _kill_amid(
        "atomic.exchange = lambda *paths: False\nreal, count = os.rename, []\n"
        "def rename(*paths): count.append(1); die() if count[1:] else real(*paths)\natomic.os.rename = rename\n"
        "with atomic_folder(folder / 'bundle') as path: (path / 'new').touch()",
        tmp_path,
    )
    assert not (tmp_path / "bundle").exists()
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["bundle"] and os.listdir(tmp_path / "bundle") == ["old"]


@needs_locks
@pytest.mark.parametrize("name", ["net-old", ".partial-old", "old-net"])
def test_no_name_is_taken_for_what_is_being_replaced(tmp_path, name):
    _kill_amid(f"with atomic_folder(folder / {name!r}) as path: (path / 'half').touch(); die()", tmp_path)
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == []


def test_where_locks_cannot_be_told_the_old_folder_comes_back_and_leftovers_stay_a_day(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "lock_path", lambda path: (None, contextlib.nullcontext()))
    for name in (".partial-abcdefgh-net", ".partial-old-abcdefgh-net/net"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".partial-old-abcdefgh-net" / "net" / "model").touch()
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path / "net") == ["model"]
    assert len(os.listdir(tmp_path)) == 3
    for name in (".partial-abcdefgh-net", ".partial-old-abcdefgh-net"):
        os.utime(tmp_path / name, (0, 0))
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["net"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems may not exchange folders")
def test_two_folders_change_places(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system exchanges no folders")
    assert os.listdir(tmp_path / "one") == ["other"] and os.listdir(tmp_path / "other") == ["one"]
    shutil.rmtree(tmp_path / "other")
    assert not exchange(tmp_path / "one", tmp_path / "other")


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(OSError) as caught:
        write_json(tmp_path / "taken.json", 1)
    assert caught.value.filename == str(tmp_path / "taken.json")
    assert os.listdir(tmp_path) == ["taken.json"]
