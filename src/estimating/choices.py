"""Settings chosen by cross-validation of the training and validation pictures; test pictures take no part.

The rule is that of one standard error (Breiman et al., Classification and Regression Trees, 1984, section 3.4.3; Hastie
et al., The Elements of Statistical Learning, 2009, section 7.10), on paired differences: of all candidates whose log
loss is not higher than the lowest by more than the standard error of that difference, the simplest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from src.estimating.cross_validation import (
    CrossValidation,
    CrossValidationSettings,
    cross_validate_strengths,
    deal,
    prepare,
)
from src.estimating.gradient_head import EPOCHS, cross_validate_gradient
from src.intervals import Interval, paired_interval, standard_error
from src.training.logistic import STRENGTHS

EXACT, GRADIENT = "exact", "gradient"
COLUMNS = ("backbone", "views", "schedule", "l2", "log_loss", "accuracy", "difference", "low", "high", "chosen")


@dataclass(frozen=True)
class Candidate:
    """What a head is trained by.

    Attributes:
        backbone: by name.
        views: augmented views of each training picture; 0: the picture as it is.
        schedule: "exact" or "gradient".
        l2: strength of an exact head; None for the other.
        backbone_rank: its place among the backbones, the lightest first.
    """

    backbone: str
    views: int
    schedule: str
    l2: float | None
    backbone_rank: int = 0

    @property
    def complexity(self) -> tuple:
        """Less is simpler: a lighter backbone, an exact head, pictures as they are, a stronger regularisation."""
        return self.backbone_rank, self.schedule != EXACT, self.views, -(self.l2 or 0.0)

    def words(self, *, frozen: bool = True) -> list[str]:
        """Options of ``src.transfer_model``; unless ``frozen`` it also trains the backbone's top layers."""
        words = ["--backbone", self.backbone]
        if self.schedule == EXACT:
            words += ["--phase1-epochs", "exact", "--l2", f"{self.l2:g}"]
        else:
            words += ["--phase1-epochs", str(EPOCHS)]
        words += ["--phase2-epochs", "0"] if frozen else []
        words += ["--views", str(max(1, self.views))]
        return words if self.views else [*words, "--no-augment"]

    def describe(self) -> str:
        views = f"{self.views} augmented views" if self.views else "pictures as they are"
        head = f"exact head, l2 {self.l2:g}" if self.schedule == EXACT else f"{EPOCHS} epochs by gradient"
        return f"{self.backbone}, {head}, {views}"


@dataclass(frozen=True)
class Choice:
    """Candidates with what cross-validation says of each.

    Attributes:
        found: the same order.
        best: place of the lowest log loss.
        chosen: place of the simplest that is about as good.
        differences: of log loss from the best, paired over pictures (those of one group are not taken for
            independent), with 95% intervals; 0 for the best itself.
    """

    candidates: list[Candidate]
    found: list[CrossValidation]
    best: int
    chosen: int
    differences: list[Interval] = field(repr=False)

    @property
    def candidate(self) -> Candidate:
        return self.candidates[self.chosen]

    @property
    def result(self) -> CrossValidation:
        return self.found[self.chosen]

    def rows(self) -> list[dict]:
        """One for each candidate, the lowest log loss first, by the names of ``COLUMNS``."""
        order = sorted(range(len(self.found)), key=lambda place: (self.found[place].log_loss, place))
        return [
            {
                "backbone": self.candidates[place].backbone,
                "views": self.candidates[place].views,
                "schedule": self.candidates[place].schedule,
                "l2": self.candidates[place].l2,
                "log_loss": round(self.found[place].log_loss, 5),
                "accuracy": round(self.found[place].accuracy, 5),
                "difference": round(self.differences[place].mean, 5),
                "low": _rounded(self.differences[place].low),
                "high": _rounded(self.differences[place].high),
                "chosen": place == self.chosen,
            }
            for place in order
        ]


def _rounded(value: float) -> float | None:
    return round(value, 5) if math.isfinite(value) else None


def choose(candidates: list[Candidate], found: list[CrossValidation]) -> Choice:
    """Apply the rule of one standard error."""
    best = min(range(len(found)), key=lambda place: (found[place].log_loss, candidates[place].complexity))
    groups = found[best].groups
    differences = [paired_interval(each.losses, found[best].losses, groups=groups) for each in found]
    fitting = [
        place
        for place, each in enumerate(found)
        if place == best or differences[place].mean <= standard_error(each.losses - found[best].losses, groups)
    ]
    chosen = min(fitting, key=lambda place: candidates[place].complexity)
    return Choice(candidates, found, best, chosen, differences)


def try_features(
    backbone: tuple[int, str],
    plain: np.ndarray,
    augmented: np.ndarray | None,
    labels: np.ndarray,
    groups: np.ndarray,
    settings: CrossValidationSettings,
    seed: int,
) -> tuple[list[Candidate], list[CrossValidation]]:
    """The candidates of one backbone: exact heads of all strengths on pictures as they are and on augmented views, and
    the classic head on the latter. What learns from several views is cross-validated once instead of repeatedly.

    Args:
        backbone: its rank and name.
        plain: float32 (N, D); ``augmented``: float32 (V, N, D), or None to leave these candidates out.
        labels, groups: int (N,).
    """
    rank, name = backbone
    candidates, found = [], []
    once = replace(settings, repeats=1)
    for features, repeated in ((plain[None], settings), (augmented, once)):
        if features is None:
            continue
        prepared, views = prepare(features, labels, plain), 0 if features is not augmented else len(features)
        for l2, each in cross_validate_strengths(prepared, groups, repeated, STRENGTHS, seed).items():
            candidates.append(Candidate(name, views, EXACT, l2, rank))
            found.append(each)
    if augmented is not None:
        folds = [(learned, held) for _, learned, held in deal(labels, groups, once, seed)]
        rows = cross_validate_gradient(augmented, plain, labels, folds, balanced=settings.balanced, seed=seed)
        candidates.append(Candidate(name, len(augmented), GRADIENT, None, rank))
        found.append(CrossValidation(labels, rows[None], len(folds), groups=groups))
    return candidates, found


def table(rows: Sequence[dict]) -> list[list]:
    """The rows of :meth:`Choice.rows` as cells in the order of ``COLUMNS``."""
    return [[_cell(row[name]) for name in COLUMNS] for row in rows]


def _cell(value):
    return "" if value is None else "yes" if value is True else "" if value is False else value
