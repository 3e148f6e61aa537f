"""Pictures of why: ``python -m src.gradcam``.

Without ``--image`` the whole test part is explained; single pictures need no data folder.
"""

import functools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import EXIT_OK, EXIT_PARTIAL, UserError, command
from src.files import atomic_file, format_json
from src.model_choice import add_model_arguments, check_model_arguments, choose_model, describe_mismatch
from src.progress import say
from src.settings import COLORMAPS, ENGINES, create_parser, positive_int, quiet_tensorflow, seed_int

if TYPE_CHECKING:
    from src.explainers.heatmap import make_gradcam_heatmap

__all__ = ["main", "make_gradcam_heatmap"]

METHOD = "gradcam"
# So many pictures from which on the fast engine has saved more time than it takes to make (docs/performance.md).
ENGINE_FROM = 500
EXAMPLES = """  python -m src.gradcam                                     the test part by the model 'transfer'
  python -m src.gradcam --model transfer baseline --json    two models
  python -m src.gradcam --model imagenet --image photo.jpg  no data and no training needed
  python -m src.gradcam --image photo.jpg --class dog --layer conv4_block6_out"""


def __getattr__(name: str):
    """Import what needs TensorFlow, which takes seconds, when it is asked for: ``--help`` stays quick."""
    if name != "make_gradcam_heatmap":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    quiet_tensorflow()
    from src.explainers.heatmap import make_gradcam_heatmap

    return make_gradcam_heatmap


def make_engine(inputs, outputs: dict, *, bundle, name: str, arguments, count: int):
    """What computes the activations of ``count`` pictures: the network saved in the bundle for OpenVINO, or an engine
    made now where that pays, or None for TensorFlow; see ``explainers.cam.EngineFactory``."""
    from src.frozen_bundle import load_frozen_bundle
    from src.inference.engine import create_engine, has_gpu

    if arguments.engine == "keras" or (arguments.engine == "auto" and has_gpu()):
        return None
    if bundle.info:
        frozen = load_frozen_bundle(name, arguments.models_dir)
        same = frozen and frozen.info["sha256"] == bundle.info["sha256"]  # no training has replaced it meanwhile
        if same and outputs.keys() <= set(frozen.engine.output_names):
            return frozen.engine
    if arguments.engine == "auto" and count < ENGINE_FROM:
        return None
    return create_engine(inputs, outputs, arguments.engine)


def explain_test_part(bundle, explainer, arguments, class_index: int | None) -> tuple[dict, list]:
    """Explain the test part, write what there is to look at; returns the JSON record and the unreadable pictures."""
    from src.datasets.manifest import MARKS, MASKS, mask_path
    from src.explainers.gallery import Gallery, choose_samples
    from src.explainers.stream import explain_pictures
    from src.explainers.summary import save_heatmaps, save_strength, summarize_test_part
    from src.loading.folder import list_pictures

    class_names = list(bundle.class_names)
    found = [list_pictures(Path(arguments.data) / "test" / name) for name in class_names]
    pictures = [Path("test", name, path) for name, paths in zip(class_names, found) for path in paths]
    labels = [label for label, paths in enumerate(found) for _ in paths]
    explained = explain_pictures(
        explainer,
        bundle.read,
        [str(arguments.data / path) for path in pictures],
        labels,
        class_index=class_index,
        batch_size=arguments.batch_size,
    )
    folder = Path(arguments.output) / bundle.name
    save_heatmaps(folder / "heatmaps.npz", explained, class_names)
    relative = [Path(path).relative_to(arguments.data) for path in explained.paths]
    masks, marks = ([mask_path(arguments.data, path, kind) for path in relative] for kind in (MASKS, MARKS))
    summary = summarize_test_part(explained, masks, bundle.image_size, class_names, class_index, marks)
    save_strength(folder / "activation_strength.csv", summary["activation_strength"])
    samples = choose_samples(explained.correct, explained.labels, arguments.samples, arguments.seed)
    gallery = Gallery(folder, explained, class_names, METHOD, arguments.colormap)
    gallery.draw_samples(samples)
    sheet = gallery.draw_sheet(samples)
    if bundle.name == "transfer":
        with atomic_file(Path(arguments.output) / "gradcam_sample.png") as temporary:
            shutil.copyfile(sheet, temporary)
    return {"model": bundle.name, **summary, "output": str(folder)}, explained.failures


