"""A model's graph seen from outside: its logits, its spatial layers, one functional model that returns both, and the
part between them.

Only Keras' public interface is used, and layers are shared, not copied: the caller's model keeps its weights, flags and
configuration (its layers remember that they were called again, no more), and what it learns later is explained without
building anything anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import tensorflow as tf
from keras import layers

from src.errors import UserError

# Layers that pass on what the layer before them has found; their maps are coarser or repeat it.
_PASSIVE = ("Pool", "Dropout", "Padding", "Cropping", "Reshape", "Permute", "Resizing", "UpSampling", "Identity")


@dataclass(frozen=True)
class Head:
    """Where the logits of a classifier are.

    Attributes:
        tensor: the symbolic tensor from which ``read`` computes them.
        read: (N, ...) -> logits (N, units).
        activation: "softmax", "sigmoid" or "linear", what turns them into the model's output.
    """

    tensor: keras.KerasTensor
    read: Callable[[tf.Tensor], tf.Tensor]
    activation: str

    def answers(self, before_logits: tf.Tensor, outputs: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits and probabilities, float32 (N, C), from values of ``tensor`` and from the model's outputs, which are
        needed unless ``activation`` is "linear". One unit z becomes (-z, z), its probability p (1 - p, p)."""
        logits = tf.cast(self.read(before_logits), tf.float32)
        if outputs is None:
            outputs = tf.nn.sigmoid(logits) if logits.shape[1] == 1 else tf.nn.softmax(logits)
        outputs = tf.cast(outputs, tf.float32)
        if logits.shape[1] == 1:  # one unit speaks for class 1; what speaks for class 0 is its negative
            logits = tf.concat([-logits, logits], axis=1)
            outputs = tf.concat([1.0 - outputs, outputs], axis=1)
        return logits, outputs


