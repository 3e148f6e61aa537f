"""What a bundle keeps of held-out pictures, ``held_out.npz``: the answers to them, and how unlike the training pictures
they are. They are the validation part's; or, of an exact head, those of train and val, each judged by a head of the
same kind that had not seen it (``cross_evidence``).

From it every threshold follows at use: which pictures count as unlike the training set, which answers as sure, which
classes as possible. Loads no TensorFlow.
"""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.bundle_facts import Classifier, read_as_saved
from src.errors import UserError, shorten_error
from src.evaluation.novelty import Novelty, fit_novelty
from src.progress import say, track
from src.threads import map_threads

if TYPE_CHECKING:
    from src.loading.iterator import DirectoryIterator

FILE_NAME = "held_out.npz"
ORIGINS = ("validation", "cross-validation")
MAX_BYTES = 2**28  # unpacked; 10,000 pictures of 1,000 classes take 40 MB
# Training pictures that the class means and their covariance come from: more bring little (docs/few_pictures.md).
_PICTURES, _LEAST_OF_A_CLASS, _PICTURES_IN_ALL = 400, 20, 2000
_MOST_SCALE = 1e13  # ``fit_novelty`` takes no variance of 1e-12 or less; beyond it distances overflow
_BATCH = 32

Answer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""A batch of inputs to probabilities (n, C), before the temperature, and features (n, D) or None."""


@dataclass(frozen=True)
class HeldOut:
    """Evidence of what a network is worth on pictures that are new to it.

    Attributes:
        labels: int64 (N,), the true classes, N >= 1.
        probabilities: float32 (N, C), before the temperature.
        origin: where the pictures come from, one of :data:`ORIGINS`.
        novelty: what tells pictures unlike the training set, by the features of the network that is saved; None where
            it has none.
        scores: float64 (N,), the novelty of these pictures by fits that have not seen them; None where there is none.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    origin: str = "validation"
    novelty: Novelty | None = None
    scores: np.ndarray | None = None

    def save(self, path: Path) -> None:
        """Write the record, about 4 (C + D * min(256, training pictures) / N) bytes for each of N pictures."""
        arrays = {"labels": self.labels.astype(np.int64), "probabilities": self.probabilities.astype(np.float32)}
        if self.novelty is not None and self.scores is not None:
            fitted = self.novelty
            arrays |= {"scores": self.scores.astype(np.float64), "scale": np.float64(fitted.scale)}
            arrays |= {"means": fitted.means, "directions": fitted.directions}
        np.savez(path, origin=np.array(self.origin), **arrays)


def load_held_out(classifier: Classifier) -> HeldOut | None:
    """The record of a classifier's bundle; None for one that has none, or where it was taken out, and where it is
    damaged, which is said in one line."""
    folder, info = classifier.folder, classifier.info
    if folder is None or FILE_NAME not in info.get("sha256", {}) or not (folder / FILE_NAME).is_file():
        return None
    try:
        content = read_as_saved(folder, FILE_NAME, info)
        if content is None:
            raise ValueError("it is cut off or changed since it was saved")
        return parse_held_out(content, len(classifier.class_names))
    except ValueError as error:
        say(f"{folder / FILE_NAME} is not used: {error}. Nothing is said of unlike pictures; train anew.")
        return None


