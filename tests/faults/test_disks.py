"""Disks that are full, fill or cannot be written: one sentence, nothing spoilt, and with room the command goes on."""

import pytest

from tests.faults.disks import check_refusal, namespace, run_case
from tests.faults.harness import Ended

needs_disks = pytest.mark.skipif(namespace() is None, reason="this system lets nobody mount a disk in memory")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("disks")


def outcome(work, *words) -> str:
    """What the case says: "survived", or else what was wrong."""
    result = run_case(*words, "--work", work)
    return result.stdout.strip() + ("" if result.returncode == 0 else f" {result.returncode}: {result.stderr[-2000:]}")


@needs_disks
@pytest.mark.slow
def test_splitting_survives_a_full_disk(work):
    assert outcome(work, "full", "--stage", "split") == "survived"


@needs_disks
@pytest.mark.faults
@pytest.mark.parametrize(
    "words", [("read-only",), ("filling", "--at", "pictures/flower/flower_0003.png", "--spare", 6000)]
)
def test_splitting_survives_bad_disks(work, words):
    assert outcome(work, *words, "--stage", "split") == "survived"


@needs_disks
@pytest.mark.slow
def test_a_bundle_that_finds_no_room_leaves_the_earlier_one(work):
    assert outcome(work, "filling", "--stage", "baseline", "--at", "model.keras", "--spare", 60_000) == "survived"


@needs_disks
@pytest.mark.faults
@pytest.mark.parametrize(
    ("stage", "at"),
    [
        ("split", "masks/test"),
        ("features", ".rows"),
        ("baseline", ".unfinished"),
        ("baseline", "pictures.npz"),
        ("baseline", "held_out.npz"),
        ("baseline", "bundle.json"),
        ("baseline", "history.csv"),
        ("sweep", "journal"),
        ("sweep", "sweep.csv"),
        ("evaluate", "metrics.json"),
        ("evaluate", "errors.png"),
        ("gradcam", "heatmaps.npz"),
        ("audit", "findings.csv"),
        ("report", "1"),
    ],
)
def test_a_disk_that_fills_is_told_in_a_sentence(work, stage, at):
    assert outcome(work, "filling", "--stage", stage, "--at", at) == "survived"


@needs_disks
@pytest.mark.faults
@pytest.mark.parametrize("stage", ["baseline", "features", "sweep", "evaluate", "gradcam", "audit", "report"])
def test_a_read_only_place_is_told_in_a_sentence(work, stage):
    assert outcome(work, "read-only", "--stage", stage) == "survived"


@needs_disks
@pytest.mark.faults
@pytest.mark.parametrize("stage", ["baseline", "features"])
def test_pictures_that_go_away_are_told_in_a_sentence_and_training_goes_on(work, stage):
    assert outcome(work, "lost", "--stage", stage, "--at", "Found") == "survived"


def test_what_a_refusal_must_be():
    good = Ended(2, "", "Found 3 images\nerror: the disk is full; free some space\n")
    assert check_refusal(good, "disk is full") == []
    assert len(check_refusal(good, "read-only")) == 1
    bad = Ended(1, "", "Traceback (most recent call last):\nOSError: [Errno 28] No space left on device\n")
    assert len(check_refusal(bad, "disk is full")) == 3
