"""Which test pictures the page shows of each model, and what it says of them."""

from collections.abc import Sequence
from itertools import zip_longest

from src.heatmap_drawing import describe_maximum
from src.reporting.pictures import PicturePool, encode_maps
from src.reporting.results import Answer, ModelResults

WRONG = 300  # at most, of each model
RIGHT = 12  # of each class, the least sure ones
RIGHT_IN_ALL = 480  # of very many classes fewer of each


def choose_wrong(model: ModelResults) -> list[Answer]:
    """Wrong answers to show: of too many the first of every cell of the confusion matrix by turns."""
    wrong = model.wrong
    if len(wrong) <= WRONG:
        return wrong
    return sorted(_by_turns(wrong)[:WRONG], key=Answer.surest_first)


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
    turns = zip_longest(*(inside[:each] for inside in cells.values()))
    return [answer for turn in turns for answer in turn if answer is not None]


def describe_answers(model: ModelResults, answers: Sequence[Answer], pool: PicturePool) -> list[dict]:
    """What the page's gallery needs of each answer whose picture is in the pool."""
    places = {name: place for place, name in enumerate(model.class_names)}
    rows = []
    for answer in answers:
        if (picture := pool.place(answer.path)) is None:
            continue
        row = {
            "picture": picture,
            "path": answer.path,
            "true": places[answer.true],
            "predicted": places[answer.predicted],
            "confidence": answer.confidence,
            "probability": answer.probability,
            "loss": answer.loss,
        }
        if model.maps and (heatmap := model.maps.predicted.get(answer.path)) is not None:
            again = model.maps.true.get(answer.path)
            row["maps"] = encode_maps(heatmap, again)
            row["strengths"] = [None if each is None else describe_maximum(each) for each in (heatmap, again)]
        rows.append(row)
    return rows
