"""Two-phase transfer from the command to the finished model: ours against the plain way in Keras.

Both sides are processes of their own, one after the other on the same machine, timed from their start to their end,
imports included; nothing is stored from earlier runs. Mode "same": both train the same number of epochs in each phase
above the same cut. Mode "default": ours as it comes, by its own schedule, the plain side 5 + 5 epochs. The accuracies
are those on the same test pictures, each network fed by its own loader; their difference is paired by picture. In the
JSON ``ours_s`` and ``keras_s`` are means over all runs, and ``ratio`` is that of these means.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import describe_machine, print_conditions, print_json_line
from src.errors import UserError, command
from src.files import read_json, write_json
from src.settings import create_parser, positive_int, quiet_tensorflow

EXAMPLES = """\
  python -m benchmarks.bench_two_phase --data data --backbone efficientnet_lite0
  python -m benchmarks.bench_two_phase --data split1 split2 split3 --backbone efficientnet_lite0 --mode default
  python -m benchmarks.bench_two_phase --data data --backbone resnet50 --weights none --seeds 42 43 44
  python -m benchmarks.bench_two_phase --data data --backbone efficientnet_lite0 --skip-reference"""
BATCH_SIZE = 32
_ENVIRONMENT = dict(os.environ)  # as the user's, before this process sets up TensorFlow for itself


def run_timed(*arguments) -> float:
    """Seconds that ``python *arguments`` takes, its output on our stderr. Raises ``UserError`` where it fails."""
    begin = time.perf_counter()
    command_line = [sys.executable, *map(str, arguments)]
    if code := subprocess.run(command_line, stdout=sys.stderr, env=_ENVIRONMENT).returncode:
        raise UserError(f"{' '.join(map(str, arguments))} ended with exit code {code}; see above")
    return time.perf_counter() - begin


def run_ours(data: str, arguments, seed: int, folder: Path) -> tuple[float, list[bool]]:
    """Seconds, and for each test picture whether it was right."""
    schedule = []
    if arguments.mode == "same":
        one, two = arguments.epochs
        schedule = ["--phase1-epochs", one, "--phase2-epochs", two, "--patience", max(one, two)]
    seconds = run_timed(
        *("-m", "src.transfer_model", "--data", data, "--models-dir", folder, "--backbone", arguments.backbone),
        *("--weights", arguments.weights, "--batch-size", BATCH_SIZE, "--seed", seed, *schedule, *arguments.ours),
    )
    from src.data_loader import get_data_generator
    from src.networks.registry import get_backbone

    backbone = get_backbone(arguments.backbone)
    options = {"interpolation": backbone.interpolation}
    pictures = get_data_generator(data, "test", backbone.image_size, BATCH_SIZE, **options)
    return seconds, judge(folder / "transfer" / "model.keras", pictures)


def run_plain(data: str, arguments, seed: int, folder: Path) -> tuple[float, list[bool]]:
    """Seconds, and for each test picture whether it was right."""
    from benchmarks.plain_two_phase import stock_pictures
    from src.loading.folder import list_classes, list_pictures
    from src.networks.registry import get_backbone

    path = folder / "plain.keras"
    seconds = run_timed(
        *("-m", "benchmarks.plain_two_phase", "--data", data, "--backbone", arguments.backbone),
        *("--weights", arguments.weights, "--epochs", *arguments.epochs, "--batch-size", BATCH_SIZE),
        *("--seed", seed, "--output", path),
    )
    backbone, class_names = get_backbone(arguments.backbone), list_classes(Path(data, "train"))
    pictures = stock_pictures(data, "test", backbone, BATCH_SIZE, seed, class_names)
    found = [name for label in class_names for name in list_pictures(Path(data, "test", label))]
    if [Path(name).name for name in pictures.filenames] != [Path(name).name for name in found]:
        raise UserError(f"{data} has test pictures of kinds that the stock loader does not read; take them away first")
    return seconds, judge(path, pictures)


def judge(path: Path, pictures) -> list[bool]:
    """Whether a saved network names each picture of an iterator rightly."""
    import keras

    probabilities = keras.saving.load_model(path, compile=False).predict(pictures, verbose=0)
    return (probabilities.argmax(axis=1) == pictures.classes).tolist()


def compare_paired(ours: list[bool], other: list[bool]) -> tuple[float, float, float]:
    """Mean of the paired differences in accuracy and its 95% interval by the normal approximation."""
    differences = [int(a) - int(b) for a, b in zip(ours, other, strict=True)]
    count = len(differences)
    mean = sum(differences) / count
    variance = sum((value - mean) ** 2 for value in differences) / max(count - 1, 1)
    half = 1.96 * math.sqrt(variance / count)
    return mean, mean - half, mean + half


def reference_key(data: str, arguments, seed: int) -> str:
    """What a stored reference run belongs to: the split's content and all that was asked for."""
    from src.bundle_facts import data_facts
    from src.loading.folder import check_data_folder

    fingerprint = data_facts(data, check_data_folder(data)[1])["fingerprint"]
    return f"{arguments.backbone} {arguments.weights} {'+'.join(map(str, arguments.epochs))} {seed} {fingerprint}"


