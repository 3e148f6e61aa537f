"""A Keras model as one TensorFlow graph with its weights as constants: what other engines read."""

from dataclasses import dataclass

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


@dataclass(frozen=True)
class FrozenGraph:
    """A graph of one input.

    Attributes:
        definition: a GraphDef, serialised.
        tensor_names: for each output name what the graph calls that tensor.
    """

    definition: bytes
    tensor_names: dict[str, str]


def freeze(model: keras.Model) -> FrozenGraph:
    """Freeze a model of one input, its outputs a dict of names and tensors, in inference mode with its present weights.

    The outputs become float32.
    """
    names = list(model.output)
    shape = tuple(model.inputs[0].shape)

    def compute(images):
        outputs = model(images, training=False)
        return [tf.cast(outputs[name], tf.float32) for name in names]

    traced = tf.function(compute, input_signature=[tf.TensorSpec(shape, tf.float32)])
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function())
    tensor_names = dict(zip(names, (output.name for output in frozen.outputs)))
    return FrozenGraph(frozen.graph.as_graph_def().SerializeToString(), tensor_names)
