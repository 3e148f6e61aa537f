"""Does anything pile up? Training, evaluation, explanation, prediction and the app, round after round, in one process.

Every round does the same: a network from scratch and a transfer in two phases are trained anew, evaluated and explained
by several methods, pictures are predicted by both engines, and the app (a process of its own, which finds both models
trained anew) is asked. After each round the memory, threads, open files and files on the disk are counted. What is kept
by one round more than by the last shows as a slope; the counts of living models and graphs say whose it is.
"""

import contextlib
import ctypes
import gc
import io
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.bench_app import ask, run_app
from benchmarks.bench_growth import fit_slope
from benchmarks.report import describe_machine, print_conditions, print_json_line
from src.errors import EXIT_OK, UserError, command
from src.settings import create_parser, positive_float, quiet_tensorflow

EXAMPLES = """\
  python -m benchmarks.bench_soak --minutes 60
  python -m benchmarks.bench_soak --minutes 10 --data data --picture /tmp/soak.png
  python -m benchmarks.bench_soak --minutes 10 --steps predict --trace      which lines of Python keep what grew"""
METHODS = ("gradcam", "scorecam", "integrated_gradients", "guided_gradcam", "kernel_shap")
ASKED = ("gradcam", "layercam", "saliency")  # of the app
RENEWED = 3  # rounds after which the stored features are computed anew; else they are found
WARM_UP = 5  # rounds at most that are left out of a slope: first calls load libraries and fill caches
COUNTED = ("Functional", "FuncGraph", "CompiledModel", "DirectoryIterator", "ExplainedModel")
STEPS = ("baseline", "transfer", "evaluate", "explain", "predict", "app")
OURS, APP = "this process", "the app"


# -------------------------------------------------------------------------------------------------- what is counted


def read_process(number: int | str) -> dict[str, float]:
    """A process's resident memory in MB (10^6 bytes), threads and open files, as Linux counts them."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{number}/status").read_text().splitlines())
    return {
        "rss_mb": int(status["VmRSS"].split()[0]) * 1024 / 1e6,
        "threads": int(status["Threads"]),
        "open_files": len(os.listdir(f"/proc/{number}/fd")),
    }


def free_memory() -> None:
    """Collect what nothing refers to, and have the C library give back what is free, so that RSS is what is kept."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another C library keeps it
        ctypes.CDLL(None).malloc_trim(0)


def count_objects() -> dict[str, int]:
    """Living Python objects in all, and those of the kinds whose number tells of a leak."""
    objects = gc.get_objects()
    kinds = Counter(type(each).__name__ for each in objects)
    return {"objects": len(objects), **{name: kinds[name] for name in COUNTED}}


def count_files(folder: Path) -> tuple[int, int]:
    """Files in a folder and all below, and the hidden ones among all names there: what is half-written is hidden."""
    found = list(folder.rglob("*"))
    return sum(path.is_file() for path in found), sum(path.name.startswith(".") for path in found)


