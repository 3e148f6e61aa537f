"""Some thousand spoilt inputs of each kind, always the same; and by hand as many as there is time for: see fuzz.py."""

import pytest

from tests.faults import fuzz
from tests.faults.fuzz import TARGETS, make_input, run_target

COUNTS = {"pictures": 4000, "manifest": 400, "bundle": 2000, "pickle": 2000, "archives": 500}


@pytest.mark.large
@pytest.mark.parametrize("target", TARGETS)
def test_spoilt_inputs_are_read_or_refused(target, tmp_path):
    outcome = run_target(target, seed=2026, count=COUNTS[target], save_to=tmp_path)
    assert not outcome.failures, outcome.failures[:3]
    assert outcome.tried == COUNTS[target]
    # that some are read and some refused: else nothing would be tried
    assert 0.02 * outcome.tried < outcome.read < 0.95 * outcome.tried


@pytest.mark.slow
def test_what_crashes_hangs_or_raises_is_told_with_its_input(tmp_path, monkeypatch):
    """The fuzzer itself, on a target that does all three."""
    monkeypatch.setattr(fuzz, "SILENCE", 5.0)
    outcome = run_target("trial", seed=0, count=60, save_to=tmp_path)
    kinds = {b"raise": "ZeroDivisionError of no use", b"crash": "ended with -6", b"hang": "hang"}
    inputs = [make_input("trial", 0, number) for number in range(60)]
    expected = [(number, kinds[data]) for number, data in enumerate(inputs) if data in kinds]
    assert {kind for _, kind in expected} == set(kinds.values())
    assert [(failure["number"], failure["kind"]) for failure in outcome.failures] == expected
    assert (outcome.tried, outcome.read) == (60, inputs.count(b"read"))
    for path in (path for path in tmp_path.iterdir() if not path.suffix):
        assert path.read_bytes() == inputs[int(path.name.split("-")[-1])]
