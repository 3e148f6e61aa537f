"""ResNet-18 (He et al. 2016, table 1), which Keras lacks, with the stems of S2 and S4."""

import keras
from keras import layers

from src.networks.heads import add_head
from src.networks.small import picture_input, scaled

_STAGES = (64, 128, 256, 512)


def _convolution(x, filters: int, size: int, stride: int, name: str):
    """Convolution without bias, and BatchNormalization; borders as in PyTorch, whose users know this network."""
    if size > 1:
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
    initializer = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    x = layers.Conv2D(filters, size, stride, use_bias=False, kernel_initializer=initializer, name=f"{name}_conv")(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _block(x, filters: int, stride: int, name: str):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""
    y = layers.ReLU(name=f"{name}_1_relu")(_convolution(x, filters, 3, stride, f"{name}_1"))
    y = _convolution(y, filters, 3, 1, f"{name}_2")
    if stride > 1 or x.shape[-1] != filters:
        x = _convolution(x, filters, 1, stride, f"{name}_0")
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, y]))


def build_resnet18(
    class_count: int,
    image_size: tuple[int, int] = (224, 224),
    *,
    width: float = 1.0,
    dropout: float | None = None,
    grayscale: bool = False,
    small_stem: bool = False,
) -> keras.Model:
    """ResNet-18: stem, four stages of two blocks (64, 128, 256, 512 filters), global average pooling.

    Args:
        width: all numbers of filters times this.
        dropout: before the logits; None: none.
        grayscale: the stem takes one channel (S2).
        small_stem: a 3x3 convolution of stride 1 in the place of 7x7 and pooling, both of stride 2 (S4), so that
            pictures of 32 x 32 keep their detail.
    """
    inputs, x = picture_input(image_size, "torch", grayscale)
    if small_stem:
        x = layers.ReLU(name="stem_relu")(_convolution(x, scaled(64, width), 3, 1, "stem"))
    else:
        x = layers.ReLU(name="stem_relu")(_convolution(x, scaled(64, width), 7, 2, "stem"))
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(
            x
        )  # values are at least 0 here, so that 0 is never the maximum
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, filters in enumerate(_STAGES, start=1):
        for block in (1, 2):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _block(x, scaled(filters, width), stride, f"stage{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, add_head(x, class_count), name="resnet18_small" if small_stem else "resnet18")


def build_resnet18_small(class_count: int, image_size: tuple[int, int] = (32, 32), **options) -> keras.Model:
    """S4's ResNet-18 for pictures of 32 x 32; see :func:`build_resnet18`."""
    return build_resnet18(class_count, image_size, small_stem=True, **options)
