"""S1's convolutional network, trained from scratch: the figure that transfer has to beat."""

import keras
from keras import layers

from src.errors import UserError
from src.networks.heads import add_head
from src.networks.preprocessing import preprocessing_layers

_SMALLEST_SIDE = 22  # 22 -> 20 -> 10 -> 8 -> 4 -> 2 -> 1


def build_baseline_model(class_count: int, image_size: tuple[int, int] = (224, 224)) -> keras.Model:
    """Three 3x3 convolutions (32, 64, 128, ReLU), each with 2x2 max pooling; dense 128, dropout 0.5.

    Args:
        class_count: number of classes, at least 2.
        image_size: (height, width), each at least 22.

    Returns:
        A flat model: RGB 0..255 (N, H, W, 3) -> probabilities (N, class_count); scaled to 0..1 inside.

    Raises:
        UserError: pictures so small that nothing is left after the third pooling.
    """
    if min(image_size) < _SMALLEST_SIDE:
        raise UserError(f"--image-size {min(image_size)} is too small; the network needs at least {_SMALLEST_SIDE}")
    inputs = keras.Input((*image_size, 3), name="images")
    x = preprocessing_layers(inputs, "0-1")
    for index, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{index}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return keras.Model(inputs, add_head(x, class_count), name="baseline_cnn")


BASELINE_TARGET_LAYER = "conv3"
