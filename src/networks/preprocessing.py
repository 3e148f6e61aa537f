"""From RGB 0..255 to what a network was trained on: inside the graph for ours, on arrays for models that others made.

Five customary modes, with r, g, b in 0..255:
    none    as they are
    0-1     x / 255
    tf      x / 127.5 - 1
    caffe   (b - 103.939, g - 116.779, r - 123.68): BGR, mean of ImageNet subtracted
    torch   (x / 255 - mean) / std, mean and std of ImageNet, RGB
"""

import numpy as np

from src.settings import PREPROCESSING_MODES as MODES

_CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR
_TORCH_MEAN = (0.485, 0.456, 0.406)
_TORCH_STD = (0.229, 0.224, 0.225)
_TORCH_SCALE = [1.0 / (255.0 * std) for std in _TORCH_STD]
_TORCH_OFFSET = [-mean / std for mean, std in zip(_TORCH_MEAN, _TORCH_STD)]


def preprocessing_layers(inputs, mode: str):
    """Apply ``mode`` to a Keras tensor (N, H, W, 3) of RGB 0..255; only layers that serialise without Lambda."""
    from keras import layers  # here, because arrays are pre-processed without Keras as well

    if mode == "none":
        return inputs
    if mode == "0-1":
        return layers.Rescaling(1.0 / 255.0, name="preprocessing")(inputs)
    if mode == "tf":
        return layers.Rescaling(1.0 / 127.5, offset=-1.0, name="preprocessing")(inputs)
    if mode == "caffe":
        offset = [-mean for mean in _CAFFE_MEAN]
        return layers.Rescaling(1.0, offset=offset, name="preprocessing")(inputs[..., ::-1])
    if mode == "torch":
        return layers.Rescaling(_TORCH_SCALE, offset=_TORCH_OFFSET, name="preprocessing")(inputs)
    raise ValueError(f"preprocessing must be one of {', '.join(MODES)}. Received: {mode}")


def preprocess_arrays(images: np.ndarray, mode: str) -> np.ndarray:
    """Apply ``mode`` to float32 (..., H, W, 3) RGB 0..255; returns a new array, the argument stays as it was."""
    images = np.asarray(images, np.float32)
    if mode == "none":
        return images.copy()
    if mode == "0-1":
        return images / np.float32(255.0)
    if mode == "tf":
        return images / np.float32(127.5) - np.float32(1.0)
    if mode == "caffe":
        return images[..., ::-1] - np.asarray(_CAFFE_MEAN, np.float32)
    if mode == "torch":
        return images * np.asarray(_TORCH_SCALE, np.float32) + np.asarray(_TORCH_OFFSET, np.float32)
    raise ValueError(f"preprocessing must be one of {', '.join(MODES)}. Received: {mode}")
