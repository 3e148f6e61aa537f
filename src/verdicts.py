"""What is said of an answer beside its confidence: whether the picture is like the training pictures, whether the
answer is sure, which classes are possible. Loads no TensorFlow.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from src.bundle_facts import Classifier
from src.evaluation.calibration import apply_temperature
from src.evaluation.conformal import fit_sets, predict_sets
from src.evaluation.novelty import acceptance_threshold
from src.evaluation.selective import confidence_threshold
from src.held_out import HeldOut, load_held_out
from src.limits import Limits

_LEAST_KEPT = 0.9  # of pictures like the training pictures; where fewer could be kept none is called unlike


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


JudgeAll = Callable[[np.ndarray, Sequence[np.ndarray | None]], list[Verdict]]


class Judge:
    """Verdicts on a classifier's answers, by what it did on held-out pictures.

    These were answered one by one and without their mirror images: answers of ``--flips`` are judged by the same
    thresholds, which serves, though nothing is promised of it.

    Args:
        temperature: the classifier's, which answers to be judged are at.

    Attributes:
        known_up_to: the novelty up to which a picture counts as like the training pictures; None without a score, and
            where the held-out pictures are so few (8 or fewer, unless ``keep`` asks for less) that more than a tenth of
            such pictures would be called unlike.
        sure_from: the confidence from which on an answer is sure, infinite where none is; None where the held-out
            pictures are too few to tell.
        softened: float32 (N, C), the held-out answers at the temperature.
        set_threshold: of :func:`~src.evaluation.conformal.predict_sets`; infinite where they are too few.
    """

    def __init__(self, held_out: HeldOut, temperature: float, limits: Limits):
        self.held_out, self.limits = held_out, limits
        self.softened = softened = apply_temperature(held_out.probabilities, temperature)
        right = softened.argmax(axis=1) == held_out.labels
        self.sure_from = confidence_threshold(softened.max(axis=1), right, limits.accept_errors)
        self.set_threshold = fit_sets(softened, held_out.labels, limits.coverage)
        self.known_up_to = None
        if held_out.scores is not None and self._kept >= min(limits.keep, _LEAST_KEPT) - 1e-9:
            self.known_up_to = max(acceptance_threshold(held_out.scores, limits.keep), 1e-9)

    @property
    def _kept(self) -> float:
        """The share of pictures like the training pictures that so many held-out ones can keep, on average."""
        return len(self.held_out.labels) / (len(self.held_out.labels) + 1)

    @property
    def notes(self) -> list[str]:
        """What cannot be said for want of held-out pictures or of right answers, in sentences."""
        count, notes = len(self.held_out.labels), []
        if self.held_out.scores is not None and self.known_up_to is None:
            notes.append(f"No picture is called unlike: {count} held-out pictures are too few to tell by.")
        elif self.known_up_to is not None and self._kept < self.limits.keep - 1e-9:
            notes.append(
                f"{count} held-out pictures can keep {self._kept:.1%} of the pictures that are like the training "
                f"pictures, not the {self.limits.keep:.4g} of --keep; the others are called unlike."
            )
        if self.sure_from is None:
            notes.append(
                f"No answer is called sure or unsure: {count} held-out pictures are too few for --accept-errors "
                f"{self.limits.accept_errors:g}, which takes {math.ceil(1 / self.limits.accept_errors - 1 - 1e-9)}."
            )
        elif math.isinf(self.sure_from):
            notes.append(
                f"No answer is sure enough: of {count} held-out answers no confidence leaves so few wrong ones as "
                f"--accept-errors {self.limits.accept_errors:g} takes."
            )
        if math.isinf(self.set_threshold):
            notes.append(f"Every class is possible: {count} held-out pictures are too few for this --coverage.")
        return notes

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
        sure, verdicts = self.are_sure(probabilities, novelties), []
        for place, row in enumerate(probabilities):
            novelty = None if novelties is None else float(novelties[place])
            order = np.argsort(-row, kind="stable")
            verdicts.append(
                Verdict(
                    known=None if novelty is None else novelty <= 1,
                    novelty=novelty,
                    sure=None if sure is None else bool(sure[place]),
                    classes=tuple(order[sets[place, order]].tolist()),
                )
            )
        return verdicts

    def are_sure(self, probabilities: np.ndarray, novelties: np.ndarray | None) -> np.ndarray | None:
        """Which of the answers (N, C) are sure, bool (N,); None where it cannot be told."""
        if self.sure_from is None:
            return None
        sure = probabilities.max(axis=1) >= self.sure_from
        return sure if novelties is None else sure & (novelties <= 1)

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


def create_judges(members: Sequence[Classifier], limits: Limits | None = None) -> tuple[JudgeAll, list[str]]:
    """What judges the answers of one classifier, or of several together.

    Several are judged by the median of their novelties, so that a picture counts as unlike where most members say so.
    Sure answers and sets are of one model's confidences, and left out.

    Returns:
        A function of probabilities (N, C) and each member's features, and what is to be said of its thresholds.
    """
    judges = [create_judge(member, limits) for member in members]
    unused = _note_unused(limits or Limits(), judges)
    if len(judges) == 1 and judges[0] is not None:
        judge = judges[0]
        return lambda probabilities, features: judge.judge(probabilities, features[0]), judge.notes + unused

    def judge_all(probabilities: np.ndarray, features: Sequence[np.ndarray | None]) -> list[Verdict]:
        rated = [judge.rate(each) for judge, each in zip(judges, features) if judge is not None]
        rated = [each for each in rated if each is not None]
        if not rated:
            return [Verdict()] * len(probabilities)
        return [Verdict(known=bool(value <= 1), novelty=float(value)) for value in np.median(rated, axis=0)]

    return judge_all, unused


def _note_unused(limits: Limits, judges: Sequence[Judge | None]) -> list[str]:
    """One sentence on the limits that were asked for, other than the usual ones, and change nothing; else none."""
    recorded = [judge for judge in judges if judge is not None]
    used = {"keep"} if any(judge.held_out.scores is not None for judge in recorded) else set()
    if len(judges) == 1 and recorded:
        used |= {"accept_errors", "coverage"}
    usual = asdict(Limits())
    unused = [name for name, value in asdict(limits).items() if value != usual[name] and name not in used]
    if not unused:
        return []
    if used == {"keep"}:
        reason = "several models together say what is unlike, not what is sure or possible"
    elif recorded:
        reason = "no record of what the training pictures look like was kept"
    else:
        reason = "no record of held-out pictures was kept; train anew"
    names = " and ".join(f"--{name.replace('_', '-')}" for name in unused)
    return [f"{names} {'changes' if len(unused) == 1 else 'change'} nothing: {reason}."]
