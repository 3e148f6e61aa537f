"""Time per picture and peak memory of every command, as the number of pictures grows.

The pictures of a data folder are encoded again, each time cut off by other pixels and in another quality, until there
are enough, all different. For each count all steps run, each as a process of its own, as a user would start them. Time
is linear where the exponent (slope of log seconds over log pictures) is at most about 1 and a further picture costs the
same at every count; starting a process takes seconds, so that the exponent of few pictures is well below 1. Processor
time is given as well: other work on the machine disturbs it less. Memory is flat where 1,000 more pictures add next to
nothing to the peak.
"""

import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.report import describe_machine, print_conditions, print_json_line
from src.atomic import atomic_file
from src.errors import UserError, command
from src.settings import PARTS, create_parser, positive_int

EXAMPLES = """\
  python -m benchmarks.bench_growth --data data --counts 500 2500
  python -m benchmarks.bench_growth --data data --folder /tmp/growth      the pictures stay there for the next run"""
GRID = 8  # pixels that may be cut off at the top, and at the left
ROOT = Path(__file__).resolve().parent.parent
_ENVIRONMENT = dict(os.environ)  # as the user's
MEASURE = """
import os, subprocess, sys, time
begin = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - begin
print(os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
LOAD = """
import sys
from src.settings import quiet_tensorflow
quiet_tensorflow()
from src.data_loader import get_data_generator
pictures = get_data_generator(sys.argv[1], "train", augment=True, memory_gb=float(sys.argv[2]))
for batch in range(len(pictures)):
    pictures[batch]
"""


def vary_picture(image: np.ndarray, number: int) -> bytes:
    """Variant ``number``, 0 to 63, of a uint8 picture (H, W, 3), as a JPEG: no two begin at the same pixel."""
    import cv2

    top, left = divmod(number, GRID)
    quality = 80 + 7 * number % 16
    part = np.ascontiguousarray(image[top : image.shape[0] - GRID + top, left : image.shape[1] - GRID + left, ::-1])
    return cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def make_pictures(data: str, folder: Path, count: int) -> list[Path]:
    """``count`` different pictures in ``folder``/<class>/, from all parts of a data folder; those there already stay.

    Returns:
        Their paths; the classes alternate, so that a first part of the list has all of them.

    Raises:
        UserError: there are fewer than a 64th of ``count`` to begin with, or one is too small to cut anything off.
    """
    from src.imaging import read_image
    from src.loading.folder import check_data_folder, list_pictures
    from src.threads import map_threads

    class_names, _ = check_data_folder(data)
    by_class = [
        [Path(data, part, name, picture) for part in PARTS for picture in list_pictures(Path(data, part, name))]
        for name in class_names
    ]
    jobs = []
    for number in range(count):
        turn, label = divmod(number, len(class_names))
        variant, index = divmod(turn, len(by_class[label]))
        if variant >= GRID * GRID:
            raise UserError(f"{data} has too few pictures of {class_names[label]} for {count:,}; give smaller --counts")
        source = by_class[label][index]
        origin = zlib.crc32(str(source.resolve()).encode())  # pictures of another data folder stay apart
        jobs.append((source, variant, folder / class_names[label] / f"{number:06d}-{origin:08x}.jpg"))
    for name in class_names:
        (folder / name).mkdir(parents=True, exist_ok=True)

    def make(job) -> Path:
        source, variant, path = job
        if not path.exists():
            image = read_image(source)
            if min(image.shape[:2]) <= 2 * GRID:
                raise UserError(f"{source} is too small to be varied: {image.shape[0]} x {image.shape[1]} pixels")
            with atomic_file(path) as aside:
                aside.write_bytes(vary_picture(image, variant))
        return path

    return list(map_threads(make, jobs))


def run_measured(*arguments) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak resident memory in MB (10^6 bytes) of ``python *arguments``.

    The latter two are the operating system's own record of this process; its output is thrown away. Raises
    ``UserError`` where it fails.
    """
    command_line = [sys.executable, *map(str, arguments)]
    # By way of a small process, because Linux counts the size of the one that starts it to a process's peak.
    result = subprocess.run(
        [sys.executable, "-S", "-c", MEASURE, *command_line], cwd=ROOT, env=_ENVIRONMENT, capture_output=True, text=True
    )
    code, seconds, busy, peak = map(float, result.stdout.split())
    if code:
        last = result.stderr.strip().rpartition("\n")[2]
        raise UserError(f"{' '.join(map(str, arguments))} ended with exit code {code:.0f}: {last}")
    return seconds, busy, peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def measure_steps(pictures: Sequence[Path], folder: Path) -> Iterator[tuple[str, int, float, float, float]]:
    """Run all steps on these pictures, in an empty ``folder``.

    Yields each one's name, how many pictures it had, and :func:`run_measured`'s figures.
    """
    source, data, models, output = (folder / name for name in ("source", "data", "models", "output"))
    for path in pictures:
        link = source / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, link)
    yield "split", len(pictures), *run_measured("split_dataset.py", "--source", source, "--output", data)

    from src.loading.folder import list_pictures

    train, val, test = (len(list_pictures(data / part)) for part in PARTS)
    # One view: "auto" takes fewer the more pictures there are, and would hide the growth.
    schedule = ("--views", 1, "--phase1-epochs", 1, "--phase2-epochs", 0, "--backbone", "efficientnet_lite0")
    places = ("--data", data, "--models-dir", models)
    steps = {
        "load, kept in 1 GB": (train, "-c", LOAD, data, 1),
        "load, none kept": (train, "-c", LOAD, data, 0),
        "frozen features": (train + val, "-m", "src.transfer_model", *places, *schedule),
        "evaluate": (test, "-m", "src.evaluate", *places, "--output", output),
        "gradcam": (test, "-m", "src.gradcam", *places, "--output", output),
        "predict": (test, "-m", "src.predict", "--models-dir", models, "--model", "transfer", data / "test"),
    }
    for name, (count, *arguments) in steps.items():
        yield name, count, *run_measured(*arguments)


