"""The networks that are trained from scratch, by name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import keras
import numpy as np

from src.errors import UserError
from src.networks.baseline import BASELINE_TARGET_LAYER, build_baseline_model
from src.networks.fast_cnn import build_fast_cnn, whiten
from src.networks.resnet18 import build_resnet18, build_resnet18_small
from src.networks.small import build_regularized_cnn, build_simple_cnn


@dataclass(frozen=True)
class ScratchNetwork:
    """One entry of the registry.

    Attributes:
        build: ``build(class_count, image_size, *, width, dropout, grayscale) -> keras.Model``, flat, RGB 0..255
            (N, H, W, 3) -> probabilities (N, class_count), ending in ``logits`` and ``probabilities``.
        target_layer: where class activation maps are taken from.
        adapt: ``adapt(model, batches)`` sets what is a function of training pictures (float32 0..255), before training.
    """

    build: Callable[..., keras.Model]
    target_layer: str
    adapt: Callable[[keras.Model, Iterable[np.ndarray]], None] | None = None


SCRATCH_NETWORKS: dict[str, ScratchNetwork] = {
    "baseline": ScratchNetwork(build_baseline_model, BASELINE_TARGET_LAYER),
    "simple_cnn": ScratchNetwork(build_simple_cnn, "relu2"),
    "regularized_cnn": ScratchNetwork(build_regularized_cnn, "relu2"),
    "resnet18": ScratchNetwork(build_resnet18, "stage4_block2_out"),
    "resnet18_small": ScratchNetwork(build_resnet18_small, "stage4_block2_out"),
    "fast_cnn": ScratchNetwork(build_fast_cnn, "block3_2_silu", whiten),
}


def build_scratch_model(
    name: str,
    class_count: int,
    image_size: tuple[int, int],
    *,
    width: float = 1.0,
    dropout: float | None = None,
    grayscale: bool = False,
) -> keras.Model:
    """Build the network of that name; see :class:`ScratchNetwork`.

    Raises ``UserError`` for a name that there is not, and for pictures too small for the network.
    """
    try:
        network = SCRATCH_NETWORKS[name]
    except KeyError:
        raise UserError(f"--network {name} is unknown; there are {', '.join(SCRATCH_NETWORKS)}") from None
    try:
        return network.build(class_count, image_size, width=width, dropout=dropout, grayscale=grayscale)
    except ValueError as error:
        size = "x".join(map(str, image_size))
        raise UserError(f"--image-size {size} does not suit the network {name}: {error}") from error
