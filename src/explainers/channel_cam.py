"""Class activation maps without gradients: each channel is weighed by what the score does when only its area is left
(Score-CAM) or when it is taken out (Ablation-CAM). Maps as in ``cam.py``: L = ReLU(sum_k w_k A^k)."""

import cv2
import keras
import numpy as np
import tensorflow as tf

from src.errors import UserError
from src.explainers.base import Passes
from src.explainers.baselines import removed_picture
from src.explainers.cam import LayerExplainer
from src.explainers.explained_model import AT_ONCE, BATCH, ExplainedModel
from src.threads import map_threads

CALM_BATCHES = 3  # with two, single maps of photographs were still a quarter of their largest value off


class ScoreCAM(LayerExplainer):
    """Wang et al. 2020 (Score-CAM, arXiv 1910.01279), definitions 1 to 3: w = softmax over channels of the increase

    C(A^k) = f(X o H_k) - f(X_b), H_k the channel enlarged to the picture and scaled to 0..1 by its own least and
    largest value, X o H_k the picture where H_k is 1 and the removed one X_b where it is 0, f the target (a logit;
    probabilities would make the weights nearly equal).

    A channel that is the same everywhere marks no area: it gets no weight. Channels are taken by turns in the order of
    their largest activation, which bounds what each can add to a cell, and of what Grad-CAM lets them add. The rest is
    left out once three batches of 32 in turn have moved no cell, as a share of the map's largest, by more than
    ``tolerance``. That is no bound: a channel that is weak by both orders could still raise the score most, and turn
    the map over. ``tolerance`` 0 asks all.

    The masks are as coarse as the layer, and soft: most leave something of the whole picture. With scores far apart
    the softmax is all on one channel.

    Args:
        removal: what X_b is; see :func:`src.explainers.baselines.removed_picture`.
        tolerance: share 0..1 of the map's largest value; 0 takes every channel.
    """

    comparable = False  # the weights of each class add up to 1, however little speaks for it

    def __init__(
        self,
        model: keras.Model | ExplainedModel,
        *,
        removal: str = "mean",
        tolerance: float = 0.005,
        **options,
    ):
        super().__init__(model, **options)
        self.removal, self.tolerance = removal, tolerance
        removed_picture(np.zeros((1, 1, 3)), removal)  # an unknown kind is refused now
        if not 0 <= tolerance < 1:
            raise UserError(f"tolerance must be at least 0 and below 1. Received: {tolerance}")
        self.channels_used: list[int] = []  # of each picture of the last batch

    @property
    def passes(self) -> Passes:
        return Passes(forward=self.layer.channels + 1, backward=1, at_most=self.tolerance > 0)

    def compute(self, inputs: np.ndarray, wanted: np.ndarray) -> tuple:
        activations, gradients, logits, probabilities, class_index = self.layer.differentiate(inputs, wanted)
        weights = np.abs(np.mean(gradients, axis=(1, 2)))
        pictures = list(zip(inputs, activations.numpy(), weights, class_index.numpy()))
        # Several at once: while one has its masks made, the network answers another's.
        heatmaps, used = zip(*map_threads(lambda picture: self._explain_one(*picture), pictures, AT_ONCE))
        self.channels_used = list(used)
        return np.stack(heatmaps), logits, probabilities, class_index

    def _explain_one(self, picture: np.ndarray, activations: np.ndarray, weights: np.ndarray, class_index: int):
        """The map (h, w) of one picture (H, W, 3) with activations (h, w, K), and how many channels were asked.

        Args:
            weights: (K,), the amounts of Grad-CAM's.
        """
        lowest, highest = activations.min(axis=(0, 1)), activations.max(axis=(0, 1))
        peaks = np.maximum(highest, -lowest)
        order = np.argsort(np.minimum(_ranks(peaks), _ranks(peaks * weights)), kind="stable")
        order = order[highest[order] > lowest[order]]
        removed = removed_picture(picture, self.removal, self.explained.black)
        base = self.explained.score(removed[None], class_index)[0]
        increases, heatmap, calm = np.zeros(0, np.float32), np.zeros(activations.shape[:2], np.float32), 0
        for start in range(0, len(order), BATCH):
            chosen, before = order[start : start + BATCH], heatmap
            masked = blend(picture, removed, unit_masks(activations[..., chosen], picture.shape[:2]))
            increases = np.append(increases, self.explained.score(masked, class_index) - base)
            heatmap = np.maximum(activations[..., order[: start + BATCH]] @ softmax(increases), 0)
            calm = calm + 1 if np.abs(_relative(heatmap) - _relative(before)).max() < self.tolerance else 0
            if calm == CALM_BATCHES:
                break
        return heatmap, len(increases)


