"""Shared by all tests: small data folders, the real pictures where they are, commands as processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.imaging import write_image

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="session")
def usual_signals():
    """As on a terminal, also under ``nohup`` or ``&``, which hand down signals that are ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in {"SIGTERM", "SIGHUP"} & {number.name for number in signal.Signals}:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def write_data_folder(folder: Path, counts: dict[str, int], class_names=("dark", "light"), size: int = 24) -> Path:
    """Pictures that differ by brightness: class i is gray about (i + 0.5) / C, with noise of its own per picture."""
    for part_number, (part, count) in enumerate(counts.items()):
        for index, name in enumerate(class_names):
            for number in range(count):
                rng = np.random.default_rng([part_number, index, number])
                level = 255 * (index + 0.5) / len(class_names)
                image = np.clip(rng.normal(level, 12, (size, size, 3)), 0, 255).astype(np.uint8)
                write_image(folder / part / name / f"{name}_{number:03d}.png", image)
    return folder


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    """A data folder of two easy classes, 24 x 24; not to be changed by tests."""
    return write_data_folder(tmp_path_factory.mktemp("small"), {"train": 12, "val": 6, "test": 6})


@pytest.fixture(scope="session")
def real_pictures() -> Path:
    """The folder of real data sets, or a skip with the reason."""
    folder = Path(os.environ.get("IMAGE_DATASETS", ROOT.parent / "shared" / "datasets"))
    if not folder.is_dir():
        pytest.skip(f"the real pictures are not here ({folder}); name their folder in IMAGE_DATASETS")
    return folder


def run_command(
    *arguments, cwd: Path = ROOT, env: dict | None = None, timeout: int = 300
) -> subprocess.CompletedProcess:
    """Run ``python *arguments`` as a user would, from ``cwd``, with the project importable."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | (env or {})
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def check_user_error(result: subprocess.CompletedProcess, *words: str) -> None:
    """One sentence on stderr with these words, exit code 2, no traceback."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for word in words:
        assert word in errors[0], errors[0]


def read_json_line(result: subprocess.CompletedProcess) -> dict:
    """The one JSON object on the one line of stdout."""
    assert result.returncode in (0, 3), result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 1, result.stdout
    return json.loads(lines[0])
