"""What every benchmark prints: its conditions, raw samples with medians, and one JSON object as the last line."""

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence


def describe_machine(packages: Sequence[str] = ("tensorflow", "keras", "numpy", "opencv-python")) -> dict:
    """Processor, cores that this process may use, and versions; a package that is not installed is left out."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"system": platform.system(), "processor": platform.machine(), "cores": cores, **versions}


def print_conditions(conditions: dict) -> None:
    """A line for each condition of a measurement."""
    width = max(map(len, conditions))
    for name, value in conditions.items():
        print(f"{name:<{width}}  {value}", flush=True)


def run_in_turn(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure every side once in each round, so that what else the machine does meets all of them alike.

    Returns:
        ``samples[side]``, what its calls returned, ``rounds`` of them; each is printed as it comes.
    """
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, measure in sides.items():
            samples[name].append(measure())
            print(f"round {number + 1}  {name}: {samples[name][-1]:.4g}", flush=True)
    return samples


def print_medians(samples: dict[str, list[float]], unit: str) -> dict[str, float]:
    """Print the raw samples and the median of each side; return the medians."""
    medians = {name: statistics.median(values) for name, values in samples.items()}
    width = max(map(len, samples))
    print(f"\nmedians, {unit}, and all samples")
    for name, values in samples.items():
        print(f"{name:<{width}}  {medians[name]:>8.4g}  {', '.join(f'{value:.4g}' for value in values)}")
    return medians


def print_json_line(result: dict) -> None:
    """The result as one JSON object, numbers to four digits: the last line, for programs."""
    print(json.dumps(_shorten(result), ensure_ascii=False), flush=True)


def _shorten(value):
    if isinstance(value, dict):
        return {name: _shorten(inner) for name, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
