"""How soon the app answers: one visitor after another, and many at once, on loopback.

The app runs as ``python -m src.app``, a process of its own that is ended after the measurement. Every visitor sends a
picture of the test part and waits for its answer; a time is from the request to the last byte.
"""

import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.report import describe_machine, print_conditions, print_json_line
from src.errors import UserError, command
from src.model_choice import choose_model
from src.settings import create_parser, positive_int

EXAMPLES = """\
  python -m benchmarks.bench_app --data data
  python -m benchmarks.bench_app --data data --visitors 20 --requests 200"""
ROOT = Path(__file__).resolve().parent.parent
MOST = 5000  # requests in all


@contextlib.contextmanager
def run_app(models_dir: str, *models: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """``python -m src.app`` on a free port of loopback; yields its host and port, and its process.

    Raises ``UserError`` where it does not start.
    """
    words = [sys.executable, "-m", "src.app", "--port", "0", "--json", "--models-dir", models_dir, "--model", *models]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            first = process.stdout.readline()
            if not first:
                raise UserError(f"the app did not start: {process.stderr.read().strip()[-300:]}")
            yield json.loads(first)["address"].removeprefix("http://"), process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def ask(address: str, path: str, picture: bytes) -> float:
    """Seconds of one request. Raises ``UserError`` where it is refused."""
    connection = http.client.HTTPConnection(address, timeout=120)
    begin = time.perf_counter()
    try:
        connection.request("POST", path, picture)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise UserError(f"{path}: {answer.status} {content[:200]!r}")
    return time.perf_counter() - begin


def measure(address: str, path: str, pictures: list[bytes], requests: int, visitors: int) -> dict:
    """So many requests by so many visitors at once, each of whom asks again when it is answered."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(visitors) as pool:
        times = sorted(pool.map(lambda number: ask(address, path, pictures[number % len(pictures)]), range(requests)))
    seconds = time.perf_counter() - begin
    return {
        "answers_per_s": requests / seconds,
        "median_s": statistics.median(times),
        "p95_s": times[int(0.95 * (len(times) - 1))],
        "longest_s": times[-1],
    }


@command
def main(argv=None) -> None:
    parser = create_parser("Latency and throughput of the app on loopback.", EXAMPLES)
    parser.add_argument("--data", default="data", help="data folder, whose test pictures are sent")
    parser.add_argument("--models-dir", default="models", help="where the bundles are")
    parser.add_argument("--model", help="a bundle (default: as src.app chooses), or imagenet")
    parser.add_argument("--requests", type=positive_int, default=100, help="of each measurement")
    parser.add_argument("--visitors", type=positive_int, default=20, help="at once, in the second measurement")
    arguments = parser.parse_args(argv)
    from src.loading.folder import list_pictures

    folder = Path(arguments.data, "test")
    pictures = [(folder / name).read_bytes() for name in list_pictures(folder)[:32]]
    if not pictures:
        raise UserError(f"{folder} holds no pictures; name another data folder with --data")
    if 4 * arguments.requests > MOST:
        raise UserError(f"--requests {arguments.requests}: at most {MOST // 4}, so that this ends by itself soon")
    model = arguments.model or choose_model(arguments.models_dir)
    print_conditions(
        describe_machine(("tensorflow", "keras", "openvino", "fastapi", "uvicorn"))
        | {
            "model": f"{model} in {arguments.models_dir}",
            "pictures": f"{len(pictures)} of {folder}, {sum(map(len, pictures)) / len(pictures) / 1024:.0f} KB each",
            "timed": f"{arguments.requests} requests each, after {len(pictures)} that warm it up",
        }
    )
    results = {}
    with run_app(arguments.models_dir, model) as (address, _):
        for path in ("/predict", "/explain"):
            measure(address, path, pictures, len(pictures), 1)
            for visitors in (1, arguments.visitors):
                found = measure(address, path, pictures, arguments.requests, visitors)
                results[f"{path[1:]}_{visitors}"] = found
                print(
                    f"{path:9} {visitors:3} at once: {found['answers_per_s']:6.1f} answers a second; median "
                    f"{found['median_s']:.3f} s, 95% within {found['p95_s']:.3f} s, longest {found['longest_s']:.3f} s",
                    flush=True,
                )
    print_json_line(results)


if __name__ == "__main__":
    sys.exit(main())
