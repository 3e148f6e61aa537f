"""Does the object or the background decide? What ``python -m src.gradcam`` asks of the test part beside the maps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from src.datasets.folds import group_files
from src.datasets.manifest import read_fingerprint
from src.explainers.covering import SHARE, Covering, choose_covered, measure_covering
from src.explainers.covering_summary import draw_covering, summarize_covering, write_covering
from src.explainers.covering_words import SHEET
from src.explainers.repeated import SIDE, find_repeated
from src.explainers.stream import ExplainedPictures
from src.files import finite, write_json
from src.imaging import load_image
from src.threads import map_threads

if TYPE_CHECKING:
    from src.explaining import Task

RECORD, TABLE = "covering.json", "covering.csv"


def is_covered(task: "Task") -> bool:
    """Whether pictures are covered: as it was asked for, else for Grad-CAM's maps of the predicted classes."""
    arguments = task.arguments
    if task.class_index is not None or task.versus is not None:
        return False
    wanted = getattr(arguments, "covering", None)
    return arguments.method == "gradcam" if wanted is None else wanted


def cover_test_part(task: "Task", explained: ExplainedPictures) -> dict | None:
    """Cover pictures of the test part and write what becomes of the answers: covering.json, covering.csv and
    what_decides.png in the task's folder.

    Returns:
        The figures, see ``summarize_covering``, with the digests of network and split; None, and no older files, where
        it is not asked for.
    """
    folder = task.folder
    if not is_covered(task):
        for name in (RECORD, TABLE, SHEET):
            (folder / name).unlink(missing_ok=True)
        return None
    model, names, seed = task.explained_model, list(task.bundle.class_names), task.arguments.seed
    explanation = explained.explanation
    covering = measure_covering(
        lambda inputs: model.soften(model.answer(inputs)[1]),
        task.bundle.read,
        explained.paths,
        explanation.heatmaps,
        explanation.probabilities,
        choose_covered(explanation.predicted, seed=seed),
        value_range=task.value_range,
        seed=seed,
    )
    title = f"{task.bundle.name}: {task.title(task.arguments.method)}, what decides?"
    style = {"size": task.bundle.image_size, "share": SHARE, "title": title, "colormap": task.arguments.colormap}
    sheet = draw_covering(folder / SHEET, covering, explained, names, seed=seed, **style)
    write_covering(folder / TABLE, covering, explained, names)
    origin = {"network": task.bundle.digest, "data": read_fingerprint(task.arguments.data)}
    head = {"model": task.bundle.name, "title": task.title(task.arguments.method), "command": task.arguments.command}
    record = head | origin | summarize_covering(covering, explained, names, SHARE)
    for name, repeated in find_marks(covering, explained, names, seed).items():
        record["classes"][name]["repeated"] = repeated
    record |= {"sheet": str(sheet) if sheet else None}
    write_json(folder / RECORD, finite(record))
    return record


def find_marks(
    covering: Covering, explained: ExplainedPictures, names: Sequence[str], seed: int = 42
) -> dict[str, dict]:
    """For each predicted class in how many of its pictures the same patch has the strongest evidence: ``share`` as
    [mean, low, high], and the ``path`` of the picture that it is from; NaN and None of fewer than two.

    Near-copies share their patches whatever they show, so each group of them counts as one picture.
    """
    groups, _ = group_files([explained.paths[i] for i in covering.index])
    found = {}
    for label in np.unique(covering.class_index).tolist():
        of_class = covering.class_index == label
        index = covering.index[of_class]
        paths = [explained.paths[i] for i in index]
        images = list(map_threads(lambda path: load_image(path, (SIDE, SIDE), "bilinear"), paths))
        share, place = find_repeated(images, explained.explanation.heatmaps[index], groups[of_class], seed)
        path = None if place is None else paths[place]
        found[names[label]] = {"share": [share.mean, share.low, share.high], "path": path}
    return found
