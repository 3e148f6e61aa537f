"""Pictures of why: ``python -m src.gradcam``.

Without ``--image`` the whole test part is explained; single pictures need no data folder.
"""

import functools
import json
import os
import shutil
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

from src.errors import EXIT_OK, EXIT_PARTIAL, UserError, command
from src.files import atomic_file, write_csv
from src.loading.folder import check_data_folder, list_pictures
from src.model_choice import add_model_arguments, choose_model
from src.predict import find_pictures
from src.progress import say
from src.settings import create_parser, positive_int, quiet_tensorflow

METHOD = "gradcam"
COLORMAPS = ("inferno", "viridis", "magma", "turbo", "jet")
LOCALISATION = (
    "pointing_game", "energy_in_mask", "blob_pointing_game", "blob_energy_in_mask", "mask_area", "n_masks",
)  # fmt: skip
EXAMPLES = """  python -m src.gradcam                                     the test part by the model 'transfer'
  python -m src.gradcam --model transfer baseline --json    two models, one JSON line each
  python -m src.gradcam --model imagenet --image photo.jpg  no data and no training needed
  python -m src.gradcam --image photo.jpg --class dog --layer conv4_block6_out"""

# One explainer for each model and layer, as long as the model lives: building and tracing take seconds.
_explainers: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def make_gradcam_heatmap(image_array, model, last_conv_layer_name: str | None = None, pred_index: int | None = None):
    """Grad-CAM of one picture, after the function of the same name in Keras' tutorial.

    Two differences, on purpose: the gradient is that of the logit, not of the softmax (where the network is sure the
    latter vanishes), and the map is raw: ReLU(sum_k alpha_k A^k) of Selvaraju et al. 2017, eq. 1 and 2, not divided by
    its maximum. For a picture of 0..1 divide by ``heatmap.max()`` where that is positive.

    Args:
        image_array: (H, W, 3) or (1, H, W, 3) as the model takes it; for our bundles RGB 0..255.
        model: a Keras classifier; it stays as it is, and is traced only once for each layer.
        last_conv_layer_name: the target layer; None for the last convolution, activation or sum.
        pred_index: the class to explain; None for the predicted one.

    Returns:
        float32 (h, w), at least 0, at the target layer's own resolution.

    Raises:
        UserError: the model, the layer, the class or the picture's shape does not fit.
    """
    import numpy as np

    from src.explainers.registry import create_explainer

    inputs = np.asarray(image_array, np.float32)
    inputs = inputs[None] if inputs.ndim == 3 else inputs
    if len(inputs) != 1:
        raise UserError(f"one picture is needed, (H, W, 3) or (1, H, W, 3). Received: {inputs.shape}")
    of_model = _explainers.setdefault(model, {})
    if last_conv_layer_name not in of_model:
        of_model[last_conv_layer_name] = create_explainer(METHOD, model, target_layer=last_conv_layer_name)
    return of_model[last_conv_layer_name].explain(inputs, None if pred_index is None else int(pred_index)).heatmaps[0]


def explain_test_part(bundle, explainer, arguments, class_index: int | None) -> tuple[dict, list]:
    """Explain the test part, write what there is to look at; returns the JSON record and the unreadable pictures."""
    from src.datasets.manifest import mask_path
    from src.explainers.gallery import Gallery, choose_samples
    from src.explainers.stream import explain_pictures
    from src.explainers.summary import compare_strength, measure_localisation, save_heatmaps

    class_names, test = list(bundle.class_names), Path(arguments.data) / "test"
    relative, labels = [], []
    for label, name in enumerate(class_names):
        found = list_pictures(test / name)
        relative += [os.path.join("test", name, picture) for picture in found]
        labels += [label] * len(found)
    explained = explain_pictures(
        explainer,
        lambda path: bundle.prepare([path])[0],
        [os.path.join(arguments.data, path) for path in relative],
        labels,
        class_index=class_index,
        batch_size=arguments.batch_size,
    )
    folder = Path(arguments.output) / bundle.name
    save_heatmaps(folder / "heatmaps.npz", explained, class_names)
    strength = compare_strength(explained)
    columns = list(strength["correct"])
    write_csv(
        folder / "activation_strength.csv",
        ["predictions", *columns],
        ([name, *(row[column] for column in columns)] for name, row in strength.items()),
    )
    samples = choose_samples(explained.correct, explained.labels, arguments.samples, arguments.seed)
    gallery = Gallery(folder, explained, class_names, METHOD, arguments.colormap)
    gallery.draw_samples(samples)
    sheet = gallery.draw_sheet(samples)
    if bundle.name == "transfer":
        with atomic_file(Path(arguments.output) / "gradcam_sample.png") as temporary:
            shutil.copyfile(sheet, temporary)
    masks = [mask_path(arguments.data, os.path.relpath(path, arguments.data)) for path in explained.paths]
    localisation = measure_localisation(explained, masks, bundle.image_size)
    record = {
        "model": bundle.name,
        "target_layer": explainer.target_layer,
        "explained_class": class_names[class_index] if class_index is not None else None,
        "n": len(explained.paths),
        "accuracy": float(explained.correct.mean()),
        **(localisation or dict.fromkeys(LOCALISATION)),
        "activation_strength": strength,
        "unreadable": len(explained.failures),
        "output": str(folder),
    }
    return record, explained.failures


