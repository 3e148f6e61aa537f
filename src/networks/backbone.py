"""What a backbone is: a flat graph from RGB 0..255 to feature maps, and the facts that travel with it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import keras

from src.errors import UserError


@dataclass(frozen=True)
class Backbone:
    """One entry of the registry.

    Attributes:
        name: as on the command line.
        build: ``build(input_shape) -> keras.Model`` without weights, flat, pre-processing inside; input RGB 0..255
            (N, H, W, 3), output feature maps (N, h, w, C).
        load_weights: ``load_weights(model, source) -> WeightsOrigin``; ``source`` is "imagenet" or a path.
        image_size: height and width that the ImageNet weights were trained at.
        interpolation: how pictures were resized in that training.
        unfreeze_from: first layer of phase 2 by default.
        block_pattern: regular expression whose first group names the block of a layer; a layer without a match
            belongs to the stem or to the end, whichever it stands in.
        is_at_hand: whether its ImageNet weights can be loaded without a download.
        target_layer: where class activation maps are taken from; "" for the last convolution, activation or sum.
    """

    name: str
    build: Callable[[tuple[int, int, int]], keras.Model]
    load_weights: Callable[[keras.Model, str], "WeightsOrigin"]
    image_size: int
    interpolation: str
    unfreeze_from: str
    block_pattern: str
    is_at_hand: Callable[[], bool]
    target_layer: str = ""

    def block_start(self, model: keras.Model, layer_or_count: str | int) -> int:
        """Index in ``model.layers`` of the first layer of the block that holds the layer named or counted.

        A count is of layers from the top (S1's "last 10 layers"), "all" stands for every layer. A cut inside a
        residual block would train one branch of a sum and freeze the other, so it moves down to the block's first
        layer. Raises ``UserError`` for a name or count that the network lacks.
        """
        names = [layer.name for layer in model.layers]
        if layer_or_count == "all":
            return 0
        if isinstance(layer_or_count, str) and layer_or_count.isdecimal():
            layer_or_count = int(layer_or_count)
        if isinstance(layer_or_count, int):
            if not 0 < layer_or_count <= len(names):
                raise UserError(
                    f"--unfreeze {layer_or_count}: {self.name} has {len(names)} layers; give 1 to {len(names)}"
                )
            index = len(names) - layer_or_count
        elif layer_or_count in names:
            index = names.index(layer_or_count)
        else:
            starts = [names[i] for i in self.block_starts(model)]
            raise UserError(
                f"--unfreeze {layer_or_count}: {self.name} has no such layer; its blocks start at {', '.join(starts)}"
            )
        return max(start for start in self.block_starts(model) if start <= index)

    def block_starts(self, model: keras.Model) -> list[int]:
        """Indices of the layers that start a block, in order; the stem's is 0."""
        starts, current = [], None
        for index, layer in enumerate(model.layers):
            match = re.match(self.block_pattern, layer.name)
            block = match.group(1) if match else ("stem" if current in (None, "stem") else "end")
            if block != current:
                starts.append(index)
                current = block
        return starts


@dataclass(frozen=True)
class WeightsOrigin:
    """Where weights came from, for the bundle: a word or path, and the file's SHA-256 where there is a file."""

    origin: str
    sha256: str | None = None
