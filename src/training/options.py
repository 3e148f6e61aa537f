"""How weights are trained, as settings; apart from the training so that ``--help`` loads no TensorFlow."""

from dataclasses import dataclass

from src.errors import UserError
from src.settings import check_options, natural_float, option, positive_float, positive_int, share_below_one

OPTIMIZERS = ("adam", "adamw", "sgd", "muon")
SCHEDULES = ("constant", "cosine", "linear", "plateau")
BALANCES = ("weights", "sampling", "none")
SELECTIONS = ("loss", "accuracy")
PRECISIONS = ("float32", "bfloat16", "auto")


@dataclass(frozen=True)
class TrainingSettings:
    """What every training understands, whichever network it trains."""

    optimizer: str = option("adam", "adam; adamw; sgd (with momentum); muon (steps of matrices and convolutions made "
                            "orthogonal, all else by adamw)", choices=OPTIMIZERS)  # fmt: skip
    momentum: float | None = option(None, "of sgd (default: 0.9) and muon (default: 0.95)", type=share_below_one)
    nesterov: bool | None = option(None, "sgd and muon look ahead by their momentum (default: they do)")
    weight_decay: float | None = option(
        None,
        "share of each weight taken off in a step, times the learning rate; biases and BatchNormalization are spared "
        "(default: 0.004 for adamw, else 0)",
        type=natural_float,
    )
    schedule: str = option(
        "constant",
        "of the learning rate: constant; cosine or linear, down to 0 at the last epoch; plateau, a tenth whenever "
        "validation loss has not improved for --plateau-patience epochs",
        choices=SCHEDULES,
    )
    plateau_patience: int | None = option(
        None, "epochs that plateau waits, at most --patience (default: 2)", type=positive_int
    )
    warmup_epochs: float = option(0.0, "epochs over which the learning rate rises from 0", type=natural_float)
    label_smoothing: float = option(0.0, "share of each label spread evenly over all classes", type=share_below_one)
    mixup: float = option(
        0.0, "MixUp: two pictures blended by a share drawn from Beta(a, a); 0: off", type=natural_float
    )
    cutmix: float = option(
        0.0, "CutMix: a rectangle of another picture pasted in, its area from Beta(a, a); 0: off", type=natural_float
    )
    ema: float = option(
        0.0,
        "judge and keep a running average of the weights with this momentum, 0.999 say; 0: off",
        type=share_below_one,
    )
    clip_norm: float | None = option(
        None, "gradients are scaled down to this norm over all weights", type=positive_float
    )
    balance: str = option(
        "weights",
        "what uneven classes are met with: weights in the loss; sampling each class as often; none",
        choices=BALANCES,
    )
    select: str = option("loss", "the epoch that is kept is the best on validation by this", choices=SELECTIONS)
    precision: str = option(
        "float32",
        "what layers compute in while they are trained; bfloat16 is faster where the processor has it; auto: bfloat16 "
        "there, float32 elsewhere",
        choices=PRECISIONS,
    )

    def __post_init__(self):
        check_options(self)

    @property
    def falls(self) -> bool:
        """Whether the learning rate comes to 0 at the last epoch, so that ending early would miss the best part."""
        return self.schedule in ("cosine", "linear")

    def verify(self, *epochs: int | str) -> None:
        """Raise ``UserError`` for settings that contradict each other or would do nothing.

        Args:
            epochs: of each phase, "auto" where it goes on while that helps.
        """
        numbers = [count for count in epochs if count not in ("auto", 0)]
        if "auto" in epochs and self.falls:
            raise UserError(f"--schedule {self.schedule} ends with the last epoch: say how many, instead of auto")
        if numbers and self.warmup_epochs >= min(numbers):
            raise UserError(f"--warmup-epochs {self.warmup_epochs:g} leaves nothing of {min(numbers)} epochs")
        if self.optimizer in ("adam", "adamw") and (self.momentum is not None or self.nesterov is not None):
            raise UserError(f"--momentum and --nesterov are for sgd and muon, not for {self.optimizer}")
        if self.schedule != "plateau" and self.plateau_patience is not None:
            raise UserError("--plateau-patience belongs to --schedule plateau")
        if self.schedule == "plateau" and self.warmup_epochs:
            raise UserError("--schedule plateau begins at its full rate: leave out --warmup-epochs")

    @property
    def sampling(self) -> str:
        """How an iterator over training pictures draws them, as in ``loading.sampling.SAMPLINGS``."""
        return "balanced" if self.balance == "sampling" else "all"

    @property
    def changes_targets(self) -> bool:
        """Whether pictures or labels of a batch are mixed or softened."""
        return bool(self.mixup or self.cutmix or self.label_smoothing)
