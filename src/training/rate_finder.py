"""The learning-rate range test (Smith 2017, section 3.3): a few batches at a rate that grows from step to step."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from src.errors import UserError
from src.files import format_json
from src.plotting import plot_rate_finding
from src.progress import track
from src.training.fit import class_weights, computed_fast
from src.training.mixing import MixedBatches
from src.training.optimizers import create_optimizer
from src.training.options import TrainingSettings
from src.training.traces import traces_released

_WINDOW = 0.12  # of the losses that are averaged: share of all steps, as the standard deviation of a Gaussian
_SKIPPED = 0.2  # share of the steps, at the lowest rates, that nothing is suggested from
_DIVERGED = 4.0  # times the lowest loss: where the mean of the last few is above that, the test ends
_LAST = 3


@dataclass(frozen=True)
class RateFinding:
    """What the test found.

    Attributes:
        rates: float (n,), growing geometrically.
        losses: float (n,), of the batch trained at each rate, smoothed.
        suggestion: the rate where the loss falls fastest for its logarithm; above it steps soon do harm.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float


@traces_released()
def find_learning_rate(
    model: keras.Model,
    train,
    optimizer: keras.Optimizer,
    *,
    steps: int = 100,
    lowest: float = 1e-6,
    highest: float = 10.0,
) -> RateFinding:
    """Train for ``steps`` batches at rates from ``lowest`` to ``highest``; the model is left as it was.

    Args:
        model: inputs -> logits (N, C).
        train: batches (images, one-hot labels[, weights]) by index; all are taken again when they are through.
        optimizer: not yet built, with a plain number for its rate.

    Raises:
        UserError: the loss does not fall at any rate.
    """
    kept = [variable.numpy() for variable in model.variables]
    model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True))
    rates, losses = np.geomspace(lowest, highest, steps), []
    try:
        for step, rate in enumerate(track(rates, what="Learning rates", unit="batches")):
            optimizer.learning_rate = rate
            model.reset_metrics()
            loss = float(model.train_on_batch(*train[step % len(train)], return_dict=True)["loss"])
            if not math.isfinite(loss):
                break
            losses.append(loss)
            if np.mean(losses[-_LAST:]) > _DIVERGED * np.min(losses):
                break
    finally:
        for variable, value in zip(model.variables, kept):
            variable.assign(value)
    smooth = smooth_losses(np.array(losses), _WINDOW * steps)
    return RateFinding(rates[: len(losses)], smooth, suggest_rate(rates, smooth))


def draw_rate_finding(
    logits: keras.Model, train, options: TrainingSettings, picture: Path, *, seed: int, as_json: bool
) -> str:
    """Make the test as ``fit_phase`` would train on pictures, and draw it.

    Args:
        logits: pictures -> logits (N, C), frozen where the training would be; left as it was.
        train: an iterator over training pictures.
        picture: path of the PNG.

    Returns:
        What the command says of it, for people or as one line of JSON.
    """
    weights = class_weights(train.classes, train.num_classes, options.balance)
    batches = MixedBatches(train, options, seed=seed, class_weight=weights)
    plain = replace(options, schedule="constant", warmup_epochs=0.0, ema=0.0, plateau_patience=None)
    with computed_fast(logits, options.precision):
        finding = find_learning_rate(logits, batches, create_optimizer(plain, 1.0, len(train), 1))
    plot_rate_finding(finding.rates, finding.losses, finding.suggestion, picture)
    if as_json:
        return format_json({"picture": str(picture), "suggestion": finding.suggestion})
    return f"Steepest at {finding.suggestion:.2g}: see {picture}"


def smooth_losses(losses: np.ndarray, width: float) -> np.ndarray:
    """The losses (n,) averaged over neighbours on both sides by a Gaussian of that standard deviation, in steps.

    A running mean of the past alone would be noisiest at its beginning, where nothing falls yet.
    """
    steps = np.arange(len(losses))
    weights = np.exp(-0.5 * ((steps[:, None] - steps) / width) ** 2)
    return weights @ losses / weights.sum(axis=1)


def suggest_rate(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate of the steepest descent before the loss is lowest.

    Args:
        rates: those planned, growing; the lowest fifth of them is not suggested.
        losses: (n,), smoothed.

    Raises ``UserError`` where the loss falls nowhere.
    """
    start = int(_SKIPPED * len(rates))
    end = int(np.argmin(losses)) + 1 if len(losses) else 0
    if end - start < 3:
        raise UserError("the loss does not fall at any learning rate; look at the pictures and their labels")
    slopes = np.gradient(losses[:end], np.log(rates[:end]))
    return float(rates[start + int(np.argmin(slopes[start:]))])
