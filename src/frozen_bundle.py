"""A bundle's network in the form that needs neither TensorFlow nor Keras: predictions a second after the start.

    network.xml   OpenVINO's graph: RGB 0..255 float32 in; out ``logits``, ``probabilities``, ``features`` (what unlike
                  pictures are told by) and, where the target layer is a plain layer of the flat graph, its
                  activations by that layer's name
    network.bin   its float32 weights

It is written into the bundle beside model.keras, from which it is made. Prediction needs nothing else; Grad-CAM takes
the activations from it. A bundle without it is as good, only slower to answer.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.bundle_facts import Classifier, check_network, find_bundle, read_as_saved, read_facts
from src.errors import UserError, shorten_error
from src.model_choice import PLAIN_SUFFIXES, describe_missing
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

    def _compute_with_features(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return split_answer(self.engine.run(inputs))


def split_answer(outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """The probabilities and features among an engine's outputs; None for features that there are not, as in bundles of
    earlier versions."""
    features = outputs.get("features")
    return outputs["probabilities"], features if features is not None and features.ndim == 2 else None


def load_frozen_bundle(
    name: str | Path, models_dir: str | Path = "models", *, required: bool = False
) -> FrozenBundle | None:
    """The frozen form of a bundle that is named or whose folder is given.

    Args:
        required: to raise where there is none that serves, instead of saying in one line why it is not used.

    Returns:
        None where there is no such bundle, where it was saved without this form, or where the form is of no use here.

    Raises:
        UserError: bundle.json is damaged; or, where the form is required, the reason why it is not to be had.
    """
    folder = find_bundle(name, models_dir)
    if folder is None:
        if required and str(name) != "imagenet" and Path(name).suffix not in PLAIN_SUFFIXES:
            raise UserError(describe_missing(name, models_dir))
    else:
        facts = read_facts(folder)
        if set(NETWORK_FILES) <= facts["info"]["sha256"].keys():
            try:
                return FrozenBundle(engine=_load_engine(folder, facts), **facts)
            except FrozenBundleError as error:
                if required:
                    raise
                say(f"{error}: it is not used.")
                return None
    if required:
        raise UserError(f"{name} carries no network saved for OpenVINO; leave out --engine")
    return None


def _load_engine(folder: Path, facts: dict) -> "OpenVINOEngine":
    # The very bytes that were checked are loaded, and no file stays mapped: a bundle may be replaced while it is used.
    contents = [read_as_saved(folder, file_name, facts["info"]) for file_name in NETWORK_FILES]
    for file_name, content in zip(NETWORK_FILES, contents):
        if content is None:
            raise FrozenBundleError(f"{folder / file_name} cannot be read or was changed since it was saved")
    try:
        from src.inference.openvino_engine import OpenVINOEngine

        engine = OpenVINOEngine.from_bytes(*contents)
    except (UserError, ImportError, RuntimeError) as error:
        raise FrozenBundleError(
            f"OpenVINO does not run the network of {folder} here ({shorten_error(error)})"
        ) from error
    check_network(folder, engine.image_size, engine.width("probabilities"), facts)
    return engine


def save_frozen_form(model: "keras.Model", target_layer: str, folder: Path) -> tuple[str, ...]:
    """Write :data:`NETWORK_FILES` of a network of ours into ``folder``, once they agree with Keras on a probe.

    Returns:
        The names of the files; () where OpenVINO does not serve for this network, which is said in one line.
    """
    import keras
    import tensorflow as tf

    from src.inference.engine import check_agreement
    from src.inference.frozen_graph import freeze
    from src.networks.heads import find_features

    graph, weights = (folder / name for name in NETWORK_FILES)
    try:
        from src.inference.openvino_engine import OpenVINOEngine

        outputs = {name: model.get_layer(name).output for name in ("logits", "probabilities")}
        if any(layer.name == target_layer for layer in model.layers):
            outputs[target_layer] = model.get_layer(target_layer).output
        if (features := find_features(model)) is not None:
            outputs.setdefault("features", features)
        whole = keras.Model(model.inputs[0], outputs)
        OpenVINOEngine.from_graph(freeze(whole)).save(graph)
        with tf.device("CPU"):  # a GPU may round to three digits (TF32)
            check_agreement(OpenVINOEngine.from_bytes(graph.read_bytes(), weights.read_bytes()), whole)
    except Exception as error:  # OpenVINO raises RuntimeError and kinds of its own on what it cannot do
        for path in (graph, weights):
            with contextlib.suppress(OSError):
                path.unlink()
        say(f"Saved without the form that predicts without TensorFlow ({shorten_error(error)}).")
        return ()
    return NETWORK_FILES


def load_saved_form(folder: Path) -> "OpenVINOEngine | None":
    """The engine of the form that :func:`save_frozen_form` has just written, or None where it wrote none."""
    paths = [folder / name for name in NETWORK_FILES]
    if not all(path.is_file() for path in paths):
        return None
    from src.inference.openvino_engine import OpenVINOEngine

    return OpenVINOEngine.from_bytes(*(path.read_bytes() for path in paths))
