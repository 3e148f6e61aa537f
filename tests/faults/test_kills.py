"""Killed and stopped commands: what was there stays whole, and the same command comes to the undisturbed result.

Few kills, at the moments that matter; ``python -m tests.faults.kills --stage all --kills 20`` has many.
"""

from argparse import Namespace

import numpy as np
import pytest

from tests.faults.harness import STAGES, compare, find_broken
from tests.faults.kills import Trial, Victim, choose_changes, choose_moments, disturb, report
from tests.faults.launch import describe_change


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("kills")


def faults_of(trial: Trial) -> list:
    """What was spoilt on the way, left over, or is another than in the undisturbed result."""
    found = trial.found
    return [*trial.problems, *found.differing, *found.missing, *found.extra]


def numbers_of(changes: list[str], words: str) -> list[int]:
    """The numbers, from 1, of the changes with these words."""
    return [number for number, change in enumerate(changes, 1) if words in change]


@pytest.mark.slow
def test_a_split_is_whole_at_every_change(work):
    """Killed as it draws, as the earlier split is moved out and the new one in, and before the last rename."""
    victim = Victim("split", work)
    moved_out = numbers_of(victim.changes, "old/split.json")[-1]
    put_in_place = numbers_of(victim.changes, f"{victim.reference}/data/split.json")[-1]
    assert 100 < moved_out < put_in_place - 50
    for change in (100, (moved_out + put_in_place) // 2, put_in_place):
        trial = victim.strike_at(change)
        assert trial.how.startswith("kill before")
        assert faults_of(trial) == [], trial.how


@pytest.mark.slow
def test_a_training_goes_on_after_kills_and_ctrl_c(work):
    """Killed before its third state, stopped by Ctrl-C, killed as its bundle takes the earlier one's place."""
    victim = Victim("baseline", work)
    states = numbers_of(victim.changes, "rename models/.unfinished/baseline.npz")
    assert len(states) >= 3, "a state after each epoch"
    assert numbers_of(victim.changes, "exchange"), "the bundle and the earlier one change places"
    assert faults_of(victim.chain_at([("kill", states[2]), ("interrupt", states[1]), ("kill", "exchange")])) == []


@pytest.mark.faults
@pytest.mark.parametrize("name", ["phase2", "sweep", "evaluate"])
def test_a_stage_survives_kills_at_any_moment(work, name):
    victim = Victim(name, work)
    for trial in disturb(victim, Namespace(kills=4, at_events=False, interrupt=False), np.random.default_rng(0)):
        assert faults_of(trial) == [], trial.how


@pytest.mark.faults
def test_ctrl_c_twice_ends_at_once_and_spoils_nothing(work):
    victim = Victim("baseline", work)
    assert faults_of(victim.strike_twice(victim.seconds * 0.7, 0.2)) == []


def test_moments_and_changes_cover_the_whole_run():
    rng = np.random.default_rng(0)
    moments = sorted(choose_moments(20, 10.0, rng))
    assert len(moments) == 20 and moments[0] < 0.6 and moments[-1] > 9.7
    assert all(0.515 * number <= moment <= 0.515 * (number + 1) for number, moment in enumerate(moments[1:], 1))
    victim = Namespace(changes=["open a"] * 100)
    assert choose_changes(victim, 0, rng) == list(range(1, 101))
    chosen = choose_changes(victim, 20, rng)
    assert len(set(chosen)) == 20 and sum(number >= 70 for number in chosen) >= 10 and min(chosen) < 40


def test_which_calls_change_files():
    assert describe_change("open", ("a", "w", 0o1101)) == "open a"
    assert describe_change("open", ("a", "r", 0)) is None and describe_change("open", (3, "w", 1)) is None
    assert describe_change("os.rename", ("a", "b", -1, -1)) == "rename b"
    assert describe_change("os.remove", (b"a", -1)) == "remove a"
    assert describe_change("os.listdir", ("a",)) is None


def test_damage_and_differences_are_seen(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        (folder / "models" / "m").mkdir(parents=True)
        (folder / "models" / "m" / "bundle.json").write_text('{"sha256": {}, "training_seconds": 1, "metrics": [1, 2]}')
        np.savez(folder / "heatmaps.npz", maps=np.arange(4.0))
    assert find_broken(after, before) == []
    same = compare(before, after)
    assert not same.differing and not same.extra and not same.missing
    (after / "models" / "m" / "bundle.json").write_text(
        '{"sha256": {"n": "0"}, "training_seconds": 9, "metrics": [1, 5]}'
    )
    np.savez(after / "heatmaps.npz", maps=np.arange(4.0) + 0.5)
    (after / ".partial-1").write_text("")
    found = compare(before, after)
    assert set(found.differing) == {"models/m/bundle.json", "heatmaps.npz"} and found.greatest == 3
    assert found.extra == [".partial-1"]
    assert find_broken(after, before) == ["models/m/n is not the file that bundle.json tells of"]
    (after / "heatmaps.npz").write_bytes((after / "heatmaps.npz").read_bytes()[:200])
    (after / "models" / "m" / "bundle.json").unlink()
    broken = find_broken(after, before)
    assert len(broken) == 2 and broken[0].startswith("heatmaps.npz: ") and "is gone" in broken[1]


def test_a_row_of_the_table_counts_kills():
    bad = Trial("", 3, ["spoilt"])
    row = report("split", [Trial("", 1), Trial("", 2), bad]).split()
    assert row == ["split", "3", "6", "3", "3", "0", "0"]


def test_every_stage_has_an_earlier_result_to_spoil():
    assert {name for name, stage in STAGES.items() if not stage.earlier} == {"sweep", "report"}
    assert all(stage.earlier != stage.words for stage in STAGES.values() if stage.earlier)
