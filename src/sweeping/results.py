"""What became of a sweep's trials: read from its journal, as a table, as CSV."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from src.files import write_csv
from src.sweeping.space import digest_of

FIGURES = ("val_accuracy", "val_loss", "clean_accuracy")  # of an epoch, as training gives them


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes:
        number: from 1, in the order of the trials.
        parameters: each value as it would be typed.
        state: "complete"; "pruned", ended because it lagged behind; "failed"; or "interrupted", to be gone on with.
        epochs: ``FIGURES`` of each epoch, those that were measured.
        kept: of a complete trial those of the epoch that its bundle has.
        seconds: that it took, interrupted runs included.
        reason: of a failure.
        twin: number of an earlier trial of the same parameters, whose outcome this one has without a training.
    """

    number: int
    parameters: dict[str, str]
    state: str
    epochs: Sequence[dict] = ()
    kept: dict = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""
    twin: int | None = None

    @property
    def digest(self) -> str:
        """The name of its bundle before it is kept."""
        return digest_of(self.parameters)

    @property
    def figures(self) -> dict:
        """``FIGURES`` of the kept epoch; of a pruned trial those of the one that validated best; none of a failed."""
        if self.state == "pruned":
            return max(self.epochs, key=lambda row: (row["val_accuracy"], -_or_worst(row["val_loss"])), default={})
        return self.kept

    @property
    def curve(self) -> list[float]:
        """Validation accuracy after each epoch."""
        return [row["val_accuracy"] for row in self.epochs]


def _or_worst(loss: float) -> float:
    return loss if math.isfinite(loss) else math.inf


def find_best(results: Sequence[TrialResult]) -> TrialResult | None:
    """The complete trial of the highest validation accuracy; among equals of the lowest loss, then the earliest."""
    complete = [result for result in results if result.state == "complete"]
    return min(complete, key=lambda r: (-r.kept["val_accuracy"], _or_worst(r.kept["val_loss"])), default=None)


def count_states(results: Sequence[TrialResult]) -> dict[str, int]:
    """How many trials there are in each state, and in all."""
    states = [result.state for result in results]
    return {"trials": len(states)} | {state: states.count(state) for state in ("complete", "pruned", "failed")}


def short(text: str) -> str:
    """A number at four significant digits, other values as they are."""
    try:
        return f"{float(text):.4g}" if len(text) > 6 else text
    except ValueError:
        return text


def describe_parameters(parameters: dict[str, str]) -> str:
    """Half a sentence."""
    return ", ".join(f"{name.replace('_', '-')} {short(text)}" for name, text in parameters.items())


def as_rows(results: Sequence[TrialResult]) -> list[dict]:
    """One record for each trial, as CSV and JSON have it; None where a figure was not measured."""
    return [
        {"trial": result.number}
        | result.parameters
        | {name: result.figures.get(name) for name in FIGURES}
        | {"epochs_trained": len(result.epochs), "seconds": round(result.seconds, 1), "state": result.state}
        | {"reason": result.reason or (f"as trial {result.twin}" if result.twin else "")}
        for result in results
    ]


def write_results(results: Sequence[TrialResult], path: str | Path) -> None:
    """A row of CSV for each trial."""
    rows = as_rows(results)
    write_csv(path, list(rows[0]), (row.values() for row in rows))


def format_table(results: Sequence[TrialResult]) -> str:
    """A line for each trial, the best one marked."""
    best = find_best(results)
    lines = []
    for result, row in zip(results, as_rows(results)):
        cells = {name: "-" if value is None else str(value) for name, value in row.items()}
        cells |= {name: short(text) for name, text in result.parameters.items()}
        cells |= {name: f"{row[name]:.4f}" for name in FIGURES if row[name] is not None}
        lines.append({"": "*" if result is best else " "} | cells)
    header = {name: name.replace("_", "-") if name in results[0].parameters else name for name in lines[0]}
    table = [list(row.values()) for row in (header, *lines)]
    widths = [max(map(len, column)) for column in zip(*table)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table)
