"""S3's two small networks for pictures of 32 x 32, and what networks from scratch have in common."""

import keras
from keras import layers, ops

from src.networks.heads import add_head
from src.networks.preprocessing import preprocessing_layers

_GRAY_MEAN, _GRAY_STD = 0.459, 0.226  # of ImageNet's brightness in 0..1: its channels' figures in the weights of gray


def picture_input(image_size: tuple[int, int], preprocessing: str, grayscale: bool):
    """The input RGB 0..255 (N, H, W, 3), and what the first layer of weights is given.

    With ``grayscale`` that has one channel, 0.2989 R + 0.587 G + 0.114 B, scaled as ``preprocessing`` ("0-1" or
    "torch") scales colours: the network still takes RGB, so that every command reads and draws pictures for it as for
    others.
    """
    inputs = keras.Input((*image_size, 3), name="images")
    if not grayscale:
        return inputs, preprocessing_layers(inputs, preprocessing)
    brightness = ops.image.rgb_to_grayscale(inputs)
    if preprocessing == "torch":
        scale, offset = 1 / (255 * _GRAY_STD), -_GRAY_MEAN / _GRAY_STD
    else:
        scale, offset = 1 / 255, 0.0
    return inputs, layers.Rescaling(scale, offset=offset, name="preprocessing")(brightness)


def scaled(filters: int, width: float) -> int:
    """So many filters times ``width``, at least 1."""
    return max(1, round(filters * width))


def _uniform(fan_in: int) -> dict:
    """Initializers of kernel and bias, both uniform within 1 / sqrt(fan_in): PyTorch's, under which S3 trained.

    Keras' own kernel of the dense layer begins more than twice as large (Glorot & Bengio 2010). With it 97% of
    RegularizedCNN's dense units were dead after one epoch of CIFAR-10 at S3's rate, and it learnt next to nothing.
    """
    bound = fan_in**-0.5
    draw = keras.initializers.RandomUniform
    return {"kernel_initializer": draw(-bound, bound), "bias_initializer": draw(-bound, bound)}


def build_simple_cnn(
    class_count: int,
    image_size: tuple[int, int] = (32, 32),
    *,
    width: float = 1.0,
    dropout: float | None = None,
    grayscale: bool = False,
    normalized: bool = False,
) -> keras.Model:
    """S3's SimpleCNN: two 3x3 convolutions (32, 64, ReLU), each with 2x2 max pooling; dense 128.

    Args:
        dropout: after the dense layer; None: none.
        normalized: BatchNormalization before each ReLU of the convolutions, as its RegularizedCNN has, and PyTorch's
            initialization instead of Keras'.
    """
    start = _uniform if normalized else lambda fan_in: {}
    inputs, x = picture_input(image_size, "0-1", grayscale)
    for index, filters in enumerate((32, 64), start=1):
        x = layers.Conv2D(scaled(filters, width), 3, padding="same", name=f"conv{index}", **start(9 * x.shape[-1]))(x)
        if normalized:
            x = layers.BatchNormalization(name=f"bn{index}")(x)
        x = layers.ReLU(name=f"relu{index}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(scaled(128, width), activation="relu", name="dense", **start(x.shape[-1]))(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    name = "regularized_cnn" if normalized else "simple_cnn"
    return keras.Model(inputs, add_head(x, class_count, **start(x.shape[-1])), name=name)


def build_regularized_cnn(class_count: int, image_size: tuple[int, int] = (32, 32), **options) -> keras.Model:
    """S3's RegularizedCNN: SimpleCNN with BatchNormalization and, unless another is given, dropout 0.5."""
    if options.get("dropout") is None:
        options["dropout"] = 0.5
    return build_simple_cnn(class_count, image_size, normalized=True, **options)