def summarise_runs(samples: dict[str, list[float]], right: dict[str, list[list[bool]]]) -> dict:
    """The figures of all runs for the JSON line: seconds and, by test picture, what was right of each side's runs."""
    pooled = {side: sum(lists, []) for side, lists in right.items()}
    difference, low, high = compare_paired(pooled["ours_s"], pooled["keras_s"])
    return {
        "ours_s": statistics.mean(samples["ours_s"]),
        "keras_s": statistics.mean(samples["keras_s"]),
        "samples": samples,
        "ratio": sum(samples["keras_s"]) / sum(samples["ours_s"]),
        "ours_test_accuracy": sum(pooled["ours_s"]) / len(pooled["ours_s"]),
        "keras_test_accuracy": sum(pooled["keras_s"]) / len(pooled["keras_s"]),
        "difference": difference,
        "difference_95": [round(low, 5), round(high, 5)],
        "test_pictures": len(pooled["ours_s"]),
    }


def print_summary(result: dict) -> None:
    """What :func:`summarise_runs` found, for people."""
    samples = result["samples"]
    for side, label in (("keras_s", "plain"), ("ours_s", "ours")):
        low, high, median = min(samples[side]), max(samples[side]), statistics.median(samples[side])
        print(f"{label:<5} median {median:.1f} s, mean {result[side]:.1f} s (range {low:.1f} to {high:.1f})")
    ratios = [plain / ours for plain, ours in zip(samples["keras_s"], samples["ours_s"])]
    print(f"ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)} (range {min(ratios):.2f} to {max(ratios):.2f})")
    low, high = result["difference_95"]
    print(
        f"accuracy on {result['test_pictures']} test pictures: ours - plain {result['difference']:+.4f}, "
        f"95% from {low:+.4f} to {high:+.4f}"
    )


def _parse(argv):
    parser = create_parser("Seconds to a trained network and its accuracy: ours against plain Keras.", EXAMPLES)
    parser.add_argument("--data", nargs="+", default=["data"], help="data folders, one run or more for each")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="as of src.transfer_model")
    parser.add_argument("--weights", default="imagenet", help="imagenet, none (time only) or a path")
    parser.add_argument("--mode", choices=("same", "default"), default="same", help="the same schedule, or our default")
    parser.add_argument("--epochs", type=positive_int, nargs=2, default=(5, 5), help="of the plain side's phases")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42], help="a run for each")
    parser.add_argument("--skip-reference", action="store_true", help="take the plain side's stored runs")
    parser.add_argument("--store", default="models/.two_phase_reference.json", help="where they are stored")
    parser.add_argument("--ours", nargs=argparse.REMAINDER, default=[], help="last: more options of src.transfer_model")
    return parser.parse_args(argv)


@command
def main(argv=None) -> int | None:
    arguments = _parse(argv)
    quiet_tensorflow()
    store = read_json(arguments.store) if Path(arguments.store).exists() else {}
    runs = [(data, seed) for data in arguments.data for seed in arguments.seeds]
    keys = {run: reference_key(run[0], arguments, run[1]) for run in runs}
    if arguments.skip_reference and (lacking := [run for run in runs if keys[run] not in store]):
        raise UserError(f"{arguments.store} has no run of {lacking[0]}; leave out --skip-reference")
    if arguments.skip_reference and any(store[key]["machine"] != describe_machine() for key in keys.values()):
        raise UserError(f"{arguments.store} was measured elsewhere or with other versions; leave out --skip-reference")
    print_conditions(
        describe_machine(("tensorflow", "keras", "numpy", "opencv-python", "openvino"))
        | {
            "data": ", ".join(arguments.data),
            "network": f"{arguments.backbone}, weights {arguments.weights}, batches of {BATCH_SIZE}",
            "mode": f"{arguments.mode}; the plain side {arguments.epochs[0]} + {arguments.epochs[1]} epochs",
            "seeds": arguments.seeds,
            "timed": "each side's whole process, in turn",
        }
    )
    samples = {"ours_s": [], "keras_s": []}
    right = {"ours_s": [], "keras_s": []}
    for data, seed in runs:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            if not arguments.skip_reference:
                seconds, correct = run_plain(data, arguments, seed, Path(name))
                record = {"seconds": seconds, "right": "".join("01"[value] for value in correct)}
                store[keys[data, seed]] = record | {"machine": describe_machine()}
                write_json(arguments.store, store)
            record = store[keys[data, seed]]
            samples["keras_s"].append(record["seconds"])
            right["keras_s"].append([letter == "1" for letter in record["right"]])
            seconds, correct = run_ours(data, arguments, seed, Path(name))
            samples["ours_s"].append(seconds)
            right["ours_s"].append(correct)
        for side, label in (("keras_s", "plain"), ("ours_s", "ours")):
            accuracy = sum(right[side][-1]) / len(right[side][-1])
            print(
                f"{data}, seed {seed}, {label:<5} {samples[side][-1]:8.1f} s, test accuracy {accuracy:.4f}", flush=True
            )
    print()
    result = summarise_runs(samples, right)
    print_summary(result)
    print_json_line(
        {
            **result,
            "mode": arguments.mode,
            "reference": "stored" if arguments.skip_reference else "measured in turn",
        }
    )
    return None


if __name__ == "__main__":
    sys.exit(main())
