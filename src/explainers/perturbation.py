"""Explanations by taking parts of the picture away and looking at the score: no gradient, nothing of the inside.

Removed pixels are replaced (``removal``: see :func:`src.explainers.baselines.removed_picture`), so that every score is
of a picture which the network was not trained on. Maps are (N, H, W), signed, in units of the target.
"""

from collections.abc import Iterator

import cv2
import keras
import numpy as np

from src.errors import UserError
from src.explainers.base import Explainer, Passes
from src.explainers.baselines import removed_picture
from src.explainers.explained_model import AT_ONCE, BATCH, ExplainedModel
from src.settings import random_generator
from src.threads import map_threads


class PerturbationExplainer(Explainer):
    """What explainers by removal share.

    Args:
        removal: what removed pixels are replaced by.
    """

    signed = True

    def __init__(self, model: keras.Model | ExplainedModel, *, removal: str = "mean", **options):
        super().__init__(model, **options)
        removed_picture(np.zeros((1, 1, 3)), removal)  # an unknown kind is refused now
        self.removal = removal

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray:
        scores = self.explained.score_logits(logits, class_index)

        def explain(place: int) -> np.ndarray:
            picture = inputs[place]
            removed = removed_picture(picture, self.removal, self.explained.black)
            return self.explain_one(picture, removed, int(class_index[place]), scores[place])

        # Several at once: while one has its pictures made, the network answers another's.
        return np.stack(list(map_threads(explain, range(len(inputs)), AT_ONCE))).astype(np.float32)

    def explain_one(self, picture: np.ndarray, removed: np.ndarray, class_index: int, score: float) -> np.ndarray:
        """The map (H, W) of one picture (H, W, 3) whose target has the value ``score``."""
        raise NotImplementedError


class Occlusion(PerturbationExplainer):
    """Zeiler and Fergus 2014, sec. 4.2: a square window is removed, place by place; a pixel's value is the mean drop
    y(x) - y(x without the window) over the windows that cover it.

    Evidence that stands twice is not found: each window leaves the other. What is larger than the window is found by
    its borders only.

    Args:
        window: the square's side as a share of the shorter side.
        stride: the step as a share of the window's side.
    """

    def __init__(self, model: keras.Model | ExplainedModel, *, window: float = 0.2, stride: float = 0.5, **options):
        super().__init__(model, **options)
        if not 0 < window <= 1 or not 0 < stride <= 1:
            raise UserError(f"window and stride must be shares above 0, at most 1. Received: {window}, {stride}")
        self.window, self.stride = window, stride

    @property
    def passes(self) -> Passes:
        sides = [side or 224 for side in self.explained.input_shape[:2]]
        return Passes(forward=1 + sum(1 for _ in self._places(*sides)))

    def _places(self, height: int, width: int) -> Iterator[tuple[slice, slice]]:
        side = max(1, round(self.window * min(height, width)))
        step = max(1, round(self.stride * side))
        # The last window ends at the border, so that every pixel is covered.
        rows, columns = ([*range(0, length - side, step), length - side] for length in (height, width))
        return ((slice(row, row + side), slice(column, column + side)) for row in rows for column in columns)

    def explain_one(self, picture: np.ndarray, removed: np.ndarray, class_index: int, score: float) -> np.ndarray:
        places = list(self._places(*picture.shape[:2]))
        total, coverage = np.zeros(picture.shape[:2], np.float64), np.zeros(picture.shape[:2], np.float64)
        for start in range(0, len(places), BATCH):
            chosen = places[start : start + BATCH]
            occluded = np.repeat(picture[None], len(chosen), axis=0)
            for copy, place in zip(occluded, chosen):
                copy[place] = removed[place]
            for place, value in zip(chosen, self.explained.score(occluded, class_index)):
                total[place] += score - value
                coverage[place] += 1
        return total / coverage


class RISE(PerturbationExplainer):
    """Petsiuk, Das and Saenko 2018 (RISE, arXiv 1806.07421), sec. 3.2: the picture under random masks, each a grid of
    cells x cells that are kept with the probability ``kept``, enlarged bilinearly and shifted at random.

    A pixel's value is the mean score of the pictures in which it is kept, weighted by the masks, minus the mean score
    of all: sum_i y_i M_i / sum_i M_i - mean_i y_i. The paper's eq. 6 divides by the masks' expectation and subtracts
    nothing; then a constant score gives a map of noise, and evidence stands on a high ground that is the same for all
    pixels. The masks are the same for every picture.

    An estimate from random draws: with few masks it is uneven, and small objects drown.

    Args:
        samples: masks.
        cells: the grid's side.
        kept: probability 0..1 of a cell.
        seed: of the masks.
    """

    def __init__(
        self,
        model: keras.Model | ExplainedModel,
        *,
        samples: int = 400,
        cells: int = 7,
        kept: float = 0.5,
        seed: int = 0,
        **options,
    ):
        super().__init__(model, **options)
        if samples < 1 or cells < 1 or not 0 < kept < 1:
            raise UserError(
                f"samples and cells must be at least 1, kept between 0 and 1. Received: {samples}, {cells}, {kept}"
            )
        self.samples, self.cells, self.kept, self.seed = samples, cells, kept, seed

    @property
    def passes(self) -> Passes:
        return Passes(forward=1 + self.samples)

    def _mask(self, number: int, height: int, width: int) -> np.ndarray:
        """Mask ``number``, float32 (H, W), 0..1: a function of the seed and its number."""
        rng = random_generator(self.seed, number)
        grid = (rng.random((self.cells + 1, self.cells + 1)) < self.kept).astype(np.float32)
        cell = (-(-height // self.cells), -(-width // self.cells))  # rounded up
        row, column = rng.integers(cell[0]), rng.integers(cell[1])
        size = ((self.cells + 1) * cell[1], (self.cells + 1) * cell[0])
        enlarged = cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR)
        return enlarged[row : row + height, column : column + width]

    def explain_one(self, picture: np.ndarray, removed: np.ndarray, class_index: int, score: float) -> np.ndarray:
        size = picture.shape[:2]
        weighted, coverage, values = np.zeros(size, np.float64), np.zeros(size, np.float64), []
        for start in range(0, self.samples, BATCH):
            masks = np.stack([self._mask(i, *size) for i in range(start, min(start + BATCH, self.samples))])
            masked = removed + masks[..., None] * (picture - removed)
            scores = self.explained.score(masked, class_index)
            # Around the picture's own score, so that sums of large logits lose no digits.
            weighted += np.tensordot(scores.astype(np.float64) - score, masks, axes=1)
            coverage += masks.sum(axis=0, dtype=np.float64)
            values.append(scores - score)
        mean = float(np.concatenate(values).mean(dtype=np.float64))
        return np.divide(weighted, coverage, out=np.full(size, mean), where=coverage > 0) - mean
