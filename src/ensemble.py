"""Several classifiers as one: the mean of their logits, each at its own temperature."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from src.errors import UserError, name_some
from src.evaluation.calibration import average_logits
from src.imaging import ImageError, read_in_batches

if TYPE_CHECKING:
    from src.bundle_facts import Classifier


def align_classes(probabilities: np.ndarray, known: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Columns of probabilities (N, C) in the order ``known`` put into the order ``wanted`` of the same names."""
    if list(known) == list(wanted):
        return probabilities
    return probabilities[:, [list(known).index(name) for name in wanted]]


def check_same_classes(members: Sequence["Classifier"]) -> None:
    """Raise ``UserError`` where the members of an ensemble do not know the same classes, in any order."""
    first = members[0]
    for other in members[1:]:
        if sorted(other.class_names) != sorted(first.class_names):
            raise UserError(
                f"{first.name} knows the classes {name_some(first.class_names)}, {other.name} knows "
                f"{name_some(other.class_names)}; an ensemble takes models of the same classes: name them with --model"
            )


def predict_in_batches(
    members: Sequence["Classifier"], paths: Sequence[str], batch_size: int, *, flips: bool = False
) -> Iterator[tuple[list[int], np.ndarray, list[np.ndarray | None], list[ImageError]]]:
    """Pictures read and answered batch by batch, by one classifier or by several together.

    Each member reads the pictures for itself, at its own size.

    Args:
        members: of the same classes, in any order.
        flips: as for ``Classifier.predict``.

    Yields:
        The places in ``paths`` of those that could be read; their probabilities float32 (n, C) in the order of the
        first member's classes; for each member their features, as of ``Classifier.answer_with_features``; and the
        errors of the others, each once.
    """
    wanted = members[0].class_names
    for parts in zip(*(read_in_batches(paths, member.read, batch_size) for member in members)):
        failures = {failure.path: failure for _, _, failed in parts for failure in failed}
        read = sorted(set.intersection(*(set(places) for places, _, _ in parts)))  # a file may go between two readers
        if not read:
            yield [], np.empty((0, len(wanted)), np.float32), [None] * len(members), list(failures.values())
            continue
        answers, features = [], []
        for member, (places, inputs, _) in zip(members, parts):
            probabilities, found = member.answer_with_features(inputs[np.isin(places, read)], flips=flips)
            answers.append(align_classes(member.soften(probabilities), member.class_names, wanted))
            features.append(found)
        together = answers[0] if len(members) == 1 else average_logits(answers)
        yield read, together, features, list(failures.values())
