"""What explained pictures amount to in figures: raw maps to keep, activation strength, agreement with masks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from src.atomic import atomic_file
from src.explainers.base import Explanation
from src.explainers.controls import center_blob
from src.explainers.covering_words import format_covering
from src.explainers.localisation import describe_strength, energy_on_object, peak_on_object
from src.explainers.stream import ExplainedPictures
from src.explainers.targets import describe_class
from src.files import write_csv
from src.heatmap_drawing import enlarge_heatmap
from src.imaging import ImageError, read_image, resize_image
from src.progress import say


@dataclass(frozen=True)
class TrueClassMaps:
    """Wrong answers explained for their true classes.

    Attributes:
        index: int (W,), which of the explained pictures they are.
        explanation: of these W pictures.
    """

    index: np.ndarray
    explanation: Explanation

    def select(self, most: int) -> "TrueClassMaps":
        """The first ones."""
        return TrueClassMaps(self.index[:most], self.explanation.select(np.arange(min(most, len(self.index)))))


def save_heatmaps(
    path: Path, explained: ExplainedPictures, class_names: Sequence[str], true: TrueClassMaps | None = None
) -> None:
    """Write the raw maps and the answers to an .npz: heatmaps, paths, class_index, labels, predicted, logits,
    probabilities (unlike the logits at the bundle's temperature), class_names, target_layer; of wrong answers
    explained for their true classes true_index and true_heatmaps."""
    explanation = explained.explanation
    again = true or TrueClassMaps(np.empty(0, np.int64), explanation.select(np.empty(0, np.int64)))
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
            true_index=again.index,
            true_heatmaps=again.explanation.heatmaps,
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


def compare_with_masks(
    explained: ExplainedPictures, mask_paths: Sequence[Path | None], size: tuple[int, int], cells: int = 0
) -> dict[str, np.ndarray]:
    """How far each map lies on its mask, beside a Gaussian blob in the centre.

    Args:
        mask_paths: one for each explained picture; None or a missing file leaves the picture out, and so does, with a
            line on stderr, one that cannot be read.
        size: (height, width) that maps are enlarged to (bilinear, cell centres aligned) and masks resized to
            (nearest): the picture's size as the network sees it.
        cells: of the map, by which masks are widened on each side.

    Returns:
        Of the n pictures that are left, float64 (n,): whether the ``peak`` lies on the mask (0 or 1), the share 0..1 of
        ``energy`` that does, the same of the blob (``blob_peak``, ``blob_energy``), and the mask's ``area`` as a share
        of the picture; and int (n,) which ``index`` the picture has in ``explained``.
    """
    rows = []
    blob = center_blob(size)
    for index, (heatmap, path) in enumerate(zip(explained.explanation.heatmaps, mask_paths)):
        mask = read_mask(path, size)
        if mask is None:
            continue
        if cells:
            mask = _widen(mask, cells, heatmap.shape)
        enlarged = enlarge_heatmap(heatmap, size)
        on_mask = [
            measure(values, mask) for values in (enlarged, blob) for measure in (peak_on_object, energy_on_object)
        ]
        rows.append([*on_mask, mask.mean(), index])
    names = ("peak", "energy", "blob_peak", "blob_energy", "area", "index")
    columns = dict(zip(names, np.array(rows, np.float64).reshape(-1, len(names)).T))
    return columns | {"index": columns["index"].astype(int)}


def measure_localisation(
    explained: ExplainedPictures, mask_paths: Sequence[Path | None], size: tuple[int, int]
) -> dict[str, float | int | None]:
    """How many maps point at their object; see ``compare_with_masks``.

    Returns:
        Shares 0..1 ``pointing_game`` and ``energy_in_mask``, the same of the blob, the masks' mean share of the
        picture ``mask_area``, and ``n_masks``, over how many maps these are; the shares are None and ``n_masks`` 0
        where there is no mask.
    """
    found = compare_with_masks(explained, mask_paths, size)
    return {
        "pointing_game": _mean(found["peak"]),
        "energy_in_mask": _mean(found["energy"]),
        "blob_pointing_game": _mean(found["blob_peak"]),
        "blob_energy_in_mask": _mean(found["blob_energy"]),
        "mask_area": _mean(found["area"]),
        "n_masks": len(found["index"]),
    }


def measure_marks(
    explained: ExplainedPictures,
    mark_paths: Sequence[Path | None],
    mask_paths: Sequence[Path | None],
    size: tuple[int, int],
) -> dict[str, float | int | None]:
    """How many maps point at a planted mark instead of their object; see ``compare_with_masks``.

    Returns:
        Of the ``n_marks`` pictures with a mark: shares 0..1 ``pointing_on_mark`` and ``energy_on_mark``, the same of
        the blob, and the marks' mean share of the picture ``mark_area``; all of these ``near_mark``, that is on the
        mark or within one cell of the map, for a mark may be smaller than a cell; and ``marked_energy_in_mask``, the
        energy on the object in these same pictures (None without masks of objects). Empty where there is no mark.
    """
    found = compare_with_masks(explained, mark_paths, size)
    if not len(found["index"]):
        return {}
    marked = set(found["index"].tolist())
    objects = compare_with_masks(explained, [p if i in marked else None for i, p in enumerate(mask_paths)], size)
    record = {"n_marks": len(marked)}
    for place, columns in (("on_mark", found), ("near_mark", compare_with_masks(explained, mark_paths, size, cells=1))):
        names = {"peak": "pointing", "energy": "energy", "blob_peak": "blob_pointing", "blob_energy": "blob_energy"}
        record |= {f"{name}_{place}": _mean(columns[column]) for column, name in names.items()}
        record[f"{place.removeprefix('on_')}_area"] = _mean(columns["area"])
    return record | {
        "marked_energy_in_mask": _mean(objects["energy"]),
        "blob_marked_energy_in_mask": _mean(objects["blob_energy"]),
    }


def _widen(mask: np.ndarray, cells: int, shape: tuple[int, int]) -> np.ndarray:
    """The mask bool (H, W) wider on each side by so many cells of a map of ``shape`` over it."""
    reach = [math.ceil(cells * side / count) for side, count in zip(mask.shape, shape)]
    return cv2.dilate(mask.astype(np.uint8), np.ones([2 * length + 1 for length in reach], np.uint8)) > 0


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


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
    mark_paths: Sequence[Path | None] = (),
) -> dict:
    """All figures of one model's explained test part, as ``--json`` prints them.

    ``n`` is the number of maps behind the localisation figures where there are masks, else that of all maps, which is
    ``n_pictures``. Where pictures have a planted mark, those of ``measure_marks`` are among the figures.
    """
    localisation = measure_localisation(explained, mask_paths, size)
    return {
        "target_layer": explained.explanation.target_layer,
        "n": localisation["n_masks"] or len(explained.paths),
        "n_pictures": len(explained.paths),
        "accuracy": float(explained.correct.mean()),
        "explained_class": None if class_index is None else class_names[class_index],
        **localisation,
        **measure_marks(explained, mark_paths, mask_paths, size),
        "activation_strength": compare_strength(explained),
        "unreadable": len(explained.failures),
    }


def format_test_part(record: dict) -> str:
    """The figures of one model as text for people; no claim beyond them."""
    about = describe_class(record["explained_class"], record.get("versus"))
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
        about = f"Against {record['n_masks']} masks, on average {record['mask_area']:.1%} of the picture"
        lines += _beside_blob(record, about, rows)
    if record.get("n_marks"):
        rows = [
            ("peak on the mark (no tolerance)", "pointing_on_mark"),
            ("energy on the mark", "energy_on_mark"),
            ("peak within a cell of the mark", "pointing_near_mark"),
            ("energy within a cell of the mark", "energy_near_mark"),
        ]
        if record["marked_energy_in_mask"] is not None:
            rows.append(("energy on the object, same pictures", "marked_energy_in_mask"))
        about = f"On {record['n_marks']} planted marks, on average {record['mark_area']:.1%} of the picture"
        lines += _beside_blob(record, about, rows)
    if record.get("covering"):
        lines += format_covering(record["covering"])
    look = f"To look at: {record['output']}/gradcam_samples.png, correct/, wrong/"
    if record.get("errors_sheet"):
        look += "; errors_explained.png has the maps of wrong answers for the predicted and for the true class"
    if record.get("covering") and record["covering"]["sheet"]:
        look += "; what_decides.png has the covered pictures"
    return "\n".join([*lines, "", look])


def _beside_blob(record: dict, about: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of shares: their text, the maps' share and the blob's."""
    lines = [f"  {text:54} {record[key]:>8.1%} {record[f'blob_{key}']:>19.1%}" for text, key in rows]
    return ["", f"{about:56}      map  blob in the centre", *lines]


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
