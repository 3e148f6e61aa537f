"""Right for the wrong reason: ``python -m src.shortcut`` shows what a planted mark does to a model."""

import sys
from collections.abc import Sequence
from pathlib import Path

from src.errors import UserError, command
from src.files import format_json
from src.model_choice import add_model_arguments, choose_model, describe_mismatch
from src.progress import say
from src.settings import create_parser, positive_int, quiet_tensorflow, seed_int

EXAMPLES = """  python -m src.shortcut                                  what `make shortcut` has made, in shortcut/
  python -m src.shortcut --data shortcut/everywhere       the mark in the pictures of all classes
  python -m src.shortcut --models-dir models              a model that was trained without marks, to compare with"""


def list_marked(data: Path, plain: Path, class_names: Sequence[str]) -> list[Path]:
    """The test pictures of ``data`` that have a mark, relative to it; each is in ``plain`` too, without its mark.

    Raises:
        UserError: there are none, or ``plain`` does not hold the same pictures.
    """
    from src.datasets.manifest import MARKS, load_manifest, mask_path
    from src.loading.folder import list_pictures

    found = [Path("test", name, path) for name in class_names for path in list_pictures(data / "test" / name)]
    found = [path for path in found if mask_path(data, path, MARKS).is_file()]
    if not found:
        raise UserError(
            f"no test picture of {data} has a planted mark; make such data with: "
            f"python split_dataset.py --source shapes --shortcut --output {data}"
        )
    manifests = [load_manifest(folder) for folder in (data, plain)]
    drawn = [(m.source, {**m.settings, "shortcut": None, "link": None}) for m in manifests]
    if drawn[0] != drawn[1] or manifests[1].marks or not all((plain / path).is_file() for path in found):
        raise UserError(
            f"{plain} does not hold the pictures of {data} without their marks; make it with the same command and "
            f"options, but --output {plain} and no --shortcut"
        )
    return found


def compare_pictures(bundle, arguments, pictures: Sequence[Path]) -> dict:
    """Explain ``pictures`` with their marks and without, write the sheet; returns the JSON record."""
    from src.datasets.manifest import MARKS, MASKS, mask_path
    from src.datasets.split_settings import MARKED_CLASS
    from src.explainers.pairs import choose_changed, draw_pairs, summarize_pairs
    from src.explainers.registry import create_explainer
    from src.explainers.stream import explain_pictures

    class_names = list(bundle.class_names)
    explainer = create_explainer(
        "gradcam", bundle.model, target_layer=bundle.target_layer or None, soften=bundle.soften
    )
    labels = [class_names.index(path.parts[1]) for path in pictures]
    both = []
    for folder in (arguments.data, arguments.plain):
        explained = explain_pictures(explainer, bundle.read, [str(folder / path) for path in pictures], labels)
        if explained.failures:  # then the two would no longer be of the same pictures
            raise UserError(f"a test picture cannot be read: {explained.failures[0]}")
        both.append(explained)
    marks, masks = ([mask_path(arguments.data, path, kind) for path in pictures] for kind in (MARKS, MASKS))
    record = {"model": bundle.name} | summarize_pairs(*both, marks, masks, bundle.image_size, class_names, MARKED_CLASS)
    changed = int((both[0].explanation.predicted != both[1].explanation.predicted).sum())
    indices = choose_changed(*both, arguments.samples, arguments.seed)
    sheet = Path(arguments.output) / bundle.name / "shortcut.png"
    if indices:
        title = (
            f"{bundle.name}: with the planted mark, and the same picture without it; Grad-CAM for the predicted class\n"
            f"{len(indices)} of the {changed} pictures (of {len(pictures)}) whose answer the mark changes; green: "
            "right, red: wrong; each map on its own scale; the bar below it: its largest value beside the largest here"
        )
        draw_pairs(sheet, *both, indices, class_names, title=title)
    return record | {"changed": changed, "sheet": str(sheet) if indices else None}


@command
def main(argv=None) -> None:
    parser = create_parser("Show what a planted mark does to a model: test pictures with it and without.", EXAMPLES)
    parser.add_argument("--data", type=Path, default="shortcut/planted", help="drawn data with planted marks")
    parser.add_argument("--plain", type=Path, default="shortcut/plain", help="the same data without marks")
    add_model_arguments(parser)
    parser.set_defaults(models_dir="shortcut/models")
    parser.add_argument("--samples", type=positive_int, default=4, help="pictures that are drawn")
    parser.add_argument("--output", default="shortcut/gradcam", help="folder that is written into")
    parser.add_argument("--seed", type=seed_int, default=42, help="chooses the pictures that are drawn")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    arguments = parser.parse_args(argv)
    from src.loading.folder import check_data_folder

    class_names, _ = check_data_folder(arguments.data, parts=("test",))
    check_data_folder(arguments.plain, parts=("test",), class_names=class_names)
    pictures = list_marked(arguments.data, arguments.plain, class_names)
    name = arguments.model or choose_model(arguments.models_dir, class_names)
    if not arguments.model:
        say(f"Model: {name} (choose another with --model)")
    quiet_tensorflow()
    from src.bundle import load_bundle
    from src.explainers.pairs import format_pairs

    bundle = load_bundle(
        name, arguments.models_dir, class_names=arguments.classes, preprocessing=arguments.preprocessing
    )
    if sorted(bundle.class_names) != class_names:
        raise UserError(describe_mismatch(bundle.name, bundle.class_names, arguments.data, class_names))
    record = compare_pictures(bundle, arguments, pictures)
    print(format_json(record) if arguments.json else format_pairs(record))


if __name__ == "__main__":
    sys.exit(main())
