"""How long it will take, reckoned by hand."""

import pytest

from src.running import timing
from src.running.timing import Cost, Forecast, Machine, estimate_stages, format_seconds, list_estimates, measure_machine


@pytest.fixture(autouse=True)
def round_costs(monkeypatch):
    monkeypatch.setattr(timing, "COSTS", {"split": Cost(1, 0.01, 2), "audit": Cost(2, 0.1), "transfer": Cost(3, 0.2)})
    monkeypatch.setattr(timing, "LOADING", 5.0)


def test_estimates_are_costs_times_pictures():
    found = estimate_stages(["split", "audit", "transfer"], 100, 0.04, Machine(slowness=1.0, cores=2))
    # split: 1 + 100 x 0.01, and 2 readings of 100 pictures at 0.04 s on 2 cores; the audit loads TensorFlow
    assert found == pytest.approx({"split": 2 + 4, "audit": 2 + 10 + 5, "transfer": 3 + 20})


def test_a_slower_machine_computes_longer_and_reads_as_measured():
    found = estimate_stages(["split", "transfer"], 100, 0.04, Machine(slowness=3.0, cores=4))
    assert found == pytest.approx({"split": 3 * 2 + 2, "transfer": 3 * (23 + 5)})


def test_more_classes_take_longer():
    costs = {2: 10.0, 12: 10.0 + 100 * 10 * 0.005}
    timing.COSTS["estimate"] = Cost(5, 0.05, by_class=0.005)
    for classes, seconds in costs.items():
        found = estimate_stages(["split", "audit", "estimate"], 100, 0.0, Machine(1.0, 2), classes=classes)
        assert found["estimate"] == pytest.approx(seconds) and found["split"] == pytest.approx(2)


def test_a_stage_that_was_not_measured_has_some_estimate():
    assert estimate_stages(["new"], 50, 0.0, Machine(1.0, 2))["new"] > 0


def test_what_is_left_follows_what_was_taken():
    forecast = Forecast({"a": 10.0, "b": 30.0, "c": 60.0})
    assert forecast.left == pytest.approx(100)
    forecast.done("a", 30.0)  # three times as long: (30 + 90) / (10 + 90) of the rest
    assert forecast.left == pytest.approx(90 * 1.2)
    forecast.done("b", 90.0)
    assert forecast.left == pytest.approx(60 * (120 + 60) / 100)
    forecast.done("c", 60.0)
    assert forecast.left == 0


def test_a_stage_that_turns_out_to_be_done_takes_nothing():
    forecast = Forecast({"a": 10.0, "b": 30.0})
    forecast.skipped("a")
    assert forecast.left == pytest.approx(30)
    forecast.done("unknown", 1.0)
    assert forecast.left == pytest.approx(30 * 31 / 30)


@pytest.mark.parametrize(
    "seconds, words",
    [(0.2, "1 s"), (7.6, "8 s"), (59.4, "59 s"), (60, "1 min"), (128, "2 min 10 s"), (601, "10 min"),
     (2040, "34 min"), (3600, "1 h"), (4800, "1 h 20 min")],
)  # fmt: skip
def test_times_as_people_say_them(seconds, words):
    assert format_seconds(seconds) == words


def test_estimates_in_one_line():
    assert list_estimates({"split": 2.0, "transfer": 75.0}) == "split 2 s, transfer 1 min 20 s"


def test_the_machine_is_measured():
    machine = measure_machine()
    assert machine.slowness > 0 and machine.cores >= 1


@pytest.mark.parametrize("load, busy", [(0.5, False), (3.9, False), (4.0, True), (20.0, True)])
def test_a_machine_with_other_work_is_busy(monkeypatch, load, busy):
    monkeypatch.setattr(timing.os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    assert timing.is_busy(Machine(1.0, 4)) is busy
