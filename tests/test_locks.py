"""Locks: the second is refused with the first's number, and what a killed process left locks nothing."""

import errno
import os
import platform
import signal
import subprocess
import sys

import pytest

from src import locks
from src.errors import UserError
from src.locks import hold_lock, lock_file
from tests.conftest import ROOT

HOLD = """
import sys, time
from src.locks import hold_lock
with hold_lock(sys.argv[1], "another run is writing here", "wait"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """A lock that another process holds, and the process."""
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield path, process
    process.kill()
    process.wait()


def test_the_second_is_told_the_firsts_number_until_that_is_killed(held):
    path, process = held
    refusal = pytest.raises(UserError, match=rf"another run is writing here \(process {process.pid}\); wait until")
    with refusal, hold_lock(path, "another run is writing here", "give another name"):
        pytest.fail("held twice")
    with lock_file(path) as ours:
        assert not ours
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()  # it could not remove its file, which locks nothing now
    with hold_lock(path, "another run is writing here", "give another name"):
        assert path.read_text().split() == [str(os.getpid()), *platform.node().split()]
    assert not path.exists()


def test_a_lock_is_held_once_within_a_process_too(tmp_path):
    refusal = pytest.raises(UserError, match=f"process {os.getpid()}")
    with hold_lock(tmp_path / "lock", "here", "wait"), refusal, hold_lock(tmp_path / "lock", "here", "wait"):
        pytest.fail("held twice")
    with hold_lock(tmp_path / "lock", "here", "wait"):
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has locks of its own")
def test_without_locks_the_process_tells(held, monkeypatch, tmp_path):
    path, process = held

    def unknown(*_):
        raise OSError(errno.ENOTSUP, "")

    monkeypatch.setattr(locks.fcntl, "flock", unknown)
    with pytest.raises(UserError, match=f"process {process.pid}"), hold_lock(path, "here", "wait"):
        pytest.fail("held twice")
    process.kill()
    process.wait()
    with hold_lock(path, "here", "wait"):
        pass
    for content in ("", "no number", f"{2**70} {platform.node()}", "1"):
        path.write_text(content)
        with hold_lock(path, "here", "wait"):
            pass
    path.write_text("17 elsewhere")
    with pytest.raises(UserError, match="process 17 on elsewhere"), hold_lock(path, "here", "wait"):
        pytest.fail("another machine's process may be running")


def test_a_full_disk_is_no_reason_not_to_hold_it(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locks.os, "write", full)
    with hold_lock(tmp_path / "lock", "here", "wait"), lock_file(tmp_path / "lock") as ours:
        assert not ours
    assert not (tmp_path / "lock").exists()


def test_where_no_lock_can_be_made_it_says_so_at_once(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "nowhere" / "lock")
    with pytest.raises(FileNotFoundError), hold_lock(tmp_path / "lock", "", ""):
        pass
