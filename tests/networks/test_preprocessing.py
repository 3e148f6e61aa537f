import keras
import numpy as np
import pytest

from src.networks.preprocessing import MODES, preprocess_arrays, preprocessing_layers

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype(np.float32)


def _reference(mode):
    if mode == "none":
        return IMAGES
    if mode == "0-1":
        return IMAGES / 255.0
    from keras.src.applications.imagenet_utils import preprocess_input  # the only place that knows all three modes

    return preprocess_input(IMAGES.copy(), data_format="channels_last", mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_layers_and_arrays_equal_keras(mode):
    inputs = keras.Input((5, 4, 3))
    model = keras.Model(inputs, preprocessing_layers(inputs, mode))
    before = IMAGES.copy()
    arrays = preprocess_arrays(IMAGES, mode)
    np.testing.assert_allclose(arrays, _reference(mode), atol=2e-6 if mode == "torch" else 1e-5, rtol=1e-6)
    np.testing.assert_allclose(model(IMAGES), arrays, atol=2e-6, rtol=1e-6)
    np.testing.assert_array_equal(IMAGES, before)  # keras' own overwrites its argument


@pytest.mark.parametrize("mode", MODES)
def test_layers_are_saved_without_lambda(mode, tmp_path):
    inputs = keras.Input((5, 4, 3))
    model = keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(preprocessing_layers(inputs, mode)))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))


def test_unknown_mode():
    with pytest.raises(ValueError, match="Received: vgg"):
        preprocess_arrays(IMAGES, "vgg")