def summarise_rounds(rounds: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """For each figure its first and last value after the warm-up, and its slope a round (least squares).

    The warm-up is ``WARM_UP`` rounds, but no more than a third of all. Needs three rounds or more.
    """
    kept = rounds[min(WARM_UP, len(rounds) // 3) :]
    numbers = range(len(kept))
    return {
        name: {
            "first": float(kept[0][name]),
            "last": float(kept[-1][name]),
            "slope": fit_slope(numbers, [each[name] for each in kept]),
        }
        for name in kept[0]
    }


# ---------------------------------------------------------------------------------------------------- what is done


def run_quietly(main: Callable[[list[str]], int], *words) -> None:
    """A command's ``main`` with these words in this process. Raises ``UserError`` where it does not end well."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = main([str(word) for word in words])
    if code != EXIT_OK:
        last = output.getvalue().strip().rpartition("\n")[2]
        raise UserError(f"{main.__module__} ended with exit code {code}: {last}")


class Work:
    """The steps of a round, in a folder of their own.

    Args:
        folder: models, results and temporary files go here.
        data: folder with train, val and test.
    """

    def __init__(self, folder: Path, data: Path):
        from src.loading.folder import list_pictures

        self.folder, self.data, self.round = folder, data, 0
        self.models, self.output = folder / "models", folder / "gradcam"
        self.pictures = [data / "test" / name for name in list_pictures(data / "test")[:8]]
        self.address: str | None = None  # of the app
        self.steps = {name: getattr(self, name) for name in STEPS}

    @property
    def _places(self) -> tuple:
        return ("--data", self.data, "--models-dir", self.models)

    def _train(self, main: Callable[[list[str]], int], *options) -> None:
        import keras

        keras.utils.clear_session()  # as src.sweep does before each trial
        run_quietly(main, *self._places, *options)

    def baseline(self) -> None:
        from src.baseline_cnn import main

        self._train(main, "--image-size", 48, "--epochs", 2, "--seed", self.round)

    def transfer(self) -> None:
        from src.transfer_model import FEATURES_DIR, main

        if self.round % RENEWED == 0:
            shutil.rmtree(self.models / FEATURES_DIR, ignore_errors=True)
        schedule = ("--phase1-epochs", 3, "--phase2-epochs", 1, "--backbone", "efficientnet_lite0")
        self._train(main, "--image-size", 96, "--seed", self.round // RENEWED, *schedule)

    def evaluate(self) -> None:
        from src.evaluate import main

        run_quietly(main, *self._places, "--output", self.output, "--gap")

    def explain(self) -> None:
        from src.gradcam import main

        shown = ("--models-dir", self.models, "--output", self.output)
        run_quietly(main, *self._places, "--output", self.output, "--model", "transfer", "baseline", "--samples", 1)
        for method in METHODS:
            run_quietly(main, *shown, "--model", "transfer", "--method", method, "--image", *self.pictures[:2])

    def predict(self) -> None:
        from src.predict import main

        together = ("--model", "baseline", "transfer", "--ensemble", "--flips")
        for engine in ("openvino", "keras"):
            for models in (("--model", "transfer"), together):
                run_quietly(main, *self.pictures, *models, "--engine", engine, "--models-dir", self.models)

    def app(self) -> None:
        for picture in self.pictures:
            content = picture.read_bytes()
            for model in ("transfer", "baseline"):
                ask(self.address, f"/predict?model={model}", content)
                for method in ASKED:
                    ask(self.address, f"/explain?model={model}&method={method}", content)

    @contextlib.contextmanager
    def run_app(self) -> Iterator[int]:
        """The app over the models trained so far; yields its process's number, and is asked by :meth:`app`."""
        with run_app(str(self.models), "transfer", "baseline") as (self.address, process):
            yield process.pid


def draw_data(folder: Path) -> Path:
    """A small data folder of drawn shapes below ``folder``."""
    from split_dataset import main

    words = ("--source", "shapes", "--images-per-class", 24, "--picture-size", 96)
    run_quietly(main, *words, "--output", folder / "data")
    return folder / "data"


# ------------------------------------------------------------------------------------------------------- the rounds


def run_round(work: Work, steps: dict[str, Callable[[], None]], app: int) -> dict[str, float]:
    """One round; returns what is there after it, under names such as "this process: rss_mb", and what each step added
    to this process's memory, under "added by ..."."""
    figures, before = {}, read_process("self")["rss_mb"]
    start = time.monotonic()
    for name, step in steps.items():
        step()
        free_memory()
        after = read_process("self")["rss_mb"]
        figures[f"added by {name}, MB"] = after - before
        before = after
    figures["seconds"] = time.monotonic() - start
    for name, number in ((OURS, "self"), (APP, app)):
        figures |= {f"{name}: {figure}": value for figure, value in read_process(number).items()}
    figures |= {f"{OURS}: {name}": count for name, count in count_objects().items()}
    for name in ("tmp", "models", "gradcam"):
        figures[f"files in {name}"], figures[f"hidden in {name}"] = count_files(work.folder / name)
    work.round += 1
    return figures


def describe_round(number: int, figures: dict[str, float], left: float) -> str:
    """A line for a round, with the minutes that are left."""
    ours, app = ([figures[f"{name}: {each}"] for each in ("rss_mb", "threads", "open_files")] for name in (OURS, APP))
    files = [figures[f"files in {name}"] for name in ("tmp", "models", "gradcam")]
    return (
        f"round {number:3}: {ours[0]:7.1f} MB, {ours[1]} threads, {ours[2]} files open "
        f"(app {app[0]:7.1f} MB, {app[1]}, {app[2]}); files in tmp, models, gradcam: {files[0]}, {files[1]}, "
        f"{files[2]}; {figures[f'{OURS}: Functional']} networks, {figures[f'{OURS}: FuncGraph']} graphs; "
        f"{figures['seconds']:.1f} s, {max(0.0, left) / 60:.1f} minutes left"
    )


def draw_rounds(rounds: list[dict[str, float]], path: Path) -> None:
    """The figures over the rounds, as curves."""
    from matplotlib.ticker import MaxNLocator

    from src.drawing import BLUE, GREEN, ORANGE, open_figure

    panels = {
        "resident memory, MB": {name: f"{name}: rss_mb" for name in (OURS, APP)},
        "threads": {name: f"{name}: threads" for name in (OURS, APP)},
        "open files": {name: f"{name}: open_files" for name in (OURS, APP)},
        "files on the disk": {name: f"files in {name}" for name in ("tmp", "models", "gradcam")},
        "networks and graphs alive": {name: f"{OURS}: {name}" for name in ("Functional", "FuncGraph")},
        "Python objects": {OURS: f"{OURS}: objects"},
    }
    numbers = np.arange(1, len(rounds) + 1)
    with open_figure(path, 1300, 760) as figure:
        for axes, (title, curves) in zip(figure.subplots(2, 3).flat, panels.items()):
            for (label, name), color in zip(curves.items(), (BLUE, ORANGE, GREEN)):
                axes.plot(numbers, [each[name] for each in rounds], color=color, linewidth=1.6, label=label)
            highest = max(each[name] for each in rounds for name in curves.values())
            axes.set(title=title, xlabel="round", ylim=(0, 1.08 * max(highest, 1)))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8.5)


def print_trace(before, after) -> None:
    """The lines of Python whose allocations grew most between two snapshots of ``tracemalloc``."""
    print("\nwhat grew most, by the line that allocated it")
    for statistic in after.compare_to(before, "traceback")[:15]:
        print(f"{statistic.size_diff / 1024:9.1f} KB, {statistic.count_diff:+d} blocks")
        for line in statistic.traceback.format()[-6:]:
            print(f"    {line.strip()}")


def _print_summary(summary: dict[str, dict[str, float]]) -> None:
    print(f"\n{'figure':<34}{'first':>12}{'last':>12}{'slope a round':>16}")
    for name, facts in summary.items():
        print(f"{name:<34}{facts['first']:>12.4g}{facts['last']:>12.4g}{facts['slope']:>16.4g}")


def soak(work: Work, chosen: list[str], seconds: float, *, trace: bool = False) -> list[dict[str, float]]:
    """Rounds of the chosen steps until the time is over, at least three; returns :func:`run_round`'s figures of each.

    All steps are run once before, so that those that are not chosen have left what the chosen ones need.
    """
    import tracemalloc

    begin, before = time.monotonic(), None
    for name in STEPS[:-1]:
        work.steps[name]()
    rounds = []
    with work.run_app() as app:
        while len(rounds) < 3 or time.monotonic() - begin < seconds:
            rounds.append(run_round(work, {name: work.steps[name] for name in chosen}, app))
            left = seconds - (time.monotonic() - begin)
            print(describe_round(len(rounds), rounds[-1], left), flush=True)
            if trace and len(rounds) == 2:
                tracemalloc.start(12)
            if trace and len(rounds) == 4:
                before = tracemalloc.take_snapshot()
        if before:
            print_trace(before, tracemalloc.take_snapshot())
            tracemalloc.stop()
    return rounds


@command
def main(argv=None) -> None:
    parser = create_parser("What piles up in one process that trains, explains and predicts for long.", EXAMPLES)
    parser.add_argument("--minutes", type=positive_float, default=60.0, help="how long; three rounds at least")
    parser.add_argument("--data", type=Path, help="folder with train, val and test (default: few drawn shapes)")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), help="what each round does")
    parser.add_argument("--picture", default="gradcam/soak.png", help="where the curves are drawn")
    parser.add_argument("--trace", action="store_true", help="say which lines of Python keep what grew; takes longer")
    arguments = parser.parse_args(argv)
    if not os.path.isdir("/proc/self/fd"):
        raise UserError("open files, threads and memory are read from /proc, which only Linux has")
    if arguments.data:
        from src.loading.folder import check_data_folder

        check_data_folder(arguments.data)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name).resolve()
        (folder / "tmp").mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")  # what is left there is ours
        quiet_tensorflow()
        work = Work(folder, (arguments.data or draw_data(folder)).resolve())
        print_conditions(
            describe_machine(("tensorflow", "keras", "numpy", "openvino", "opencv-python"))
            | {"data": arguments.data or "drawn shapes", "steps": ", ".join(arguments.steps)}
        )
        rounds = soak(work, arguments.steps, 60 * arguments.minutes, trace=arguments.trace)
    summary = summarise_rounds(rounds)
    _print_summary(summary)
    draw_rounds(rounds, Path(arguments.picture))
    print(f"Curves: {arguments.picture}")
    print_json_line({"rounds": len(rounds), "minutes": arguments.minutes, "figures": summary})


if __name__ == "__main__":
    sys.exit(main())
