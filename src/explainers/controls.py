"""Controls: maps that know nothing of the model. A method that does not beat them has shown nothing.

They stand apart from the registry: nobody should be offered them as an explanation.
"""

import keras
import numpy as np

from src.explainers.base import Explainer, Passes
from src.explainers.explained_model import ExplainedModel
from src.settings import random_generator


def center_blob(size: tuple[int, int]) -> np.ndarray:
    """The control: a Gaussian in the centre of ``size`` = (height, width), sigma a quarter of each side, peak near 1.

    Objects tend to be in the centre: what a method gains over this is what it learnt from the picture.
    """
    rows, columns = ((np.arange(side) - (side - 1) / 2) / (side / 4) for side in size)
    return np.exp(-0.5 * (rows[:, None] ** 2 + columns[None, :] ** 2)).astype(np.float32)


def random_map(*, cells: tuple[int, int] = (7, 7), seed: int = 0, picture: int = 0) -> np.ndarray:
    """The other control: uniform random ``cells`` (rows, columns), float32 in 0..1, enlarged as any map is.

    Take as many cells as the judged maps have: how coarse a map is changes every measure that removes pixels.
    """
    return random_generator(seed, 3, picture).random(cells, dtype=np.float32)


class RandomMap(Explainer):
    """Uniform random cells, other ones for each picture: a function of the seed and the picture.

    Args:
        cells: rows and columns, as of the maps that it stands beside, so that it is their equal but for what it knows.
        seed: of the draw.
    """

    class_specific = False
    passes = Passes()

    def __init__(
        self, model: keras.Model | ExplainedModel, *, cells: tuple[int, int] = (7, 7), seed: int = 0, **options
    ):
        super().__init__(model, **options)
        self.cells, self.seed = cells, seed

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray:
        # Its bytes number a picture, so that the map does not depend on the batch that it comes in.
        numbers = (np.frombuffer(picture.tobytes(), np.uint32).sum(dtype=np.uint64) for picture in inputs)
        return np.stack([random_map(cells=self.cells, seed=self.seed, picture=int(number)) for number in numbers])


class CenterBlob(Explainer):
    """A Gaussian in the centre, where objects tend to be; see :func:`center_blob`."""

    class_specific = False
    passes = Passes()

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray:
        return np.repeat(center_blob(inputs.shape[1:3])[None], len(inputs), axis=0)
