"""What a network computes, apart from its weights, as text that two processes agree on."""

import json
from collections.abc import Iterator

import keras

# Where the JSON of a network has names of layers.
_NAMING = ("name", "keras_history", "input_layers", "output_layers")


def structure_of(model: keras.Model) -> str:
    """A network's layers, their settings and how they are connected, as JSON.

    Names count for nothing: Keras numbers those of layers on through a process.
    """
    numbers = {name: number for number, name in enumerate(_layer_names(model))}
    return json.dumps(_numbered(json.loads(model.to_json()), numbers))


def _layer_names(layer: keras.Layer) -> Iterator[str]:
    """The names of a model, its layers and operations, and those of models nested in it."""
    yield layer.name
    for inner in getattr(layer, "operations", None) or getattr(layer, "layers", ()):
        yield from _layer_names(inner)


def _numbered(part, numbers: dict[str, int], names_layers: bool = False):
    """A part of a network's JSON with numbers in the place of layers' names, and nowhere else."""
    if isinstance(part, dict):
        return {key: _numbered(value, numbers, names_layers or key in _NAMING) for key, value in part.items()}
    if isinstance(part, list):
        return [_numbered(value, numbers, names_layers) for value in part]
    return numbers.get(part, part) if names_layers and isinstance(part, str) else part
