"""S1's convolutional network, trained from scratch: the figure that transfer has to beat."""

import keras
from keras import layers

from src.errors import UserError
from src.networks.heads import add_head
from src.networks.small import picture_input, scaled

_SMALLEST_SIDE = 22  # 22 -> 20 -> 10 -> 8 -> 4 -> 2 -> 1


def build_baseline_model(
    class_count: int,
    image_size: tuple[int, int] = (224, 224),
    *,
    width: float = 1.0,
    dropout: float | None = None,
    grayscale: bool = False,
) -> keras.Model:
    """Three 3x3 convolutions (32, 64, 128, ReLU), each with 2x2 max pooling; dense 128, dropout.

    Args:
        class_count: number of classes, at least 2.
        image_size: (height, width), each at least 22.
        width: all numbers of filters and units times this.
        dropout: before the logits; None: S1's 0.5.
        grayscale: the first convolution takes one channel.

    Returns:
        A flat model: RGB 0..255 (N, H, W, 3) -> probabilities (N, class_count); scaled to 0..1 inside.

    Raises:
        UserError: pictures so small that nothing is left after the third pooling.
    """
    if min(image_size) < _SMALLEST_SIDE:
        raise UserError(f"--image-size {min(image_size)} is too small; the network needs at least {_SMALLEST_SIDE}")
    inputs, x = picture_input(image_size, "0-1", grayscale)
    for index, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(scaled(filters, width), 3, activation="relu", name=f"conv{index}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(scaled(128, width), activation="relu", name="dense")(x)
    x = layers.Dropout(0.5 if dropout is None else dropout, name="dropout")(x)
    return keras.Model(inputs, add_head(x, class_count), name="baseline_cnn")


BASELINE_TARGET_LAYER = "conv3"
