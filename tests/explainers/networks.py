"""Small networks whose maps are known by hand or by an identity."""

import keras
import numpy as np
from keras import layers


def hand_weighted(pooled: bool = True) -> keras.Model:
    """(2, 2, 1) -> channels (x, -x) -> two logits.

    Pooled: logits (mean x, -2 mean x) from the averages. Else a Dense layer on the 8 flattened values (cell by cell,
    two channels each), whose first unit has the weights 1, 2, ... 8 and whose second has their negatives.
    """
    inputs = keras.Input((2, 2, 1))
    convolution = layers.Conv2D(2, 1, use_bias=False, name="conv")
    features = convolution(inputs)
    features = layers.GlobalAveragePooling2D()(features) if pooled else layers.Flatten()(features)
    logits = layers.Dense(2, name="logits", use_bias=False)
    model = keras.Model(inputs, layers.Softmax(name="probabilities")(logits(features)))
    convolution.set_weights([np.array([1.0, -1.0]).reshape(1, 1, 1, 2)])
    ramp = np.arange(1.0, 9.0)
    logits.set_weights([np.array([[1.0, 0.0], [0.0, 2.0]]) if pooled else np.stack([ramp, -ramp], axis=1)])
    return model


HAND_INPUT = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32).reshape(1, 2, 2, 1)


def random_network(head: str = "logits", classes: int = 3, side: int = 12, seed: int = 1) -> keras.Model:
    """Convolution, ReLU, pooling, convolution, ReLU, global average, and a head of one of users' forms."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((side, side, 3), name="picture")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(inputs)
    x = layers.Conv2D(5, 3, activation="relu", name="conv1", bias_initializer="random_normal")(x)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(6, 2, name="conv2", bias_initializer="random_normal")(x)
    x = layers.BatchNormalization(name="norm2")(x)
    x = layers.ReLU(name="relu2")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, add_head(x, head, classes), name="random_network")


def add_head(features, head: str, classes: int = 3):
    bias = {"bias_initializer": "random_normal"}
    if head == "logits":
        return layers.Softmax(name="probabilities")(layers.Dense(classes, name="logits", **bias)(features))
    if head == "softmax in Dense":
        return layers.Dense(classes, activation="softmax", name="answer", **bias)(features)
    if head == "Activation layer":
        return layers.Activation("softmax")(layers.Dense(classes, name="answer", **bias)(features))
    if head == "bare logits":
        return layers.Dense(classes, name="answer", **bias)(features)
    if head == "keras.ops":
        return keras.ops.softmax(layers.Dense(classes, name="answer", **bias)(features))
    if head == "sigmoid unit":
        return layers.Dense(1, activation="sigmoid", name="answer", **bias)(features)
    raise ValueError(head)


def nested_network(kind: str) -> keras.Model:
    """A backbone as a layer, after augmentation and arithmetic as in Keras' tutorials, or in a Sequential."""
    keras.utils.set_random_seed(3)
    inner = keras.Input((12, 12, 3))
    x = layers.Conv2D(5, 3, activation="relu", name="conv1")(inner)
    backbone = keras.Model(inner, layers.Conv2D(6, 3, activation="relu", name="conv2")(x), name="backbone")
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax", name="answer")]
    if kind == "Sequential":
        return keras.Sequential([keras.Input((12, 12, 3)), layers.Rescaling(1 / 127.5, offset=-1.0), backbone, *head])
    inputs = keras.Input((12, 12, 3))
    x = keras.Sequential([layers.RandomFlip()], name="augmentation")(inputs)
    x = x / 127.5 - 1.0
    if kind == "nested twice":
        outer = keras.Input((12, 12, 3))
        backbone = keras.Model(outer, backbone(outer), name="wrapper")
    x = backbone(x, training=False)
    for layer in head:
        x = layer(x)
    return keras.Model(inputs, x)


def residual_network(form: str = "flat") -> keras.Model:
    """The layer "within" is passed by a shortcut: in the graph itself, around a nested branch or within a nested model.
    The weights are the same in every form."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, name="before")(inputs / 255.0)
    if form == "a nested branch":
        inner = keras.Input((10, 10, 4))
        y = keras.Model(inner, layers.Conv2D(4, 3, padding="same", name="within")(inner), name="branch")(x)
    else:
        y = layers.Conv2D(4, 3, padding="same", name="within")(x)
    x = layers.Add(name="after")([x, y])
    if form == "all nested":
        blocks, inputs = keras.Model(inputs, x, name="blocks"), keras.Input((12, 12, 3))
        x = blocks(inputs)
    x = layers.Dense(3, name="logits")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Softmax(name="probabilities")(x))


def linear_network(side: int = 4, zero: bool = False) -> tuple[keras.Model, np.ndarray]:
    """Two logits that are linear in the picture (side, side, 3), and their weights (2, side, side, 3)."""
    weights = np.random.default_rng(5).normal(size=(side * side * 3, 2)).astype(np.float32) * (not zero)
    inputs = keras.Input((side, side, 3))
    head = layers.Dense(2, use_bias=False, name="logits")
    model = keras.Model(inputs, head(layers.Flatten()(inputs)))
    head.set_weights([weights])
    return model, weights.T.reshape(2, side, side, 3)


def random_inputs(count: int = 4, side: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (count, side, side, 3)).astype(np.float32)


def snapshot(model: keras.Model) -> tuple:
    """All that an explainer must leave as it was."""
    weights = [weight.copy() for weight in model.get_weights()]
    flags = [(layer.name, layer.trainable) for layer in model.layers]
    activations = [getattr(layer, "activation", None) for layer in model.layers]
    return weights, flags, activations, str(model.get_config())


def assert_unchanged(model: keras.Model, before: tuple) -> None:
    after = snapshot(model)
    assert all(np.array_equal(a, b) for a, b in zip(before[0], after[0]))
    assert before[1:] == after[1:]
