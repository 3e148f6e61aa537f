"""The settings of the two phases, apart from the training so that ``--help`` loads no TensorFlow."""

from dataclasses import dataclass

from src.errors import UserError
from src.settings import ENGINES, auto_or_count, auto_or_positive, natural_float, option, positive_float
from src.training.options import TrainingSettings

# More views brought nothing that could be measured (docs/performance.md); where pictures are few they cost little.
_VIEWS_IN_ALL = 2000


@dataclass(frozen=True)
class TwoPhaseSettings:
    """The schedule of S1, or on while it helps."""

    phase1_epochs: str | int = option("auto", "epochs with the backbone frozen; S1: 5", type=auto_or_count)
    phase2_epochs: str | int = option("auto", "epochs with its top layers unfrozen; S1: 5", type=auto_or_count)
    phase1_rate: float = option(1e-4, "learning rate, or its peak, in phase 1", type=positive_float)
    phase2_rate: float = option(1e-5, "learning rate, or its peak, in phase 2", type=positive_float)
    train_depthwise: bool = option(
        True,
        "phase 2 trains depthwise convolutions too; without them, a few percent of the weights, a CPU trains about "
        "1.35 times as fast",
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
    def phases(self) -> tuple[int, ...]:
        """Those of 1 and 2 that have epochs."""
        return tuple(phase for phase, epochs in enumerate((self.phase1_epochs, self.phase2_epochs), 1) if epochs != 0)

    def verify(self, training: TrainingSettings, *, from_scratch: bool = False) -> None:
        """Raise ``UserError`` where these and the settings of every training contradict each other, or train nothing.

        Args:
            from_scratch: nothing is frozen, and so nothing is stored.
        """
        training.verify(self.phase1_epochs, self.phase2_epochs)
        if not self.phases:
            raise UserError("both phases have 0 epochs; give at least one of them some")
        if from_scratch and not self.train_depthwise:
            raise UserError("a network from scratch needs all its layers; leave out --no-train-depthwise")
        if training.cutmix and self.views != 0 and not from_scratch:
            raise UserError("--cutmix needs the pictures themselves in every epoch; add --views 0")

    def patience_of(self, phase: int) -> int:
        """Epochs without improvement after which phase 1 or 2 ends."""
        if self.patience != "auto":
            return self.patience
        return 1 if phase == 2 and self.phase2_epochs == "auto" else 3

    def views_of(self, pictures: int, augmented: bool) -> int:
        """How many views of each of so many training pictures are computed; without augmentation all are alike."""
        views = min(4, max(1, _VIEWS_IN_ALL // pictures)) if self.views == "auto" else self.views
        return views if augmented else min(views, 1)
