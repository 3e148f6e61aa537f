"""Which test pictures the page shows of each model, and what it says of them."""

import json
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from src.heatmap_drawing import describe_maximum
from src.reporting.pictures import PicturePool, encode_maps
from src.reporting.results import Answer, ModelResults

WRONG = 300  # at most, of each model
RIGHT = 12  # of each class, the least sure ones
RIGHT_IN_ALL = 480  # of very many classes fewer of each


def choose_wrong(model: ModelResults) -> list[Answer]:
    """Wrong answers to show: the surest of every cell of the confusion matrix by turns, the fullest cells first."""
    return _by_turns(model.wrong)[:WRONG]


def choose_right(model: ModelResults) -> list[Answer]:
    """Right answers to show: the least sure of every class, by turns."""
    right = sorted((answer for answer in model.answers if answer.right), key=lambda a: (a.confidence, a.path))
    each = min(RIGHT, max(1, RIGHT_IN_ALL // max(1, len(model.class_names))))
    return _by_turns(right, each)


def _by_turns(answers: Sequence[Answer], each: int | None = None) -> list[Answer]:
    """The first of every cell, the second of every cell, ...; at most ``each`` of one."""
    cells: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        cells.setdefault((answer.true, answer.predicted), []).append(answer)
    fullest = sorted(cells.values(), key=len, reverse=True)
    return list(_interleave(inside[:each] for inside in fullest))


def _interleave(groups: Iterable[Sequence]) -> Iterable:
    """The first of each group, then the second of each, ..."""
    return (each for turn in zip_longest(*groups) for each in turn if each is not None)


def fill_galleries(models: Sequence[ModelResults], pool: PicturePool) -> dict[str, list[dict]]:
    """What the page's gallery holds of each model: wrong answers before right ones, the models by turns as long as
    there is room, so that a full page shows some of each.
    """
    rows: dict[str, list[dict]] = {model.name: [] for model in models}
    for choose in (choose_wrong, choose_right):
        chosen = [[(model, answer) for answer in choose(model)] for model in models]
        pairs = list(_interleave(chosen))
        pool.read(answer.path for _, answer in pairs)
        for model, answer in pairs:
            row = _describe(model, answer)
            picture = pool.take(answer.path, beside=len(json.dumps(row)))
            if picture is not None:
                rows[model.name].append(row | {"picture": picture})
    return rows


def _describe(model: ModelResults, answer: Answer) -> dict:
    names = model.class_names
    row = {
        "path": answer.path,
        "true": names.index(answer.true),
        "predicted": names.index(answer.predicted),
        "confidence": answer.confidence,
        "probability": answer.probability,
        "loss": answer.loss,
    }
    if model.maps and (heatmap := model.maps.predicted.get(answer.path)) is not None:
        again = model.maps.true.get(answer.path)
        row["maps"] = encode_maps(heatmap, again)
        row["strengths"] = [None if each is None else describe_maximum(each) for each in (heatmap, again)]
    return row
