"""Controls: maps that know nothing of the model. A method that does not beat them has shown nothing.

They stand apart from the registry: nobody should be offered them as an explanation.
"""

import keras
import numpy as np

from src.explainers.base import Explainer, Passes
from src.explainers.explained_model import ExplainedModel
from src.explainers.faithfulness import center_blob
from src.settings import random_generator


class RandomMap(Explainer):
    """Uniform random cells (cells x cells), other ones for each picture: a function of the seed and the picture.

    Args:
        cells: as coarse as a class activation map, so that it is their equal but for what it knows.
        seed: of the draw.
    """

    class_specific = False
    passes = Passes()

    def __init__(self, model: keras.Model | ExplainedModel, *, cells: int = 7, seed: int = 0, **options):
        super().__init__(model, **options)
        self.cells, self.seed = cells, seed

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray:
        # Its bytes number a picture, so that the map does not depend on the batch that it comes in.
        numbers = (np.frombuffer(picture.tobytes(), np.uint32).sum(dtype=np.uint64) for picture in inputs)
        shape = (self.cells, self.cells)
        return np.stack([random_generator(self.seed, int(n)).random(shape, dtype=np.float32) for n in numbers])


class CenterBlob(Explainer):
    """A Gaussian in the centre, where objects tend to be; see :func:`src.explainers.faithfulness.center_blob`."""

    class_specific = False
    passes = Passes()

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray:
        return np.repeat(center_blob(inputs.shape[1:3])[None], len(inputs), axis=0)


CONTROLS = {"random": RandomMap, "blob": CenterBlob}