def explain_single_pictures(
    bundle, explainer, arguments, class_index: int | None, paths: list[str]
) -> tuple[dict, list]:
    """Explain and draw the pictures named; returns the JSON record and the unreadable pictures."""
    from src.explainers.gallery import Gallery
    from src.explainers.stream import explain_pictures
    from src.explainers.summary import summarize_pictures

    explained = explain_pictures(
        explainer,
        bundle.read,
        paths,
        [-1] * len(paths),
        class_index=class_index,
        batch_size=arguments.batch_size,
    )
    folder = Path(arguments.output) / bundle.name
    gallery = Gallery(folder, explained, bundle.class_names, METHOD, arguments.colormap)
    saved = gallery.draw_each()
    sheet = gallery.draw_sheet(range(len(saved)), "pictures.png")
    record = summarize_pictures(explained, saved, bundle.class_names)
    return {"model": bundle.name, **record, "sheet": str(sheet)}, explained.failures


def _parse(argv: Sequence[str] | None):
    parser = create_parser(
        "Show which parts of pictures speak for a class (Grad-CAM, Selvaraju et al. 2017).", EXAMPLES
    )
    parser.add_argument("--data", type=Path, default="data", help="folder with the part test")
    add_model_arguments(parser, several=True)
    parser.add_argument(
        "--image", nargs="+", metavar="PATH", help="explain these pictures or folders of pictures instead"
    )
    parser.add_argument(
        "--class", dest="class_name", metavar="NAME", help="the class to explain; else the predicted one"
    )
    parser.add_argument("--samples", type=positive_int, default=8, help="test pictures drawn of each class")
    parser.add_argument(
        "--layer", metavar="NAME", help="the layer whose activations are weighed; else the last spatial one"
    )
    parser.add_argument(
        "--colormap", choices=COLORMAPS, default="inferno", help="jet is customary, inferno truer to scale"
    )
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
    return parser.parse_args(argv)


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
    from src.explainers.registry import create_explainer
    from src.explainers.summary import format_pictures, format_test_part
    from src.explainers.targets import find_class

    records, failures = {}, {}
    for name in names:
        bundle = load_bundle(
            name, arguments.models_dir, class_names=arguments.classes, preprocessing=arguments.preprocessing
        )
        if class_names and sorted(class_names) != sorted(bundle.class_names):
            mismatch = describe_mismatch(bundle.name, bundle.class_names, arguments.data, class_names)
            raise UserError(f"{mismatch}; name another model (--model), or single pictures (--image)")
        asked = None if arguments.class_name is None else find_class(arguments.class_name, bundle.class_names)
        layer = arguments.layer or bundle.target_layer or None
        engine = functools.partial(make_engine, bundle=bundle, name=name, arguments=arguments, count=count)
        explainer = create_explainer(METHOD, bundle.model, target_layer=layer, engine=engine)
        if arguments.engine == "openvino" and not explainer.uses_engine:
            raise UserError(
                f"in {name} something leads past the layer {explainer.target_layer}, so that an engine's activations "
                "alone are not enough; leave out --engine"
            )
        if paths is None:
            record, unreadable = explain_test_part(bundle, explainer, arguments, asked)
        else:
            record, unreadable = explain_single_pictures(bundle, explainer, arguments, asked, paths)
        records[bundle.name] = record
        failures |= {failure.path: failure.reason for failure in unreadable}
        if not arguments.json:
            print((format_test_part if paths is None else format_pictures)(record))
    if arguments.json:
        print(format_json(record if len(records) == 1 else {"models": records}))
    for path, reason in failures.items():
        say(f"not read: {path}: {reason}")
    return EXIT_PARTIAL if failures else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
