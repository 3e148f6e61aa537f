"""Judge the trained models on the test part: ``python -m src.evaluate``."""

import shutil
import sys
from pathlib import Path

from src.errors import ModelError, UserError, command
from src.files import atomic_file, format_json
from src.model_choice import add_model_arguments, check_model_arguments, describe_mismatch, list_bundles
from src.progress import say, track
from src.settings import create_parser, positive_int, quiet_tensorflow, seed_int

EXAMPLES = """  python -m src.evaluate                                every bundle in models/ that knows these classes
  python -m src.evaluate --model transfer --json
  python -m src.evaluate --model my.keras --classes cat dog --preprocessing 0-1"""


def predict_part(bundle, data_dir: str, part: str, batch_size: int):
    """A bundle's answers on all pictures of one part, in the order of their sorted paths, as ``Predictions``."""
    import numpy as np

    from src.data_loader import get_data_generator
    from src.evaluation.artefacts import Predictions

    pictures = get_data_generator(
        data_dir,
        part,
        bundle.image_size,
        batch_size,
        class_mode="sparse",
        interpolation=bundle.interpolation,
        memory_gb=0,  # each picture is read once
        class_names=list(bundle.class_names),
    )
    probabilities = [
        bundle.predict(bundle.preprocess(pictures[index][0]))
        for index in track(range(len(pictures)), what=f"  {bundle.name} on {part}", unit="batches")
    ]
    return Predictions(list(pictures.filepaths), np.asarray(pictures.classes), np.concatenate(probabilities))


def evaluate_bundle(bundle, data_dir: str, output: Path, batch_size: int):
    """Evaluate on the test part, once, and save what there is to look at; returns the ``Evaluation``."""
    from src.evaluation.artefacts import save_evaluation
    from src.evaluation.metrics import evaluate_predictions

    predictions = predict_part(bundle, data_dir, "test", batch_size)
    class_names = list(bundle.class_names)
    evaluation = evaluate_predictions(predictions.labels, predictions.probabilities, class_names)
    save_evaluation(output / bundle.name, evaluation, predictions, class_names)
    return evaluation


def _load_fitting(arguments, class_names: list[str]):
    """Yield the bundles asked for; without --model all that know these classes, naming those that do not fit."""
    from src.bundle import load_bundle

    names = arguments.model or list_bundles(arguments.models_dir)
    if not names:
        raise UserError(f"there is no model in {arguments.models_dir}; train one with: python -m src.transfer_model")
    for name in names:
        try:
            bundle = load_bundle(
                name, arguments.models_dir, class_names=arguments.classes, preprocessing=arguments.preprocessing
            )
            if sorted(bundle.class_names) != sorted(class_names):
                mismatch = describe_mismatch(bundle.name, bundle.class_names, arguments.data, class_names)
                raise UserError(f"{mismatch}; give it data of its own classes, or train a model on these")
        except UserError as error:
            if arguments.model:
                raise
            say(f"Skipped: {error}.")
            continue
        yield bundle


@command
def main(argv=None) -> None:
    parser = create_parser("Evaluate trained models on the test part and compare them.", EXAMPLES)
    parser.add_argument("--data", default="data", help="folder with the part test")
    add_model_arguments(parser, several=True)
    parser.add_argument("--output", default="gradcam", help="folder that pictures and tables are written into")
    parser.add_argument("--batch-size", type=positive_int, default=32, help="pictures in a batch")
    parser.add_argument("--seed", type=seed_int, default=42, help="as everywhere; nothing here is drawn at random")
    parser.add_argument("--json", action="store_true", help="print the metrics as one JSON line")
    arguments = parser.parse_args(argv)
    check_model_arguments(arguments)
    from src.loading.folder import check_data_folder

    class_names, _ = check_data_folder(arguments.data, parts=("test",))
    quiet_tensorflow()
    from src.evaluation.artefacts import format_report, save_comparison

    output, evaluations = Path(arguments.output), {}
    for bundle in _load_fitting(arguments, class_names):
        try:
            result = evaluate_bundle(bundle, arguments.data, output, arguments.batch_size)
        except ModelError as error:
            if arguments.model:
                raise
            say(f"Skipped: {error}.")
            continue
        evaluations[bundle.name] = result
        print(format_report(bundle.name, result), file=sys.stderr if arguments.json else sys.stdout)
        if result.collapsed_class:
            say(
                f"WARNING: {bundle.name} gives nearly all pictures the class {result.collapsed_class}. "
                "It has learnt next to nothing: train longer, or look at the data."
            )
    if not evaluations:
        raise UserError(
            f"no model in {arguments.models_dir} knows the classes of {arguments.data}, or it is damaged; train one "
            "with: python -m src.transfer_model"
        )
    compared = not arguments.model or len(evaluations) > 1  # one model by name leaves the comparison of all as it is
    if compared:
        save_comparison(output, evaluations)
    # Where S1's users look: the transfer model's matrix, which another by name must not replace.
    others = list_bundles(arguments.models_dir) if arguments.model else ()
    chosen = "transfer" if "transfer" in {*evaluations, *others} else list(evaluations)[-1]
    if chosen in evaluations:
        with atomic_file(output / "confusion_matrix.png") as temporary:
            shutil.copyfile(output / chosen / "confusion_matrix.png", temporary)
    if arguments.json:
        print(format_json({"models": {name: result.as_json() for name, result in evaluations.items()}}))
    else:
        side_by_side = f"; all side by side: {output / 'comparison.png'}" if compared else ""
        print(f"Matrices, wrong pictures and tables: {output}/<model>/{side_by_side}. Next: python -m src.gradcam")


if __name__ == "__main__":
    sys.exit(main())
