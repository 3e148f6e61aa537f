"""A network whose upper layers know nothing: what the sanity check of Adebayo et al. 2018 compares maps with."""

import math

import keras

from src.errors import UserError
from src.explainers.reapplied import walk_layers
from src.settings import random_generator


def randomised_copy(model: keras.Model, *, share: float = 1.0, seed: int = 0) -> keras.Model:
    """A copy of the model whose learnt layers, from the output down, are drawn anew by each layer's own initialiser
    (Adebayo et al. 2018, sec. 3: cascading randomisation). The model itself stays as it is.

    What is not learnt by gradients and has no initialiser, as a Normalization's mean, is kept: the network still sees
    the same pictures. BatchNormalization begins again with mean 0, variance 1.

    Args:
        model: a functional or Sequential model, nested ones included.
        share: of the layers that have weights, rounded up; 1 for all of them.
        seed: of the draws; nothing global is seeded.

    Raises:
        UserError: a share that is none, or no layer with weights to draw.
    """
    if not 0 < share <= 1:
        raise UserError(f"share must be above 0, at most 1. Received: {share}")
    learnt = [layer for layer in walk_layers(model) if _initialisers(layer) and layer.weights]
    if not learnt:
        raise UserError(f"the model {model.name} has no weights that could be randomised")
    chosen = {id(layer): place for place, layer in enumerate(learnt[-math.ceil(share * len(learnt)) :])}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        for number, name in enumerate(_initialisers(layer) if id(layer) in chosen else ()):
            settings = config[name]["config"] if isinstance(config[name], dict) else {}
            if "seed" in settings:
                rng = random_generator(seed, chosen[id(layer)], number)
                config[name] = {**config[name], "config": {**settings, "seed": int(rng.integers(2**31))}}
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
    for old, new in zip(walk_layers(model), walk_layers(copy), strict=True):
        if id(old) not in chosen and old.weights:
            new.set_weights(old.get_weights())
            if hasattr(new, "finalize_state"):  # Normalization computes with copies of its weights
                new.finalize_state()
    return copy


def _initialisers(layer: keras.layers.Layer) -> list[str]:
    return sorted(name for name in layer.get_config() if name.endswith("_initializer"))
