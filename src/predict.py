"""Pictures in, classes and confidences out: ``python -m src.predict PATH...``."""

import csv
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from src.errors import EXIT_OK, EXIT_PARTIAL, UserError, command, show_control
from src.files import format_json, harmless
from src.limits import Limits
from src.model_choice import (
    add_model_arguments,
    check_members,
    check_plain_facts,
    choose_members,
    choose_model,
    model_name,
    plain_facts,
)
from src.progress import say, track
from src.settings import ENGINES, add_options, create_parser, positive_int, quiet_tensorflow, read_options

if TYPE_CHECKING:
    from src.bundle_facts import Classifier
    from src.verdicts import Verdict

EXAMPLES = """  python -m src.predict photo.jpg
  python -m src.predict holiday/ more/*.jpg --csv > classes.csv
  python -m src.predict photo.jpg --model imagenet --top 5
  python -m src.predict photo.jpg --model baseline transfer --ensemble --flips
  python -m src.predict holiday/ --accept-errors 0.01      more answers are unsure, fewer of the others wrong"""

_NAMED = 5  # possible classes of an unsure answer


def load_classifier(name: str, arguments) -> "Classifier":
    """The model of a bundle in the form that starts without TensorFlow where there is one, else in Keras.

    Raises ``UserError`` where the model, or the engine asked for, is not to be had.
    """
    from src.frozen_bundle import load_frozen_bundle

    plain = plain_facts(name, arguments)
    if arguments.engine == "openvino" or (arguments.engine == "auto" and not plain):
        frozen = load_frozen_bundle(name, arguments.models_dir, required=arguments.engine == "openvino")
        if frozen:
            return frozen
    quiet_tensorflow()
    from src.bundle import load_bundle

    return load_bundle(name, arguments.models_dir, **plain)


def predict_pictures(
    members: Sequence["Classifier"],
    paths: list[str],
    *,
    top: int = 3,
    batch_size: int = 32,
    flips: bool = False,
    limits: Limits | None = None,
) -> tuple[list[dict], list[dict]]:
    """Predict pictures in batches, by one classifier or by several together; unreadable ones are listed, not raised.

    Args:
        limits: what verdicts are to hold to.

    Returns:
        ``predictions``: path, class, class_index, confidence (0..1) and ``top``, a list of class and confidence; known,
        novelty, sure as of ``verdicts.Verdict``, and ``classes``, names and confidences of those that are possible; all
        four None where nothing can be said. ``failed``: path and reason.
    """
    from src.ensemble import predict_in_batches
    from src.verdicts import create_judges

    class_names, (judge, notes) = members[0].class_names, create_judges(members, limits)
    for note in notes:
        say(note)
    predictions, failed = [], []
    with track(total=len(paths), what="Predicting") as progress:
        for read, probabilities, features, failures in predict_in_batches(members, paths, batch_size, flips=flips):
            failed += [{"path": failure.path, "reason": failure.reason} for failure in failures]
            for index, row, verdict in zip(read, probabilities, judge(probabilities, features)):
                predictions.append(_record(class_names, paths[index], row, top, verdict))
            progress.update(len(read) + len(failures))
    return predictions, failed


def _record(class_names: Sequence[str], path: str, probabilities, top: int, verdict: "Verdict") -> dict:
    def name(places) -> list[dict]:
        return [{"class": class_names[i], "confidence": round(float(probabilities[i]), 6)} for i in places]

    order = (-probabilities).argsort(kind="stable")[:top]
    ranked = name(order)
    return {
        "path": path,
        "class": ranked[0]["class"],
        "class_index": int(order[0]),
        "confidence": ranked[0]["confidence"],
        "top": ranked,
        "known": verdict.known,
        "novelty": None if verdict.novelty is None else round(verdict.novelty, 4),
        "sure": verdict.sure,
        "classes": None if verdict.classes is None else name(verdict.classes),
    }


def _write(arguments, predictions: list[dict], failed: list[dict]) -> None:
    if arguments.json:
        print(format_json({"predictions": predictions, "failed": failed}))
        return
    if arguments.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(["path", "class", "confidence", "runners_up", "known", "novelty", "sure", "classes"])
        for row in predictions:
            cells = [row["path"], row["class"], f"{row['confidence']:.4f}", _list_classes(row["top"][1:])]
            cells += [*_words(row), _list_classes(row["classes"] or [])]
            writer.writerow(map(harmless, cells))
        return
    for row in predictions:
        print(show_control(f"{row['path']}: {_describe(row)}"))


def _list_classes(classes: list[dict]) -> str:
    return "; ".join(f"{each['class']} {each['confidence']:.4f}" for each in classes)