def format_record(record: dict) -> str:
    """The figures of one model as text for people; no claim beyond them."""
    about = f"the class {record['explained_class']}" if record["explained_class"] else "the predicted class"
    lines = [
        f"{record['model']}: Grad-CAM of the layer {record['target_layer']} for {about}, {record['n']} test pictures "
        f"({record['accuracy']:.1%} predicted correctly)",
        "",
        "Raw activation strength    n  zero maps   mean of map: mean [quartiles]        max of map: mean [quartiles]",
    ]
    for name, row in record["activation_strength"].items():
        if not row["n"]:
            lines.append(f"  {name:18} {0:>7}")
            continue
        means, maxima = (_quartiles(row, key) for key in ("mean", "max"))
        lines.append(f"  {name:18} {row['n']:>7} {row['zero_maps']:>10}   {means:34}   {maxima}")
    if record["n_masks"]:
        rows = (("peak on the object (no tolerance)", "pointing_game"), ("energy on the object", "energy_in_mask"))
        area = f"Against {record['n_masks']} masks, on average {record['mask_area']:.1%} of the picture"
        lines += ["", f"{area:56} Grad-CAM  blob in the centre"]
        lines += [f"  {text:54} {record[key]:>8.1%} {record[f'blob_{key}']:>19.1%}" for text, key in rows]
    return "\n".join([*lines, "", f"To look at: {record['output']}"])


def _quartiles(row: dict, key: str) -> str:
    mean, *quartiles = (f"{row[f'{key}_{name}']:.4g}" for name in ("mean", "lower", "median", "upper"))
    return f"{mean} [{', '.join(quartiles)}]"


def explain_single_pictures(
    bundle, explainer, arguments, class_index: int | None, paths: list[str]
) -> tuple[dict, list]:
    """Explain and draw the pictures named; returns the JSON record and the unreadable pictures."""
    from src.explainers.gallery import Gallery
    from src.explainers.stream import explain_pictures

    explained = explain_pictures(
        explainer,
        lambda path: bundle.prepare([path])[0],
        paths,
        [-1] * len(paths),
        class_index=class_index,
        batch_size=arguments.batch_size,
    )
    folder, explanation = Path(arguments.output) / bundle.name, explained.explanation
    gallery = Gallery(folder, explained, bundle.class_names, METHOD, arguments.colormap)
    saved = gallery.draw_each()
    gallery.draw_sheet(range(len(saved)))
    pictures = [
        {
            "path": path,
            "class": bundle.class_names[predicted],
            "confidence": round(float(probabilities[predicted]), 6),
            "explained_class": bundle.class_names[asked],
            "max": float(heatmap.max()),
            "saved": str(target),
        }
        for path, predicted, probabilities, asked, heatmap, target in zip(
            explained.paths, explanation.predicted, explanation.probabilities, explanation.class_index,
            explanation.heatmaps, saved,
        )
    ]  # fmt: skip
    return {"model": bundle.name, "target_layer": explainer.target_layer, "pictures": pictures}, explained.failures


def format_pictures(record: dict) -> str:
    lines = []
    for row in record["pictures"]:
        path = os.fsencode(row["path"]).decode("utf-8", "replace")
        asked = f", explained: {row['explained_class']}" if row["explained_class"] != row["class"] else ""
        empty = ", no positive evidence" if row["max"] <= 0 else ""
        lines.append(f"{path}: {row['class']} {row['confidence']:.1%}{asked}{empty} -> {row['saved']}")
    return "\n".join(lines)


def _parse(argv: Sequence[str] | None):
    parser = create_parser(
        "Show which parts of pictures speak for a class (Grad-CAM, Selvaraju et al. 2017).", EXAMPLES
    )
    parser.add_argument("--data", default="data", help="folder with the part test")
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
    parser.add_argument("--output", default="gradcam", help="folder that is written into")
    parser.add_argument("--seed", type=int, default=42, help="chooses the pictures that are drawn")
    parser.add_argument("--json", action="store_true", help="print one JSON line for each model")
    return parser.parse_args(argv)


@command
def main(argv=None) -> int:
    arguments = _parse(argv)
    names = arguments.model or [choose_model(arguments.models_dir)]
    paths = find_pictures(arguments.image) if arguments.image else None
    if paths is None:
        check_data_folder(arguments.data, parts=("test",))
    quiet_tensorflow()
    from src.bundle import load_bundle
    from src.explainers.registry import create_explainer
    from src.explainers.targets import find_class

    failures: dict[str, str] = {}
    for name in names:
        if not arguments.model:
            say(f"Model: {name} (choose another with --model)")
        bundle = load_bundle(
            name, arguments.models_dir, class_names=arguments.classes, preprocessing=arguments.preprocessing
        )
        if paths is None:
            check_data_folder(arguments.data, parts=("test",), class_names=bundle.class_names)
        asked = find_class(arguments.class_name, bundle.class_names) if arguments.class_name else None
        explainer = create_explainer(METHOD, bundle.model, target_layer=arguments.layer or bundle.target_layer or None)
        if paths is None:
            explain, describe = explain_test_part, format_record
        else:
            explain, describe = functools.partial(explain_single_pictures, paths=paths), format_pictures
        record, unreadable = explain(bundle, explainer, arguments, asked)
        print(json.dumps(_finite(record)) if arguments.json else describe(record))
        failures |= {failure.path: failure.reason for failure in unreadable}
    for path, reason in failures.items():
        say(f"not read: {os.fsencode(path).decode('utf-8', 'replace')}: {reason}")
    return EXIT_PARTIAL if failures else EXIT_OK


def _finite(value):
    """JSON knows no NaN: quartiles of nothing become null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and value != value else value


if __name__ == "__main__":
    sys.exit(main())
