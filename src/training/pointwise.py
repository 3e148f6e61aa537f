"""1 x 1 convolutions as matrix products, which they are: on a CPU TensorFlow's gradient of a product is the faster."""

import contextlib
from collections.abc import Iterator

import keras
from keras import ops


def _is_pointwise(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and (layer.kernel_size, layer.strides, layer.dilation_rate) == ((1, 1), (1, 1), (1, 1))
        and layer.groups == 1
        and layer.data_format == "channels_last"
        and "convolution_op" not in vars(layer)
    )


def _multiply(inputs, kernel):
    """``inputs`` (N, H, W, C) by ``kernel`` (1, 1, C, K) -> (N, H, W, K)."""
    channels, units = kernel.shape[2:]
    product = ops.matmul(ops.reshape(inputs, (-1, channels)), ops.reshape(kernel, (channels, units)))
    return ops.reshape(product, (*ops.shape(inputs)[:3], units))


@contextlib.contextmanager
def pointwise_as_products(model: keras.Model) -> Iterator[None]:
    """Within the context the model's 1 x 1 convolutions of stride 1 compute as matrix products.

    Afterwards they compute as before, but for functions that were traced within, as ``model.train_function``.
    The layers' own ``convolution_op`` (which Keras documents as the place for another way to convolve) is replaced, so
    that weights, names and what is saved stay as they are.
    """
    changed = [layer for layer in model.layers if _is_pointwise(layer)]
    for layer in changed:
        layer.convolution_op = _multiply
    try:
        yield
    finally:
        for layer in changed:
            del layer.convolution_op
