"""How soon the commands answer: ``--help`` of each, and one picture predicted, with and without the saved form.

Every sample is a process of its own from its start to its end, its files in the system's cache. A further picture is
timed inside a process that has loaded its model and answered once: reading it and computing, one picture after another.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import describe_machine, print_conditions, print_json_line, print_medians, run_in_turn
from src.errors import UserError, command
from src.model_choice import choose_model
from src.settings import create_parser, positive_int

EXAMPLES = """\
  python -m benchmarks.bench_start --data data
  python -m benchmarks.bench_start --data data --model transfer --rounds 9"""
ROOT = Path(__file__).resolve().parent.parent
PREDICTING = {"saved form": "openvino", "Keras": "keras"}
FURTHER = """\
import sys, time
from argparse import Namespace
from src.predict import load_classifier
model, models_dir, engine, *paths = sys.argv[1:]
bundle = load_classifier(model, Namespace(models_dir=models_dir, engine=engine, classes=None, preprocessing=None))
samples = []
for path in paths:
    begin = time.perf_counter()
    bundle.predict(bundle.prepare([path]))
    samples.append(time.perf_counter() - begin)
print(sorted(samples[1:])[len(samples[1:]) // 2])
"""


def list_commands() -> dict[str, list[str]]:
    """What stands after ``python`` for each command of ours, by its name: every file with a ``__main__``."""
    files = [ROOT / "split_dataset.py", *sorted(ROOT.glob("src/*.py")), *sorted(ROOT.glob("benchmarks/*.py"))]
    names = [path.relative_to(ROOT) for path in files if '\nif __name__ == "__main__":' in path.read_text("utf-8")]
    modules = {".".join(name.with_suffix("").parts): name for name in names}
    return {module: [str(ROOT / name)] if name.parent == Path() else ["-m", module] for module, name in modules.items()}


def run_python(*arguments) -> tuple[float, str]:
    """Seconds of ``python *arguments`` and what it printed. Raises ``UserError`` where it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    begin = time.perf_counter()
    result = subprocess.run([sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if result.returncode:
        raise UserError(f"python {' '.join(map(str, arguments))[:100]} failed: {result.stderr.strip()[-300:]}")
    return seconds, result.stdout


@command
def main(argv=None) -> None:
    parser = create_parser("Seconds to --help of every command, and to the class of one picture.", EXAMPLES)
    parser.add_argument("--data", default="data", help="data folder, of whose test pictures some are predicted")
    parser.add_argument("--models-dir", default="models", help="where the bundles are")
    parser.add_argument("--model", help="a bundle with the saved form (default: as src.predict chooses)")
    parser.add_argument("--rounds", type=positive_int, default=5, help="samples of each")
    parser.add_argument("--pictures", type=positive_int, default=30, help="further pictures in a sample")
    arguments = parser.parse_args(argv)
    from src.frozen_bundle import NETWORK_FILES
    from src.loading.folder import list_pictures

    folder = Path(arguments.data, "test")
    pictures = [str(folder / name) for name in list_pictures(folder)[: arguments.pictures + 1]]
    if len(pictures) < 2:
        raise UserError(f"{folder} holds fewer than two pictures; name another data folder with --data")
    model = arguments.model or choose_model(arguments.models_dir)
    common = ("-m", "src.predict", pictures[0], "--models-dir", arguments.models_dir, "--model", model, "--json")
    classes = {
        side: json.loads(run_python(*common, "--engine", engine)[1])["predictions"][0]["class"]
        for side, engine in PREDICTING.items()
    }
    print_conditions(
        describe_machine(("tensorflow", "keras", "numpy", "opencv-python", "openvino"))
        | {
            "model": f"{model} in {arguments.models_dir}, saved form {' and '.join(NETWORK_FILES)}",
            "picture": f"{pictures[0]}, {len(pictures) - 1} further",
            "answers": ", ".join(f"{side}: {name}" for side, name in classes.items()),
            "timed": f"whole processes, in turn, {arguments.rounds} rounds; further pictures inside one",
        }
    )
    help_sides = {"python -c pass": lambda: run_python("-c", "pass")[0]} | {
        name: lambda words=words: run_python(*words, "--help")[0] for name, words in list_commands().items()
    }
    cold_sides = {
        side: lambda engine=engine: run_python(*common, "--engine", engine)[0] for side, engine in PREDICTING.items()
    }
    further_sides = {
        side: lambda engine=engine: float(run_python("-c", FURTHER, model, arguments.models_dir, engine, *pictures)[1])
        for side, engine in PREDICTING.items()
    }
    samples = [run_in_turn(sides, arguments.rounds) for sides in (help_sides, cold_sides, further_sides)]
    units = ("seconds to --help", "seconds to the class of one picture", "seconds of each further picture")
    helps, cold, further = (print_medians(of_sides, unit) for of_sides, unit in zip(samples, units))
    ratios = [keras / saved for saved, keras in zip(*(samples[1][side] for side in PREDICTING))]
    print_json_line(
        {
            "help_s": {name: round(seconds, 4) for name, seconds in helps.items() if name in list_commands()},
            "help_slowest_s": max(helps.values()),
            "predict_saved_form_s": cold["saved form"],
            "predict_keras_s": cold["Keras"],
            "predict_ratio": statistics.median(ratios),
            "further_saved_form_s": further["saved form"],
            "further_keras_s": further["Keras"],
        }
    )


if __name__ == "__main__":
    sys.exit(main())
