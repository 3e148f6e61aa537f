"""Class activation maps: a method is its rule for weighing the target layer's channels; the base does the rest."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from src.errors import UserError
from src.explainers.base import Explanation
from src.explainers.graph import build_gradient_model
from src.explainers.targets import Target, class_logit
from src.inference.engine import Engine

EngineFactory = Callable[[keras.KerasTensor, dict[str, keras.KerasTensor]], Engine | None]
"""(symbolic inputs, symbolic outputs by name) -> an engine for these, as of
:func:`src.inference.engine.create_engine`, or None for TensorFlow."""

WeightRule = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""(activations, gradients), both float32 (N, h, w, K) -> weights (N, 1, 1, K) or (N, h, w, K)."""


def gradcam_weights(activations: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """Selvaraju et al. 2017, eq. 1: alpha_k = 1/Z sum_ij dy^c/dA^k_ij, the gradient's mean over the map's Z cells."""
    return tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)


CAM_METHODS: dict[str, WeightRule] = {"gradcam": gradcam_weights}


class ClassActivationMap:
    """Class activation maps of one model by one weight rule: L^c = ReLU(sum_k alpha_k A^k) (Selvaraju et al., eq. 2).

    The gradient model and its graph function are built once; they share the caller's layers and alter none.

    Args:
        model: see :func:`src.explainers.graph.build_gradient_model`, which also names the errors raised.
        weight_rule: from activations and gradients to weights.
        target: what is differentiated.
        target_layer: whose activations are weighed; None for the last fitting layer.
        engine: makes what computes the network up to the target layer, so that TensorFlow only computes and
            differentiates what follows; called once, here. The engine's output of the target layer's name (N, h, w, K)
            must be that layer's by the model's present weights. None is made where the network has another way past
            that layer; an engine that is Keras again is left aside, and any other while the weights before the layer
            are not what they were when it was made.

    Attributes:
        target_layer: its name.
        input_shape: (H, W, 3), None where any size fits.
        class_count: the classes that can be explained.
        uses_engine: whether an engine computes the activations.
    """

    def __init__(
        self,
        model: keras.Model,
        weight_rule: WeightRule = gradcam_weights,
        *,
        target: Target = class_logit,
        target_layer: str | None = None,
        engine: EngineFactory | None = None,
    ):
        self._gradient_model = build_gradient_model(model, target_layer)
        self._weight_rule, self._target = weight_rule, target
        self.target_layer = self._gradient_model.target_layer
        self.input_shape = tuple(model.inputs[0].shape[1:])
        self.class_count = max(model.outputs[0].shape[-1], 2)
        self._whole = self._compile(self._gradient_model, self.input_shape)
        self._engine = None
        if engine is not None and self._gradient_model.tail is not None:
            inputs, activations = self._gradient_model.model.inputs[0], self._gradient_model.model.outputs[0]
            made = engine(inputs, {self.target_layer: activations})
            if made is not None and made.name != "keras":  # with Keras the whole graph is the faster
                self._engine = made
                self._from_activations = self._compile(self._gradient_model.from_activations, activations.shape[1:])
                self._unchanged = _unchanged_since_now(keras.Model(inputs, activations))
        self.uses_engine = self._engine is not None

    def _compile(self, forward: Callable, shape: Sequence[int | None]) -> Callable:
        """One graph for every size of batch."""
        signature = [tf.TensorSpec((None, *shape)), tf.TensorSpec((None,), tf.int32)]
        return tf.function(lambda start, wanted: self._trace(forward, start, wanted), input_signature=signature)

    def _trace(self, forward: Callable, start: tf.Tensor, wanted: tf.Tensor):
        """The computation from the inputs or the activations on; ``wanted`` holds -1 where the predicted class is to
        be explained."""
        with tf.GradientTape() as tape:
            tape.watch(start)  # frozen variables are not watched, and activations may only arise inside
            activations, logits, probabilities = forward(start)
            class_index = tf.where(wanted < 0, tf.argmax(logits, axis=1, output_type=tf.int32), wanted)
            scores = self._target(logits, class_index)
        # Scores of different pictures do not meet, so the gradient of their sum holds each one's own.
        gradients = tape.gradient(scores, activations)
        if gradients is None:
            raise UserError(f"the logits do not depend on the layer {self.target_layer} in a differentiable way")
        activations, gradients = tf.cast(activations, tf.float32), tf.cast(gradients, tf.float32)
        weights = self._weight_rule(activations, gradients)
        heatmaps = tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1))
        return heatmaps, logits, probabilities, class_index

    def explain(self, inputs: np.ndarray, class_index: int | Sequence[int] | None = None) -> Explanation:
        """Explain one batch; see :class:`src.explainers.base.Explainer`. Maps are at least 0, raw."""
        inputs = np.asarray(inputs, np.float32)
        if inputs.ndim != 4 or any(want not in (None, got) for want, got in zip(self.input_shape, inputs.shape[1:])):
            raise UserError(f"the model takes pictures {self.input_shape} in batches. Received: {inputs.shape}")
        wanted = np.broadcast_to(-1 if class_index is None else np.asarray(class_index, np.int32), len(inputs))
        if class_index is not None and not np.all((wanted >= 0) & (wanted < self.class_count)):
            raise UserError(f"classes are numbered 0 to {self.class_count - 1}. Received: {class_index}")
        wanted = tf.constant(wanted, tf.int32)
        if self.uses_engine and self._unchanged():
            activations = self._engine.run(inputs)[self.target_layer]
            results = self._from_activations(tf.constant(activations), wanted)
        else:
            results = self._whole(tf.constant(inputs), wanted)
        heatmaps, logits, probabilities, explained = (result.numpy() for result in results)
        if not (np.isfinite(heatmaps).all() and np.isfinite(logits).all()):
            raise UserError("the model's values are not finite (NaN or infinite); its training went astray, train anew")
        return Explanation(heatmaps, logits, probabilities, explained, self.target_layer)


def _unchanged_since_now(model: keras.Model) -> Callable[[], tf.Tensor]:
    """A function that returns whether all of the model's variables have the values that they have now."""
    then = [tf.identity(variable.value) for variable in model.variables]

    @tf.function(input_signature=[])
    def compare() -> tf.Tensor:
        equal = (tf.reduce_all(variable.value == value) for variable, value in zip(model.variables, then))
        return tf.reduce_all([tf.constant(True), *equal])

    return compare
