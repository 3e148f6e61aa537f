"""A model's graph seen from outside: its logits, its spatial layers, one functional model that returns both, and the
part between them.

Only Keras' public interface is used, and layers are shared, not copied: the caller's model keeps its weights, flags and
configuration, and what it learns later is explained without building anything anew. Its layers remember, as long as
they live, each time that they were called again: build once and keep it, not once for each picture.
"""

from dataclasses import dataclass

import keras
import tensorflow as tf
from keras import layers

from src.errors import UserError
from src.explainers.heads import Head, find_head, unwrap_head
from src.explainers.reapplied import Reapplied, is_nested, reapply, walk_layers, walk_outputs

# Layers that pass on what the layer before them has found; their maps are coarser or repeat it.
_PASSIVE = ("Pool", "Dropout", "Padding", "Cropping", "Reshape", "Permute", "Resizing", "UpSampling", "Identity")


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
    flat = _look_into(model)
    head = find_head(flat)
    return AnswerModel(keras.Model(flat.model.inputs, _ends(flat, head)), head)


def _ends(flat: Reapplied, head: Head) -> list[keras.KerasTensor]:
    return [head.tensor] if head.activation == "linear" else [head.tensor, flat.model.outputs[0]]


def build_gradient_model(model: keras.Model, target_layer: str | None = None) -> GradientModel:
    """Build the model to differentiate, once.

    Args:
        model: a built Functional or Sequential classifier with one input and one output (N, C). Its backbone may be
            a model nested as a layer, at any depth, and so may the whole classifier.
        target_layer: a layer with a spatial output, also inside a nested model; None for the last fitting one, a nested
            model's name for the last fitting one in it.

    Raises:
        UserError: the model is of another form, or the layer is not among those which can be explained.
    """
    flat = _look_into(model)
    name = find_target_layer(flat.model, target_layer)
    head = find_head(flat)
    exposed = _expose(keras.Model(flat.model.inputs, _ends(flat, head)), name)
    return GradientModel(exposed, _tail(exposed, name), head, name)


def as_functional(model: keras.Model) -> keras.Model:
    """The same layers as a functional model of one input and one output; raises ``UserError`` where there is none."""
    return _look_into(model).model


def _look_into(model: keras.Model) -> Reapplied:
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        raise UserError(
            f"the model {model.name} has no graph to look into (a subclassed or unbuilt model); "
            "build it from Keras layers with keras.Input, or as keras.Sequential with an Input"
        )
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0].shape) != 2 or len(inputs[0].shape) != 4:
        shapes = f"inputs {[t.shape for t in inputs]}, outputs {[t.shape for t in outputs]}"
        raise UserError(f"the model {model.name} is no classifier of single pictures. Received: {shapes}")
    first = next((layer for layer in walk_layers(model) if _channels_first(layer)), None)
    if first is not None:
        raise UserError(
            f"the layer {first.name} takes channels first (N, K, h, w); only models with channels last can be explained"
        )
    return unwrap_head(reapply(model))


def _channels_first(layer: layers.Layer) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def spatial_layers(model: keras.Model) -> list[str]:
    """Names of the layers that can be explained, from input to output, those of nested models included.

    These have one output (N, h, w, K) with more than one cell and come with or after the first convolution.
    """
    names, convolved = [], False
    for layer, outputs in walk_outputs(model):
        convolved = convolved or any(len(weight.shape) == 4 for weight in layer.weights)
        shape = outputs[0].shape if len(outputs) == 1 else ()
        if convolved and len(shape) == 4 and shape[1:3] != (1, 1) and layer.name not in names:
            names.append(layer.name)
    return names


def find_target_layer(model: keras.Model, name: str | None = None) -> str:
    """The given layer if it can be explained, else the last convolution, activation or sum (no pooling); for a nested
    model's name the last of these in it.

    Raises:
        UserError: it cannot, with the list of those which can.
    """
    names = spatial_layers(model)
    if not names:
        raise UserError(f"the model {model.name} has no convolutional layer with a spatial output; nothing to explain")
    if name in names:
        return name
    within = model if name is None else _find_nested(model, name)
    kinds = {layer.name: type(layer).__name__ for layer in walk_layers(within)} if within is not None else {}
    fitting = [known for known in names if known in kinds]
    if fitting:
        active = [known for known in fitting if not any(word in kinds[known] for word in _PASSIVE)]
        return (active or fitting)[-1]
    exists = within is not None or any(layer.name == name for layer in walk_layers(model))
    problem = f"the layer {name} has no spatial output" if exists else f"there is no layer {name}"
    raise UserError(f"{problem}; these can be explained: {', '.join(names)}")


def _find_nested(model: keras.Model, name: str) -> keras.Model | None:
    for layer in filter(is_nested, model.layers):
        found = layer if layer.name == name else _find_nested(layer, name)
        if found is not None:
            return found
    return None


def _expose(model: keras.Model, name: str) -> keras.Model:
    """A model of the same layers that returns the activations of the layer ``name`` before its own outputs.

    The tensors inside a nested model are not those of the outer graph. There the nested model is split (one part ends
    in the activations, the other goes on from them; or, where something leads past them, one returns activations and
    outputs), and the outer layers are applied around it.
    """
    named = f"{model.name}_with_{name}"  # Keras' own numbered names may be taken by a loaded model's neighbours
    own = next((layer for layer in model.layers if layer.name == name and not is_nested(layer)), None)
    if own is not None:
        again = reapply(model)
        return keras.Model(again.model.inputs, [*again.outputs_of(own), *again.model.outputs], name=named)
    holds = filter(is_nested, model.layers)
    nested = next(layer for layer in holds if any(inner.name == name for inner in walk_layers(layer)))
    exposed = _expose(nested, name)
    tail = _tail(exposed, name)
    lower = keras.Model(exposed.inputs, exposed.outputs[0], name=f"{nested.name}_until_{name}")
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

    again = reapply(model, apply).model
    return keras.Model(again.inputs, [found[-1], *again.outputs], name=named)


def _tail(exposed: keras.Model, name: str) -> keras.Model | None:
    """The part of ``_expose``'s model from the activations to its other outputs, a list; None where there is another
    way from the inputs to these."""
    activations, *outputs = exposed.outputs
    # No output may be the input itself, as in a nested model that ends in the target layer.
    outputs = [layers.Identity(name=f"{name}_itself")(out) if out is activations else out for out in outputs]
    try:
        return keras.Model(activations, outputs, name=f"{exposed.name}_after_{name}")
    except ValueError:  # Keras finds an output that is not connected to the activations alone
        return None
