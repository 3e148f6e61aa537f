"""The head that every trained network of ours ends in: ``logits`` (linear), then ``probabilities`` (softmax)."""

import keras
from keras import layers


def add_head(features, class_count: int, **initializers):
    """Dense ``logits`` and their softmax over any number of classes (two units for two classes).

    Two softmax units learn what one sigmoid unit learns (their difference is its logit), and every class then has
    a logit of its own to explain.

    Args:
        initializers: of the kernel and the bias, where they are not Keras' own.
    """
    logits = layers.Dense(class_count, name="logits", **initializers)(features)
    # float32 whatever the policy: half precision would round confidences near 1
    return layers.Softmax(name="probabilities", dtype="float32")(logits)


def find_features(model: keras.Model) -> keras.KerasTensor | None:
    """What the classes are told apart by, (None, D): the output of the layer ``pooling``, or what enters ``logits``;
    None for a network without these layers, as others make them."""
    layers_by_name = {layer.name: layer for layer in model.layers}
    if "pooling" in layers_by_name:
        found = layers_by_name["pooling"].output
    elif "logits" in layers_by_name:
        found = layers_by_name["logits"].input
    else:
        return None
    return found if isinstance(found, keras.KerasTensor) and len(found.shape) == 2 else None


def logits_model(model: keras.Model) -> keras.Model:
    """The same layers with the logits as output: what the loss is computed on, since log(softmax) loses digits."""
    return keras.Model(model.inputs, model.get_layer("logits").output, name=f"{model.name}_logits")
