"""Figures of a classifier on pictures it was not trained on, each with its n, by scikit-learn where it has them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

from src.evaluation.calibration import BINS, Calibration, measure_calibration
from src.evaluation.selective import COVERAGES, RiskCoverage, trade_coverage
from src.evaluation.trust import Trust
from src.intervals import Interval, share_difference_interval, wilson_interval

# A model that gives this share of the pictures one class, though it misses most of the others', has learnt next to
# nothing; where the classes are uneven the share alone would say little.
COLLAPSE_SHARE = 0.9
_COLLAPSE_RECALL = 0.4


@dataclass(frozen=True)
class Gap:
    """Accuracy on the pictures that a model was trained on, asked as it is on the test part, against the test part's.

    Attributes:
        n, accuracy, interval: of the training part, as of :class:`Evaluation`.
        difference: training accuracy less test accuracy, with its 95% interval (Newcombe, unpaired).
    """

    n: int
    accuracy: float
    interval: tuple[float, float]
    difference: Interval

    def as_json(self) -> dict:
        return {
            "train_accuracy": self.accuracy,
            "train_interval": list(self.interval),
            "train_n": self.n,
            "gap": self.difference.mean,
            "gap_interval": [self.difference.low, self.difference.high],
        }


@dataclass(frozen=True)
class SeenPictures:
    """Test pictures that a model has learned from, and what it is worth without them.

    Attributes:
        identical, near_copies: paths of those whose very bytes it knows, and of those of which it knows a near-copy.
        n, right: of the other test pictures, and how many of their answers are right.
    """

    identical: list[str]
    near_copies: list[str]
    n: int
    right: int

    def as_json(self) -> dict:
        return {
            "identical": self.identical,
            "near_copies": self.near_copies,
            "accuracy_on_others": self.right / self.n if self.n else None,
            "interval_on_others": list(wilson_interval(self.right, self.n)) if self.n else None,
            "n_others": self.n,
        }


@dataclass(frozen=True)
class Evaluation:
    """What a model did on n pictures of C classes.

    Attributes:
        accuracy, interval: share of right answers and its 95% Wilson interval (low, high).
        per_class: class name -> precision, recall, f1, roc_auc (one against the rest), support.
        macro, weighted: precision, recall, f1 averaged over classes, plainly and by support.
        roc_auc: mean of the classes' areas; None where a class does not occur.
        matrix: int (C, C), rows true, columns predicted.
        confused: (true, predicted, count) of the off-diagonal cells, most frequent first.
        collapsed_class: the class that nearly all pictures were given, or None.
        calibration, calibration_before: of the answers as given, and of those before the temperature.
        selective: what refusing the unsure answers brings.
        gap: to the accuracy on the training part, where that was asked for.
        flips: whether each answer is that to the picture and to its mirror image together.
        temperature: what the model's logits are divided by; None for an ensemble, whose members have their own.
        members: the models of an ensemble; empty for one model.
        seen: which of the pictures the model has learned from; None where it has no record of them.
        trust: what its verdicts are worth; None where it has no record of held-out pictures.
    """

    n: int
    accuracy: float
    interval: tuple[float, float]
    per_class: dict[str, dict[str, float | int | None]]
    macro: dict[str, float]
    weighted: dict[str, float]
    roc_auc: float | None
    matrix: np.ndarray
    confused: list[tuple[str, str, int]]
    collapsed_class: str | None
    calibration: Calibration
    calibration_before: Calibration
    selective: RiskCoverage
    gap: Gap | None = None
    flips: bool = False
    temperature: float | None = 1.0
    members: tuple[str, ...] = ()
    seen: SeenPictures | None = None
    trust: Trust | None = None

    @property
    def right(self) -> int:
        """How many answers are right."""
        return int(np.trace(self.matrix))

    def as_json(self) -> dict:
        """Plain Python values, for ``metrics.json`` and ``--json``."""
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "macro_f1": self.macro["f1"],
            "macro": self.macro,
            "weighted": self.weighted,
            "roc_auc": self.roc_auc,
            "per_class": self.per_class,
            "confusion_matrix": self.matrix.tolist(),
            "most_confused": [list(entry) for entry in self.confused[:10]],
            "collapsed_class": self.collapsed_class,
            "calibration": self._calibration_as_json(),
            "selective": self._selective_as_json(),
            "gap": None if self.gap is None else self.gap.as_json(),
            "test_time_flips": self.flips,
            "temperature": self.temperature,
            "members": list(self.members),
            "seen_in_training": None if self.seen is None else self.seen.as_json(),
            "trust": None if self.trust is None else self.trust.as_json(),
            "n": self.n,
        }

    def _calibration_as_json(self) -> dict:
        after, before = self.calibration, self.calibration_before
        figures = {name: getattr(after, name) for name in ("ece", "mce", "brier", "nll")}
        bins = after.reliability
        table = [
            {"n": int(n), "right": int(right), "confidence": float(confidence) if n else None}
            for n, right, confidence in zip(bins.counts, bins.right, bins.confidence)
        ]
        figures |= {"bins": BINS, "ece_before": before.ece, "nll_before": before.nll}
        return figures | {"reliability": table}

    def _selective_as_json(self) -> dict:
        points = [
            {
                "asked": coverage,
                "coverage": point.coverage,
                "n": point.n,
                "accuracy": point.accuracy,
                "interval": list(wilson_interval(point.right, point.n)),
                "threshold": point.threshold,
            }
            for coverage in COVERAGES
            for point in (self.selective.at(coverage),)
        ]
        return {"aurc": self.selective.aurc, "at": points}


def evaluate_predictions(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: list[str],
    *,
    before: np.ndarray | None = None,
    train: tuple[int, int] | None = None,
    flips: bool = False,
    temperature: float | None = 1.0,
    members: Sequence[str] = (),
    seen: SeenPictures | None = None,
    trust: Trust | None = None,
) -> Evaluation:
    """All figures.

    Args:
        labels: true classes, int (N,).
        probabilities: float (N, C).
        before: the same before the temperature; None where there is none.
        train: how many answers on the training part are right, and how many there are; for the gap.
        flips, temperature, members, seen, trust: for the record.
    """
    labels, probabilities = np.asarray(labels, int), np.asarray(probabilities, float)
    count = len(class_names)
    if probabilities.shape != (len(labels), count) or len(labels) == 0:
        raise ValueError(f"expected probabilities of shape ({len(labels)}, {count}). Received: {probabilities.shape}")
    predicted = probabilities.argmax(axis=1)
    indices = np.arange(count)
    matrix = confusion_matrix(labels, predicted, labels=indices)
    columns = precision_recall_fscore_support(labels, predicted, labels=indices, zero_division=0)
    areas = [_area(labels == index, probabilities[:, index]) for index in indices]
    per_class = {
        name: {
            "precision": float(columns[0][index]),
            "recall": float(columns[1][index]),
            "f1": float(columns[2][index]),
            "roc_auc": areas[index],
            "support": int(columns[3][index]),
        }
        for index, name in enumerate(class_names)
    }
    hits = labels == predicted
    right = int(hits.sum())
    calibration = measure_calibration(probabilities, labels)
    return Evaluation(
        n=len(labels),
        accuracy=right / len(labels),
        interval=wilson_interval(right, len(labels)),
        per_class=per_class,
        macro=_average(columns, None),
        weighted=_average(columns, columns[3]),
        roc_auc=None if None in areas else float(np.mean(areas)),
        matrix=matrix,
        confused=_confused(matrix, class_names),
        collapsed_class=_collapsed(matrix, class_names),
        calibration=calibration,
        calibration_before=calibration if before is None else measure_calibration(before, labels),
        selective=trade_coverage(probabilities.max(axis=1), hits),
        gap=_gap(*train, right, len(labels)) if train else None,
        flips=flips,
        temperature=temperature,
        members=tuple(members),
        seen=seen,
        trust=trust,
    )


def _gap(train_right: int, train_n: int, right: int, n: int) -> Gap:
    difference = share_difference_interval(train_right, train_n, right, n)
    return Gap(train_n, train_right / train_n, wilson_interval(train_right, train_n), difference)


def _average(columns, weights) -> dict[str, float]:
    return {key: float(np.average(columns[i], weights=weights)) for i, key in enumerate(("precision", "recall", "f1"))}


def _area(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve; not defined where all pictures or none are of the class."""
    return None if positive.all() or not positive.any() else float(roc_auc_score(positive, scores))


def _confused(matrix: np.ndarray, class_names: list[str]) -> list[tuple[str, str, int]]:
    pairs = [
        (class_names[true], class_names[predicted], int(matrix[true, predicted]))
        for true, predicted in zip(*np.nonzero(matrix))
        if true != predicted
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))


def _collapsed(matrix: np.ndarray, class_names: list[str]) -> str | None:
    given = matrix.sum(axis=0)
    index = int(given.argmax())
    others = np.delete(matrix, index, axis=0)
    if given[index] < COLLAPSE_SHARE * matrix.sum() or not others.any():
        return None
    recognised = np.trace(np.delete(others, index, axis=1)) / others.sum()
    return class_names[index] if recognised < _COLLAPSE_RECALL else None
