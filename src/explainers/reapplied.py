"""A model's own layers applied once more, and what each of them gave.

A layer's ``output`` is that of its first call, which may belong to another model: a Sequential calls its layers anew
each time it is built, as ``add`` and loading do, and "new head" recipes call those of the old model. So tensors are
taken from a call made here. Public interface of Keras only; the layers are shared and remember one more call.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
from keras import layers


@dataclass(frozen=True)
class Call:
    """One layer or operation, the symbolic tensors that it was given and those that it gave."""

    operation: keras.Operation
    inputs: list[keras.KerasTensor]
    outputs: list[keras.KerasTensor]


@dataclass(frozen=True)
class Reapplied:
    """A functional model of the same layers on new inputs, and its calls from input to output; nested models are one
    call each."""

    model: keras.Model
    calls: list[Call]

    def maker(self, tensor: keras.KerasTensor) -> Call | None:
        """The call that gave the tensor; None for the model's inputs."""
        return next((call for call in self.calls if any(tensor is output for output in call.outputs)), None)

    def outputs_of(self, layer: layers.Layer) -> list[keras.KerasTensor]:
        """What the layer gave at its last call in this model."""
        return next((call.outputs for call in reversed(self.calls) if call.operation is layer), [])


def reapply(model: keras.Model, apply: Callable | None = None) -> Reapplied:
    """Apply a functional or Sequential model's layers to new inputs.

    Args:
        apply: (operation, *args, **kwargs) -> outputs, what to do instead of calling the operation.
    """
    calls = []

    def record(operation, *args, **kwargs):
        given = [value for value in keras.tree.flatten((args, kwargs)) if isinstance(value, keras.KerasTensor)]
        outputs = apply(operation, *args, **kwargs) if apply else operation(*args, **kwargs)
        calls.append(Call(operation, given, keras.tree.flatten(outputs)))
        return outputs

    outputs = model.outputs[0] if len(model.outputs) == 1 else model.outputs
    graph = keras.Model(model.inputs, outputs, name=model.name)  # a Sequential takes no call function
    return Reapplied(keras.models.clone_model(graph, clone_function=lambda layer: layer, call_function=record), calls)


def is_nested(operation: keras.Operation) -> bool:
    """Whether it is a model with a graph of its own; a subclassed one is a layer like any other."""
    return isinstance(operation, keras.Model) and bool(getattr(operation, "inputs", None))


def walk_layers(model: keras.Model) -> Iterator[layers.Layer]:
    """Layers in graph order; a nested model gives its layers in its place."""
    for layer in model.layers:
        if is_nested(layer):
            yield from walk_layers(layer)
        else:
            yield layer


def walk_outputs(model: keras.Model) -> Iterator[tuple[layers.Layer, list[keras.KerasTensor]]]:
    """The same layers but the inputs, each with what it gives in this model."""
    again = reapply(model)
    for layer in model.layers:
        if is_nested(layer):
            yield from walk_outputs(layer)
        elif not isinstance(layer, layers.InputLayer):
            yield layer, again.outputs_of(layer)
