"""Many pictures explained batch by batch: pixels pass through, answers are kept, and maps too, on the disk where they
would fill the memory."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from src.errors import UserError
from src.explainers.base import Explainer, Explanation, concatenate
from src.imaging import ImageError, read_in_batches
from src.progress import track

# Bytes of maps that are kept in memory: 300,000 maps of 7 x 7 cells, 330 of 224 x 224 pixels.
MEMORY = 64 * 2**20


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

    def select(self, indices: Sequence[int]) -> "ExplainedPictures":
        """Some of the pictures, in the order of ``indices``."""
        chosen = np.asarray(indices, np.int64)
        return replace(
            self,
            paths=[self.paths[index] for index in chosen],
            labels=self.labels[chosen],
            explanation=self.explanation.select(chosen),
        )


def explain_pictures(
    explainer: Explainer,
    read: Callable[[str], np.ndarray],
    paths: Sequence[str],
    labels: Sequence[int],
    *,
    class_index: int | Sequence[int] | None = None,
    batch_size: int = 32,
) -> ExplainedPictures:
    """Explain pictures by ``read`` (path -> one input (H, W, 3); raises ``ImageError``), in batches.

    Args:
        labels: the true class of each picture, -1 where unknown.
        class_index: the class to explain, one for all or one each; None for each picture's predicted one.

    Raises:
        UserError: not one of the pictures could be read.
    """
    parts, kept, failures = ExplanationStore(), [], []
    each = None if class_index is None else np.broadcast_to(np.asarray(class_index), len(paths))
    with track(total=len(paths), what="Explaining") as progress:
        for read_indices, inputs, failed in read_in_batches(paths, read, batch_size):
            if read_indices:
                parts.add(explainer.explain(inputs, None if each is None else each[read_indices]))
            kept += read_indices
            failures += failed
            progress.update(len(read_indices) + len(failed))
    if not kept:
        reason = f"; the first: {failures[0]}" if failures else ""
        raise UserError(f"none of the {len(paths)} pictures could be read{reason}")
    chosen = np.asarray([labels[index] for index in kept], np.int64)
    return ExplainedPictures([str(paths[index]) for index in kept], chosen, parts.join(), failures)


def explain_again(
    explainer: Explainer,
    read: Callable[[str], np.ndarray],
    explained: ExplainedPictures,
    class_index: Sequence[int],
    batch_size: int = 32,
) -> Explanation:
    """The same pictures explained for other classes, one each: those that came next, or the true ones."""
    second = explain_pictures(
        explainer,
        read,
        explained.paths,
        explained.labels,
        class_index=class_index,
        batch_size=batch_size,
    )
    if second.failures:
        raise UserError(f"{second.failures[0]}; it could be read before: leave the pictures alone meanwhile")
    return second.explanation


class ExplanationStore:
    """Collects explanations of batches. Beyond :data:`MEMORY` bytes their maps go to a file that nobody sees and that
    is gone with the maps; a full disk raises ``OSError``."""

    def __init__(self):
        self._parts: list[Explanation] = []
        self._file, self._in_memory, self._count = None, 0, 0

    def add(self, part: Explanation) -> None:
        self._in_memory += part.heatmaps.nbytes
        self._parts.append(part)
        if self._in_memory > MEMORY:
            self._spill()

    def _spill(self) -> None:
        self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the maps
        for place, part in enumerate(self._parts):
            if len(part.heatmaps):
                self._file.write(np.ascontiguousarray(part.heatmaps).data)
                self._count += len(part.heatmaps)
                self._shape = part.heatmaps.shape[1:]
                # A new array, for a slice of length 0 would keep the maps in memory.
                self._parts[place] = replace(part, heatmaps=np.empty((0, *self._shape), np.float32))
        self._in_memory = 0

    def join(self) -> Explanation:
        """All explanations in their order; the maps are a read-only view of the file where there is one."""
        if self._file is None:
            return concatenate(self._parts)
        self._spill()
        self._file.flush()
        maps = np.memmap(self._file, np.float32, "r", shape=(self._count, *self._shape))
        return replace(concatenate(self._parts), heatmaps=maps)
