"""Accuracy against the number of pictures, what twice as many would bring, and which class needs more the most.

Errors of classifiers fall with the number of pictures about as a power of it (Hestness et al. 2017, arXiv:1712.00409;
Viering and Loog 2023): error(n) = a + b n^-c.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from src.estimating.cross_validation import CrossValidationSettings, Prepared, track_folds
from src.intervals import Interval, paired_interval
from src.settings import random_generator
from src.training.logistic import fit_head

SHARES = (0.125, 0.18, 0.25, 0.35, 0.5, 0.7, 1.0)  # of a fold's training pictures
_LEAST_PICTURES = 2  # of each class
_EXPONENTS = np.linspace(0.2, 1.5, 27)
_BOOTSTRAPS = 1000
_MOST_CLASSES = 20  # that are halved one by one


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = a + b n^-c, with a and b at least 0 and c between 0.2 and 1.5."""

    a: float
    b: float
    c: float

    def error(self, n: float | np.ndarray) -> float | np.ndarray:
        return self.a + self.b * np.asarray(n, float) ** -self.c


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy against pictures of a class.

    Attributes:
        pictures: of a class on average, (S,), rising.
        accuracy, low, high: on pictures held out, (S,), with 95% intervals.
        law: fitted; None of fewer than three sizes.
        now: pictures of a class that there are in all.
        at_now, at_twice: accuracy by the law with all pictures, and with twice as many, with 95% intervals; None where
            there is no law.
        gain: the second less the first.
        band: for the drawing, rows (n, accuracy, low, high) by the law, up to twice as many.
    """

    pictures: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    now: float
    law: PowerLaw | None = None
    at_now: Interval | None = None
    at_twice: Interval | None = None
    gain: Interval | None = None
    band: np.ndarray | None = None

    @property
    def can_tell(self) -> bool:
        """Whether what twice as many pictures bring is known better than to its own size."""
        return self.gain is not None and 0 < self.gain.high - self.gain.low <= self.gain.mean

    def as_json(self) -> dict:
        points = [
            {"pictures_per_class": float(n), "accuracy": float(accuracy), "interval": [float(low), float(high)]}
            for n, accuracy, low, high in zip(self.pictures, self.accuracy, self.low, self.high)
        ]
        if self.law is None:
            return {"points": points, "law": None, "pictures_per_class": self.now, "twice": None, "band": []}
        twice = {
            "pictures_per_class": 2 * self.now,
            "pictures": 2 * self.at_twice.n,
            "accuracy": self.at_twice.mean,
            "interval": [self.at_twice.low, self.at_twice.high],
            "gain": self.gain.mean,
            "gain_interval": [self.gain.low, self.gain.high],
            "can_be_told": self.can_tell,
        }
        law = {"a": self.law.a, "b": self.law.b, "c": self.law.c}
        return {
            "points": points,
            "law": law,
            "pictures_per_class": self.now,
            "twice": twice,
            "band": self.band.tolist(),
        }


def measure_curve(
    prepared: Prepared, groups: np.ndarray, settings: CrossValidationSettings, seed: int = 42
) -> LearningCurve:
    """The curve by heads that learn from nested, class-stratified subsets of each fold's training pictures.

    Args:
        settings: with a strength that is fixed (a summed loss asks for the same one at every size).
    """
    labels, wrong, sizes = prepared.labels, {}, {}
    for number, (repeat, learned, held) in enumerate(track_folds(labels, groups, settings, seed, "Learning curve")):
        for share, chosen in _subsets(labels, learned, seed, number):
            rows = wrong.setdefault(share, np.full((settings.repeats, len(labels)), np.nan))
            rows[repeat, held] = _fit(prepared, chosen, settings).logits(prepared.plain[held]).argmax(1) != labels[held]
            sizes.setdefault(share, []).append(len(chosen) / prepared.class_count)
    kept = [share for share in sorted(wrong) if not np.isnan(wrong[share]).any()]
    pictures = np.array([np.mean(sizes[share]) for share in kept])
    now = len(labels) / prepared.class_count
    return fit_curve(pictures, np.stack([wrong[share] for share in kept]), groups, now, seed)


def _fit(prepared: Prepared, chosen: np.ndarray, settings: CrossValidationSettings):
    views, labels = prepared.views[:, chosen], prepared.labels[chosen]
    return fit_head(views, labels, prepared.class_count, settings.l2, balanced=settings.balanced)


def _subsets(labels: np.ndarray, learned: np.ndarray, seed: int, fold: int):
    """Yield (share, places) of nested subsets, each with the same share of every class."""
    order = random_generator(seed, fold, 0x63757276).permutation(learned)
    of_class = [order[labels[order] == label] for label in np.unique(labels)]
    for share in SHARES:
        counts = [round(share * len(places)) for places in of_class]
        if share == 1 or min(counts) >= _LEAST_PICTURES:
            yield share, np.concatenate([places[:count] for places, count in zip(of_class, counts)])


def fit_curve(pictures: np.ndarray, wrong: np.ndarray, groups: np.ndarray, now: float, seed: int = 42) -> LearningCurve:
    """Fit the law, and resample groups of pictures and repeats (percentile bootstrap) for how sure it is.

    In the resampling four pictures stand beside the others, as in Agresti and Coull's interval: two right, one wrong,
    one that is wrong the less the more pictures there are; else of no errors none would be expected of further pictures
    either. To the gain's draws comes twice the variance between repeats, since other training pictures of the same
    number give another accuracy.

    Args:
        pictures: of a class, (S,), rising.
        wrong: whether each picture's answer was wrong, (S, R, N).
        groups: int (N,).
        now: pictures of a class that the law is asked about, beside twice as many.
    """
    errors = wrong.mean(axis=(1, 2))
    drawn = _resample(wrong, groups, seed)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    curve = {"pictures": pictures, "accuracy": 1 - errors, "low": 1 - high, "high": 1 - low, "now": now}
    if len(pictures) < 3:
        return LearningCurve(**curve)
    a, b, c = fit_power_laws(pictures, errors[None])[:, 0]
    law, laws = PowerLaw(float(a), float(b), float(c)), fit_power_laws(pictures, drawn)

    def at(n: float) -> tuple[float, np.ndarray]:
        return float(1 - law.error(n)), 1 - (laws[0] + laws[1] * n ** -laws[2])

    (first, firsts), (second, seconds) = at(now), at(2 * now)
    steps = np.geomspace(pictures[0], 2 * now, 40)
    band = [[n, at(n)[0], *np.percentile(at(n)[1], [2.5, 97.5])] for n in steps]
    count = wrong.shape[2]
    noise = random_generator(seed, 0x6E6F6973).normal(0, _draw_deviation(wrong) * math.sqrt(2), len(firsts))
    return LearningCurve(
        **curve,
        law=law,
        at_now=_spread(first, firsts, count),
        at_twice=_spread(second, seconds, count),
        gain=_spread(second - first, seconds - firsts + noise, count),
        band=np.array(band),
    )


def _draw_deviation(wrong: np.ndarray) -> float:
    """Standard deviation of the error (S, R, N) between repeats, at the three largest sizes."""
    if wrong.shape[1] < 2:
        return 0.0
    return math.sqrt(wrong.mean(axis=2).var(axis=1, ddof=1)[-3:].mean())


def _spread(value: float, drawn: np.ndarray, n: int) -> Interval:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, min(float(low), value), max(float(high), value), n)


def _resample(wrong: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Errors (B, S) of groups and repeats drawn anew, with the four pictures that stand beside them."""
    draw = random_generator(seed, 0x626F6F74)
    _, groups = np.unique(groups, return_inverse=True)
    beside = np.stack([np.zeros(len(wrong)), np.zeros(len(wrong)), np.ones(len(wrong)), np.linspace(1, 0, len(wrong))])
    wrong = np.concatenate([wrong, np.repeat(beside.T[:, None], wrong.shape[1], axis=1)], axis=2)
    groups = np.concatenate([groups, groups.max() + 1 + np.arange(len(beside))])
    count, repeats = groups.max() + 1, wrong.shape[1]
    times = draw.multinomial(count, np.full(count, 1 / count), _BOOTSTRAPS)[:, groups].astype(float)
    shares = draw.multinomial(repeats, np.full(repeats, 1 / repeats), _BOOTSTRAPS) / repeats
    by_repeat = np.einsum("bn,srn->bsr", times, wrong)
    errors = np.einsum("bsr,br->bs", by_repeat, shares)
    return errors / times.sum(axis=1)[:, None]


