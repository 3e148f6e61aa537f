"""What an engine is, and the choice of one for a Keras model."""

from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from src.inference.frozen_graph import freeze
from src.inference.keras_engine import KerasEngine
from src.progress import say

# An engine is taken only if all its outputs on the probe agree with Keras to this share of the largest value of each.
TOLERANCE = 1e-4
_PROBE_PICTURES = 3  # an odd number: the last chunk of an engine that works in chunks is then a smaller one


class Engine(Protocol):
    """A frozen network: its weights are those at the time it was made.

    Attributes:
        name: "openvino" or "keras".
        precision: "float32", or "mixed_float16" on a GPU.
    """

    name: str
    precision: str

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Compute one batch.

        Args:
            images: (N, H, W, 3) as the network takes them, N >= 1; unchanged.

        Returns:
            For each output name a float32 array (N, ...), the caller's to keep.
        """
        ...


def create_engine(inputs, outputs: dict, name: str = "auto") -> Engine:
    """The fastest engine here for a part of a Keras network in inference mode.

    OpenVINO on a CPU, if what it computes agrees with Keras (:data:`TOLERANCE`) on a probe; Keras with mixed precision
    and XLA on a GPU; else Keras as it is. That the choice falls back to Keras is said in one line.

    Args:
        inputs: the model's symbolic input, (None, H, W, 3).
        outputs: names and symbolic tensors that depend on ``inputs``.
        name: one of ``settings.ENGINES``; but for "auto" nothing is chosen or compared.
    """
    model = keras.Model(inputs, outputs)
    if name == "keras" or (name == "auto" and tf.config.list_physical_devices("GPU")):
        return KerasEngine(model)
    try:
        from src.inference.openvino_engine import OpenVINOEngine

        engine = OpenVINOEngine.from_graph(freeze(model))
        if name == "auto":
            check_agreement(engine, model)
        return engine
    except Exception as error:  # OpenVINO raises RuntimeError and its own for whatever a network may hold
        if name != "auto":
            raise
        say(f"The faster engine OpenVINO does not serve here ({' '.join(str(error).split())[:150]}): using Keras.")
        return KerasEngine(model)


def check_agreement(engine: Engine, model: keras.Model, tolerance: float = TOLERANCE) -> None:
    """Compare an engine with the Keras model that it was made from, on random pictures.

    Raises ``ValueError`` where an output differs by more than ``tolerance`` of its largest value.
    """
    shape = [side or 224 for side in model.inputs[0].shape[1:]]
    probe = np.random.default_rng(0).uniform(0, 255, (_PROBE_PICTURES, *shape)).astype(np.float32)
    computed = engine.run(probe)
    for name, values in model(probe, training=False).items():
        values = np.asarray(values, np.float32)
        limit = tolerance * max(float(np.abs(values).max()), 1e-6)
        difference = float(np.abs(computed[name] - values).max())
        if not difference <= limit:  # also where it is not a number
            raise ValueError(f"its {name} differs from Keras' by {difference:.2g}, more than {limit:.2g}")
