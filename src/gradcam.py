"""Pictures of why: ``python -m src.gradcam``.

Without ``--image`` the whole test part is explained; single pictures need no data folder.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import EXIT_OK, EXIT_PARTIAL, UserError, command
from src.files import format_json
from src.model_choice import (
    add_model_arguments,
    check_model_arguments,
    choose_model,
    describe_mismatch,
    plain_facts,
)
from src.progress import say
from src.settings import (
    COLORMAPS,
    ENGINES,
    EXPLAINERS,
    create_parser,
    positive_int,
    quiet_tensorflow,
    seed_int,
    typed_command,
)

if TYPE_CHECKING:
    from src.explainers.heatmap import make_gradcam_heatmap

__all__ = ["main", "make_gradcam_heatmap"]

EXAMPLES = """  python -m src.gradcam                                     the test part by the model 'transfer'
  python -m src.gradcam --model transfer baseline --json    two models
  python -m src.gradcam --model imagenet --image photo.jpg  no data and no training needed
  python -m src.gradcam --image photo.jpg --class dog --versus cat --layer conv4_block6_out
  python -m src.gradcam --image clip.mp4                    a video, frame by frame
  python -m src.gradcam --image photo.jpg --method all      every method side by side
  python -m src.gradcam --compare                           which method to believe: a table of measures"""


def __getattr__(name: str):
    """Import what needs TensorFlow, which takes seconds, when it is asked for: ``--help`` stays quick."""
    if name != "make_gradcam_heatmap":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    quiet_tensorflow()
    from src.explainers.heatmap import make_gradcam_heatmap

    return make_gradcam_heatmap


def _add_drawing_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runner-up",
        action=argparse.BooleanOptionalAction,
        help="draw the class that came next beside it (by default where the method takes few runs of the network)",
    )
    parser.add_argument(
        "--colormap",
        choices=COLORMAPS,
        default="inferno",
        help="jet is customary, inferno truer to scale; maps with evidence against are red and blue",
    )
    parser.add_argument("--contours", action="store_true", help="draw lines at 25, 50 and 75%% of the scale")


def _parse(argv: Sequence[str] | None):
    parser = create_parser(
        "Show which parts of pictures speak for a class, by Grad-CAM or another method, and how far methods can be "
        "believed (docs/explainers.md).",
        EXAMPLES,
    )
    parser.add_argument("--data", type=Path, default="data", help="folder with the part test")
    add_model_arguments(parser, several=True)
    parser.add_argument(
        "--image", nargs="+", metavar="PATH", help="explain these pictures, folders of pictures or videos instead"
    )
    parser.add_argument(
        "--method",
        choices=(*EXPLAINERS, "all"),
        default="gradcam",
        metavar="NAME",
        help=f"{', '.join(EXPLAINERS)}, or all for every one on the same pictures",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="measure all methods on --samples pictures of the test part: a table (PNG, CSV, JSON) and a sheet",
    )
    parser.add_argument(
        "--class", dest="class_name", metavar="NAME", help="the class to explain; else the predicted one"
    )
    parser.add_argument("--versus", metavar="NAME", help="why --class (else the predicted class) rather than this one")
    parser.add_argument(
        "--samples",
        type=positive_int,
        metavar="N",
        help="test pictures drawn of each class (8; with --method all 2), or compared in all (16)",
    )
    parser.add_argument(
        "--layer",
        nargs="+",
        metavar="NAME",
        help="the layer whose activations are weighed; of several the mean; else the last spatial one",
    )
    parser.add_argument("--flips", action="store_true", help="smooth: the mean with the mirrored picture's map")
    parser.add_argument(
        "--covering",
        action=argparse.BooleanOptionalAction,
        help="cover the hottest region of up to 300 test pictures and, in turn, all else, and see whether the answer "
        "stays (by default of Grad-CAM for the predicted class)",
    )
    _add_drawing_arguments(parser)
    parser.add_argument("--batch-size", type=positive_int, default=32, help="pictures in a batch")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="what computes the activations; auto: a GPU if there is one, else OpenVINO where the bundle carries its "
        "network or pictures are many",
    )
    parser.add_argument("--output", default="gradcam", help="folder that is written into")
    parser.add_argument("--seed", type=seed_int, default=42, help="chooses the pictures that are drawn")
    parser.add_argument("--json", action="store_true", help="print one JSON line; several models as {'models': {...}}")
    arguments = parser.parse_args(argv)
    arguments.command = typed_command("src.gradcam", argv)
    _check(arguments)
    return arguments


def _check(arguments) -> None:
    """Raise ``UserError`` for options that mean nothing together."""
    if arguments.versus and arguments.runner_up:
        raise UserError("--versus sets one class against another, which leaves no runner-up; leave out --runner-up")
    if arguments.runner_up and arguments.method == "all":
        raise UserError("--method all shows one class of each picture; leave out --runner-up")
    if arguments.image and arguments.samples:
        raise UserError("--samples chooses test pictures, while --image names all there are; leave out --samples")
    if arguments.covering and (arguments.image or arguments.compare or arguments.method == "all"):
        raise UserError(
            "--covering asks one method's maps of the test part; leave out --image, --compare, --method all"
        )
    if arguments.covering and (arguments.class_name or arguments.versus):
        raise UserError("--covering asks whether the predicted class stays; leave out --class and --versus")
    if arguments.compare:
        given = {"image": arguments.image, "class": arguments.class_name, "versus": arguments.versus}
        for name, value in (given | {"runner-up": arguments.runner_up}).items():
            if value:
                raise UserError(f"--compare measures the predicted classes of test pictures; leave out --{name}")
        if arguments.method != "gradcam":
            raise UserError("--compare measures all methods; leave out --method")


@command
def main(argv=None) -> int:
    arguments = _parse(argv)
    check_model_arguments(arguments)
    from src.loading.folder import check_data_folder, find_pictures

    paths = find_pictures(arguments.image) if arguments.image else None
    class_names, count = None, len(paths or [])
    if paths is None:
        class_names, counts = check_data_folder(arguments.data, parts=("test",))
        count = sum(counts["test"].values())
    names = arguments.model
    if not names:
        names = [choose_model(arguments.models_dir, class_names)]
        say(f"Model: {names[0]} (choose another with --model)")
    quiet_tensorflow()
    from src.bundle import load_bundle
    from src.comparing import compare_methods, explain_by_all, format_comparison, format_methods
    from src.explainers.summary import format_pictures, format_test_part
    from src.explaining import Task, explain_single_pictures, explain_test_part

    records, failures = {}, {}
    for name in names:
        bundle = load_bundle(name, arguments.models_dir, **plain_facts(name, arguments))
        if class_names and sorted(class_names) != sorted(bundle.class_names):
            mismatch = describe_mismatch(bundle.name, bundle.class_names, arguments.data, class_names)
            raise UserError(f"{mismatch}; name another model (--model), or single pictures (--image)")
        task = Task.create(bundle, name, arguments, count)
        if arguments.compare:
            (record, unreadable), show = compare_methods(task), format_comparison
        elif arguments.method == "all":
            (record, unreadable), show = explain_by_all(task, paths), format_methods
        elif paths is None:
            (record, unreadable), show = explain_test_part(task), format_test_part
        else:
            (record, unreadable), show = explain_single_pictures(task, paths), format_pictures
        records[bundle.name] = record
        failures |= {failure.path: failure.reason for failure in unreadable}
        if not arguments.json:
            print(show(record))
    if arguments.json:
        print(format_json(record if len(records) == 1 else {"models": records}))
    for path, reason in failures.items():
        say(f"not read: {path}: {reason}")
    return EXIT_PARTIAL if failures else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