def parse_held_out(content: bytes, class_count: int) -> HeldOut:
    """What :meth:`HeldOut.save` wrote. Raises ``ValueError`` where it is not that, or not of so many classes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ValueError("it would take too much memory")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception as error:  # NumPy, zipfile and zlib raise whatever the damage leads them to
        raise ValueError(f"it is no record of held-out pictures: {shorten_error(error)}") from error
    try:
        return _check(arrays, class_count)
    except (AttributeError, KeyError, IndexError, TypeError) as error:  # a member may be no array at all
        raise ValueError("it is no record of held-out pictures") from error


def _check(arrays: dict[str, np.ndarray], class_count: int) -> HeldOut:
    labels, probabilities, origin = arrays["labels"], arrays["probabilities"], arrays["origin"]
    count = labels.size
    _expect(labels, np.int64, (count,))
    _expect(probabilities, np.float32, (count, class_count))
    if origin.dtype.kind != "U" or origin.shape != () or str(origin) not in ORIGINS:
        raise ValueError("its origin is none")
    if not count or labels.min() < 0 or labels.max() >= class_count:
        raise ValueError("its classes are not the model's")
    if probabilities.min() < 0 or np.abs(probabilities.sum(axis=1) - 1).max() > 1e-2:
        raise ValueError("its probabilities are none")
    if "scores" not in arrays:
        return HeldOut(labels, probabilities, str(origin))
    means, directions, scores, scale = (arrays[name] for name in ("means", "directions", "scores", "scale"))
    _expect(scores, np.float64, (count,))
    _expect(scale, np.float64, ())
    _expect(means, np.float32, (means.shape[0], means.shape[-1]))
    _expect(directions, np.float32, (directions.shape[0], means.shape[-1]))
    if not 0 < len(means) <= class_count or not 0 < scale <= _MOST_SCALE or scores.min() < 0:
        raise ValueError("its distances are none")
    if max(_longest(means), _longest(directions)) > 1 + 1e-3:  # all but a rounding error
        raise ValueError("its distances are none")
    return HeldOut(labels, probabilities, str(origin), Novelty(means, directions, float(scale)), scores)


def _longest(rows: np.ndarray) -> float:
    """The greatest squared length of float32 (N, D), 0 of none."""
    return float((rows.astype(np.float64) ** 2).sum(axis=1).max(initial=0.0))


def _expect(array: np.ndarray, kind: type, shape: tuple[int, ...]) -> None:
    if array.dtype != kind or array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"an array of it is {array.dtype} {array.shape}, or not finite")


def ask_held_out(answer: Answer, val: "DirectoryIterator", train: "DirectoryIterator | None" = None) -> HeldOut | None:
    """Ask a network about its validation part, and compare that with a sample of its training part, as it is.

    The validation part has also chosen the epoch, so that the answers are a little too good; the test part's figures
    are what counts.

    Args:
        answer: by the very network that is saved.
        val: with labels, neither augmented nor shuffled.
        train: of its pictures at most 400, evenly from all classes (2,000 where 20 of each are more), are asked as they
            are, not augmented; None leaves the novelty out.

    Returns:
        None where a picture has gone meanwhile, which must not cost the training and is said; or where the answers are
        no numbers, which is said when the network is used.

    Raises:
        ValueError: ``val`` is augmented or shuffled.
    """
    if val.augmented or val.shuffle:
        raise ValueError("thresholds are found on pictures as they are, in their order")
    try:
        answers = [answer(val[index][0]) for index in track(range(len(val)), what="Calibrating", unit="batches")]
        probabilities, features = _join(answers)
        if not np.isfinite(probabilities).all():
            return None
        labels = np.asarray(val.classes, np.int64)
        if features is None or train is None or not np.isfinite(features).all():
            return HeldOut(labels, probabilities)
        novelty = _fit(answer, train)
        return HeldOut(labels, probabilities, novelty=novelty, scores=None if not novelty else novelty.scores(features))
    except UserError as error:
        say(f"Confidences stay as they are ({shorten_error(error)}).")
        return None


def look_at(answer: Answer, pictures: "DirectoryIterator", places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Probabilities (n, C) and features (n, D), or None, of some of an iterator's pictures, as they are.

    Raises ``UserError`` where one cannot be read.
    """
    loaded, answers = map_threads(pictures.load_picture, places.tolist(), ahead=_BATCH), []
    with track(total=len(places), what="Looking at pictures") as progress:
        for start in range(0, len(places), _BATCH):
            batch = [next(loaded) for _ in places[start : start + _BATCH]]
            answers.append(answer(np.stack(batch)))
            progress.update(len(batch))
    return _join(answers)


def _fit(answer: Answer, train: "DirectoryIterator") -> Novelty | None:
    places = _sample_evenly(np.asarray(train.classes))
    features = look_at(answer, train, places)[1]
    try:
        return fit_novelty(features, train.classes[places])
    except ValueError as error:
        say(f"Unlike pictures will not be told ({error}).")
        return None


def _sample_evenly(classes: np.ndarray) -> np.ndarray:
    """Places of training pictures, as many of each class, spread evenly over them."""
    names = np.unique(classes)
    each = min(max(_LEAST_OF_A_CLASS, _PICTURES // len(names)), max(1, _PICTURES_IN_ALL // len(names)))
    chosen = []
    for name in names:
        members = np.flatnonzero(classes == name)
        chosen.append(members[np.unique(np.linspace(0, len(members) - 1, min(each, len(members))).astype(int))])
    return np.sort(np.concatenate(chosen))


def _join(answers: list[tuple[np.ndarray, np.ndarray | None]]) -> tuple[np.ndarray, np.ndarray | None]:
    probabilities, features = zip(*answers)
    return np.concatenate(probabilities), None if features[0] is None else np.concatenate(features)
