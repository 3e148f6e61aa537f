"""What explained pictures amount to in figures: raw maps to keep, activation strength, agreement with masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.explainers.controls import center_blob
from src.explainers.localisation import describe_strength, energy_on_object, peak_on_object
from src.explainers.stream import ExplainedPictures
from src.files import atomic_file, write_csv
from src.heatmap_drawing import enlarge_heatmap
from src.imaging import ImageError, read_image, resize_image
from src.progress import say


def save_heatmaps(path: Path, explained: ExplainedPictures, class_names: Sequence[str]) -> None:
    """Write the raw maps and the answers to an .npz: heatmaps, paths, class_index, labels, predicted, logits,
    probabilities, class_names, target_layer."""
    explanation = explained.explanation
    with atomic_file(path) as temporary:
        np.savez_compressed(
            temporary,
            heatmaps=explanation.heatmaps,
            paths=np.asarray(explained.paths),
            class_index=explanation.class_index,
            labels=explained.labels,
            predicted=explanation.predicted,
            logits=explanation.logits,
            probabilities=explanation.probabilities,
            class_names=np.asarray(class_names),
            target_layer=np.asarray(explanation.target_layer),
        )


def compare_strength(explained: ExplainedPictures) -> dict[str, dict[str, float]]:
    """Raw activation strength of the maps of "correct" and of "wrong" predictions; see ``describe_strength``."""
    heatmaps, correct = explained.explanation.heatmaps, explained.correct
    return {
        name: describe_strength(heatmaps[index] for index in np.flatnonzero(chosen))
        for name, chosen in (("correct", correct), ("wrong", ~correct))
    }


def read_mask(path: Path | None, size: tuple[int, int]) -> np.ndarray | None:
    """A mask, bool ``size`` = (height, width) (nearest); None where there is none, or none that can be read, which is
    said."""
    if path is None or not Path(path).is_file():
        return None
    try:
        return resize_image(read_image(path)[..., 0], size, "nearest") > 127
    except ImageError as error:
        say(f"mask not read, its picture is not judged: {error}")
        return None


def measure_localisation(
    explained: ExplainedPictures, mask_paths: Sequence[Path | None], size: tuple[int, int]
) -> dict[str, float | int | None]:
    """How many maps point at their object, beside a Gaussian blob in the centre.

    Args:
        mask_paths: one for each explained picture; None or a missing file leaves the picture out.
        size: (height, width) that maps are enlarged to (bilinear, cell centres aligned) and masks resized to
            (nearest): the picture's size as the network sees it.

    Returns:
        Shares 0..1 ``pointing_game`` and ``energy_in_mask``, the same of the blob, the masks' mean share of the
        picture ``mask_area``, and ``n_masks``, over how many maps these are; the shares are None and ``n_masks`` 0
        where there is no mask.
    """
    hits, energies, blob_hits, blob_energies, areas = [], [], [], [], []
    blob = center_blob(size)
    for heatmap, path in zip(explained.explanation.heatmaps, mask_paths):
        mask = read_mask(path, size)
        if mask is None:
            continue
        enlarged = enlarge_heatmap(heatmap, size)
        hits.append(peak_on_object(enlarged, mask))
        energies.append(energy_on_object(enlarged, mask))
        blob_hits.append(peak_on_object(blob, mask))
        blob_energies.append(energy_on_object(blob, mask))
        areas.append(mask.mean())
    columns = {
        "pointing_game": hits,
        "energy_in_mask": energies,
        "blob_pointing_game": blob_hits,
        "blob_energy_in_mask": blob_energies,
        "mask_area": areas,
    }
    return {name: float(np.mean(values)) if values else None for name, values in columns.items()} | {
        "n_masks": len(hits)
    }


def save_strength(path: Path, strength: dict[str, dict[str, float]]) -> None:
    """Write what ``compare_strength`` found as CSV, a row for correct and one for wrong predictions."""
    columns = list(strength["correct"])
    rows = ([name, *(row[column] for column in columns)] for name, row in strength.items())
    write_csv(path, ["predictions", *columns], rows)


def summarize_test_part(
    explained: ExplainedPictures,
    mask_paths: Sequence[Path | None],
    size: tuple[int, int],
    class_names: Sequence[str],
    class_index: int | None,
) -> dict:
    """All figures of one model's explained test part, as ``--json`` prints them.

    ``n`` is the number of maps behind the localisation figures where there are masks, else that of all maps, which is
    ``n_pictures``.
    """
    localisation = measure_localisation(explained, mask_paths, size)
    return {
        "target_layer": explained.explanation.target_layer,
        "n": localisation["n_masks"] or len(explained.paths),
        "n_pictures": len(explained.paths),
        "accuracy": float(explained.correct.mean()),
        "explained_class": None if class_index is None else class_names[class_index],
        **localisation,
        "activation_strength": compare_strength(explained),
        "unreadable": len(explained.failures),
    }


def format_test_part(record: dict) -> str:
    """The figures of one model as text for people; no claim beyond them."""
    about = f"the class {record['explained_class']}" if record["explained_class"] else "the predicted class"
    about += f" rather than {record['versus']}" if record.get("versus") else ""
    layer = f" of the layer {record['target_layer']}" if record["target_layer"] else ""
    lines = [
        f"{record['model']}: {record['title']}{layer} for {about}, {record['n_pictures']} test pictures "
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
        lines += ["", f"{area:56}      map  blob in the centre"]
        lines += [f"  {text:54} {record[key]:>8.1%} {record[f'blob_{key}']:>19.1%}" for text, key in rows]
    return "\n".join([*lines, "", f"To look at: {record['output']}"])


def _quartiles(row: dict, key: str) -> str:
    mean, *quartiles = (f"{row[f'{key}_{name}']:.4g}" for name in ("mean", "lower", "median", "upper"))
    return f"{mean} [{', '.join(quartiles)}]"


def summarize_pictures(explained: ExplainedPictures, saved: Sequence[Path], class_names: Sequence[str]) -> dict:
    """What was explained of single pictures, and where each drawing was ``saved``, as ``--json`` prints it."""
    explanation = explained.explanation
    pictures = [
        {
            "path": path,
            "class": class_names[predicted],
            "confidence": round(float(probabilities[predicted]), 6),
            "explained_class": class_names[asked],
            "max": float(heatmap.max()),
            "saved": str(target),
        }
        for path, predicted, probabilities, asked, heatmap, target in zip(
            explained.paths, explanation.predicted, explanation.probabilities, explanation.class_index,
            explanation.heatmaps, saved,
        )
    ]  # fmt: skip
    return {"target_layer": explanation.target_layer, "pictures": pictures}


def format_pictures(record: dict) -> str:
    """One line for each picture of ``summarize_pictures``."""
    lines = []
    for row in record.get("pictures", ()):
        asked = f", explained: {row['explained_class']}" if row["explained_class"] != row["class"] else ""
        empty = ", no positive evidence" if row["max"] <= 0 else ""
        lines.append(f"{row['path']}: {row['class']} {row['confidence']:.1%}{asked}{empty} -> {row['saved']}")
    for row in record.get("videos", ()):
        often = f"{row['most_often']} in {row['share_of_frames']:.0%} of {row['frames']:,} frames"
        lines.append(f"{row['path']}: {often} -> {row['saved']}")
    return "\n".join(lines)