def _words(row: dict) -> list[str]:
    """Known, novelty and sure as cells of a table, "" where nothing can be said."""
    known, sure = ({True: "yes", False: "no"}.get(row[name], "") for name in ("known", "sure"))
    return [known, "" if row["novelty"] is None else f"{row['novelty']:.4f}", sure]


def _describe(row: dict) -> str:
    """One prediction for people: an unlike picture, an unsure answer with the possible classes, or the classes."""
    if row["known"] is False:
        nearest = f"{row['class']} {row['confidence']:.1%}"
        return f"unlike the pictures this model was trained on (nearest: {nearest})"
    possible = row["classes"] if row["sure"] is False else []
    if len(possible) > 1:
        named = [f"{each['class']} {each['confidence']:.1%}" for each in possible[:_NAMED]]
        further = [f"one of {len(possible) - _NAMED} others"] if len(possible) > _NAMED else []
        return f"unsure: {' or '.join(named + further)}"
    others = ", ".join(f"{other['class']} {other['confidence']:.1%}" for other in row["top"][1:])
    line = f"{row['class']} {row['confidence']:.1%}" + (f"  (then {others})" if others else "")
    return f"unsure: {line}" if row["sure"] is False else line


def _parse(argv):
    parser = create_parser("Name what is in pictures.", EXAMPLES)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="pictures, or folders of pictures")
    add_model_arguments(parser, several=True)
    parser.add_argument("--top", type=positive_int, default=3, help="how many classes to name for each picture")
    parser.add_argument("--batch-size", type=positive_int, default=32, help="pictures in a batch")
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="answer by several models together, the mean of their logits (default: all in --models-dir of one set of "
        "classes)",
    )
    parser.add_argument(
        "--flips", action="store_true", help="answer by the mean logits of each picture and of its mirror image"
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="what computes: openvino is the network saved in the bundle, quick to start; keras the original, which "
        "takes a GPU where there is one; auto the first where it is there",
    )
    add_options(parser, Limits)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON line")
    form.add_argument("--csv", action="store_true", help="print CSV")
    arguments = parser.parse_args(argv)
    if not arguments.paths and arguments.model and not arguments.ensemble:  # --model NAME PATH...
        arguments.model, arguments.paths = arguments.model[:1], arguments.model[1:]
    if not arguments.paths:
        parser.error("no pictures are named; write them before --model")
    return arguments


def _choose_names(arguments) -> list[str]:
    """The models to ask, said where none is named.

    Raises ``UserError`` where they are not one, or not several for an ensemble.
    """
    check_plain_facts(arguments)
    if arguments.ensemble and arguments.model:
        check_members(list(map(model_name, arguments.model)))
        _check_distinct(arguments.model, arguments.models_dir)
        return arguments.model
    if arguments.ensemble:
        names, chosen = choose_members(arguments.models_dir)
        check_members(names)
        say(f"Models: {' and '.join(names)}, which know the classes of {chosen} (choose others with --model)")
        return names
    if arguments.model and len(arguments.model) > 1:
        raise UserError(
            f"--model names {len(arguments.model)} models; give one, or add --ensemble to ask them together"
        )
    if arguments.model:
        return arguments.model
    name = choose_model(arguments.models_dir)
    say(f"Model: {name} (choose another with --model)")
    return [name]


def _check_distinct(names: Sequence[str], models_dir: str) -> None:
    """Raise ``UserError`` where two names stand for one model. Two of one name in different folders are two models."""
    from src.bundle_facts import find_bundle

    places = [os.path.realpath(find_bundle(name, models_dir) or name) for name in names]
    for place, name in zip(places, names):
        if places.count(place) > 1:
            raise UserError(f"--model names {name} more than once; an ensemble takes each model once")


@command
def main(argv=None) -> int:
    arguments = _parse(argv)
    from src.loading.folder import find_pictures

    paths = find_pictures(arguments.paths)
    names = _choose_names(arguments)
    members = [load_classifier(name, arguments) for name in names]
    if arguments.ensemble:
        from src.ensemble import check_same_classes

        check_same_classes(members)
    options = {"top": arguments.top, "batch_size": arguments.batch_size, "flips": arguments.flips}
    options["limits"] = read_options(Limits, arguments)
    predictions, failed = predict_pictures(members, paths, **options)
    _write(arguments, predictions, failed)
    for failure in failed:
        say(f"not read: {failure['path']}: {failure['reason']}")
    if failed and not predictions:
        raise UserError("none of the pictures could be read")
    return EXIT_PARTIAL if failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
