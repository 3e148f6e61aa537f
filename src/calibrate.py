"""The temperature of a network that is about to be saved, fitted on its validation part."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from src.errors import UserError, shorten_error
from src.evaluation.calibration import apply_temperature, fit_temperature, measure_calibration
from src.progress import say, track

if TYPE_CHECKING:
    from src.loading.iterator import DirectoryIterator


def calibrate(answer: Callable[[np.ndarray], np.ndarray], pictures: "DirectoryIterator") -> dict:
    """What bundle.json keeps of it: ``temperature``, and ``calibration`` with the figures before and after.

    The validation part has also chosen the epoch, so that on it the figures are a little too good; the test part's are
    what counts.

    Args:
        answer: a batch of inputs to probabilities (N, C), by the very network that is saved.
        pictures: the validation part with labels, neither augmented nor shuffled.

    Raises:
        ValueError: they are augmented or shuffled.
    """
    if pictures.augmented or pictures.shuffle:
        raise ValueError("the temperature is fitted on pictures as they are, in their order")
    batches = track(range(len(pictures)), what="Calibrating", unit="batches")
    try:
        before, labels = np.concatenate([answer(pictures[index][0]) for index in batches]), pictures.classes
    except UserError as error:  # a picture that has gone meanwhile must not cost the training
        say(f"Confidences stay as they are ({shorten_error(error)}).")
        return {"temperature": 1.0}
    if not np.isfinite(before).all():  # of no use, which is said when it is used
        return {"temperature": 1.0}
    fit = fit_temperature(before, labels)
    if fit.note:
        say(f"Confidences on the validation part: {fit.note}.")
    figures = {"part": "val", "n": len(labels), "note": fit.note}
    for name, answers in (("before", before), ("after", apply_temperature(before, fit.temperature))):
        found = measure_calibration(answers, labels)
        figures |= {f"nll_{name}": found.nll, f"ece_{name}": found.ece}
    return {"temperature": fit.temperature, "calibration": figures}
