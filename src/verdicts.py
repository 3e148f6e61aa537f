"""What is said of an answer beside its confidence: whether the picture is like the training pictures, whether the
answer is sure, which classes are possible. Loads no TensorFlow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.bundle_facts import Classifier
from src.evaluation.calibration import apply_temperature
from src.evaluation.conformal import fit_sets, predict_sets
from src.evaluation.novelty import acceptance_threshold
from src.evaluation.selective import confidence_threshold
from src.held_out import HeldOut, load_held_out


@dataclass(frozen=True)
class Limits:
    """What the user asks for, each above 0 and below 1.

    Attributes:
        keep: the share of pictures like the training pictures that shall count as such.
        accept_errors: the share of wrong answers among the sure ones that is still acceptable.
        coverage: the share of sets of classes that shall hold the true one.
    """

    keep: float = 0.95
    accept_errors: float = 0.05
    coverage: float = 0.9


@dataclass(frozen=True)
class Verdict:
    """Of one answer; None where nothing can be said.

    Attributes:
        known: whether the picture is like the training pictures.
        novelty: its score as a share of the threshold, 0 or more; above 1 it counts as unlike.
        sure: whether the answer's confidence is at least what ``accept_errors`` takes, and the picture not unlike.
        classes: places of the classes that are possible, the likeliest first.
    """

    known: bool | None = None
    novelty: float | None = None
    sure: bool | None = None
    classes: tuple[int, ...] | None = None


class Judge:
    """Verdicts on a classifier's answers, by what it did on held-out pictures.

    These were answered one by one and without their mirror images: answers of ``--flips`` are judged by the same
    thresholds, which serves, though nothing is promised of it.

    Args:
        temperature: the classifier's, which answers to be judged are at.

    Attributes:
        known_up_to: the novelty up to which a picture counts as like the training pictures; None without a score.
        sure_from: the confidence from which on an answer is sure, infinite where none is; None where the held-out
            pictures are too few to tell.
        set_threshold: of :func:`~src.evaluation.conformal.predict_sets`; infinite where they are too few.
    """

    def __init__(self, held_out: HeldOut, temperature: float, limits: Limits):
        self.held_out, self.limits = held_out, limits
        softened = apply_temperature(held_out.probabilities, temperature)
        right = softened.argmax(axis=1) == held_out.labels
        self.sure_from = confidence_threshold(softened.max(axis=1), right, limits.accept_errors)
        self.set_threshold = fit_sets(softened, held_out.labels, limits.coverage)
        scores = held_out.scores
        self.known_up_to = None if scores is None else max(acceptance_threshold(scores, limits.keep), 1e-9)

    def rate(self, features: np.ndarray | None) -> np.ndarray | None:
        """Novelties float64 (N,) as shares of the threshold, by features (N, D); None where there is no score."""
        novelty = self.held_out.novelty
        if self.known_up_to is None or features is None or features.shape[1:] != novelty.means.shape[1:]:
            return None
        return novelty.scores(features) / self.known_up_to

    def judge(self, probabilities: np.ndarray, features: np.ndarray | None) -> list[Verdict]:
        """Verdicts on answers (N, C), at the temperature, to pictures of features (N, D); None for no features."""
        probabilities = np.asarray(probabilities)
        novelties, sets = self.rate(features), predict_sets(probabilities, self.set_threshold)
        verdicts = []
        for place, row in enumerate(probabilities):
            novelty = None if novelties is None else float(novelties[place])
            known = None if novelty is None else novelty <= 1
            sure = None if self.sure_from is None else bool(row.max() >= self.sure_from) and known is not False
            order = np.argsort(-row, kind="stable")
            classes = tuple(order[sets[place, order]].tolist())
            verdicts.append(Verdict(known, novelty, sure, classes))
        return verdicts

    def as_json(self) -> dict:
        """Thresholds with what they are for, for bundle.json and metrics.json."""
        sure_from = self.sure_from if self.sure_from is not None and math.isfinite(self.sure_from) else None
        return {
            "n": len(self.held_out.labels),
            "origin": self.held_out.origin,
            "keep": self.limits.keep,
            "known_up_to": self.known_up_to,
            "accept_errors": self.limits.accept_errors,
            "sure_from": sure_from,
            "coverage": self.limits.coverage,
            "set_threshold": self.set_threshold if math.isfinite(self.set_threshold) else None,
        }


def create_judge(classifier: Classifier, limits: Limits | None = None) -> Judge | None:
    """The judge of a classifier; None where its bundle has no record of held-out pictures that serves."""
    held_out = load_held_out(classifier)
    return None if held_out is None else Judge(held_out, classifier.temperature, limits or Limits())


def judge_together(judges: Sequence[Judge | None], features: Sequence[np.ndarray | None]) -> list[Verdict] | None:
    """Verdicts on pictures that several models answer together: the median of their novelties, so that a picture counts
    as unlike where most say so. Sure answers and sets are of one model's confidences, and left out.

    Returns:
        None where no member has a score.
    """
    rated = [judge.rate(each) for judge, each in zip(judges, features) if judge is not None]
    rated = [each for each in rated if each is not None]
    if not rated:
        return None
    return [Verdict(known=bool(value <= 1), novelty=float(value)) for value in np.median(rated, axis=0)]
