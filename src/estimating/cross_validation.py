"""Cross-validation of an exact head on frozen features: each picture judged by heads that have not seen it.

What it says is of pictures like these, and of a logistic regression over the frozen backbone; not of a network whose
backbone was trained as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from src.datasets.folds import make_folds
from src.evaluation.calibration import losses
from src.intervals import design_effect, wilson_interval
from src.progress import track
from src.training.logistic import Scaled, choose_strength, fit_head, fit_path, scale_features

_INNER_FOLDS = 3  # that choose a fold's own strength
# Pictures times classes; beyond, a strength is chosen once for each repeat, by the first fold's training pictures; of
# 700 pictures of 10 classes those that the five folds had chosen by themselves were all the same.
_ONE_STRENGTH = 5000
# The share of the pictures that count as independent in intervals. Heads of other pictures would answer otherwise, and
# folds share theirs (Nadeau & Bengio 2003): with all of them 95% intervals held the truth in 113 and 109 of 120 draws
# (of a head trained on 70% of a draw, and on all of it), with two thirds in 116 and 115 (docs/few_pictures.md).
_INDEPENDENT = 2 / 3


def _interval(hits: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Of shares of repeats that are right, (n,)."""
    share, n = float(hits.mean()), len(hits) * _INDEPENDENT / design_effect(hits, groups)
    low, high = wilson_interval(share * n, n)
    return min(low, share), max(high, share)  # which rounding may miss at 0 and 1


@dataclass(frozen=True)
class CrossValidationSettings:
    """How it is done.

    Attributes:
        folds, repeats: fewer folds are made where a class has fewer groups; each repeat deals them out anew.
        l2: strength of the regularisation; "auto": chosen within the training pictures of each fold, of many pictures
            and classes within those of each repeat's first.
        balanced: whether pictures of rare classes count for more.
    """

    folds: int = 5
    repeats: int = 3
    l2: float | str = "auto"
    balanced: bool = True


@dataclass(frozen=True)
class CrossValidation:
    """What was answered of each picture by heads that had not seen it.

    Attributes:
        labels: int (N,), 0..C-1.
        probabilities: float32 (R, N, C).
        folds: of the first repeat.
        strengths: that were used, one for each fold of each repeat; empty where they do not apply.
        groups: int (N,), pictures of one number are not independent; None: each is by itself.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    folds: int
    strengths: tuple[float, ...] = ()
    groups: np.ndarray | None = None

    @property
    def n(self) -> int:
        return len(self.labels)

    @cached_property
    def right(self) -> np.ndarray:
        """bool (R, N)."""
        return self.probabilities.argmax(axis=2) == self.labels

    @cached_property
    def losses(self) -> np.ndarray:
        """-log p of the true class, the mean over repeats, float64 (N,)."""
        return np.mean([losses(each, self.labels) for each in self.probabilities], axis=0)

    @property
    def accuracy(self) -> float:
        """Pooled over folds and repeats."""
        return float(self.right.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95%, Wilson's, for two thirds of the pictures that there are, and fewer as far as those of one group are
        right or wrong together; repeats tell nothing of further pictures."""
        return self._interval_of(np.arange(self.n))

    def _interval_of(self, places: np.ndarray) -> tuple[float, float]:
        groups = np.arange(self.n) if self.groups is None else self.groups
        return _interval(self.right.mean(axis=0)[places], groups[places])

    @property
    def log_loss(self) -> float:
        return float(self.losses.mean())

    def recalls(self) -> list[float]:
        """The share of each class's pictures that are recognised."""
        return [float(self.right[:, self.labels == label].mean()) for label in range(self.probabilities.shape[2])]

    def as_json(self, class_names: Sequence[str]) -> dict:
        counts = np.bincount(self.labels, minlength=len(class_names)).tolist()
        per_class = {}
        for label, (name, recall) in enumerate(zip(class_names, self.recalls())):
            interval = self._interval_of(np.flatnonzero(self.labels == label))
            per_class[name] = {"recall": recall, "interval": list(interval), "n": counts[label]}
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "log_loss": self.log_loss,
            "n": self.n,
            "folds": self.folds,
            "repeats": len(self.probabilities),
            "per_class": per_class,
        }


