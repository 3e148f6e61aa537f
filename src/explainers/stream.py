"""Many pictures explained batch by batch: pixels pass through, only maps and answers are kept."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from src.errors import UserError
from src.explainers.base import Explainer, Explanation, concatenate
from src.imaging import ImageError
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

    def attempt(index: int):
        try:
            return read(paths[index])
        except ImageError as error:
            return error

    with ThreadPoolExecutor(max_workers=2) as pool, track(total=len(paths), what="Explaining") as progress:
        for start in range(0, len(paths), batch_size):
            indices = range(start, min(start + batch_size, len(paths)))
            results = list(pool.map(attempt, indices))  # decoding leaves Python's lock
            failures += [result for result in results if isinstance(result, ImageError)]
            good = [index for index, result in zip(indices, results) if not isinstance(result, ImageError)]
            if good:
                inputs = np.stack([results[index - start] for index in good])
                parts.append(explainer.explain(inputs, class_index))
            kept += good
            progress.update(len(indices))
    if not parts:
        reason = f"; the first: {failures[0]}" if failures else ""
        raise UserError(f"none of the {len(paths)} pictures could be read{reason}")
    chosen = np.asarray([labels[index] for index in kept], np.int64)
    return ExplainedPictures([str(paths[index]) for index in kept], chosen, concatenate(parts), failures)
