"""Explanations by the gradient at the picture itself, pixel by pixel. g = dy/dx, y the target, x the input (H, W, 3).

They say to which pixels the score is sensitive, or what each adds to it; not where the object is. Neighbouring pixels
may differ wildly, since a network's gradient does. Maps are (N, H, W), in units of the target by input units
(saliency, SmoothGrad) or of the target (the others).
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from src.errors import UserError
from src.explainers.base import Explainer, Passes
from src.explainers.baselines import removed_picture
from src.explainers.cam import ClassActivationMap
from src.explainers.explained_model import BATCH, ExplainedModel, compile_input_gradients, run_in_batches
from src.explainers.graph import build_answer_model
from src.explainers.reapplied import is_nested, reapply
from src.progress import say
from src.settings import random_generator


def largest_channel(gradients: np.ndarray) -> np.ndarray:
    """max over colours of |g|, (N, H, W): Simonyan et al. 2014, sec. 3.1."""
    return np.abs(gradients).max(axis=-1)


class Saliency(Explainer):
    """Simonyan, Vedaldi and Zisserman 2014, sec. 3.1: M_ij = max_c |g_ijc|. At least 0.

    For a linear model it is |w|, whatever the picture: it shows where a small change would count, not what is there.
    """

    passes = Passes(forward=1, backward=1)

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray:
        return largest_channel(self.explained.input_gradients(inputs, class_index))


class GradientTimesInput(Explainer):
    """Shrikumar et al. 2016 (arXiv 1605.01713), sec. 2: M_ij = sum_c g_ijc (x_ijc - b_c), b black. Signed.

    Exact for a linear model, where it sums to y(x) - y(b); a first approximation else. A black pixel gets 0, however
    much it matters.
    """

    signed = True
    passes = Passes(forward=1, backward=1)

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray:
        return (self.explained.input_gradients(inputs, class_index) * (inputs - self.explained.black)).sum(axis=-1)


class SmoothGrad(Explainer):
    """Smilkov et al. 2017 (arXiv 1706.03825), sec. 3: the mean gradient of ``samples`` noisy copies, then as
    :class:`Saliency`: M_ij = max_c |1/n sum_n g_ijc(x + N(0, s^2))|. At least 0.

    The noise is relative to each picture's own range: s = ``noise`` (max x - min x). With noise 0 it is Saliency. The
    class explained is that of the picture without noise.

    Args:
        samples: noisy copies.
        noise: the paper's 0.1 to 0.2.
        seed: of the noise, which is the same for every picture.
    """

    def __init__(
        self, model: keras.Model | ExplainedModel, *, samples: int = 16, noise: float = 0.15, seed: int = 0, **options
    ):
        super().__init__(model, **options)
        if samples < 1 or noise < 0:
            raise UserError(f"samples must be at least 1 and noise at least 0. Received: {samples}, {noise}")
        self.samples, self.noise, self.seed = samples, noise, seed

    @property
    def passes(self) -> Passes:
        return Passes(forward=1, backward=self.samples)

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray:
        spread = self.noise * (inputs.max(axis=(1, 2, 3)) - inputs.min(axis=(1, 2, 3)))
        total = np.zeros(inputs.shape, np.float64)
        for sample in range(self.samples):
            noise = random_generator(self.seed, sample).standard_normal(inputs.shape[1:], dtype=np.float32)
            total += self.explained.input_gradients(inputs + spread[:, None, None, None] * noise, class_index)
        return largest_channel(total / self.samples).astype(np.float32)


class IntegratedGradients(Explainer):
    """Sundararajan, Taly and Yan 2017 (arXiv 1703.01365), eq. 1: M_ij = sum_c (x_ijc - b_ijc) integral_0^1
    g_ijc(b + a (x - b)) da. Signed; sums to y(x) - y(b) ("completeness") but for the error of the integral.

    The integral is the Gauss-Legendre rule of ``steps`` points, exact for polynomials to the degree 2 steps - 1.

    The baseline b is part of the question: pixels that equal it get 0. On the straight way from it lie pictures that
    the network has never seen.

    Args:
        steps: gradients computed for each picture.
        baseline: "black" as in the paper, "mean" or "blur"; see :func:`src.explainers.baselines.removed_picture`.
    """

    signed = True

    def __init__(self, model: keras.Model | ExplainedModel, *, steps: int = 24, baseline: str = "black", **options):
        super().__init__(model, **options)
        if steps < 1:
            raise UserError(f"steps must be at least 1. Received: {steps}")
        removed_picture(np.zeros((1, 1, 3)), baseline)  # an unknown kind is refused now
        self.steps, self.baseline = steps, baseline
        points, weights = np.polynomial.legendre.leggauss(steps)
        self._points, self._weights = ((points + 1) / 2).astype(np.float32), weights / 2

    @property
    def passes(self) -> Passes:
        return Passes(forward=1, backward=self.steps)

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray:
        heatmaps = []
        for picture, label in zip(inputs, class_index):
            start = removed_picture(picture, self.baseline, self.explained.black)
            total = np.zeros(picture.shape, np.float64)
            for first in range(0, self.steps, BATCH):
                points, weights = self._points[first : first + BATCH], self._weights[first : first + BATCH]
                way = start + points[:, None, None, None] * (picture - start)
                gradients = self.explained.input_gradients(way, np.full(len(way), label, np.int32))
                total += np.tensordot(weights, gradients, axes=1)
            heatmaps.append((total * (picture - start)).sum(axis=-1))
        return np.stack(heatmaps).astype(np.float32)


class GuidedGradCAM(Explainer):
    """Selvaraju et al. 2017, sec. 3.2: Grad-CAM, enlarged to the picture, times guided backpropagation (Springenberg
    et al. 2015): the gradient with negative ones stopped at every ReLU. M_ij = max_c |guided g_ijc| L_ij. At least 0.

    WARNING: guided backpropagation fails sanity checks. It stays much the same where the network's upper layers are
    randomised (Adebayo et al. 2018, "Sanity checks for saliency maps"), because it partly recovers the picture's edges
    (Nie et al. 2018). Crisp is not faithful. Kept for comparison with published pictures.

    Only ReLUs that are layers, operations, or a layer's activation, are guided: ReLU, ReLU6, leaky ReLU; not those
    inside layers of one's own. A network without any, as EfficientNet-B0 with its swish, gets the plain gradient
    instead, which is said.
    """

    passes = Passes(backward=2)

    def __init__(self, model: keras.Model | ExplainedModel, *, target_layer: str | None = None, **options):
        super().__init__(model, **options)
        self._cam = ClassActivationMap(self.explained, target_layer=target_layer)
        self.target_layer = self._cam.target_layer
        guided, count = guide_relus(self.explained.model)
        if count == 0:
            say("guided_gradcam: the network has no ReLU to guide; its gradient is the plain one")
        answer = build_answer_model(guided)
        self._gradients = compile_input_gradients(answer, self.explained)

    def compute(self, inputs: np.ndarray, wanted: np.ndarray) -> tuple:
        heatmaps, logits, probabilities, class_index = self._cam.compute(inputs, wanted)
        guided = largest_channel(run_in_batches(self._gradients, inputs, np.asarray(class_index)))
        enlarged = tf.image.resize(heatmaps[..., None], inputs.shape[1:3])[..., 0].numpy()
        return guided * enlarged, logits, probabilities, class_index


def guide_relus(model: keras.Model) -> tuple[keras.Model, int]:
    """The same layers, whose ReLUs pass back positive gradients only, and how many ReLUs these are.

    Nothing is copied: a :class:`PositiveGradient` follows each layer that ends in a ReLU, for to guide a ReLU is to
    stop negative gradients before its own derivative.
    """
    guided, count = {}, 0

    def apply(operation, *args, **kwargs):
        nonlocal count
        if is_nested(operation):
            if operation.name not in guided:
                guided[operation.name], inside = guide_relus(operation)
                count += inside
            return guided[operation.name](*args, **kwargs)
        outputs = operation(*args, **kwargs)
        if not _ends_in_relu(operation):
            return outputs
        if operation.name not in guided:  # it may be called more than once
            guided[operation.name] = PositiveGradient(autocast=False, name=f"{operation.name}_guided")
            count += 1
        return guided[operation.name](outputs)

    again = reapply(model, apply).model
    return again, count


_RELUS = (
    *(keras.activations.relu, keras.activations.relu6, keras.activations.leaky_relu),
    *(keras.ops.relu, keras.ops.relu6, keras.ops.leaky_relu),
    *(tf.nn.relu, tf.nn.relu6, tf.nn.leaky_relu),
)
_RELU_LAYERS = (keras.layers.ReLU, keras.layers.LeakyReLU)


def _ends_in_relu(operation: keras.Operation) -> bool:
    if not isinstance(operation, keras.layers.Layer):  # what keras.ops make of a symbolic tensor
        return type(operation).__name__ in ("Relu", "Relu6", "LeakyRelu")
    activation = getattr(operation, "activation", None)
    return isinstance(operation, _RELU_LAYERS) or isinstance(activation, _RELU_LAYERS) or activation in _RELUS


class PositiveGradient(keras.layers.Layer):
    """Its input as it is, whose backward pass sets negative gradients to 0."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _positive_pass(tf.as_dtype(inputs.dtype))(inputs)


@functools.cache
def _positive_pass(dtype: tf.DType):
    """Traced once: in a graph TensorFlow enters each custom gradient, and with it the whole graph, into a registry for
    ever."""

    @tf.function(input_signature=[tf.TensorSpec(None, dtype)])
    @tf.custom_gradient
    def pass_positive(x: tf.Tensor):
        return tf.identity(x), tf.nn.relu

    return pass_positive
