"""The backbones by name, the choice of ``auto``, and the transfer network over each."""

import keras
from keras import layers

from src.errors import UserError
from src.networks.applications import APPLICATIONS, RESNET50_FILE
from src.networks.backbone import Backbone, WeightsOrigin
from src.networks.efficientnet_lite import EFFICIENTNET_LITE0
from src.networks.heads import add_head
from src.networks.weights import NoWeightsError, can_reach_weights_host, find_cached
from src.progress import say
from src.settings import height_and_width

BACKBONES: dict[str, Backbone] = {entry.name: entry for entry in (EFFICIENTNET_LITE0, *APPLICATIONS)}


def get_backbone(name: str) -> Backbone:
    """The registry's entry; ``UserError`` with the names that there are."""
    try:
        return BACKBONES[name]
    except KeyError:
        raise UserError(f"--backbone {name} is unknown; there are auto, {', '.join(BACKBONES)}") from None


def choose_backbone(name: str, weights: str) -> tuple[str, str]:
    """Settle ``auto``: ResNet50 where its ImageNet weights are at hand, else EfficientNet-Lite0.

    Returns the name and one sentence that says why.
    """
    if name != "auto":
        return get_backbone(name).name, f"Backbone {name}, as asked."
    if weights == "none":
        return "resnet50", "Backbone resnet50, without pre-trained weights, as asked."
    if weights != "imagenet":
        return "resnet50", f"Backbone resnet50 with the weights of {weights} (name another with --backbone)."
    if find_cached(RESNET50_FILE):
        return "resnet50", "Backbone resnet50: its ImageNet weights are in Keras' cache."
    if can_reach_weights_host():
        return "resnet50", "Backbone resnet50: its ImageNet weights will be downloaded (95 MB, once)."
    return "efficientnet_lite0", (
        "Backbone efficientnet_lite0: its ImageNet weights are installed, while those of resnet50 are neither cached "
        "nor to be reached (a local file works: --backbone resnet50 --weights PATH)."
    )


def build_chosen_model(
    name: str, class_count: int, image_size: int | tuple[int, int] | None, weights: str, *, seed: int, **head
) -> tuple[Backbone, keras.Model, keras.Model, WeightsOrigin]:
    """Settle the backbone, saying which and why, and build the transfer network over it.

    Where ``auto`` took ResNet50 and its weights cannot be had after all, it goes on to EfficientNet-Lite0.

    Args:
        image_size: one number for height and width, or both; None for those of the backbone's ImageNet weights.
        seed: of the head's weights.
        head: ``dense_units`` and ``dropout`` of :func:`build_transfer_model`.

    Returns:
        The backbone's entry, and what :func:`build_transfer_model` returns.
    """

    def build(backbone: Backbone):
        keras.utils.set_random_seed(seed)
        size = height_and_width(image_size or backbone.image_size)
        return backbone, *build_transfer_model(backbone, class_count, size, weights=weights, **head)

    chosen, why = choose_backbone(name, weights)
    say(why)
    try:
        return build(get_backbone(chosen))
    except NoWeightsError as error:
        if name != "auto":
            raise
        say(f"They cannot be had ({error.reason}): taking efficientnet_lite0 instead.")
    return build(EFFICIENTNET_LITE0)


def build_transfer_model(
    backbone: Backbone,
    class_count: int,
    image_size: tuple[int, int],
    *,
    weights: str = "imagenet",
    dense_units: int = 256,
    dropout: float = 0.5,
) -> tuple[keras.Model, keras.Model, WeightsOrigin]:
    """S1's transfer network: backbone, global average pooling, dense ReLU, dropout, logits, softmax.

    Args:
        weights: "imagenet", a path, or "none".
        dense_units: 0 leaves the dense layer out.

    Returns:
        (model, backbone model, origin of the weights). The two share their layers; ``model`` is flat, RGB 0..255
        (N, H, W, 3) -> probabilities (N, class_count).
    """
    try:
        base = backbone.build((*image_size, 3))
    except ValueError as error:
        raise UserError(
            f"--image-size {'x'.join(map(str, image_size))} does not suit {backbone.name}: {error}"
        ) from error
    origin = WeightsOrigin("none") if weights == "none" else backbone.load_weights(base, weights)
    x = layers.GlobalAveragePooling2D(name="pooling")(base.output)
    if dense_units:
        x = layers.Dense(dense_units, activation="relu", name="dense")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(base.inputs, add_head(x, class_count), name="transfer"), base, origin
