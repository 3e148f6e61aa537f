"""A bundle's network in the form that needs neither TensorFlow nor Keras: predictions a second after the start.

    network.xml   OpenVINO's graph: RGB 0..255 float32 in; out ``logits``, ``probabilities`` and, where the target layer
                  is a plain layer of the flat graph, its ``activations``
    network.bin   its float32 weights

It is written into the bundle beside model.keras, from which it is made and which stays the network that everything else
works with. A bundle without it is as good, only slower to answer.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.bundle_facts import Classifier, check_output_count, find_bundle, is_as_saved, read_facts
from src.errors import UserError
from src.progress import say

if TYPE_CHECKING:
    import keras

    from src.inference.openvino_engine import OpenVINOEngine

NETWORK_FILES = ("network.xml", "network.bin")


class FrozenBundleError(UserError):
    """A bundle has the frozen form, but it is of no use here; its Keras model may be."""


@dataclass(frozen=True, kw_only=True)
class FrozenBundle(Classifier):
    """A classifier computed by OpenVINO.

    Attributes:
        engine: its outputs are those that the head of this file names.
    """

    engine: "OpenVINOEngine"

    def _compute(self, inputs: np.ndarray) -> np.ndarray:
        return self.engine.run(inputs)["probabilities"]


def load_frozen_bundle(name: str | Path, models_dir: str | Path = "models", *, single: bool = False):
    """The frozen form of a bundle that is named or whose folder is given.

    Args:
        single: few pictures are to come: all cores work on one at a time.

    Returns:
        A :class:`FrozenBundle`; None where there is no such bundle, or where it was saved without this form.

    Raises:
        FrozenBundleError: the form was changed since it was saved, or OpenVINO does not run it here.
        UserError: bundle.json is damaged.
    """
    folder = find_bundle(name, models_dir)
    if folder is None:
        return None
    facts = read_facts(folder)
    if not set(NETWORK_FILES) <= facts["info"]["sha256"].keys():
        return None
    for file_name in NETWORK_FILES:
        if not is_as_saved(folder, file_name, facts["info"]):
            raise FrozenBundleError(f"{folder / file_name} is missing, cut off or changed since it was saved")
    try:
        from src.inference.openvino_engine import OpenVINOEngine

        engine = OpenVINOEngine.from_file(folder / NETWORK_FILES[0], single=single)
    except (UserError, ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise FrozenBundleError(f"OpenVINO does not run the network of {folder} here ({reason})") from error
    check_output_count(folder, engine.width("probabilities"), facts["class_names"])
    return FrozenBundle(engine=engine, **facts)


def save_frozen_form(model: "keras.Model", target_layer: str, folder: Path) -> tuple[str, ...]:
    """Write :data:`NETWORK_FILES` of a network of ours into ``folder``, once they agree with Keras on a probe.

    Returns:
        The names of the files; () where OpenVINO does not serve for this network, which is said in one line.
    """
    import keras
    import tensorflow as tf

    from src.inference.engine import check_agreement
    from src.inference.frozen_graph import freeze

    try:
        from src.inference.openvino_engine import OpenVINOEngine

        outputs = {name: model.get_layer(name).output for name in ("logits", "probabilities")}
        if any(layer.name == target_layer for layer in model.layers):
            outputs["activations"] = model.get_layer(target_layer).output
        whole = keras.Model(model.inputs[0], outputs)
        engine = OpenVINOEngine.from_graph(freeze(whole), single=True)
        with tf.device("CPU"):  # a GPU may round to three digits (TF32)
            check_agreement(engine, whole)
        engine.save(folder / NETWORK_FILES[0])
    except Exception as error:  # OpenVINO raises RuntimeError and kinds of its own on what it cannot do
        for name in NETWORK_FILES:
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        reason = " ".join(str(error).split())[:150]
        say(f"Saved without the form that predicts without TensorFlow, which this network does not take ({reason}).")
        return ()
    return NETWORK_FILES