def fit_power_laws(pictures: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Least squares over many curves at once: for each exponent of a grid the best a, b >= 0, then the best exponent.

    The weights are those of shares: 1 / (e (1 - e)), e at least 0.01.

    Args:
        pictures: (S,); errors: (B, S).

    Returns:
        a, b and c, each (B,).
    """
    weights = 1 / (np.clip(errors, 0.01, 0.5) * (1 - np.clip(errors, 0.01, 0.5)))
    total, mean = weights.sum(axis=1), (weights * errors).sum(axis=1)
    best = np.full((4, len(errors)), np.inf)
    for c in _EXPONENTS:
        x = pictures**-c
        sx, sxx, sxy = weights @ x, weights @ x**2, (weights * errors) @ x
        b = (total * sxy - sx * mean) / (total * sxx - sx**2)
        a = (mean - b * sx) / total
        a, b = np.where(a < 0, 0.0, a), np.where(a < 0, sxy / sxx, b)
        a, b = np.where(b < 0, mean / total, a), np.maximum(b, 0.0)
        squares = (weights * (a[:, None] + b[:, None] * x - errors) ** 2).sum(axis=1)
        best = np.where(squares < best[3] - 1e-15, [a, b, np.full(len(a), c), squares], best)
    return best[:3]


@dataclass(frozen=True)
class ClassNeed:
    """What the accuracy over all classes loses where one class has half of its training pictures, as a paired interval
    over pictures; ``recall`` the same of that class's own pictures; ``can_tell``: whether this class surely loses more
    than any other that was halved."""

    label: int
    loss: Interval
    recall: Interval
    can_tell: bool = False


def measure_needs(
    prepared: Prepared,
    groups: np.ndarray,
    settings: CrossValidationSettings,
    seed: int = 42,
    labels_of_interest: Sequence[int] | None = None,
) -> list[ClassNeed]:
    """For each class (the first 20 of those of interest) what halving its training pictures costs; the dearest first.

    Args:
        settings: with a strength that is fixed.
    """
    labels = prepared.labels
    asked = list(range(prepared.class_count) if labels_of_interest is None else labels_of_interest)[:_MOST_CLASSES]
    right = np.zeros((len(asked) + 1, settings.repeats, len(labels)))
    for number, (repeat, learned, held) in enumerate(track_folds(labels, groups, settings, seed, "Halving classes")):
        order = random_generator(seed, number, 0x68616C66).permutation(learned)
        for row, label in enumerate([None, *asked]):
            own = order[labels[order] == label] if label is not None else order[:0]
            chosen = np.setdiff1d(learned, own[: len(own) // 2])
            answers = _fit(prepared, chosen, settings).logits(prepared.plain[held]).argmax(axis=1)
            right[row, repeat, held] = answers == labels[held]
    whole, *halved = right.mean(axis=1)
    return compare_halves(whole, halved, asked, labels, groups)


def compare_halves(
    whole: np.ndarray, halved: Sequence[np.ndarray], asked: Sequence[int], labels: np.ndarray, groups: np.ndarray
) -> list[ClassNeed]:
    """The dearest first, of whether each picture is right (N,) with all others and with each class of ``asked`` halved.

    That the first loses the most is told where it surely loses more than the second, with Bonferroni's correction for
    as many comparisons as there are classes, since the dearest of all was taken.
    """
    needs = []
    for label, half in zip(asked, halved):
        own = labels == label
        recall = paired_interval(whole[own], half[own], groups=groups[own])
        needs.append(ClassNeed(label, paired_interval(whole, half, groups=groups), recall))
    order = sorted(range(len(needs)), key=lambda place: (-needs[place].loss.mean, needs[place].label))
    needs = [needs[place] for place in order]
    if len(needs) > 1 and needs[0].loss.low > 0:
        sure, (first, second) = 1 - 0.05 / (labels.max() + 1), order[:2]
        apart = paired_interval(halved[second], halved[first], confidence=sure, groups=groups)
        needs[0] = replace(needs[0], can_tell=bool(apart.low > 0))
    return needs