@dataclass(frozen=True)
class AnswerModel:
    """A callable ``inputs -> (logits (N,C), probabilities (N,C))``.

    Attributes:
        model: inputs -> [what the head reads, and the outputs unless these are linear].
    """

    model: keras.Model
    head: Head

    def __call__(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.head.answers(*keras.tree.flatten(self.model(inputs, training=False)))


@dataclass(frozen=True)
class GradientModel:
    """A callable ``inputs -> (activations (N,h,w,K), logits (N,C), probabilities (N,C))``, differentiable between.

    Attributes:
        model: inputs -> [activations, what the head reads, and the outputs unless these are linear].
        tail: activations -> the others of these, by the same layers; None where something leads past the activations
            from the inputs to the outputs, as the shortcut does within a residual block.
    """

    model: keras.Model
    tail: keras.Model | None
    head: Head
    target_layer: str

    def __call__(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        activations, *ends = self.model(inputs, training=False)
        return activations, *self.head.answers(*ends)

    def from_activations(self, activations: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The same from activations computed elsewhere; only where there is a ``tail``."""
        return activations, *self.head.answers(*keras.tree.flatten(self.tail(activations, training=False)))


def build_answer_model(model: keras.Model) -> AnswerModel:
    """The model with its logits beside its outputs; raises as :func:`build_gradient_model` does for the model."""
    flat = as_functional(model)
    head = find_head(flat)
    return AnswerModel(keras.Model(flat.inputs, _ends(flat, head)), head)


def _ends(flat: keras.Model, head: Head) -> list[keras.KerasTensor]:
    return [head.tensor] if head.activation == "linear" else [head.tensor, flat.outputs[0]]


def build_gradient_model(model: keras.Model, target_layer: str | None = None) -> GradientModel:
    """Build the model to differentiate, once.

    Args:
        model: a built Functional or Sequential classifier with one input and one output (N, C). Its backbone may be
            a model nested as a layer, at any depth; its last layer may not.
        target_layer: a layer with a spatial output, also inside a nested model; None for the last fitting one.

    Raises:
        UserError: the model is of another form, or the layer is not among those which can be explained.
    """
    flat = as_functional(model)
    name = find_target_layer(flat, target_layer)
    head = find_head(flat)
    exposed = _expose(keras.Model(flat.inputs, _ends(flat, head)), name)
    return GradientModel(exposed, _tail(exposed), head, name)


def as_functional(model: keras.Model) -> keras.Model:
    """The same layers as a functional model of one input and one output; raises ``UserError`` where there is none."""
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise UserError(
            f"the model {model.name} has no graph to look into (a subclassed or unbuilt model); "
            "build it from Keras layers with keras.Input, or as keras.Sequential with an Input"
        )
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0].shape) != 2 or len(inputs[0].shape) != 4:
        shapes = f"inputs {[t.shape for t in inputs]}, outputs {[t.shape for t in outputs]}"
        raise UserError(f"the model {model.name} is no classifier of single pictures. Received: {shapes}")
    return keras.Model(inputs, outputs[0])


def find_head(model: keras.Model) -> Head:
    """Find the logits: a linear layer named "logits", or what the last softmax or sigmoid is applied to.

    A softmax inside the last Dense is passed by: its logits are computed from its input, kernel and bias.
    """
    last = next((op for op in model.operations if getattr(op, "output", None) is model.outputs[0]), None)
    kind = type(last).__name__.lower()
    activation = kind if kind in ("softmax", "sigmoid") else _activation(last)
    named = next((layer for layer in model.layers if layer.name == "logits" and _activation(layer) == "linear"), None)
    if named is not None and len(named.output.shape) == 2:
        return Head(named.output, tf.identity, activation)
    if isinstance(last, layers.Dense) and activation in ("softmax", "sigmoid"):
        return Head(last.input, lambda features: _dense_before_activation(last, features), activation)
    if isinstance(last, layers.Dense) and activation == "linear":
        return Head(last.output, tf.identity, activation)
    if last is not None and activation in ("softmax", "sigmoid"):
        return Head(last.input, tf.identity, activation)
    described = (
        f"{last.name} ({type(last).__name__}, activation {activation})" if last is not None else "a nested model"
    )
    raise UserError(
        f"the logits of {model.name} cannot be found: it ends in {described}. It should end in a Dense layer, "
        "linear or with softmax or sigmoid, and not inside a nested model; or name the linear layer 'logits'"
    )


def _activation(operation) -> str:
    return getattr(getattr(operation, "activation", None), "__name__", "linear")


def _dense_before_activation(dense: layers.Dense, features: tf.Tensor) -> tf.Tensor:
    """A Dense layer's output without its activation, in float32; its variables are read at every call."""
    logits = tf.linalg.matmul(tf.cast(features, tf.float32), tf.cast(tf.convert_to_tensor(dense.kernel), tf.float32))
    return logits + tf.cast(tf.convert_to_tensor(dense.bias), tf.float32) if dense.use_bias else logits


def spatial_layers(model: keras.Model) -> list[str]:
    """Names of the layers that can be explained, from input to output, those of nested models included.

    These have one output (N, h, w, K) with more than one cell and come with or after the first convolution.
    """
    names, convolved = [], False
    for layer in walk_layers(model):
        convolved = convolved or any(len(weight.shape) == 4 for weight in layer.weights)
        shape = getattr(getattr(layer, "output", None), "shape", ())
        if convolved and len(shape) == 4 and shape[1:3] != (1, 1) and layer.name not in names:
            names.append(layer.name)
    return names


def find_target_layer(model: keras.Model, name: str | None = None) -> str:
    """The given layer if it can be explained, else the last convolution, activation or sum (no pooling).

    Raises:
        UserError: it cannot, with the list of those which can.
    """
    names = spatial_layers(model)
    if not names:
        raise UserError(f"the model {model.name} has no convolutional layer with a spatial output; nothing to explain")
    if name is None:
        kinds = {layer.name: type(layer).__name__ for layer in walk_layers(model)}
        active = [known for known in names if not any(word in kinds[known] for word in _PASSIVE)]
        return (active or names)[-1]
    if name not in names:
        exists = any(layer.name == name for layer in walk_layers(model))
        problem = f"the layer {name} has no spatial output" if exists else f"there is no layer {name}"
        raise UserError(f"{problem}; these can be explained: {', '.join(names)}")
    return name


def walk_layers(model: keras.Model) -> Iterator[layers.Layer]:
    """Layers in graph order; a nested model gives its layers in its place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from walk_layers(layer)
        else:
            yield layer


def _expose(model: keras.Model, name: str) -> keras.Model:
    """A model of the same layers that returns the activations of the layer ``name`` before its own outputs.

    The tensors inside a nested model are not those of the outer graph. There the nested model is split (one part ends
    in the activations, the other goes on from them; or, where something leads past them, one returns activations and
    outputs), and the outer layers are applied again around it.
    """
    own = next((layer for layer in model.layers if layer.name == name and not isinstance(layer, keras.Model)), None)
    if own is not None:
        return keras.Model(model.inputs, [own.output, *model.outputs])
    holds = (layer for layer in model.layers if isinstance(layer, keras.Model))
    nested = next(layer for layer in holds if any(inner.name == name for inner in walk_layers(layer)))
    exposed = _expose(nested, name)
    lower, tail = keras.Model(exposed.inputs, exposed.outputs[0]), _tail(exposed)
    found = []

    def apply(layer, *args, **kwargs):
        if layer is not nested:
            return layer(*args, **kwargs)
        if tail is None:
            activations, *outputs = exposed(*args, **kwargs)
        else:
            activations = lower(*args, **kwargs)
            outputs = keras.tree.flatten(tail(activations, *args[1:], **kwargs))
        found.append(activations)
        return outputs[0] if len(outputs) == 1 else outputs

    again = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=apply)
    return keras.Model(again.inputs, [found[0], *again.outputs])


def _tail(exposed: keras.Model) -> keras.Model | None:
    """The part of ``_expose``'s model from the activations to its other outputs, a list; None where there is another
    way from the inputs to these."""
    activations, *outputs = exposed.outputs
    # No output may be the input itself, as in a nested model that ends in the target layer.
    outputs = [layers.Identity()(tensor) if tensor is activations else tensor for tensor in outputs]
    try:
        return keras.Model(activations, outputs)
    except ValueError:  # Keras finds an output that is not connected to the activations alone
        return None
