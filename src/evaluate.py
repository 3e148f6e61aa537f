"""Judge the trained models on the test part: ``python -m src.evaluate``."""

import shutil
import sys
from pathlib import Path

from src.atomic import atomic_file
from src.errors import EXIT_OK, EXIT_PARTIAL, UserError, command
from src.files import format_json
from src.model_choice import (
    ENSEMBLE,
    add_model_arguments,
    check_members,
    check_model_arguments,
    list_bundles,
    list_fitting,
    model_name,
)
from src.progress import say
from src.settings import create_parser, positive_int, quiet_tensorflow, seed_int, typed_command

EXAMPLES = """  python -m src.evaluate                                every bundle in models/ that knows these classes
  python -m src.evaluate --model transfer --json
  python -m src.evaluate --ensemble --gap               and all of them together; and against the training part
  python -m src.evaluate --unknown holiday/             are pictures of no known class told?
  python -m src.evaluate --model my.keras --classes cat dog --preprocessing 0-1"""


def _parse(argv):
    parser = create_parser("Evaluate trained models on the test part and compare them.", EXAMPLES)
    parser.add_argument("--data", default="data", help="folder with the part test")
    add_model_arguments(parser, several=True)
    parser.add_argument("--output", default="gradcam", help="folder that pictures and tables are written into")
    parser.add_argument("--batch-size", type=positive_int, default=32, help="pictures in a batch")
    parser.add_argument(
        "--ensemble", action="store_true", help="judge the models together as well: the mean of their logits"
    )
    parser.add_argument(
        "--flips", action="store_true", help="answer each picture by the mean logits of it and of its mirror image"
    )
    parser.add_argument(
        "--gap", action="store_true", help="ask the training part as well, in the same way, for the generalisation gap"
    )
    parser.add_argument(
        "--unknown",
        metavar="FOLDER",
        help="pictures of none of the classes, which a model should tell as unlike its own",
    )
    parser.add_argument("--seed", type=seed_int, default=42, help="as everywhere; nothing here is drawn at random")
    parser.add_argument("--json", action="store_true", help="print the metrics as one JSON line")
    arguments = parser.parse_args(argv)
    arguments.command = typed_command("src.evaluate", argv)
    check_model_arguments(arguments)
    return arguments


def _report(name: str, judged, as_json: bool) -> None:
    from src.estimating.described import describe_beside
    from src.evaluation.report import format_report

    evaluation, stream = judged.evaluation, sys.stderr if as_json else sys.stdout
    print(format_report(name, evaluation), file=stream)
    if judged.cross_validated:
        print(f"  {describe_beside(judged.cross_validated)}", file=stream)
    if evaluation.collapsed_class:
        say(
            f"WARNING: {name} gives nearly all pictures the class {evaluation.collapsed_class}. "
            "It has learnt next to nothing: train longer, or look at the data."
        )
    seen = evaluation.seen
    if seen and (known := seen.identical + seen.near_copies):
        others = f"; on the {seen.n} others its accuracy is {seen.right / seen.n:.4f}" if seen.n else ""
        say(
            f"WARNING: {name} has learned from {len(known)} of these {evaluation.n} test pictures "
            f"({len(seen.identical)} identical, {len(seen.near_copies)} near-copies), as {known[0]}{others}. "
            "Its figures are too good: split anew with split_dataset.py, and train again."
        )


def _copy_matrix(arguments, output: Path, names: list[str]) -> None:
    """Where S1's users look: the transfer model's matrix, which another by name must not replace."""
    others = list_bundles(arguments.models_dir) if arguments.model else ()
    chosen = "transfer" if "transfer" in {*names, *others} else names[-1]
    if chosen in names:
        with atomic_file(output / "confusion_matrix.png") as temporary:
            shutil.copyfile(output / chosen / "confusion_matrix.png", temporary)


@command
def main(argv=None) -> int:
    arguments = _parse(argv)
    from src.loading.folder import check_data_folder, find_pictures

    if arguments.unknown and not Path(arguments.unknown).is_dir():
        raise UserError(f"--unknown {arguments.unknown}: there is no such folder")
    arguments.unknown_pictures = find_pictures([arguments.unknown]) if arguments.unknown else []
    class_names, _ = check_data_folder(arguments.data, parts=("test", "train") if arguments.gap else ("test",))
    if arguments.ensemble:
        check_members(list(map(model_name, arguments.model or list_fitting(arguments.models_dir, class_names))))
    quiet_tensorflow()
    from src.evaluating import compare, judge_ensemble, judge_models, remove_ensemble

    output, judged = Path(arguments.output), {}
    for name, each in judge_models(arguments, class_names):
        judged[name] = each
        _report(name, each, arguments.json)
    if not judged:
        raise UserError(
            f"no model in {arguments.models_dir} knows the classes of {arguments.data}, or it is damaged; train one "
            "with: python -m src.transfer_model"
        )
    members = list(judged)
    if arguments.ensemble:
        judged[ENSEMBLE] = judge_ensemble(judged, class_names, arguments)
        _report(ENSEMBLE, judged[ENSEMBLE], arguments.json)
    compared = not arguments.model or len(judged) > 1  # one model by name leaves the comparison of all as it is
    pairs = compare(judged, output) if compared else []
    if not arguments.model and ENSEMBLE not in {*judged, *list_bundles(arguments.models_dir)}:
        remove_ensemble(output)
    _copy_matrix(arguments, output, members)
    for pair in pairs:
        print(pair, file=sys.stderr if arguments.json else sys.stdout)
    if arguments.json:
        models = {name: each.as_json() for name, each in judged.items()}
        print(format_json({"models": models, "pairs": [pair.as_json() for pair in pairs]}))
    else:
        side_by_side = f"; all side by side: {output / 'comparison.png'}" if compared else ""
        print(f"Plots, pictures and tables: {output}/<model>/{side_by_side}. Next: python -m src.gradcam")
    return EXIT_PARTIAL if any(each.unread for each in judged.values()) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
