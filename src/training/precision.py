"""Training in half precision where the processor can: layers compute in bfloat16, weights stay float32."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

from src.inference.engine import has_gpu
from src.progress import say

_CPU_FACTS = Path("/proc/cpuinfo")
_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}
_GPU_CAPABILITY = (8, 0)  # Ampere
# Pictures are scaled before they are rounded. A CPU takes 3 to 20 times as long for the gradients of depthwise
# convolutions of 5 x 5 or stride 2 in bfloat16. Whitening amplifies small differences of neighbouring pixels, and loses
# up to 15% of them by rounding. The loss takes differences of logits.
_SPARED_KINDS = (layers.InputLayer, layers.Rescaling, layers.Normalization, layers.DepthwiseConv2D)
_SPARED_NAMES = ("whitening", "logits")


def has_bfloat16() -> bool:
    """Whether what TensorFlow computes on here can multiply bfloat16.

    Of CPUs that is known where the system lists their abilities, as Linux does on x86-64; elsewhere the answer is no.
    """
    if has_gpu():
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        return details.get("compute_capability", (0, 0)) >= _GPU_CAPABILITY
    try:
        facts = _CPU_FACTS.read_text(errors="replace")
    except OSError:
        return False
    return any(_CPU_FLAGS & set(line.split()) for line in facts.splitlines() if line.startswith("flags"))


def resolve_precision(asked: str) -> str:
    """What "float32", "bfloat16" or "auto" comes to on this machine, "float32" or "bfloat16"."""
    if asked != "auto":
        return asked
    return "bfloat16" if has_bfloat16() else "float32"


@contextlib.contextmanager
def compute_in_bfloat16(model: keras.Model) -> Iterator[None]:
    """Within the context the layers of a flat model that ends in logits compute in bfloat16.

    Weights, the optimiser's variables and BatchNormalization's statistics stay float32 (Kalamkar et al. 2019,
    arXiv:1905.12322, section 2: no scaling of the loss is needed). What the model computes within is rounded, so
    validation during training is too. Afterwards layers compute as before, but for functions that were traced within.
    The layers' ``dtype_policy`` is replaced, so that what is saved afterwards is the model that was built. A model
    without convolutions stays as it is: there is little to gain.
    """
    if not any(isinstance(layer, layers.Conv2D) for layer in model.layers):
        yield
        return
    changed = [
        layer
        for layer in model.layers
        if layer.dtype_policy.name == "float32"
        and not isinstance(layer, _SPARED_KINDS)
        and layer.name not in _SPARED_NAMES
    ]
    say("Layers compute in bfloat16 while they are trained.")
    if not has_bfloat16():
        say("This processor is not known to have it: float32 is probably faster (--precision).")
    before = [layer.dtype_policy for layer in changed]
    for layer in changed:
        layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
    try:
        yield
    finally:
        for layer, policy in zip(changed, before):
            layer.dtype_policy = policy
