"""What a bundle says of itself in ``bundle.json``, checked, and how pictures are read for it. Loads no Keras."""

import functools
import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.datasets.manifest import read_fingerprint
from src.errors import ModelError, UserError
from src.evaluation.calibration import apply_temperature, average_logits
from src.files import read_json, sha256_file
from src.imaging import INTERPOLATIONS, MAX_PIXELS, READING_VERSION, load_image
from src.model_choice import BUNDLE_FILE, model_name
from src.networks.model_config import MAX_FILE_BYTES
from src.networks.preprocessing import preprocess_arrays
from src.progress import say

MODEL_FILE = "model.keras"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """What every classifier knows, whatever computes its answers: :class:`src.bundle.Bundle` with Keras,
    :class:`src.frozen_bundle.FrozenBundle` without.

    Attributes:
        class_names: in the order of the outputs.
        image_size: (height, width).
        interpolation: of the resizing, as in ``imaging.INTERPOLATIONS``.
        target_layer: the layer that class activation maps are taken from; "" to have it found.
        preprocessing: what :meth:`preprocess` does; "none" for our own, whose graph does it.
        temperature: what the logits are divided by, so that confidences are honest; 1 where none was fitted.
        info: the content of bundle.json.
        digest: SHA-256 of the network's file, by which results are known to be this model's; None for "imagenet".
        folder: where it was loaded from, for a bundle.
    """

    name: str
    class_names: tuple[str, ...]
    image_size: tuple[int, int]
    interpolation: str
    target_layer: str = ""
    preprocessing: str = "none"
    temperature: float = 1.0
    info: dict = field(default_factory=dict)
    digest: str | None = None
    folder: Path | None = None

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """RGB 0..255 (..., H, W, 3) to float32 inputs of the model."""
        return preprocess_arrays(images, self.preprocessing)

    def read(self, path: str | os.PathLike) -> np.ndarray:
        """Read one picture as float32 input (H, W, 3). Raises ``ImageError`` where it is unreadable."""
        return self.preprocess(load_image(path, self.image_size, self.interpolation))

    def prepare(self, paths) -> np.ndarray:
        """Read pictures as float32 inputs (N, H, W, 3). Raises ``ImageError`` for the first that is unreadable."""
        return np.stack([self.read(path) for path in paths])

    def predict(self, inputs: np.ndarray, *, flips: bool = False) -> np.ndarray:
        """Probabilities float32 (N, C) of one batch of inputs, in the order of ``class_names``, at the temperature.

        Args:
            inputs: as :meth:`prepare` returns them.
            flips: to answer by the mean logits of each picture and of its mirror image.

        Raises ``ModelError`` where the model answers with what is no number.
        """
        return self.soften(self.answer(inputs, flips=flips))

    def soften(self, probabilities: np.ndarray) -> np.ndarray:
        """What :meth:`answer` returned, at the temperature."""
        return apply_temperature(probabilities, self.temperature)

    def answer(self, inputs: np.ndarray, *, flips: bool = False) -> np.ndarray:
        """As :meth:`predict`, before the temperature."""
        return self._finish(self._compute(inputs), inputs, flips)

    def answer_with_features(self, inputs: np.ndarray, *, flips: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """As :meth:`answer`, with the features float32 (N, D) of the pictures as they are, in one pass; None where the
        network has none (:func:`src.networks.heads.find_features`)."""
        probabilities, features = self._compute_with_features(inputs)
        if features is not None:
            self.check_finite(features)
        return self._finish(probabilities, inputs, flips), features

    def _finish(self, probabilities: np.ndarray, inputs: np.ndarray, flips: bool) -> np.ndarray:
        self.check_finite(probabilities)
        if not flips:
            return probabilities
        return average_logits([probabilities, self.answer(inputs[:, :, ::-1])])

    def check_finite(self, outputs: np.ndarray) -> None:
        """Raises ``ModelError`` where an output is no number."""
        if not np.isfinite(outputs).all():
            raise ModelError(f"the model {self.name} answers with NaN or infinity; train it anew at a smaller rate")

    def _compute(self, inputs: np.ndarray) -> np.ndarray:
        """Probabilities float32 (N, C), not yet checked."""
        raise NotImplementedError

    def _compute_with_features(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The same with features float32 (N, D), not yet checked; None where there are none."""
        return self._compute(inputs), None


def data_facts(data_dir: str | Path, counts: dict[str, dict[str, int]]) -> dict:
    """What a bundle remembers of its data: the counts, and the split's content hash where there is a manifest."""
    return {"fingerprint": read_fingerprint(data_dir), "counts": counts}


def find_bundle(name: str | Path, models_dir: str | Path) -> Path | None:
    """The folder of a bundle, named by itself or by its name in ``models_dir``; None where there is no such bundle."""
    return next((path for path in (Path(name), Path(models_dir) / name) if (path / BUNDLE_FILE).is_file()), None)


@functools.cache
def _say_other_reading(folder: Path) -> None:
    """Once for each bundle."""
    say(
        f"{folder} was trained with another version, which may have resized pictures in another way; for its best "
        "accuracy train it anew."
    )


def read_facts(folder: Path) -> dict:
    """The fields of :class:`Classifier` for a bundle. Raises ``UserError`` where bundle.json does not give them."""
    info = read_json(folder / BUNDLE_FILE)
    try:
        if info["format"] != FORMAT:
            raise UserError(f"{folder} has format {info['format']}, this version reads {FORMAT}; train the model anew")
        facts = {
            "name": model_name(folder),
            "class_names": tuple(info["class_names"]),
            "image_size": tuple(info["image_size"]),
            "interpolation": info["interpolation"],
            "target_layer": info["target_layer"],
            "temperature": _read_temperature(info),
            "info": info,
            "digest": info["sha256"][MODEL_FILE],
            "folder": folder,
        }
        _check_facts(facts)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{folder / BUNDLE_FILE} is not a bundle's description ({error}); train the model anew"
        ) from error
    if info.get("reading") != READING_VERSION:
        _say_other_reading(folder)
    return facts


def _check_facts(facts: dict) -> None:
    """Raises ``ValueError`` or ``TypeError`` where they are not what :class:`Classifier` says."""
    names, size, digests = facts["class_names"], facts["image_size"], facts["info"]["sha256"]
    if not isinstance(facts["info"]["class_names"], list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("names of classes that are no names")
    if not names or len(set(names)) < len(names):
        raise ValueError("no classes, or two of one name")
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size) or math.prod(size) > MAX_PIXELS:
        raise ValueError("an image size that there is not")
    if facts["interpolation"] not in INTERPOLATIONS or not isinstance(facts["target_layer"], str):
        raise ValueError("an interpolation or a layer that there is not")
    if not all(isinstance(digest, str) for digest in digests.values()):
        raise ValueError("a digest that is none")


def _read_temperature(info: dict) -> float:
    """1 for a bundle saved before there was one. Raises ``ValueError`` where it is no positive finite number."""
    value = info.get("temperature", 1.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
        raise ValueError("a temperature that is no positive number")
    return float(value)


def check_network(folder: Path, image_size: Sequence[int | None], outputs: int, facts: dict) -> None:
    """Raise ``UserError`` where a network does not fit what bundle.json says of it.

    Args:
        image_size: (height, width) that the network takes, None where any will do.
        outputs: how many it has.
    """
    if outputs != len(facts["class_names"]):
        raise UserError(f"{folder}: {outputs} outputs but {len(facts['class_names'])} class names")
    if any(side not in (None, wanted) for side, wanted in zip(image_size, facts["image_size"])):
        raise UserError(
            f"{folder}: the network takes pictures of {tuple(image_size)}, bundle.json says {facts['image_size']}"
        )


def is_as_saved(folder: Path, file_name: str, info: dict) -> bool:
    """Whether a bundle's file is there with the bytes that it was saved with."""
    path = folder / file_name
    return path.is_file() and sha256_file(path) == info["sha256"][file_name]


def read_as_saved(folder: Path, file_name: str, info: dict) -> bytes | None:
    """The bytes of a bundle's file; None where it cannot be read or they are not those it was saved with."""
    path = folder / file_name
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:  # a pipe would be waited for
            return None
        content = path.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == info["sha256"][file_name] else None