def cross_validate(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    settings: CrossValidationSettings | None = None,
    seed: int = 42,
    *,
    plain: np.ndarray | None = None,
) -> CrossValidation:
    """Stratified, grouped, repeated cross-validation of exact heads.

    Args:
        features: float (V, N, D), what a frozen network computes of N pictures in V views, which heads learn from.
        labels: int (N,), 0..C-1, each class present.
        groups: int (N,); pictures of one number are never on both sides of a fold.
        settings: by default 5 folds, 3 repeats, the strength chosen within each fold.
        seed: of the folds.
        plain: float (N, D), the view by which the pictures held out are judged; None for the first of ``features``.

    Raises:
        ValueError: a class has fewer than two groups (:func:`can_cross_validate` asks beforehand).
    """
    settings = settings or CrossValidationSettings()
    prepared = prepare(features, labels, plain)
    probabilities, strengths = np.empty((settings.repeats, len(labels), prepared.class_count), np.float32), []
    own, chosen_in, l2 = len(labels) * prepared.class_count <= _ONE_STRENGTH, None, settings.l2
    for repeat, learned, held in track_folds(labels, groups, settings, seed, "Cross-validation"):
        if settings.l2 == "auto" and (own or chosen_in != repeat):
            l2, chosen_in = prepared.choose(learned, groups, settings, seed), repeat
        head = fit_head(
            prepared.views[:, learned], labels[learned], prepared.class_count, l2, balanced=settings.balanced
        )
        probabilities[repeat, held] = head.probabilities(prepared.plain[held])
        strengths.append(l2)
    return CrossValidation(labels, probabilities, len(strengths) // settings.repeats, tuple(strengths), groups)


def cross_validate_strengths(
    prepared: "Prepared",
    groups: np.ndarray,
    settings: CrossValidationSettings,
    strengths: Sequence[float],
    seed: int = 42,
) -> dict[float, CrossValidation]:
    """As :func:`cross_validate` with one fixed strength, for several strengths on the same folds."""
    labels, count = prepared.labels, 0
    found = {l2: np.empty((settings.repeats, len(labels), prepared.class_count), np.float32) for l2 in strengths}
    for repeat, learned, held in track_folds(labels, groups, settings, seed, "Strengths"):
        heads = fit_path(
            prepared.views[:, learned], labels[learned], prepared.class_count, strengths, balanced=settings.balanced
        )
        for l2, head in zip(strengths, heads):
            found[l2][repeat, held] = head.probabilities(prepared.plain[held])
        count += 1
    folds = count // settings.repeats
    return {l2: CrossValidation(labels, rows, folds, (l2,), groups) for l2, rows in found.items()}


@dataclass(frozen=True)
class Prepared:
    """Features in the coordinates of :class:`~src.training.logistic.Scaled`; ``views`` (V, N, R), ``plain`` (N, R)."""

    views: np.ndarray
    plain: np.ndarray
    labels: np.ndarray
    class_count: int

    def choose(self, learned: np.ndarray, groups: np.ndarray, settings: CrossValidationSettings, seed: int) -> float:
        """The strength that is best within some of the pictures."""
        return choose_strength(
            self.views[:, learned],
            self.labels[learned],
            groups[learned],
            self.class_count,
            plain=self.plain[learned],
            balanced=settings.balanced,
            folds=_INNER_FOLDS,
            seed=seed,
        )


def prepare(features: np.ndarray, labels: np.ndarray, plain: np.ndarray | None = None) -> Prepared:
    """What several cross-validations of the same features share; arguments as for :func:`cross_validate`."""
    scaled: Scaled = scale_features(features)
    views = scaled.values
    return Prepared(views, views[0] if plain is None else scaled.project(plain), labels, int(labels.max()) + 1)


def can_cross_validate(labels: np.ndarray, groups: np.ndarray) -> bool:
    """Whether each class has at least two groups."""
    return make_folds(labels, groups, 2, 0) is not None


def deal(
    labels: np.ndarray, groups: np.ndarray, settings: CrossValidationSettings, seed: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (repeat, places learned from, places held out) of every fold of every repeat."""
    for repeat in range(settings.repeats):
        fold_of = make_folds(labels, groups, settings.folds, seed, repeat)
        if fold_of is None:
            raise ValueError("a class has fewer than two groups of pictures")
        for fold in range(fold_of.max() + 1):
            yield repeat, np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)


def track_folds(labels: np.ndarray, groups: np.ndarray, settings: CrossValidationSettings, seed: int, what: str):
    """:func:`deal` with progress."""
    return track(list(deal(labels, groups, settings, seed)), what=what, unit="folds")
