"""The end of a classifier: where its logits are, and what turns them into its outputs."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import tensorflow as tf
from keras import layers

from src.errors import UserError
from src.explainers.reapplied import Reapplied, is_nested, reapply

_LINEAR = (None, keras.activations.linear)
_SOFTMAX = (keras.activations.softmax, keras.ops.softmax, tf.nn.softmax)
_SIGMOID = (keras.activations.sigmoid, keras.ops.sigmoid, tf.nn.sigmoid)


@dataclass(frozen=True)
class Head:
    """Where the logits of a classifier are.

    Attributes:
        tensor: the symbolic tensor from which ``read`` computes them.
        read: (N, ...) -> logits (N, units).
        activation: "softmax", "sigmoid" or "linear", what turns them into the model's output.
        is_logits: whether ``tensor`` is the output of a layer named "logits".
    """

    tensor: keras.KerasTensor
    read: Callable[[tf.Tensor], tf.Tensor]
    activation: str
    is_logits: bool = False

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


def find_head(applied: Reapplied) -> Head:
    """Find the logits: what the last softmax or sigmoid is applied to, or a linear end (a Dense layer, or any layer
    named "logits").

    A softmax inside the last Dense is passed by: its logits are computed from its input, kernel and bias.

    Raises:
        UserError: the model ends in something else.
    """
    tensor, activation = _before_activations(applied)
    call = applied.maker(tensor)
    if activation != "linear":
        return Head(tensor, tf.identity, activation, call is not None and call.operation.name == "logits")
    last = call.operation if call is not None else None
    inside = activation_kind(getattr(last, "activation", None))
    if isinstance(last, layers.Dense) and inside in ("softmax", "sigmoid"):
        return Head(call.inputs[0], lambda features: _dense_before_activation(last, features), inside)
    ends = isinstance(last, layers.Dense) or (isinstance(last, layers.Layer) and last.name == "logits")
    if ends and inside == "linear" and not _only_activates(last) and not is_nested(last):
        return Head(tensor, tf.identity, "linear", last.name == "logits")
    raise UserError(
        f"the logits of {applied.model.name} cannot be found: it ends in {_describe(last)}. It should end in a Dense "
        "layer, linear or with softmax or sigmoid; or name the linear layer at its end 'logits'"
    )


def unwrap_head(applied: Reapplied) -> Reapplied:
    """The model with its last layers in its own graph, where they are the end of a nested model: a classifier wrapped
    whole, as behind its preprocessing."""
    while (call := applied.maker(_before_activations(applied)[0])) is not None and is_nested(call.operation):
        if _before_activations(applied)[1] != "linear" or len(call.outputs) != 1 or len(call.inputs) != 1:
            break  # a softmax outside: the nested model's outputs are the logits
        applied = reapply(applied.model, _without_end(call.operation))
    return applied


def _without_end(nested: keras.Model) -> Callable:
    """What applies the nested model in two parts, the last layers by themselves; other operations as they are."""
    inner = unwrap_head(reapply(nested))
    start, end = find_head(inner).tensor, inner.maker(inner.model.outputs[0])
    steps, tensor = [end.operation], end.inputs[0]
    while tensor is not start and inner.model.outputs[0] is not start:
        call = inner.maker(tensor)
        steps, tensor = [call.operation, *steps], call.inputs[0]
    if len(end.inputs) != 1:
        raise UserError(
            f"the logits cannot be found: {end.operation.name}, the end of {nested.name}, takes many inputs"
        )
    source = inner.model.inputs[0]
    body = keras.Model(source, tensor, name=nested.name) if tensor is not source else None

    def apply(operation, *args, **kwargs):
        if operation is not nested:
            return operation(*args, **kwargs)
        value = body(*args, **kwargs) if body is not None else keras.tree.flatten((args, kwargs))[0]
        for step in steps:
            value = step(value)
        return value

    return apply


def _before_activations(applied: Reapplied) -> tuple[keras.KerasTensor, str]:
    """What stands before the softmax or sigmoid at the model's end, and which it is; layers that do nothing are passed
    by. "linear" if there is none."""
    tensor, activation = applied.model.outputs[0], "linear"
    while (call := applied.maker(tensor)) is not None and (kind := _only_activates(call.operation)):
        if kind != "linear" and activation != "linear":
            break  # of two softmaxes the last
        tensor, activation = call.inputs[0], kind if activation == "linear" else activation
    return tensor, activation


def _only_activates(operation: keras.Operation) -> str | None:
    """ "linear", "softmax" or "sigmoid" if the operation is no more than that, else None."""
    kind = type(operation).__name__.lower()
    if not isinstance(operation, layers.Layer):  # what keras.ops make of a symbolic tensor
        return kind if kind in ("softmax", "sigmoid") else None
    if isinstance(operation, layers.Identity):
        return "linear"
    if isinstance(operation, layers.Softmax):
        return "softmax"
    known = activation_kind(operation.activation) if isinstance(operation, layers.Activation) else "unknown"
    return known if known != "unknown" else None


def activation_kind(activation: Callable | None) -> str:
    """ "linear", "softmax" or "sigmoid" by what the function is, not by its name; "unknown" for all others."""
    if isinstance(activation, layers.Softmax) or activation in _SOFTMAX:
        return "softmax"
    if isinstance(activation, layers.Activation):
        return activation_kind(activation.activation)
    return "sigmoid" if activation in _SIGMOID else "linear" if activation in _LINEAR else "unknown"


def _dense_before_activation(dense: layers.Dense, features: tf.Tensor) -> tf.Tensor:
    """A Dense layer's output without its activation, in float32; its variables are read at every call."""
    logits = tf.linalg.matmul(tf.cast(features, tf.float32), tf.cast(tf.convert_to_tensor(dense.kernel), tf.float32))
    return logits + tf.cast(tf.convert_to_tensor(dense.bias), tf.float32) if dense.use_bias else logits


def _describe(last: keras.Operation | None) -> str:
    if last is None:
        return "its input"
    activation = getattr(last, "activation", None)
    known = activation_kind(activation)
    shown = known if known != "unknown" else getattr(activation, "__name__", type(activation).__name__)
    return f"{last.name} ({type(last).__name__}, activation {shown})"
