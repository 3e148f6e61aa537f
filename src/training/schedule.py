"""The settings of the two phases, apart from the training so that ``--help`` loads no TensorFlow."""

from dataclasses import dataclass

from src.settings import ENGINES, auto_or_count, natural_float, natural_int, option, positive_float, positive_int


@dataclass(frozen=True)
class TwoPhaseSettings:
    """The schedule of S1, or on while it helps."""

    phase1_epochs: str | int = option("auto", "epochs with the backbone frozen; S1: 5", type=auto_or_count)
    phase2_epochs: str | int = option("auto", "epochs with its top layers unfrozen; S1: 5", type=auto_or_count)
    phase1_rate: float = option(1e-4, "learning rate (Adam) of phase 1", type=positive_float)
    phase2_rate: float = option(1e-5, "learning rate (Adam) of phase 2", type=positive_float)
    patience: int = option(3, "epochs without improvement of validation loss that end a phase", type=positive_int)
    views: int = option(
        4,
        "augmented views of each training picture that go through the frozen layers once; 0: a new one every epoch",
        type=natural_int,
    )
    cache_gb: float = option(
        10.0,
        "disk space for what frozen layers compute (models/.features); a phase that needs more computes every epoch "
        "anew",
        type=natural_float,
    )
    engine: str = option("auto", "what computes the frozen layers; auto: the fastest here", choices=ENGINES)
