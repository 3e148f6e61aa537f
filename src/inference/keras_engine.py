"""Keras itself as an engine: where nothing faster serves, and on a GPU."""

import keras
import numpy as np
import tensorflow as tf


class KerasEngine:
    """See :class:`src.inference.engine.Engine`.

    On a GPU in mixed precision (float16 arithmetic, float32 weights) and compiled by XLA. On a CPU neither: there
    XLA ran EfficientNet-Lite0 at a tenth of the rate (docs/performance.md).

    Args:
        model: one input, its outputs a dict of names and tensors.
        gpu: whether to compute as on a GPU.
    """

    name = "keras"

    def __init__(self, model: keras.Model, *, gpu: bool = False):
        self.precision = "mixed_float16" if gpu else "float32"
        self._model = in_precision(model, self.precision) if gpu else model
        shape = tuple(self._model.inputs[0].shape)
        self._compute = tf.function(
            lambda images: self._model(images, training=False),
            input_signature=[tf.TensorSpec(shape, tf.float32)],
            jit_compile=True if gpu else None,
        )

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self._compute(tf.constant(images, tf.float32))
        return {name: np.array(value, np.float32) for name, value in outputs.items()}


def in_precision(model: keras.Model, policy: str) -> keras.Model:
    """A copy of ``model`` whose layers follow a dtype policy ("mixed_float16"), its weights the same.

    A softmax stays as it is: half precision would round confidences near 1.
    """

    def convert(layer):
        config = layer.get_config()
        if "dtype" in config and not isinstance(layer, keras.layers.Softmax):
            config["dtype"] = policy
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=convert)
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        if hasattr(layer, "finalize_state"):  # Normalization computes with copies of its weights
            layer.finalize_state()
    return copy
