"""Train a command over many settings: ``python -m src.sweep COMMAND NAME=VALUES... [-- OPTIONS]``."""

import argparse
import functools
import sys
from pathlib import Path

from src.errors import UserError, command
from src.files import format_json
from src.settings import create_parser, positive_int, quiet_tensorflow, seed_int

EXAMPLES = """  python -m src.sweep baseline_cnn rate=0.01,0.001,0.0001 -- --epochs 5 --image-size 64
  python -m src.sweep baseline_cnn optimizer=sgd,adam rate=0.1,0.01,0.001 --name s4-sweep -- \\
      --data experiments/cifar100/data --network resnet18_small --image-size 32 --batch-size 128 --epochs 30 \\
      --patience 30 --select accuracy --rotation 0 --shift 0 --zoom 0 --crop-padding 4      S4's grid
  python -m src.sweep baseline_cnn rate=1e-4..1e-1 dropout=0..0.6 batch-size=16,32,64 --trials 20 --name searched
  python -m src.sweep transfer_model phase1-rate=1e-4..1e-2 dense-units=0,128,256 --trials 12 --name head

NAME=a,b,c tries each value, NAME=lo..hi a range of numbers (by their logarithm where hi is ten times lo or more).
Choices alone are all combined; with --trials so many are tried, as Optuna's TPE chooses. What follows -- are options of
COMMAND that all trials share. "true" and "false" are values of options like --augment, "none" of those without a value.
The same command again goes on where it was interrupted. Only the validation part decides; the test part is not looked
at."""


def _train_afresh(train, *settings, **keywords):
    """Train with none of Keras' state of the trial before, which would fill memory and shift its random draws."""
    quiet_tensorflow()
    import keras

    from src.training.checkpoint import OtherTraining

    keras.utils.clear_session()
    try:
        return train(*settings, **keywords)
    except OtherTraining:  # settings and pictures are the sweep's own, so that it is another version that had begun it
        return train(*settings, **keywords, restart=True)


def _verify_baseline(settings, training, augmentation) -> None:
    settings.verify(training)


def _verify_transfer(settings, schedule, training, augmentation) -> None:
    schedule.verify(training, from_scratch=settings.from_scratch)


def _find_command(name: str, models_dir: str):
    from src.sweeping.space import SweptCommand

    if name == "baseline_cnn":
        from src.baseline_cnn import KINDS, train_baseline

        return SweptCommand(name, KINDS, functools.partial(_train_afresh, train_baseline), _verify_baseline)
    from src.transfer_model import FEATURES_DIR, KINDS, train_transfer

    train = functools.partial(_train_afresh, train_transfer, features_dir=Path(models_dir, FEATURES_DIR))
    return SweptCommand(name, KINDS, train, _verify_transfer)


def _create_parser() -> argparse.ArgumentParser:
    parser = create_parser("Train a command over many settings and keep the best by validation accuracy.", EXAMPLES)
    parser.usage = "python -m src.sweep COMMAND NAME=VALUES... [options] [-- options of COMMAND]"
    parser.add_argument("trained", metavar="COMMAND", choices=("baseline_cnn", "transfer_model"), help="what trains")
    parser.add_argument("space", metavar="NAME=VALUES", nargs="+", help="an option of COMMAND with its values")
    parser.add_argument("--trials", type=positive_int, help="search with so many trials, instead of the full grid")
    parser.add_argument(
        "--prune",
        action=argparse.BooleanOptionalAction,
        help="end trials whose validation accuracy is below the median of the others (default: in a search)",
    )
    parser.add_argument("--name", default="sweep", help="name of the sweep, and of the bundle that it leaves")
    parser.add_argument("--models-dir", default="models", help="folder that the bundle is written into")
    parser.add_argument("--output", default="gradcam", help="folder that table and picture are written into")
    parser.add_argument("--seed", type=seed_int, default=42, help="of the search; trials share --seed after the --")
    parser.add_argument("--restart", action="store_true", help="forget the trials of an earlier sweep of this name")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    return parser


def _describe(outcome, table: str) -> str:
    from src.sweeping.results import describe_parameters, find_best

    best = find_best(outcome.results)
    text = (
        f"{table}\nBest on validation: trial {best.number} ({describe_parameters(best.parameters)}), "
        f"{best.kept['val_accuracy']:.4f}. Table: {outcome.table}, picture: {outcome.picture}."
    )
    if not outcome.bundle:
        return text + "\nIts bundle has been removed or replaced since; train it by these settings, or use --restart."
    return (
        text + f"\nKept as {outcome.bundle}. The best of many accuracies is a lucky one; measure it on other pictures: "
        f"python -m src.evaluate --model {outcome.bundle.name}"
    )


@command
def main(argv=None) -> None:
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)
    arguments, fixed = _create_parser().parse_args(words[:end]), words[end + 1 :]
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UserError("the package optuna is missing; run: pip install -r requirements.txt") from error
    from src.sweeping.results import as_rows, count_states, find_best, format_table
    from src.sweeping.running import Sweep, run_sweep

    sweep = Sweep(
        _find_command(arguments.trained, arguments.models_dir),
        arguments.space,
        fixed,
        name=arguments.name,
        models_dir=arguments.models_dir,
        output=arguments.output,
        trials=arguments.trials,
        seed=arguments.seed,
        prune=arguments.prune,
    )
    outcome = run_sweep(sweep, restart=arguments.restart)
    if not arguments.json:
        print(_describe(outcome, format_table(outcome.results)))
        return
    rows = as_rows(outcome.results)
    record = {"name": sweep.name, "bundle": str(outcome.bundle) if outcome.bundle else None}
    record |= {"best": rows[find_best(outcome.results).number - 1]} | count_states(outcome.results)
    print(format_json(record | {"rows": rows, "table": str(outcome.table), "picture": str(outcome.picture)}))


if __name__ == "__main__":
    sys.exit(main())
