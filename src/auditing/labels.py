"""Likely label errors: pictures that a classifier, trained on all the others, takes for another class."""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from src.auditing.findings import Finding
from src.auditing.probe import create_probe
from src.datasets.sources import Picture
from src.errors import name_some
from src.progress import say

_FOLDS = 5
_SURE = 0.8  # probability of another class
_LEAST_PICTURES = 10  # of a class: with fewer its probabilities mean little


@dataclass(frozen=True)
class LabelJudgement:
    """What was found out about the labels.

    Attributes:
        findings: likely label errors.
        accuracy: share of the judged pictures that the classifier, not having seen them, gives their own label: where
            it is low, many findings are mistakes of the classifier. None where labels were not judged.
    """

    findings: list[Finding]
    accuracy: float | None


def judge_labels(
    pictures: Sequence[Picture], features: np.ndarray, groups: Sequence[int], seed: int = 42
) -> LabelJudgement:
    """Confident learning (Northcutt et al. 2021, by cleanlab) on probabilities out of cross-validation.

    The classifier is a logistic regression on frozen features. ``groups`` numbers what must not be on both sides of a
    fold: of two copies with one wrong label each would speak for the other.
    """
    counts = Counter(picture.class_name for picture in pictures)
    judged = sorted(name for name, count in counts.items() if count >= _LEAST_PICTURES)
    if few := sorted(set(counts) - set(judged)):
        say(f"Labels are not judged in {name_some(few)}: fewer than {_LEAST_PICTURES} pictures.")
    if len(judged) < 2:
        return LabelJudgement([], None)
    places = [place for place, picture in enumerate(pictures) if picture.class_name in judged]
    labels = np.array([judged.index(pictures[place].class_name) for place in places])
    folds = _make_folds(labels, np.asarray(groups)[places], seed)
    if folds is None:
        say("Labels are not judged: a class has hardly more than copies of one picture.")
        return LabelJudgement([], None)
    probabilities, wrong = _find_twice(features[places], labels, folds)
    findings = list(
        _describe([pictures[place] for place in places], labels, probabilities, judged, np.flatnonzero(wrong))
    )
    return LabelJudgement(findings, float((probabilities.argmax(axis=1) == labels).mean()))


def _describe(
    pictures: Sequence[Picture], labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str], wrong: np.ndarray
) -> Iterator[Finding]:
    for index in wrong:
        picture, likely = pictures[index], int(probabilities[index].argmax())
        given = probabilities[index, labels[index]]
        reason = f"labelled {picture.class_name} ({given:.0%}), looks like {names[likely]}"
        reason += f" ({probabilities[index, likely]:.0%})"
        yield Finding(picture.relative, "label_error", float(1 - given), reason, suggested=names[likely])


def _find_twice(features: np.ndarray, labels: np.ndarray, folds: list) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and, bool (N,), the likely errors: found once, then once more by classifiers that have not learned
    from those.

    Confident learning names no more than it estimates that there are; what the second classifiers are sure of is added.
    docs/data.md has the figures of each.
    """
    from cleanlab.filter import find_label_issues

    wrong = np.zeros(len(labels), bool)
    for _ in range(2):
        probabilities = _cross_validate(features, labels, folds, wrong)
        wrong = np.asarray(find_label_issues(labels, probabilities, n_jobs=1), bool)
    sure = (probabilities.argmax(axis=1) != labels) & (probabilities.max(axis=1) >= _SURE)
    return probabilities, wrong | sure


def _cross_validate(features: np.ndarray, labels: np.ndarray, folds: list, left_out: np.ndarray) -> np.ndarray:
    """Probabilities float (N, C) of each picture by a classifier that has not seen it, nor those that are left out."""
    probabilities = np.zeros((len(labels), labels.max() + 1))
    for train, test in folds:
        kept = train[~left_out[train]]
        # a class of which nothing would be left is learned as it is
        lost = np.setdiff1d(labels[train], labels[kept])
        train = train[~left_out[train] | np.isin(labels[train], lost)]
        classifier = create_probe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of iterations: what it has come to after 500 serves
            classifier.fit(features[train], labels[train])
        probabilities[np.ix_(test, classifier.classes_)] = classifier.predict_proba(features[test])
    return probabilities


def _make_folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> list | None:
    """(train, test) places, each group on one side, each class in every training part; None where that cannot be."""
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(_FOLDS, *(len(set(groups[labels == label])) for label in np.unique(labels)))
    if count < 2:
        return None
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are in no group of a fold
        folds = list(split.split(labels, labels, groups))
    complete = all(len(np.unique(labels[train])) == labels.max() + 1 for train, _ in folds)
    return folds if complete else None
