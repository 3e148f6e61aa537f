"""What an engine is, and the choice of one for a Keras model."""

from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from src.errors import UserError, shorten_error
from src.inference.frozen_graph import freeze
from src.inference.keras_engine import KerasEngine
from src.progress import say

# An engine is taken only if all its outputs on the probe agree with Keras to this share of the largest value of each.
TOLERANCE = 1e-4
# The same in mixed precision, whose arithmetic has three digits.
HALF_TOLERANCE = 3e-2
_PROBE_PICTURES = 9  # an odd number, so that an engine that works in chunks has a smaller one at the end


class Engine(Protocol):
    """A frozen network: its weights are those at the time it was made.

    Attributes:
        name: "openvino" or "keras".
        precision: "float32", or "mixed_float16" on a GPU.
    """

    name: str
    precision: str

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Compute one batch; one call at a time.

        Args:
            images: (N, H, W, 3) as the network takes them, N >= 1; unchanged.

        Returns:
            For each output name a float32 array (N, ...), the caller's to keep.
        """
        ...


def precision_of(name: str) -> str:
    """The precision that :func:`create_engine` aims at here: part of what its outputs depend on."""
    return "mixed_float16" if name != "openvino" and has_gpu() else "float32"


def has_gpu() -> bool:
    """Whether TensorFlow computes on a GPU here."""
    return bool(tf.config.list_physical_devices("GPU"))


def create_engine(inputs, outputs: dict, name: str = "auto") -> Engine:
    """The fastest engine here for a part of a Keras network in inference mode.

    OpenVINO on a CPU; Keras with mixed precision and XLA on a GPU; each only if what it computes agrees with plain
    Keras on a probe (:data:`TOLERANCE`, :data:`HALF_TOLERANCE`), else Keras as it is, which is said in one line.

    Args:
        inputs: the model's symbolic input, (None, H, W, 3).
        outputs: names and symbolic tensors that depend on ``inputs``.
        name: one of ``settings.ENGINES``.

    Raises:
        UserError: the engine that is asked for by name does not serve.
    """
    model = keras.Model(inputs, outputs)
    if name == "keras" and not has_gpu():
        return KerasEngine(model)
    try:
        if name != "openvino" and has_gpu():
            engine, tolerance = KerasEngine(model, gpu=True), HALF_TOLERANCE
        else:
            from src.inference.openvino_engine import OpenVINOEngine

            engine, tolerance = OpenVINOEngine.from_graph(freeze(model)), TOLERANCE
        check_agreement(engine, model, tolerance)
        return engine
    except Exception as error:  # OpenVINO and XLA raise RuntimeError and kinds of their own on what they cannot do
        reason = shorten_error(error)
        if name == "openvino":
            raise UserError(f"OpenVINO does not serve here ({reason}); leave out --engine") from error
        say(f"The faster engine does not serve here ({reason}): using Keras as it is.")
        return KerasEngine(model, gpu=False)


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
