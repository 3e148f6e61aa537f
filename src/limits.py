"""What users ask of verdicts on answers, as options of a command. Loads no NumPy."""

from dataclasses import dataclass

from src.settings import inner_share, option


@dataclass(frozen=True)
class Limits:
    """Each above 0 and below 1.

    Attributes:
        keep: the share of pictures like the training pictures that shall count as such.
        accept_errors: the share of wrong answers among the sure ones that is still acceptable.
        coverage: the share of sets of classes that shall hold the true one.
    """

    keep: float = option(
        0.95, "share of pictures like the training pictures that shall count as such; the others are unlike",
        type=inner_share,
    )  # fmt: skip
    accept_errors: float = option(
        0.05, "share of wrong answers among the sure ones that is still acceptable; the others are unsure",
        type=inner_share,
    )  # fmt: skip
    coverage: float = option(
        0.9, "share of answers whose set of possible classes shall hold the true one", type=inner_share
    )
