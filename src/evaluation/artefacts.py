"""What an evaluation leaves to look at: tables, plots, pictures."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from src.drawing import RED, draw_contact_sheet
from src.evaluation.calibration import Calibration, losses
from src.evaluation.metrics import Evaluation
from src.evaluation.selective import COVERAGES, RiskCoverage
from src.evaluation_plotting import (
    CoveragePoint,
    ReliabilityPanel,
    plot_class_accuracy,
    plot_coverage,
    plot_reliability,
)
from src.files import write_csv, write_json
from src.imaging import read_image
from src.novelty_plotting import plot_novelty
from src.plotting import plot_comparison, plot_confusion_matrix

SHEET_PICTURES = 24


@dataclass(frozen=True)
class Predictions:
    """A model's answers on N pictures.

    Attributes:
        paths, labels: of the pictures; int (N,).
        probabilities: float32 (N, C).
        before: the same before the temperature.
        novelties: float64 (N,), how unlike the training pictures they are, as shares of the threshold.
    """

    paths: list[str]
    labels: np.ndarray
    probabilities: np.ndarray
    before: np.ndarray | None = None
    novelties: np.ndarray | None = None

    @cached_property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        return self.probabilities.max(axis=1)

    @cached_property
    def right(self) -> np.ndarray:
        """bool (N,)."""
        return self.predicted == self.labels

    @cached_property
    def losses(self) -> np.ndarray:
        """-log p of the true class, float64 (N,)."""
        return losses(self.probabilities, self.labels)


def save_evaluation(
    folder: Path,
    evaluation: Evaluation,
    predictions: Predictions,
    class_names: list[str],
    origin: dict | None = None,
) -> None:
    """Write all that there is to see of one model; errors.png only where there are wrong answers, novelty.png
    only where unlike pictures are told.

    Args:
        origin: of what was evaluated and how, to stand in metrics.json as well: digests, the command.
    """
    write_json(folder / "metrics.json", evaluation.as_json() | (origin or {}))
    plot_confusion_matrix(evaluation.matrix, class_names, folder / "confusion_matrix.png", title=folder.name)
    plot_class_accuracy(
        class_names,
        np.diag(evaluation.matrix),
        evaluation.matrix.sum(axis=1),
        folder / "per_class.png",
        title=f"{folder.name}: accuracy of each class, the worst first",
    )
    _plot_calibration(folder, evaluation)
    _plot_coverage(folder, evaluation.selective)
    _plot_novelty(folder, evaluation)
    _save_tables(folder, predictions, class_names)
    _draw_errors(folder, predictions, class_names)
    _draw_top_losses(folder, predictions, class_names)


def _plot_calibration(folder: Path, evaluation: Evaluation) -> None:
    before, after = evaluation.calibration_before, evaluation.calibration

    def panel(word: str, found: Calibration) -> ReliabilityPanel:
        bins = found.reliability
        title = f"{word}ECE {found.ece:.3f}, NLL {found.nll:.3f}"
        return ReliabilityPanel(title, bins.counts, bins.right, bins.confidence)

    same = before is after
    panels = [panel("", after)] if same else [panel("before the temperature: ", before), panel("after: ", after)]
    title = f"{folder.name}\nconfidences against the truth, n = {evaluation.n}"
    plot_reliability(panels, folder / "reliability.png", title=title)


def _plot_coverage(folder: Path, selective: RiskCoverage) -> None:
    points, marked = list_coverage_points(selective)
    title = f"{folder.name}: when the unsure answers are refused (AURC {selective.aurc:.4f})"
    plot_coverage(points, marked, folder / "coverage.png", title=title)


def _plot_novelty(folder: Path, evaluation: Evaluation) -> None:
    trust, path = evaluation.trust, folder / "novelty.png"
    if trust is None or trust.histogram is None:
        path.unlink(missing_ok=True)  # an earlier model's
        return
    plot_novelty(trust.histogram, path, title=f"{folder.name}: how unlike the training pictures others are")


def list_coverage_points(selective: RiskCoverage) -> tuple[list[CoveragePoint], list[CoveragePoint]]:
    """All points of the curve as they are drawn, and those that are marked, each once."""
    points, marked = (
        [CoveragePoint(point.n, point.right, point.threshold) for point in chosen]
        for chosen in (selective.points, map(selective.at, COVERAGES))
    )
    return points, list(dict.fromkeys(marked))


def _save_tables(folder: Path, predictions: Predictions, class_names: list[str]) -> None:
    """predictions.csv with all pictures in their order, errors.csv with the wrong ones, the surest first."""

    def row(i: int) -> tuple:
        return (
            predictions.paths[i],
            class_names[predictions.labels[i]],
            class_names[predictions.predicted[i]],
            f"{predictions.confidence[i]:.4f}",
            f"{predictions.probabilities[i, predictions.labels[i]]:.4f}",
            f"{predictions.losses[i]:.4f}",
        )

    header = ["path", "true", "predicted", "confidence", "probability_of_true", "loss"]
    write_csv(folder / "predictions.csv", header, map(row, range(len(predictions.paths))))
    write_csv(folder / "errors.csv", header, map(row, _wrong(predictions)))


def _draw_errors(folder: Path, predictions: Predictions, class_names: list[str]) -> None:
    wrong, sheet = _wrong(predictions), folder / "errors.png"
    if not wrong:
        sheet.unlink(missing_ok=True)  # an earlier model's errors are not this one's
        return
    shown = wrong[:SHEET_PICTURES]
    draw_contact_sheet(
        [read_image(predictions.paths[i]) for i in shown],
        [
            f"true: {class_names[predictions.labels[i]]}\n"
            f"predicted ({predictions.confidence[i]:.0%}): {class_names[predictions.predicted[i]]}"
            for i in shown
        ],
        sheet,
        columns=min(6, len(shown)),
        title=f"{folder.name}: {len(wrong)} wrong of {len(predictions.paths)}, the surest first"
        + (f" ({len(shown)} shown)" if len(shown) < len(wrong) else ""),
    )


def _draw_top_losses(folder: Path, predictions: Predictions, class_names: list[str]) -> None:
    """The pictures that are the least explained, right or wrong (an idea of fastai's); wrong answers in red."""
    order = sorted(range(len(predictions.paths)), key=lambda i: (-predictions.losses[i], predictions.paths[i]))
    shown = order[:SHEET_PICTURES]
    captions = []
    for i in shown:
        true, given = predictions.labels[i], predictions.predicted[i]
        captions.append(
            f"true ({predictions.probabilities[i, true]:.1%}): {class_names[true]}\n"
            f"predicted ({predictions.confidence[i]:.1%}): {class_names[given]}\nloss {predictions.losses[i]:.2f}"
        )
    draw_contact_sheet(
        [read_image(predictions.paths[i]) for i in shown],
        captions,
        folder / "top_losses.png",
        columns=min(6, len(shown)),
        title=f"{folder.name}: the {len(shown)} largest losses of {len(order)} pictures, right or wrong",
        caption_colors=["black" if predictions.right[i] else RED for i in shown],
    )


def _wrong(predictions: Predictions) -> list[int]:
    """Indices of wrong answers, the most confident first."""
    wrong = np.flatnonzero(~predictions.right)
    return sorted(wrong.tolist(), key=lambda i: (-predictions.confidence[i], predictions.paths[i]))


def save_comparison(folder: Path, evaluations: dict[str, Evaluation]) -> None:
    """Write comparison.csv and comparison.png of several models on the same test part."""
    write_csv(
        folder / "comparison.csv",
        ["model", "n", "accuracy", "low", "high", "macro_precision", "macro_recall", "macro_f1", "roc_auc", "ece",
         "brier", "nll", "aurc", "train_accuracy", "gap", "gap_low", "gap_high"],
        [
            (
                name,
                result.n,
                f"{result.accuracy:.4f}",
                *(f"{bound:.4f}" for bound in result.interval),
                *(f"{result.macro[key]:.4f}" for key in ("precision", "recall", "f1")),
                "" if result.roc_auc is None else f"{result.roc_auc:.4f}",
                *(f"{getattr(result.calibration, key):.4f}" for key in ("ece", "brier", "nll")),
                f"{result.selective.aurc:.4f}",
                *_gap_cells(result),
            )
            for name, result in evaluations.items()
        ],
    )  # fmt: skip
    plot_comparison(
        list(evaluations),
        [result.accuracy for result in evaluations.values()],
        [result.interval for result in evaluations.values()],
        folder / "comparison.png",
    )


def _gap_cells(result: Evaluation) -> list[float | str]:
    """Training accuracy, gap and its bounds; numbers, since as text those below 0 would be taken for formulas."""
    if result.gap is None:
        return [""] * 4
    found = result.gap.difference
    return [round(value, 4) for value in (result.gap.accuracy, found.mean, found.low, found.high)]
