"""A network that learns small pictures in few epochs, after K. Jordan's airbench (arXiv:2404.00498).

What is taken over: a first convolution that whitens 2 x 2 patches of the training pictures and is not trained; three
blocks of two convolutions with pooling before the first BatchNormalization, which has no scale; convolutions that begin
as the identity; global maximum pooling, and logits that begin small. Half its width, and SiLU instead of GELU.

Filters have length 1 after every step: what BatchNormalization follows does not depend on their length, which would
only grow, and the steps' effect shrink. (The author's later version for Muon keeps the length of each whole kernel
instead: https://github.com/KellerJordan/cifar10-airbench, airbench94_muon.) So weight decay does nothing to them.
"""

from collections.abc import Iterable

import keras
import numpy as np
from keras import layers

from src.networks.heads import add_head
from src.networks.small import picture_input, scaled

_WHITENING = "whitening"
_PATCH = 2
_EPSILON = 5e-4  # added to the variances of patches of standardized pictures
_LOGIT_SCALE = 1 / 9


def build_fast_cnn(
    class_count: int,
    image_size: tuple[int, int] = (32, 32),
    *,
    width: float = 1.0,
    dropout: float | None = None,
    grayscale: bool = False,
) -> keras.Model:
    """The network, its first convolution not yet fitted to pictures: see :func:`whiten`.

    Args:
        width: all numbers of filters (32, 128, 128) times this.
        dropout: before the logits; None: none.
    """
    inputs, x = picture_input(image_size, "torch", grayscale)
    directions = 2 * _PATCH**2 * x.shape[-1]  # each in both signs
    x = layers.Conv2D(directions, _PATCH, use_bias=False, name=_WHITENING)(x)
    x = layers.Activation("silu", name=f"{_WHITENING}_silu")(x)
    for block, filters in enumerate((32, 128, 128), start=1):
        for number in (1, 2):
            name = f"block{block}_{number}"
            x = layers.Conv2D(
                scaled(filters, width),
                3,
                padding="same",
                use_bias=False,
                kernel_constraint=keras.constraints.UnitNorm(axis=(0, 1, 2)),  # of each filter
                name=f"{name}_conv",
            )(x)
            if number == 1:
                x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
            x = layers.BatchNormalization(momentum=0.6, epsilon=1e-5, scale=False, name=f"{name}_bn")(x)
            x = layers.Activation("silu", name=f"{name}_silu")(x)
    x = layers.GlobalMaxPooling2D(name="pooling")(x)
    x = layers.Rescaling(_LOGIT_SCALE, name="scale")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    model = keras.Model(inputs, add_head(x, class_count), name="fast_cnn")
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D) and layer.name != _WHITENING:
            _start_as_identity(layer)
    model.get_layer(_WHITENING).trainable = False
    return model


def _start_as_identity(layer: layers.Conv2D) -> None:
    """The first filters hand on one channel each, as far as there are channels."""
    kernel = layer.kernel.numpy()
    for channel in range(min(kernel.shape[2:])):
        kernel[:, :, :, channel] = 0
        kernel[1, 1, channel, channel] = 1
    layer.kernel.assign(kernel)


def whiten(model: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Let the first convolution decorrelate the patches of these pictures, all to variance 1.

    Its filters are the eigenvectors of the patches' second moments (their mean is not taken away, as in airbench),
    divided by the root of their eigenvalue, in both signs.

    Args:
        model: of :func:`build_fast_cnn`.
        batches: of pictures, RGB 0..255 float32 (N, H, W, 3).
    """
    layer = model.get_layer(_WHITENING)
    below, channels = keras.Model(model.inputs[0], layer.input), layer.input.shape[-1]
    moments, count = 0.0, 0
    for images in batches:
        given = np.asarray(below(images))
        windows = np.lib.stride_tricks.sliding_window_view(given, (_PATCH, _PATCH), axis=(1, 2))
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, _PATCH**2 * channels)
        moments, count = moments + patches.T @ patches, count + len(patches)
    values, vectors = np.linalg.eigh(moments / count)
    vectors = (vectors / np.sqrt(values + _EPSILON))[:, ::-1]  # the largest first
    kernel = np.concatenate([vectors, -vectors], axis=1).reshape(_PATCH, _PATCH, channels, -1)
    layer.kernel.assign(kernel)
