"""Ordinary models of others load as they were saved, though every file is read by ourselves first."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from src.errors import UserError
from src.networks import model_config
from src.networks.model_files import load_model, read_model_file

pytestmark = pytest.mark.large


def _load(path: Path) -> keras.Model:
    return load_model(read_model_file(path), path)


def _small() -> keras.Model:
    return keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten(name="flat"), layers.Dense(2, name="out")])


def _nested() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    x = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1), layers.Rescaling(1 / 255.0)])(inputs)
    x = layers.Normalization(mean=[0.5] * 3, variance=[1.0] * 3)(x)
    base = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3, activation="swish"), layers.LeakyReLU()])
    base.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    x = layers.GlobalAveragePooling2D()(base(x))
    x = layers.Dense(8, kernel_regularizer="l2", kernel_constraint="max_norm", dtype="mixed_bfloat16")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", dtype="float32")(x + keras.ops.tanh(x) * 2.0))


def _adapted() -> keras.Model:
    normalise = layers.Normalization()
    normalise.adapt(np.random.default_rng(0).normal(3, 2, (16, 16, 16, 3)).astype(np.float32))
    return keras.Sequential([keras.Input((16, 16, 3)), normalise, layers.Flatten(), layers.Dense(3)])


def _attention() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    x = layers.Reshape((16, 48))(inputs)
    x = layers.LayerNormalization()(layers.MultiHeadAttention(2, 8)(x, x) + x)
    return keras.Model(inputs, layers.Dense(3)(layers.Bidirectional(layers.LSTM(4))(x)))


def _quantized() -> keras.Model:
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(16), layers.Dense(3)])
    model.quantize("int8")
    return model


def _bfloat16() -> keras.Model:
    """Whose weights HDF5 holds as two bytes without a name."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, dtype="bfloat16")(inputs)
    x = keras.ops.norm(keras.ops.convert_to_tensor(x), axis=(1, 2))
    return keras.Model(inputs, layers.Dense(3, dtype="float32")(x))


def _mobile() -> keras.Model:
    return keras.applications.MobileNetV3Small(weights=None, classes=3, input_shape=(32, 32, 3))


def _differences(model: keras.Model, path: Path) -> list[str]:
    """What is not as in the model after it was loaded from a file, to the last bit: weights, by number, and answers."""
    loaded = _load(path)
    pairs = enumerate(zip(model.get_weights(), loaded.get_weights(), strict=True))
    found = [f"weights {number}" for number, (one, other) in pairs if not _are_equal(one, other)]
    side = model.input_shape[1] or 64
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    alike = _are_equal(model(images, training=False), loaded(images, training=False))
    return found + ([] if alike else ["answers"])


def _are_equal(one, other) -> bool:
    try:
        np.testing.assert_array_equal(one, other)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("build", [_small, _nested, _adapted, _attention, _quantized, _bfloat16, _mobile])
def test_ordinary_models_load_as_they_were(tmp_path, build):
    model = build()
    model.save(tmp_path / "own.keras")
    assert _differences(model, tmp_path / "own.keras") == []
    if build in (_small, _adapted):  # Keras itself cannot read all of the others again from .h5
        model.save(tmp_path / "own.h5")
        assert _differences(model, tmp_path / "own.h5") == []


def test_a_model_of_classes_of_ones_own_is_refused_with_the_reason(tmp_path):
    class Own(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Own()
    model(np.zeros((1, 4), np.float32))
    model.save(tmp_path / "own.keras")
    with pytest.raises(UserError, match=r"is or holds 'Own'.*ask its maker"):
        _load(tmp_path / "own.keras")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetV2B0", "InceptionResNetV2", "NASNetMobile"])
def test_architectures_with_layers_of_their_own_load(tmp_path, name):
    model = getattr(keras.applications, name)(weights=None, classes=3, input_shape=(96, 96, 3))
    model.save(tmp_path / "own.keras")
    assert _differences(model, tmp_path / "own.keras") == []


# Layers that are left out on purpose: they run or read what is not theirs, know no pictures, or are abstract.
LEFT_OUT = """
CategoryEncoding Discretization FlaxLayer HashedCrossing Hashing InputSpec IntegerLookup JaxLayer Lambda Layer
MaxNumBoundingBoxes MelSpectrogram STFTSpectrogram StringLookup TFSMLayer TextVectorization TorchModuleWrapper Wrapper
"""


def test_every_layer_and_activation_of_keras_is_judged():
    """A new version of Keras brings new ones, which someone must look at."""
    classes = {value.__name__ for value in vars(layers).values() if isinstance(value, type)}
    assert classes == model_config.LAYERS | set(LEFT_OUT.split())
    known = {name for name, value in vars(keras.activations).items() if callable(value)}
    assert known - {"get", "serialize", "deserialize"} == model_config.ACTIVATIONS
