"""Explainers made of others: smoothed by flips, averaged over layers."""

from collections.abc import Sequence

import numpy as np

from src.errors import UserError
from src.explainers.base import Explainer, Passes
from src.explainers.cam import LayerExplainer
from src.heatmap_drawing import enlarge_heatmap


class FlipSmoothed(Explainer):
    """The mean of the map and of the mirrored picture's map, mirrored back: (M(x) + flip M(flip x)) / 2.

    The class is that of the picture as it is. It takes twice the time, and evens out what a half-cell shift of the
    layer's grid does to a map; that the network takes both for the same picture is an assumption (no writing).

    Args:
        explainer: any other.
    """

    def __init__(self, explainer: Explainer):
        super().__init__(explainer.explained)
        self._explainer = explainer
        self.signed, self.class_specific = explainer.signed, explainer.class_specific
        self.comparable, self.target_layer = explainer.comparable, explainer.target_layer

    @property
    def passes(self) -> Passes:
        return self._explainer.passes * 2

    def compute(self, inputs: np.ndarray, wanted: np.ndarray) -> tuple:
        heatmaps, logits, probabilities, class_index = map(np.asarray, self._explainer.compute(inputs, wanted))
        flipped = np.ascontiguousarray(inputs[:, :, ::-1])
        mirrored = np.asarray(self._explainer.compute(flipped, class_index)[0])
        return (heatmaps + mirrored[:, :, ::-1]) / 2, logits, probabilities, class_index


class LayersAveraged(Explainer):
    """The mean of one method's maps at several layers (N, h, w), h and w those of the finest.

    Each map is first divided by its own largest amount, because the units of layers have nothing in common: the result
    is relative, 0..1 (-1..1 for signed methods), and its strength says nothing. A map of zeros stays that.

    Args:
        explainers: of one method and model, at different layers.
    """

    comparable = False

    def __init__(self, explainers: Sequence[LayerExplainer]):
        if not explainers:
            raise UserError("name at least one layer to average over")
        super().__init__(explainers[0].explained)
        self._explainers = list(explainers)
        self.signed, self.class_specific = explainers[0].signed, explainers[0].class_specific
        self.target_layer = "+".join(explainer.target_layer for explainer in explainers)

    @property
    def passes(self) -> Passes:
        return sum((explainer.passes for explainer in self._explainers), Passes())

    def compute(self, inputs: np.ndarray, wanted: np.ndarray) -> tuple:
        results = [tuple(map(np.asarray, explainer.compute(inputs, wanted))) for explainer in self._explainers]
        size = np.max([result[0].shape[1:] for result in results], axis=0)
        layers = [np.stack([_relative(heatmap, size) for heatmap in result[0]]) for result in results]
        return np.mean(layers, axis=0, dtype=np.float32), *results[0][1:]


def _relative(heatmap: np.ndarray, size: Sequence[int]) -> np.ndarray:
    largest = np.abs(heatmap).max()
    return enlarge_heatmap(heatmap / largest if largest > 0 else heatmap, (int(size[0]), int(size[1])))
