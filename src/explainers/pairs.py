"""The same pictures twice, with a planted mark and without it: what the mark changes in the answers and in the maps."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.drawing import GREEN, RED, draw_contact_sheet
from src.explainers.gallery import Gallery
from src.explainers.stream import ExplainedPictures
from src.explainers.summary import compare_with_masks
from src.explanation_drawing import color_bar, explanation_pair
from src.heatmap_drawing import describe_maximum, scale_maximum
from src.imaging import read_image
from src.intervals import paired_share_interval, share_interval
from src.settings import random_generator

SIDE = 190  # pixels of a picture on the sheet


def summarize_pairs(
    marked: ExplainedPictures,
    plain: ExplainedPictures,
    mark_paths: Sequence[Path],
    mask_paths: Sequence[Path],
    size: tuple[int, int],
    class_names: Sequence[str],
    given_away: str,
) -> dict:
    """What the mark changes, as ``--json`` prints it.

    Args:
        marked, plain: the same N pictures in one order, with the mark and without it, each map for the predicted class.
        mark_paths, mask_paths: (N,) masks of the marks, and of the objects.
        size: (height, width) that maps and masks are compared at.
        given_away: the class that the mark gives away.

    Returns:
        ``classes``: for each true class its ``n``, the shares 0..1 that are right ``right_with`` the mark and
        ``right_without`` it, each as [share, low, high] with its 95% interval, their ``difference`` likewise, and the
        shares ``taken_with`` and ``taken_without``, predicted to be of the class given away. Over all N pictures, of
        the maps with the mark and without it, the share with their peak (``peak_near_mark_with`` ...) and their mean
        energy within one cell of the mark, on the mark and on the object, and the mean ``area`` of each as a share of
        the picture; without the mark, its place is meant.
    """
    classes = {}
    for label in np.unique(marked.labels).tolist():
        of_class = marked.labels == label
        right = [explained.correct[of_class] for explained in (marked, plain)]
        taken = [explained.explanation.predicted[of_class] for explained in (marked, plain)]
        classes[class_names[label]] = {
            "n": int(of_class.sum()),
            "right_with": _bounds(share_interval(right[0])),
            "right_without": _bounds(share_interval(right[1])),
            "difference": _bounds(paired_share_interval(*right)),
            "taken_with": float((taken[0] == class_names.index(given_away)).mean()),
            "taken_without": float((taken[1] == class_names.index(given_away)).mean()),
        }
    record = {
        "target_layer": marked.explanation.target_layer,
        "n": len(marked.paths),
        "given_away": given_away,
        "classes": classes,
    }
    for place, paths, cells in (("near_mark", mark_paths, 1), ("on_mark", mark_paths, 0), ("on_object", mask_paths, 0)):
        for kind, explained in (("with", marked), ("without", plain)):
            found = compare_with_masks(explained, paths, size, cells)
            record |= {f"{name}_{place}_{kind}": float(found[name].mean()) for name in ("peak", "energy")}
        record[f"area_{place}"] = float(found["area"].mean())
    return record


def _bounds(interval) -> list[float]:
    return [interval.mean, interval.low, interval.high]


def format_pairs(record: dict) -> str:
    """The figures of ``summarize_pairs`` with the ``model`` and the ``sheet`` as text for people."""
    taken = f"taken for {record['given_away']}: with, without"
    lines = [
        f"{record['model']}: {record['n']} test pictures with a planted mark, and the same without it",
        "",
        f"{'class':10} {'n':>4}   {'right with it [95%]':22} {'without [95%]':22} {'difference [95%]':24} {taken}",
    ]
    for name, row in record["classes"].items():
        shares = (
            f"{100 * mean:.1f}% [{100 * low:.1f} to {100 * high:.1f}]"
            for mean, low, high in (row["right_with"], row["right_without"])
        )
        mean, low, high = (f"{100 * value:+.1f}" for value in row["difference"])
        columns = " ".join(f"{text:22}" for text in shares)
        lines.append(
            f"{name:10} {row['n']:>4}   {columns} {f'{mean} [{low} to {high}]':24} "
            f"{row['taken_with']:.1%}, {row['taken_without']:.1%}"
        )
    layer = f" of the layer {record['target_layer']}" if record["target_layer"] else ""
    about = f"Grad-CAM{layer} for the predicted class"
    lines += ["", f"{about:56} with it    without    area"]
    places = {
        "near_mark": "within a cell of the mark, or of its place",
        "on_mark": "on the mark",
        "on_object": "on the object",
    }
    for place, text in places.items():
        for name in ("peak", "energy"):
            shares = [record[f"{name}_{place}_{kind}"] for kind in ("with", "without")] + [record[f"area_{place}"]]
            lines.append(f"  {f'{name} {text}':52}" + "".join(f"{share:>10.1%}" for share in shares))
    end = f"To look at: {record['sheet']}" if record["sheet"] else "The mark changes no answer; nothing is drawn."
    return "\n".join([*lines, "", end])


def choose_changed(marked: ExplainedPictures, plain: ExplainedPictures, count: int, seed: int) -> list[int]:
    """Up to ``count`` of the pictures whose answer the mark changes, drawn by ``seed``, in their order."""
    changed = np.flatnonzero(marked.explanation.predicted != plain.explanation.predicted)
    return sorted(random_generator(seed).permutation(changed)[:count].tolist())


def draw_pairs(
    path: Path,
    marked: ExplainedPictures,
    plain: ExplainedPictures,
    indices: Sequence[int],
    class_names: Sequence[str],
    *,
    title: str,
    colormap: str = "inferno",
) -> None:
    """Write a contact sheet, a row for each picture: with its mark and without it, each beside its overlay.

    Raises:
        ValueError: no pictures.
    """
    both = (marked, plain)
    reference = max((scale_maximum(e.explanation.heatmaps[i]) for e in both for i in indices), default=0.0)
    images, captions, colors = [], [], []
    for index in indices:
        for explained in both:
            heatmap = explained.explanation.heatmaps[index]
            about = Gallery(path.parent, explained, class_names, "Grad-CAM", colormap).title(index)
            images.append(explanation_pair(read_image(explained.paths[index]), heatmap, reference, colormap, SIDE))
            captions.append("\n".join([*about, describe_maximum(heatmap)]))
            colors.append(GREEN if explained.correct[index] else RED)
    draw_contact_sheet(
        images,
        captions,
        path,
        columns=2,
        title=title,
        caption_colors=colors,
        cell=None,
        bar=color_bar(1.0, colormap, "share of its largest value"),
    )
