"""Class activation maps: a method is its rule for weighing the target layer's channels; the base does the rest.

A^k (h, w) are the target layer's K activation maps, g^k = dy/dA^k the gradients of the target y there, Z = h w their
number of cells. Every map is L = ReLU(sum_k w^k A^k): at least 0, in the units of the rule, at the layer's own
resolution. It shows where the layer holds evidence for the class, as coarsely as the layer sees it; neither what
exactly in a cell, nor what the layers before it made it of, nor whether the reason is a good one.
"""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from src.explainers.base import Explainer, Passes
from src.explainers.explained_model import ExplainedModel

WeightRule = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(activations, gradients), both float32 (N, h, w, K) -> weights (N, 1, 1, K) or (N, h, w, K)."""


def gradcam_weights(activations: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """Selvaraju et al. 2017, eq. 1: alpha_k = 1/Z sum_ij dy^c/dA^k_ij, the gradient's mean over the map's Z cells.

    Evidence that stands in one cell counts by the mean over all of them, so it can point at cells that do not matter.
    """
    return tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)


def gradcam_plus_plus_weights(activations: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """Chattopadhay et al. 2018, eq. 5 and 19, for Y = exp(y): w_k = sum_ij alpha^k_ij ReLU(exp(y) g^k_ij) with
    alpha^k_ij = g^2 / (2 g^2 + sum_ab A^k_ab g^3), g = g^k_ij.

    Left out is exp(y), one positive factor for the whole picture, which overflows for sure predictions: strengths of
    different pictures are thus those of y, not of Y. Where the denominator is 0, alpha is 0.
    """
    squares = gradients**2
    sums = tf.reduce_sum(activations, axis=(1, 2), keepdims=True)
    alphas = tf.math.divide_no_nan(squares, 2.0 * squares + sums * gradients**3)
    return tf.reduce_sum(alphas * tf.nn.relu(gradients), axis=(1, 2), keepdims=True)


def hirescam_weights(activations: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """Draelos and Carin 2020 (HiResCAM, arXiv 2011.08891): w^k_ij = g^k_ij, each cell by its own gradient.

    What the paper proves, that the map shows just what the score was computed from, holds for a last convolution with
    a linear rest. The ReLU of the other methods, which the paper leaves out, is kept.
    """
    return gradients


def layercam_weights(activations: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """Jiang et al. 2021 (LayerCAM), its weights of each cell: w^k_ij = ReLU(g^k_ij); made for early layers too."""
    return tf.nn.relu(gradients)


def xgradcam_weights(activations: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """Fu et al. 2020 (XGrad-CAM, arXiv 2008.02312), its closed form: w_k = sum_ij (A^k_ij / sum_ab A^k_ab) g^k_ij.

    Meant for activations of at least 0. Where a channel's sum is 0 its weight is 0; where activations of both signs
    nearly cancel, it is large and means little.
    """
    sums = tf.reduce_sum(activations, axis=(1, 2), keepdims=True)
    return tf.math.divide_no_nan(tf.reduce_sum(activations * gradients, axis=(1, 2), keepdims=True), sums)


CAM_METHODS: dict[str, WeightRule] = {
    "gradcam": gradcam_weights,
    "gradcam++": gradcam_plus_plus_weights,
    "hirescam": hirescam_weights,
    "layercam": layercam_weights,
    "xgradcam": xgradcam_weights,
}


class LayerExplainer(Explainer):
    """What all explainers by a target layer share.

    Args:
        model: see :class:`src.explainers.base.Explainer`.
        target_layer: whose activations are weighed; None for the last fitting layer.

    Attributes:
        layer: its activations and gradients.
        uses_engine: whether an engine computes the activations; TensorFlow then only does what follows.
    """

    def __init__(self, model: keras.Model | ExplainedModel, *, target_layer: str | None = None, **options):
        super().__init__(model, **options)
        self.layer = self.explained.layer(target_layer)
        self.target_layer = self.layer.name

    @property
    def uses_engine(self) -> bool:
        return self.layer.uses_engine


class ClassActivationMap(LayerExplainer):
    """Class activation maps by one weight rule: L^c = ReLU(sum_k w_k A^k) (Selvaraju et al. 2017, eq. 2).

    Args:
        weight_rule: from activations and gradients to weights.
    """

    passes = Passes(backward=1)

    def __init__(self, model: keras.Model | ExplainedModel, weight_rule: WeightRule = gradcam_weights, **options):
        super().__init__(model, **options)
        self._weigh = _compile_rule(weight_rule)

    def compute(self, inputs: np.ndarray, wanted: np.ndarray) -> tuple:
        activations, gradients, logits, probabilities, class_index = self.layer.differentiate(inputs, wanted)
        return self._weigh(activations, gradients), logits, probabilities, class_index


@functools.lru_cache(maxsize=32)
def _compile_rule(weight_rule: WeightRule) -> Callable:
    """(activations, gradients) -> maps, one graph for all models and sizes."""
    return tf.function(
        lambda activations, gradients: weighted_map(activations, weight_rule(activations, gradients)),
        input_signature=[tf.TensorSpec((None, None, None, None))] * 2,
        autograph=False,
    )


def weighted_map(activations: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """ReLU(sum_k w_k A^k), (N, h, w), of activations (N, h, w, K) and weights that broadcast to them."""
    return tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1))


class EigenCAM(LayerExplainer):
    """Muhammad and Yeasin 2020 (Eigen-CAM, arXiv 2008.00299): L = O V_1, the activations O (h w, K) projected on their
    first right singular vector; not centred. Then ReLU, as for its kin.

    The vector's sign is arbitrary: here the map's sum is positive. It shows what is strong in the layer, whatever the
    class: the same map answers for each, and it says nothing about the decision.
    """

    class_specific = False
    passes = Passes(backward=1)  # by the computation that all methods at a layer share; the gradient is not used

    def compute(self, inputs: np.ndarray, wanted: np.ndarray) -> tuple:
        activations, _, logits, probabilities, class_index = self.layer.differentiate(inputs, wanted)
        return first_component(activations), logits, probabilities, class_index


@tf.function(input_signature=[tf.TensorSpec((None, None, None, None))], autograph=False)
def first_component(activations: tf.Tensor) -> tf.Tensor:
    """ReLU(O V_1) (N, h, w) of activations (N, h, w, K), with the sign for which its sum before ReLU is positive."""
    shape = tf.shape(activations)
    finite = tf.where(tf.math.is_finite(activations), activations, 0.0)  # NaN is refused later, by a sentence
    matrix = tf.reshape(finite, (shape[0], shape[1] * shape[2], shape[3]))
    # Scaled before it is squared, for squares lose digits; then the smaller of O O^T = U S^2 U^T and O^T O = V S^2 V^T.
    scale = tf.reduce_max(tf.abs(matrix), axis=(1, 2), keepdims=True)
    scaled = tf.math.divide_no_nan(matrix, scale)

    def by_cells() -> tf.Tensor:
        values, vectors = tf.linalg.eigh(tf.matmul(scaled, scaled, transpose_b=True))
        return vectors[:, :, -1:] * tf.sqrt(tf.nn.relu(values[:, -1:, None]))

    def by_channels() -> tf.Tensor:
        return tf.matmul(scaled, tf.linalg.eigh(tf.matmul(scaled, scaled, transpose_a=True))[1][:, :, -1:])

    projected = (tf.cond(shape[1] * shape[2] <= shape[3], by_cells, by_channels) * scale)[:, :, 0]
    sign = tf.where(tf.reduce_sum(projected, axis=1, keepdims=True) < 0, -1.0, 1.0)
    return tf.nn.relu(tf.reshape(projected * sign, shape[:3]))
