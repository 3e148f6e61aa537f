"""Many pictures explained batch by batch: pixels pass through, only maps and answers are kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from src.errors import UserError
from src.explainers.base import Explainer, Explanation, concatenate
from src.imaging import ImageError, read_in_batches
from src.progress import track


@dataclass(frozen=True)
class ExplainedPictures:
    """The readable pictures with their explanations.

    Attributes:
        paths: (N,), in the order given.
        labels: int (N,), the true classes; -1 where unknown.
        explanation: of N pictures.
        failures: the pictures that could not be read.
    """

    paths: list[str]
    labels: np.ndarray
    explanation: Explanation
    failures: list[ImageError]

    @property
    def correct(self) -> np.ndarray:
        """bool (N,)."""
        return self.explanation.predicted == self.labels


def explain_pictures(
    explainer: Explainer,
    read: Callable[[str], np.ndarray],
    paths: Sequence[str],
    labels: Sequence[int],
    *,
    class_index: int | None = None,
    batch_size: int = 32,
) -> ExplainedPictures:
    """Explain pictures by ``read`` (path -> one input (H, W, 3); raises ``ImageError``), in batches.

    Args:
        labels: the true class of each picture, -1 where unknown.
        class_index: the class to explain; None for each picture's predicted one.

    Raises:
        UserError: not one of the pictures could be read.
    """
    parts, kept, failures = [], [], []
    with track(total=len(paths), what="Explaining") as progress:
        for read_indices, inputs, failed in read_in_batches(paths, read, batch_size):
            if read_indices:
                parts.append(explainer.explain(inputs, class_index))
            kept += read_indices
            failures += failed
            progress.update(len(read_indices) + len(failed))
    if not parts:
        reason = f"; the first: {failures[0]}" if failures else ""
        raise UserError(f"none of the {len(paths)} pictures could be read{reason}")
    chosen = np.asarray([labels[index] for index in kept], np.int64)
    return ExplainedPictures([str(paths[index]) for index in kept], chosen, concatenate(parts), failures)
