"""Phase 1 without epochs: the head's optimum on stored features, written into the network (``--phase1-epochs exact``).

Five epochs over 140 pictures are a handful of steps, and leave the head far from where it would come to; the optimum of
a logistic regression takes a second (docs/architecture.md has the figures).
"""

import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from src.datasets.folds import group_files
from src.evaluation.calibration import losses, softmax
from src.progress import say
from src.training.frozen_features import FeatureBatches
from src.training.history import TrainingHistory
from src.training.logistic import LinearHead, choose_strength, fit_head, picture_weights, scale_features


def solve_phase(
    history: TrainingHistory,
    parts: dict[str, FeatureBatches],
    paths: Sequence[str],
    *,
    data_dir: str | Path,
    l2: float | str,
    balanced: bool,
    seed: int,
) -> None:
    """Set the layer ``logits`` of the history's network to the optimum; add one epoch of phase 1 to the history.

    The result is a function of features, labels and settings: interrupted, it is computed again.

    Args:
        history: of a network that has nothing but dropout between ``pooling`` and ``logits``.
        parts: stored outputs of ``pooling`` of train, val and, where they are to be judged, of clean pictures.
        paths: of the training pictures; copies among them are on one side of each fold.
        data_dir: folder of the split, which may have been told what belongs together.
        l2: strength, or "auto" for the best in cross-validation of the training pictures.
        balanced: whether rare classes count for more.
        seed: of the folds.
    """
    start = time.perf_counter()
    features = parts["train"].features
    views, labels = np.stack(features.values), features.labels.argmax(axis=1)
    scaled, class_count = scale_features(views), features.labels.shape[1]
    if history.l2 is None:
        history.l2 = (
            _choose(scaled.values, labels, paths, data_dir, class_count, balanced, seed) if l2 == "auto" else l2
        )
    head = scaled.unscale(fit_head(scaled.values, labels, class_count, history.l2, balanced=balanced, exact=True))
    history.model.get_layer("logits").set_weights([head.kernel.astype(np.float32), head.bias.astype(np.float32)])
    row = {"phase": 1, "epoch": len(history.rows) + 1, "learning_rate": 0.0}
    weights = np.tile(picture_weights(labels, class_count, balanced), len(views))
    row |= _judge("", head, np.concatenate(views), np.tile(labels, len(views)), weights)
    for name, part in (("val_", "val"), ("clean_", "clean")):
        if part in parts:
            judged = parts[part].features
            row |= _judge(name, head, judged.values[0], judged.labels.argmax(axis=1))
    row["seconds"] = round(time.perf_counter() - start, 2)
    history.add(row)
    say(
        f"phase 1, solved exactly (l2 {history.l2:g}): loss {row['loss']:.4f}, accuracy {row['accuracy']:.3f}; "
        f"validation {row['val_loss']:.4f}, {row['val_accuracy']:.3f}; {row['seconds']:.1f} s"
    )


def check_head(logits: keras.Model) -> None:
    """Raise ``ValueError`` where the head of a network is no linear one over ``pooling``."""
    width, expected = logits.get_layer("logits").kernel.shape[0], logits.get_layer("pooling").output.shape[-1]
    if width != expected:
        raise ValueError(f"an exact head takes {expected} features. Received: {width}, of a hidden layer")


def _choose(
    scaled: np.ndarray,
    labels: np.ndarray,
    paths: Sequence[str],
    data_dir: str | Path,
    class_count: int,
    balanced: bool,
    seed: int,
) -> float:
    """The strength that is best in cross-validation; pictures that others stand in for have no say."""
    groups, read = group_files(paths, data_dir)
    return choose_strength(scaled[:, read], labels[read], groups[read], class_count, balanced=balanced, seed=seed)


def _judge(
    prefix: str, head: LinearHead, features: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Mean cross-entropy, weighted as in training where there are weights, and the share of right answers."""
    logits = head.logits(features)
    loss = losses(softmax(logits), labels)
    accuracy = (logits.argmax(axis=1) == labels).mean()
    return {f"{prefix}loss": float(np.average(loss, weights=weights)), f"{prefix}accuracy": float(accuracy)}
