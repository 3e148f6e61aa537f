"""The settings of the two phases, apart from the training so that ``--help`` loads no TensorFlow."""

from dataclasses import dataclass, fields

from src.errors import UserError
from src.settings import (
    ENGINES,
    auto_exact_or_count,
    auto_or_count,
    auto_or_positive,
    auto_or_positive_float,
    flag_of,
    natural_float,
    option,
    positive_float,
)
from src.training.options import TrainingSettings

# More views brought nothing that could be measured (docs/performance.md); where pictures are few they cost little.
_VIEWS_IN_ALL = 2000
# What an exact head has no use for, whatever phase 2 does; and all that has any where there is no phase 2.
_NOT_EXACT, _STILL_OF_USE = ("mixup", "cutmix", "label_smoothing"), ("balance", "select", "precision")


@dataclass(frozen=True)
class TwoPhaseSettings:
    """The schedule of S1, or on while it helps."""

    phase1_epochs: str | int = option(
        "auto",
        "epochs with the backbone frozen; S1: 5; exact: no epochs but the optimum of a logistic regression on what the "
        "backbone computes, in seconds: for few pictures",
        type=auto_exact_or_count,
    )
    phase2_epochs: str | int = option("auto", "epochs with its top layers unfrozen; S1: 5", type=auto_or_count)
    phase1_rate: float = option(1e-4, "learning rate, or its peak, in phase 1", type=positive_float)
    phase2_rate: float = option(1e-5, "learning rate, or its peak, in phase 2", type=positive_float)
    train_depthwise: bool = option(
        True,
        "phase 2 trains depthwise convolutions too; without them, a few percent of the weights, a CPU trains about "
        "1.35 times as fast",
    )
    l2: str | float = option(
        "auto",
        "strength of the exact head's regularisation; auto: by cross-validation within the training part",
        type=auto_or_positive_float,
    )
    patience: str | int = option(
        "auto",
        "epochs without improvement of validation loss that end a phase; auto: 3, but 1 for a phase 2 of auto epochs, "
        "of which each takes as long as all of phase 1. Without effect under --schedule cosine and linear",
        type=auto_or_positive,
    )
    views: str | int = option(
        "auto",
        "augmented views of each training picture that go through the frozen layers once; 0: a new one every epoch; "
        "auto: 4 for few pictures, down to 1 for more than 1,000",
        type=auto_or_count,
    )
    cache_gb: float = option(
        10.0,
        "disk space for what frozen layers compute (models/.features); a phase that needs more computes every epoch "
        "anew",
        type=natural_float,
    )
    engine: str = option("auto", "what computes the frozen layers; auto: the fastest here", choices=ENGINES)

    @property
    def exact(self) -> bool:
        """Whether phase 1 is solved instead of trained."""
        return self.phase1_epochs == "exact"

    @property
    def phases(self) -> tuple[int, ...]:
        """Those of 1 and 2 that have epochs."""
        return tuple(phase for phase, epochs in enumerate((self.phase1_epochs, self.phase2_epochs), 1) if epochs != 0)

    def verify(self, training: TrainingSettings, *, from_scratch: bool = False) -> None:
        """Raise ``UserError`` where these and the settings of every training contradict each other, or train nothing.

        Args:
            from_scratch: nothing is frozen, and so nothing is stored.
        """
        if self.exact:
            self._verify_exact(training, from_scratch)
        elif self.l2 != "auto":
            raise UserError("--l2 belongs to --phase1-epochs exact")
        training.verify(0 if self.exact else self.phase1_epochs, self.phase2_epochs)
        if not self.phases:
            raise UserError("both phases have 0 epochs; give at least one of them some")
        if from_scratch and not self.train_depthwise:
            raise UserError("a network from scratch needs all its layers; leave out --no-train-depthwise")
        if training.cutmix and self.views != 0 and not from_scratch:
            raise UserError("--cutmix needs the pictures themselves in every epoch; add --views 0")

    def _verify_exact(self, training: TrainingSettings, from_scratch: bool) -> None:
        """Raise ``UserError`` for settings that an exact head cannot honour."""
        if from_scratch:
            raise UserError("--phase1-epochs exact needs a backbone that stays as it is; it cannot be --unfreeze all "
                            "with --weights none")  # fmt: skip
        if self.views == 0:
            raise UserError("--phase1-epochs exact works on stored features; leave out --views 0")
        if self.phase1_rate != type(self).phase1_rate:
            raise UserError("--phase1-epochs exact has no learning rate; leave out --phase1-rate")
        changed = [each.name for each in fields(training) if getattr(training, each.name) != each.default]
        idle = [name for name in changed if name in _NOT_EXACT]
        if not idle and self.phase2_epochs == 0:
            idle = [name for name in changed if name not in _STILL_OF_USE]
        if idle:
            raise UserError(f"--phase1-epochs exact takes no steps: leave out {', '.join(map(flag_of, idle))}")

    def patience_of(self, phase: int) -> int:
        """Epochs without improvement after which phase 1 or 2 ends."""
        if self.patience != "auto":
            return self.patience
        return 1 if phase == 2 and self.phase2_epochs == "auto" else 3

    def views_of(self, pictures: int, augmented: bool) -> int:
        """How many views of each of so many training pictures are computed; without augmentation all are alike."""
        views = min(4, max(1, _VIEWS_IN_ALL // pictures)) if self.views == "auto" else self.views
        return views if augmented else min(views, 1)
