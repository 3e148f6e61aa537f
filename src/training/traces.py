"""TensorFlow keeps for ever, in two registries of its own, what a training has traced; here it is let go."""

import contextlib
from collections.abc import Iterator

try:
    from tensorflow.python.framework import ops  # private, as the registries are
except ImportError:
    ops = None


@contextlib.contextmanager
def traces_released() -> Iterator[None]:
    """Within the context, or in the decorated function, what is traced is forgotten at the end; by then nothing of it
    may be in use.

    ``Dataset.from_generator`` hangs its generator, and with it the pictures in memory, the loader's threads and mapped
    files, on the outermost graph; each optimiser's step enters a gradient of its own, and with it the graph of the
    whole step, into the registry of gradients (TensorFlow 2.21). Both would grow with every training of a process.
    Another version may keep them elsewhere: then they stay.
    """
    gradients = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
    functions = _py_functions()
    known, count = set(gradients), len(functions)
    try:
        yield
    finally:
        for name in [name for name in gradients if name not in known and name.startswith("CustomGradient-")]:
            del gradients[name]
        del _py_functions()[count:]


def _py_functions() -> list:
    """What the outermost graph holds of Python's functions."""
    return getattr(ops.get_default_graph(), "_py_funcs_used_in_graph", []) if ops else []