def fit_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of the straight line nearest to the points in ``y`` (least squares). Needs two different ``x``."""
    x, y = np.asarray(x, float) - np.mean(x), np.asarray(y, float)
    return float(x @ y / (x @ x))


def summarise(samples: Sequence[tuple[int, float, float, float]]) -> dict:
    """How one step grows, from its (pictures, seconds, processor seconds, MB) in rising order, two or more.

    Returns:
        exponent: slope of log seconds over log pictures; ms_per_further_picture: between each two counts; both also
        with ``cpu_`` before them, of processor time; mb_per_1000: slope of the peak over thousands of pictures, and
        the same between the last two counts.
    """
    counts, seconds, busy, peaks = (np.asarray(column, float) for column in zip(*samples))
    facts = {}
    for name, values in (("", seconds), ("cpu_", busy)):
        facts[f"{name}exponent"] = fit_slope(np.log(counts), np.log(values))
        facts[f"{name}ms_per_further_picture"] = (1e3 * np.diff(values) / np.diff(counts)).tolist()
    facts["mb_per_1000"] = fit_slope(counts / 1000, peaks)
    facts["mb_per_1000_at_last"] = float(1000 * (peaks[-1] - peaks[-2]) / (counts[-1] - counts[-2]))
    return facts


@command
def main(argv=None) -> None:
    parser = create_parser("Time per picture and peak memory of every command, as pictures grow in number.", EXAMPLES)
    parser.add_argument("--data", default="data", help="folder with train, val and test, whose pictures are varied")
    parser.add_argument(
        "--counts", type=positive_int, nargs="+", default=[500, 2500, 10000, 25000], help="two or more different ones"
    )
    parser.add_argument("--folder", help="where the pictures are made and stay (default: a temporary one)")
    arguments = parser.parse_args(argv)
    counts = sorted(set(arguments.counts))
    if len(counts) < 2:
        raise UserError("growth needs two different --counts")
    if not hasattr(os, "wait4"):
        raise UserError("the peak memory of a process is to be had on Linux and macOS only")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder) as name:
        work = Path(name).resolve()
        begin = time.perf_counter()
        pool = Path(arguments.folder).resolve() / "pictures" if arguments.folder else work / "pictures"
        pictures = make_pictures(arguments.data, pool, counts[-1])
        size = sum(path.stat().st_size for path in pictures) / len(pictures)
        print_conditions(
            describe_machine(("tensorflow", "keras", "numpy", "opencv-python", "openvino"))
            | {
                "pictures": f"{len(pictures):,} variants of those in {arguments.data}, made in "
                f"{time.perf_counter() - begin:.0f} s, {size:,.0f} bytes in the mean",
                "timed": "each step's whole process, once for each count; pictures: those that the step reads",
                "memory": "peak of the resident set",
            }
        )
        samples: dict[str, list[tuple]] = {}
        print(f"\n{'step':<20}{'of':>8}{'pictures':>10}{'seconds':>10}{'ms each':>10}{'CPU ms':>10}{'peak MB':>10}")
        for count in counts:
            with tempfile.TemporaryDirectory(dir=work) as folder:
                for step, read, seconds, busy, peak in measure_steps(pictures[:count], Path(folder)):
                    samples.setdefault(step, []).append((read, round(seconds, 3), round(busy, 3), round(peak, 1)))
                    each = f"{1e3 * seconds / read:>10.2f}{1e3 * busy / read:>10.2f}"
                    print(f"{step:<20}{count:>8,}{read:>10,}{seconds:>10.2f}{each}{peak:>10.0f}", flush=True)
    growth = {step: summarise(values) for step, values in samples.items()}
    print(f"\n{'step':<20}{'exponent':>10}{'of CPU':>10}{'MB for 1,000 more':>19}   ms for a further picture (CPU)")
    for step, facts in growth.items():
        pairs = zip(facts["ms_per_further_picture"], facts["cpu_ms_per_further_picture"])
        further = ", ".join(f"{wall:.3g} ({busy:.3g})" for wall, busy in pairs)
        exponents = f"{facts['exponent']:>10.2f}{facts['cpu_exponent']:>10.2f}"
        print(f"{step:<20}{exponents}{facts['mb_per_1000']:>19.1f}   {further}")
    print_json_line({"counts": counts, "samples": samples, "growth": growth})


if __name__ == "__main__":
    sys.exit(main())
