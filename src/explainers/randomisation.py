"""A network whose upper layers know nothing: what the sanity check of Adebayo et al. 2018 compares maps with."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from src.errors import UserError
from src.explainers.reapplied import walk_layers
from src.settings import random_generator


def randomised_copy(model: keras.Model, *, share: float = 1.0, seed: int = 0) -> keras.Model:
    """The model with its learnt layers, from the output down, drawn anew by their own initialisers (Adebayo et al.
    2018, sec. 3: cascading randomisation). The model itself stays as it is.

    A layer that holds others, as TimeDistributed does, is drawn with all of them. What is not learnt by gradients and
    has no initialiser, as a Normalization's mean, is kept: the network still sees the same pictures.
    BatchNormalization begins again with mean 0, variance 1. Layers that are kept are the model's own, not copies.

    Args:
        model: a functional or Sequential model, nested ones included.
        share: of the layers that have learnt weights, rounded up; 1 for all of them.
        seed: of the draws; Python's global state is as before afterwards.

    Raises:
        UserError: a share that is none, no layer with weights to draw, or a layer that its configuration does not make
            anew (it names the layer).
    """
    if not 0 < share <= 1:
        raise UserError(f"share must be above 0, at most 1. Received: {share}")
    learnt = [layer for layer in walk_layers(model) if _is_learnt(layer)]
    if not learnt:
        raise UserError(f"the model {model.name} has no weights that could be randomised")
    chosen = learnt[-math.ceil(share * len(learnt)) :]
    drawn = []

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not any(layer is one for one in chosen):
            return layer
        drawn.append((layer, _remake(layer, random_generator(seed, len(drawn)))))
        return drawn[-1][1]

    with _python_draws(seed):  # layers with sub-layers draw some of these only when they are called
        try:
            copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
        except UserError:
            raise
        except Exception as error:  # whatever the authors of layers raise when a copy is built
            names = ", ".join(layer.name for layer, _ in drawn)
            raise UserError(f"the copies of {names} do not fit together: {_first_line(error)}") from error
    for old, new in drawn:
        _check_weights(old, new)
    return copy


def _is_learnt(layer: keras.layers.Layer) -> bool:
    if not layer.weights or isinstance(layer, keras.layers.Normalization):
        return False
    # A frozen layer of one's own does not say what it has learnt; better drawn anew than kept unseen.
    return bool(layer.trainable_weights) or not layer.trainable or any(_initialisers(_configuration(layer)))


def _configuration(layer: keras.layers.Layer) -> dict:
    try:
        return layer.get_config()
    except Exception as error:  # whatever its author's code raises
        raise _not_remade(layer, error) from error


def _remake(layer: keras.layers.Layer, rng: np.random.Generator) -> keras.layers.Layer:
    """The layer from its configuration, not yet built. Initialisers with a seed would draw the weights that the layer
    began with; they get another."""
    config = _configuration(layer)
    for settings in _initialisers(config):
        if isinstance(settings.get("seed"), int):
            settings["seed"] = int(rng.integers(2**31))
    try:
        return type(layer).from_config(config)
    except Exception as error:  # as above
        raise _not_remade(layer, error) from error


def _not_remade(layer: keras.layers.Layer, error: Exception) -> UserError:
    return UserError(
        f"the layer {layer.name} ({type(layer).__name__}) cannot be drawn anew, since its get_config does not suffice "
        f"to make another: {_first_line(error)}"
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".split("\n")[0]


def _initialisers(config: object) -> Iterator[dict]:
    """The settings of every initialiser in a configuration, those of layers within layers included."""
    if isinstance(config, dict):
        for name, value in config.items():
            if str(name).endswith("_initializer"):
                yield value.get("config") or {} if isinstance(value, dict) else {}
            else:
                yield from _initialisers(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _initialisers(value)


def _check_weights(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Raises ``UserError`` where the configuration has given the copy other weights than the layer's kinds, or the
    layer's own, as one does that holds sub-layers themselves."""
    if any(before is after for before in old.weights for after in new.weights):
        problem = "its copy shares its weights"
    elif [before.shape for before in old.weights] != [after.shape for after in new.weights]:
        problem = "its copy has other weights"
    else:
        return
    raise UserError(f"the layer {old.name} ({type(old).__name__}) cannot be drawn anew: {problem}")


@contextmanager
def _python_draws(seed: int) -> Iterator[None]:
    """Python's generator, of which Keras takes the seeds that no one gave, begun anew and then as it was."""
    state = random.getstate()
    random.seed(int(random_generator(seed).integers(2**63)))
    try:
        yield
    finally:
        random.setstate(state)
