"""Pictures in, classes and confidences out: ``python -m src.predict PATH...``."""

import csv
import sys
from typing import TYPE_CHECKING

from src.errors import EXIT_OK, EXIT_PARTIAL, UserError, command
from src.files import format_json
from src.model_choice import add_model_arguments, choose_model
from src.progress import say, track
from src.settings import ENGINES, create_parser, positive_int, quiet_tensorflow

if TYPE_CHECKING:
    from src.bundle_facts import Classifier

EXAMPLES = """  python -m src.predict photo.jpg
  python -m src.predict holiday/ more/*.jpg --csv > classes.csv
  python -m src.predict photo.jpg --model imagenet --top 5"""


def load_classifier(name: str, arguments) -> "Classifier":
    """The model of a bundle in the form that starts without TensorFlow where there is one, else in Keras.

    Raises ``UserError`` where the model, or the engine asked for, is not to be had.
    """
    from src.frozen_bundle import load_frozen_bundle

    plain = arguments.classes or arguments.preprocessing
    if arguments.engine == "openvino" or (arguments.engine == "auto" and not plain):
        frozen = load_frozen_bundle(name, arguments.models_dir, required=arguments.engine == "openvino")
        if frozen:
            return frozen
    quiet_tensorflow()
    from src.bundle import load_bundle

    return load_bundle(name, arguments.models_dir, class_names=arguments.classes, preprocessing=arguments.preprocessing)


def predict_pictures(
    bundle: "Classifier", paths: list[str], *, top: int = 3, batch_size: int = 32
) -> tuple[list[dict], list[dict]]:
    """Predict pictures in batches; unreadable ones are listed, not raised.

    Returns:
        ``predictions``: path, class, class_index, confidence (0..1) and ``top``, a list of class and confidence;
        ``failed``: path and reason.
    """
    from src.imaging import read_in_batches

    predictions, failed = [], []
    with track(total=len(paths), what="Predicting") as progress:
        for read, inputs, failures in read_in_batches(paths, bundle.read, batch_size):
            failed += [{"path": failure.path, "reason": failure.reason} for failure in failures]
            if read:
                probabilities = bundle.predict(inputs)
                predictions += [_record(bundle, paths[index], row, top) for index, row in zip(read, probabilities)]
            progress.update(len(read) + len(failures))
    return predictions, failed


def _record(bundle: "Classifier", path: str, probabilities, top: int) -> dict:
    order = probabilities.argsort()[::-1][:top]
    ranked = [{"class": bundle.class_names[i], "confidence": round(float(probabilities[i]), 6)} for i in order]
    return {"path": path, "class": ranked[0]["class"], "class_index": int(order[0]),
            "confidence": ranked[0]["confidence"], "top": ranked}  # fmt: skip


def _write(arguments, predictions: list[dict], failed: list[dict]) -> None:
    if arguments.json:
        print(format_json({"predictions": predictions, "failed": failed}))
        return
    if arguments.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(["path", "class", "confidence", "runners_up"])
        for row in predictions:
            others = "; ".join(f"{other['class']} {other['confidence']:.4f}" for other in row["top"][1:])
            writer.writerow([row["path"], row["class"], f"{row['confidence']:.4f}", others])
        return
    for row in predictions:
        others = ", ".join(f"{other['class']} {other['confidence']:.1%}" for other in row["top"][1:])
        print(f"{row['path']}: {row['class']} {row['confidence']:.1%}" + (f"  (then {others})" if others else ""))


@command
def main(argv=None) -> int:
    parser = create_parser("Name what is in pictures.", EXAMPLES)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="pictures, or folders of pictures")
    add_model_arguments(parser)
    parser.add_argument("--top", type=positive_int, default=3, help="how many classes to name for each picture")
    parser.add_argument("--batch-size", type=positive_int, default=32, help="pictures in a batch")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="what computes: openvino is the network saved in the bundle, quick to start; keras the original, which "
        "takes a GPU where there is one; auto the first where it is there",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON line")
    form.add_argument("--csv", action="store_true", help="print CSV")
    arguments = parser.parse_args(argv)
    from src.loading.folder import find_pictures

    paths = find_pictures(arguments.paths)
    name = arguments.model or choose_model(arguments.models_dir)
    if not arguments.model:
        say(f"Model: {name} (choose another with --model)")
    bundle = load_classifier(name, arguments)
    predictions, failed = predict_pictures(bundle, paths, top=arguments.top, batch_size=arguments.batch_size)
    _write(arguments, predictions, failed)
    for failure in failed:
        say(f"not read: {failure['path']}: {failure['reason']}")
    if failed and not predictions:
        raise UserError("none of the pictures could be read")
    return EXIT_PARTIAL if failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