def _relative(heatmap: np.ndarray) -> np.ndarray:
    """The map as a share of its largest value; a map of zeros as it is."""
    return heatmap / (heatmap.max() or 1.0)


def _ranks(values: np.ndarray) -> np.ndarray:
    """The place of each value in the order from the largest to the least, int (K,)."""
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(-values, kind="stable")] = np.arange(len(values))
    return ranks


def unit_masks(channels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Channels (h, w, M) enlarged bilinearly to ``size`` (H, W), each then scaled to 0..1: float32 (M, H, W)."""
    planes = np.moveaxis(channels, -1, 0)
    masks = np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes])
    lowest, highest = masks.min(axis=(1, 2), keepdims=True), masks.max(axis=(1, 2), keepdims=True)
    return np.divide(masks - lowest, highest - lowest, out=np.zeros_like(masks), where=highest > lowest)


def blend(picture: np.ndarray, removed: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """``picture`` (H, W, 3) where masks (M, H, W) are 1 and ``removed`` where they are 0: float32 (M, H, W, 3)."""
    return removed + masks[..., None] * (picture - removed)


def softmax(values: np.ndarray) -> np.ndarray:
    """exp(v) / sum exp(v), float32 (K,)."""
    exponents = np.exp(np.float64(values) - values.max())
    return (exponents / exponents.sum()).astype(np.float32)


class AblationCAM(LayerExplainer):
    """Desai and Ramaswamy 2020 (Ablation-CAM): w_k = (y - y_k) / |y|, y_k the score with channel k set to 0.

    The paper divides by y; by its amount, a channel that speaks for the class has a positive weight where the score is
    negative too. Where y is 0 the differences stand undivided.

    The cut is made after the layer, so only the layers that follow it are computed anew. 0 is "nothing" only for
    activations of at least 0.
    """

    @property
    def passes(self) -> Passes:
        return Passes(partial=self.layer.channels + 1, backward=1)

    def compute(self, inputs: np.ndarray, wanted: np.ndarray) -> tuple:
        activations, _, logits, probabilities, class_index = self.layer.differentiate(inputs, wanted)
        heatmaps = [
            self._explain_one(inputs[i : i + 1], activations[i], int(class_index[i])) for i in range(len(inputs))
        ]
        return np.stack(heatmaps), logits, probabilities, class_index

    def _explain_one(self, picture: np.ndarray, activations: tf.Tensor, class_index: int) -> np.ndarray:
        """The map (h, w) of one picture (1, H, W, 3) with activations (h, w, K)."""
        # The whole picture goes the same way as those without a channel: what both ways round apart would else count as
        # every channel's.
        kept, scores = np.vstack([np.ones(self.layer.channels), 1 - np.eye(self.layer.channels)]), []
        for start in range(0, len(kept), BATCH):
            factors = tf.constant(kept[start : start + BATCH, None, None, :], tf.float32)
            scores.append(self.layer.score_activations(picture, activations[None] * factors, class_index))
        score, *without = np.concatenate(scores)
        weights = (score - np.array(without, np.float32)) / (abs(score) or 1.0)
        return np.maximum(activations.numpy() @ weights, 0)
