"""An earlier split is replaced whole or not at all, whatever stops the run."""

import os
import signal
from pathlib import Path

import pytest

from src.datasets import swapping
from src.datasets.manifest import load_manifest
from src.errors import UserError
from src.settings import SPLIT_IN_PROGRESS
from tests.datasets.pictures import files_below, write


def run_killed_at(run, number, **changes):
    """Run in a process of its own, which ends at its rename of that number with no chance to clean up."""
    if (child := os.fork()) == 0:
        calls, real = [], os.rename

        def rename(*paths):
            calls.append(paths)
            return os._exit(9) if len(calls) == number else real(*paths)

        swapping.os.rename = rename
        try:
            run(**changes)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("number", [1, 2, 20, 31, 32, 50, 61, 62])
@pytest.mark.parametrize("again", [False, True])
def test_a_run_killed_in_the_swap_is_undone_by_the_next(run, tmp_path, capfd, number, again):
    run()
    (tmp_path / "data" / "foreign.txt").write_text("mine")
    before = files_below(tmp_path / "data")

    run_killed_at(run, number, seed=1, force=True)
    if again and number > 2:
        run_killed_at(run, 1 + number // 2)  # killed once more, while the earlier split is put back
    with pytest.raises(UserError, match="holds a split already"):
        run()
    assert files_below(tmp_path / "data") == before and "the earlier state is back" in capfd.readouterr().err
    run(seed=1, force=True)
    manifest = load_manifest(tmp_path / "data")
    assert set(files_below(tmp_path / "data")) == {*manifest.files, "split.json", "foreign.txt"}


def test_a_first_run_killed_in_the_swap_is_undone_by_the_next(run, tmp_path):
    run_killed_at(run, 20)
    assert len(files_below(tmp_path / "data")) > 20 and not (tmp_path / "data" / "split.json").exists()
    manifest = run(seed=1)
    assert set(files_below(tmp_path / "data")) == {*manifest.files, "split.json"}


def test_ctrl_c_while_files_are_swapped_lets_it_finish(run, tmp_path, monkeypatch):
    run()
    real = os.rename

    def rename(*paths):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        real(*paths)

    monkeypatch.setattr(swapping.os, "rename", rename)
    manifest = run(seed=1, force=True)
    assert load_manifest(tmp_path / "data") == manifest
    assert set(files_below(tmp_path / "data")) == {*manifest.files, "split.json"}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_cannot_be_put_back_is_kept_and_put_back_later(run, tmp_path, monkeypatch):
    run()
    before = files_below(tmp_path / "data")
    calls, real = [], os.rename

    def rename(*paths):
        calls.append(paths)
        if len(calls) >= 40:
            raise OSError(5, "Input/output error")
        real(*paths)

    monkeypatch.setattr(swapping.os, "rename", rename)
    for _ in range(2):
        with pytest.raises(UserError, match="could not be put back.*nothing is lost"):
            run(seed=1, force=True)
    monkeypatch.undo()
    with pytest.raises(UserError, match="--force"):
        run()
    assert files_below(tmp_path / "data") == before


def test_two_runs_at_once_are_refused(run, tmp_path):
    run()
    before = files_below(tmp_path / "data")
    with swapping.scratch_folder(tmp_path / "data"), pytest.raises(UserError, match="another run is writing"):
        run(seed=1, force=True)
    assert files_below(tmp_path / "data") == before


def test_all_happens_within_the_output(run, tmp_path, monkeypatch):
    """So that it may be a mounted disk, or lie in a folder that cannot be written."""
    data = tmp_path / "data"
    data.mkdir()
    real = os.rename

    def rename(*paths):
        assert all(Path(path).is_relative_to(data) for path in paths)
        real(*paths)

    monkeypatch.setattr(os, "rename", rename)
    run()
    run(seed=1, force=True)


def test_what_a_killed_run_had_unpacked_goes_and_folders_made_in_vain_too(run, tmp_path):
    write(tmp_path / "data" / SPLIT_IN_PROGRESS / "unpacked" / "cat" / "a.png", 1)
    manifest = run()
    assert set(files_below(tmp_path / "data")) == {*manifest.files, "split.json"}
    with pytest.raises(UserError, match="no class emu"):
        run(classes=("emu",), output=str(tmp_path / "sub" / "deep" / "data"))
    assert not (tmp_path / "sub").exists()
