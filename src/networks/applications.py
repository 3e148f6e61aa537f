"""Backbones of ``keras.applications``, made flat: pre-processing and network in one graph, so that every inner tensor
can be reached by name (a backbone nested as a layer hides them from explainers)."""

from collections.abc import Callable

import keras
import numpy as np

from src.files import sha256_file
from src.networks.backbone import Backbone, WeightsOrigin
from src.networks.preprocessing import preprocessing_layers
from src.networks.weights import download_imagenet, find_cached, load_keras_weights


def _application(
    name: str,
    factory: Callable[..., keras.Model],
    *,
    mode: str,
    cached_file: str | None,
    unfreeze_from: str,
    block_pattern: str,
    image_size: int = 224,
    after_load: Callable[[keras.Model], None] = lambda model: None,
) -> Backbone:
    """An entry for one ``keras.applications`` factory; ``mode`` as in ``preprocessing.py``."""

    def build(input_shape: tuple[int, int, int]) -> keras.Model:
        inputs = keras.Input(input_shape, name="images")
        return factory(weights=None, include_top=False, input_tensor=preprocessing_layers(inputs, mode))

    def load_weights(model: keras.Model, source: str) -> WeightsOrigin:
        if source == "imagenet":
            plain = download_imagenet(factory, name, cached_file)
            path = find_cached(cached_file) if cached_file else None
            model.set_weights(plain.get_weights())  # our pre-processing carries no weights, so the lists agree
            after_load(model)
            return WeightsOrigin("imagenet (keras.applications)", sha256_file(path) if path else None)
        load_keras_weights(
            model,
            [
                lambda: factory(weights=None, include_top=False, input_shape=model.input_shape[1:]),
                lambda: factory(weights=None, include_top=True),
            ],
            source,
        )
        after_load(model)
        return WeightsOrigin(str(source), sha256_file(source))

    def is_at_hand() -> bool:
        return cached_file is not None and find_cached(cached_file) is not None

    return Backbone(name, build, load_weights, image_size, "bilinear", unfreeze_from, block_pattern, is_at_hand)


def _fold_imagenet_scale(model: keras.Model) -> None:
    """Give EfficientNetB0's Normalization the further division by sqrt(std) that Keras adds only for "imagenet".

    ``keras.applications`` inserts a Rescaling(1 / sqrt(std)) behind Normalization when it is built with
    ``weights="imagenet"`` and leaves it out otherwise, so the same weights would answer differently in a graph built
    without. (x - m) / sqrt(v) / sqrt(s) = (x - m) / sqrt(v s): the variance takes it up.
    """
    (layer,) = [layer for layer in model.layers if isinstance(layer, keras.layers.Normalization)]
    mean, variance, *rest = layer.get_weights()
    deviation = np.float32([0.229, 0.224, 0.225])
    # Only Keras' own files: ours carry the division already, and other weights may know no such statistics.
    if np.allclose(variance, deviation**2, rtol=1e-3):
        layer.set_weights([mean, variance * deviation, *rest])
        layer.finalize_state()


RESNET50_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"

APPLICATIONS = (
    _application(
        "resnet50",
        keras.applications.ResNet50,
        mode="caffe",
        cached_file=RESNET50_FILE,
        unfreeze_from="conv5_block3_1_conv",  # S1's last ten layers
        block_pattern=r"(conv\d+_block\d+)_",
    ),
    _application(
        "mobilenet_v2",
        keras.applications.MobileNetV2,
        mode="tf",
        cached_file="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        unfreeze_from="block_16_expand",
        block_pattern=r"(block_\d+)_",
    ),
    _application(
        "efficientnet_b0",
        keras.applications.EfficientNetB0,
        mode="none",  # it scales inside itself
        cached_file="efficientnetb0_notop.h5",
        unfreeze_from="block7a_expand_conv",
        block_pattern=r"(block\d+[a-z])_",
        after_load=_fold_imagenet_scale,
    ),
    _application(
        "densenet121",
        keras.applications.DenseNet121,
        mode="torch",
        cached_file="densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        unfreeze_from="conv5_block15_0_bn",
        block_pattern=r"(conv\d+_block\d+|pool\d+)_",
    ),
)
