"""What the tests of parity share: a network whose numbers suit every library, our maps by name, and the comparison."""

import keras
import numpy as np

from src.explainers.registry import create_explainer
from tests.explainers.networks import random_inputs, random_network

CLASS_INDEX = 1
NOT_INSTALLED = "requirements-parity.txt is not installed; see `make test-parity`"


def sharp_network() -> keras.Model:
    """:func:`random_network` with statistics in its normalisation and logits of some 10 to 100.

    So small constants in other libraries' denominators do not count, and class 1 has a positive logit for every one of
    :func:`random_inputs`, as the division by the score in Ablation-CAM wants it.
    """
    model = random_network()
    rng = np.random.default_rng(5)
    model.get_layer("norm2").set_weights(list(rng.uniform(0.5, 1.5, (4, 6))))
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([300 * kernel, bias + 40])
    return model


def full_size_network() -> keras.Model:
    """A network whose only convolution keeps the picture's size, so that no map needs enlarging."""
    keras.utils.set_random_seed(6)
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="conv1")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(3, name="logits")(x)
    return keras.Model(inputs, keras.layers.Softmax(name="probabilities")(x))


def without_softmax(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs, model.get_layer("logits").output)


def ours(method: str, model: keras.Model, inputs: np.ndarray | None = None, **options) -> np.ndarray:
    """Our raw maps (N, h, w) of class 1."""
    inputs = random_inputs() if inputs is None else inputs
    return create_explainer(method, model, **options).explain(inputs, CLASS_INDEX).heatmaps


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of two maps or batches of maps as a share of the largest value expected."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0, "zeros agree with anything"
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def assert_agree(what: str, found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    share = difference(found, expected)
    print(f"parity {what}: {share:.1e}")  # shown by pytest -s: the figures of docs/explainers.md
    assert share <= tolerance
