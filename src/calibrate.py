"""The temperature of a network that is about to be saved, fitted on what it was not trained on."""

import numpy as np

from src.evaluation.calibration import apply_temperature, fit_temperature, measure_calibration
from src.progress import say


def calibrate(probabilities: np.ndarray, labels: np.ndarray, part: str = "val") -> dict:
    """What bundle.json keeps of it: ``temperature``, and ``calibration`` with the figures before and after.

    Args:
        probabilities: (N, C), before the temperature, finite.
        labels: int (N,).
        part: where the pictures come from, for the record.
    """
    fit = fit_temperature(probabilities, labels)
    if fit.note:
        say(f"Confidences on {'the validation part' if part == 'val' else f'the pictures of the {part}'}: {fit.note}.")
    figures = {"part": part, "n": len(labels), "note": fit.note}
    for name, answers in (("before", probabilities), ("after", apply_temperature(probabilities, fit.temperature))):
        found = measure_calibration(answers, labels)
        figures |= {f"nll_{name}": found.nll, f"ece_{name}": found.ece}
    return {"temperature": fit.temperature, "calibration": figures}
