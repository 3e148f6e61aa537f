"""Training in half precision where the processor can: layers compute in bfloat16, weights stay float32."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

from src.inference.engine import has_gpu

_CPU_FACTS = Path("/proc/cpuinfo")
_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_GPU_CAPABILITY = (8, 0)  # Ampere
# Pictures are scaled before they are rounded; logits are what the loss takes differences of; TensorFlow's depthwise
# convolutions on a CPU take twice as long in bfloat16.
_SPARED_KINDS = (layers.InputLayer, layers.Rescaling, layers.Normalization, layers.DepthwiseConv2D)
_SPARED_NAMES = ("logits", "probabilities")


def has_bfloat16() -> bool:
    """Whether what TensorFlow computes on here multiplies bfloat16 itself, and so faster than float32.

    Of CPUs that is known where the system lists their abilities, as Linux does; elsewhere the answer is no.
    """
    if has_gpu():
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        return details.get("compute_capability", (0, 0)) >= _GPU_CAPABILITY
    try:
        facts = _CPU_FACTS.read_text(errors="replace")
    except OSError:
        return False
    return any(_CPU_FLAGS & set(line.split()) for line in facts.splitlines() if line.startswith("flags"))


@contextlib.contextmanager
def compute_in_bfloat16(model: keras.Model) -> Iterator[None]:
    """Within the context the model's layers compute in bfloat16 (Micikevicius et al. 2018, section 3.1: weights and
    what steps are made of stay float32).

    Afterwards they compute as before, but for functions that were traced within, as ``model.train_function``. The
    layers' ``dtype_policy`` is replaced, so that the model that is saved is the one that was built.
    """
    before = [
        (layer, layer.dtype_policy)
        for layer in model.layers
        if not isinstance(layer, _SPARED_KINDS) and layer.name not in _SPARED_NAMES
    ]
    for layer, _ in before:
        layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    try:
        yield
    finally:
        for layer, policy in before:
            layer.dtype_policy = policy
