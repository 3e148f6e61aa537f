"""What the benchmarks compute and print; how long anything takes is for them, not for tests."""

import json
import math

import pytest

from benchmarks.bench_start import list_commands
from benchmarks.bench_two_phase import compare_paired
from benchmarks.report import print_json_line, print_medians, run_in_turn
from tests.conftest import check_user_error, run_command
from tests.test_architecture import COMMANDS


def test_a_paired_difference_and_its_interval():
    ours, other = [True] * 8 + [False] * 2, [True] * 7 + [False] * 3
    mean, low, high = compare_paired(ours, other)
    half = 1.96 * math.sqrt((0.9**2 + 9 * 0.1**2) / 9 / 10)
    assert (mean, low, high) == pytest.approx((0.1, 0.1 - half, 0.1 + half))
    assert compare_paired(ours, ours) == (0, 0, 0)
    # the same shares right, but on other pictures: no difference, and a wide interval
    mean, low, high = compare_paired([True, False] * 10, [False, True] * 10)
    assert mean == 0 and high == -low == pytest.approx(1.96 * math.sqrt(20 / 19 / 20))


def test_sides_are_measured_in_turn_and_all_samples_are_printed(capsys):
    order = []

    def side(name, values):
        values = iter(values)
        return lambda: (order.append(name), next(values))[1]

    samples = run_in_turn({"a": side("a", [3.0, 1.0, 2.0]), "b": side("b", [5.0, 5.0, 6.0])}, 3)
    assert order == ["a", "b"] * 3
    assert print_medians(samples, "pictures/s") == {"a": 2.0, "b": 5.0}
    print_json_line({"ratio": 2.0 / 3, "mode": "same"})
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == {"ratio": 0.6667, "mode": "same"}
    assert any("3, 1, 2" in line for line in lines)


def test_every_command_is_found():
    found = list_commands()
    assert found.keys() >= {f"src.{name}" for name in COMMANDS} | {"split_dataset", "benchmarks.bench_loader"}
    assert not {"src.settings", "src.bundle", "benchmarks.report"} & found.keys()
    assert found["src.predict"] == ["-m", "src.predict"] and found["split_dataset"][0].endswith("split_dataset.py")


@pytest.mark.commands
def test_a_benchmark_without_its_data_or_reference_says_so(tmp_path, small_data):
    check_user_error(run_command("-m", "benchmarks.bench_loader", "--data", tmp_path), "train")
    check_user_error(run_command("-m", "benchmarks.bench_two_phase", "--data", tmp_path), "train")
    check_user_error(run_command("-m", "benchmarks.bench_start", "--data", tmp_path), "fewer than two")
    check_user_error(
        run_command("-m", "benchmarks.bench_start", "--data", small_data, "--models-dir", tmp_path), "no model in"
    )
    arguments = ("--data", small_data, "--skip-reference", "--store", tmp_path / "none.json")
    check_user_error(run_command("-m", "benchmarks.bench_two_phase", *arguments), "leave out --skip-reference")
