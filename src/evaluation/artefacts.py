"""What an evaluation leaves to look at: matrix, wrong pictures, tables."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.drawing import draw_contact_sheet
from src.evaluation.metrics import Evaluation
from src.files import write_csv, write_json
from src.imaging import read_image
from src.plotting import plot_comparison, plot_confusion_matrix

SHEET_PICTURES = 24


@dataclass(frozen=True)
class Predictions:
    """A model's answers on N pictures: paths, labels int (N,), probabilities float32 (N, C)."""

    paths: list[str]
    labels: np.ndarray
    probabilities: np.ndarray


def save_evaluation(folder: Path, evaluation: Evaluation, predictions: Predictions, class_names: list[str]) -> None:
    """Write metrics.json, confusion_matrix.png, errors.csv and, where there are wrong pictures, errors.png."""
    write_json(folder / "metrics.json", evaluation.as_json())
    plot_confusion_matrix(evaluation.matrix, class_names, folder / "confusion_matrix.png", title=folder.name)
    wrong = _wrong(predictions)
    confidence = predictions.probabilities.max(axis=1)
    predicted = predictions.probabilities.argmax(axis=1)
    rows = [
        (
            predictions.paths[i],
            class_names[predictions.labels[i]],
            class_names[predicted[i]],
            f"{confidence[i]:.4f}",
            f"{predictions.probabilities[i, predictions.labels[i]]:.4f}",
        )
        for i in wrong
    ]
    write_csv(folder / "errors.csv", ["path", "true", "predicted", "confidence", "probability_of_true"], rows)
    sheet = folder / "errors.png"
    if not wrong:
        sheet.unlink(missing_ok=True)  # an earlier model's errors are not this one's
        return
    shown = wrong[:SHEET_PICTURES]
    draw_contact_sheet(
        [read_image(predictions.paths[i]) for i in shown],
        [
            f"true: {class_names[predictions.labels[i]]}\npredicted ({confidence[i]:.0%}): {class_names[predicted[i]]}"
            for i in shown
        ],
        sheet,
        columns=min(6, len(shown)),
        title=f"{folder.name}: {len(wrong)} wrong of {evaluation.n}, the surest first"
        + (f" ({len(shown)} shown)" if len(shown) < len(wrong) else ""),
    )


def _wrong(predictions: Predictions) -> list[int]:
    """Indices of wrong answers, the most confident first."""
    wrong = np.flatnonzero(predictions.probabilities.argmax(axis=1) != predictions.labels)
    return sorted(wrong.tolist(), key=lambda i: (-predictions.probabilities[i].max(), predictions.paths[i]))


def save_comparison(folder: Path, evaluations: dict[str, Evaluation]) -> None:
    """Write comparison.csv and comparison.png of several models on the same test part."""
    write_csv(
        folder / "comparison.csv",
        ["model", "n", "accuracy", "low", "high", "macro_precision", "macro_recall", "macro_f1", "roc_auc"],
        [
            (
                name,
                result.n,
                f"{result.accuracy:.4f}",
                *(f"{bound:.4f}" for bound in result.interval),
                *(f"{result.macro[key]:.4f}" for key in ("precision", "recall", "f1")),
                "" if result.roc_auc is None else f"{result.roc_auc:.4f}",
            )
            for name, result in evaluations.items()
        ],
    )
    plot_comparison(
        list(evaluations),
        [result.accuracy for result in evaluations.values()],
        [result.interval for result in evaluations.values()],
        folder / "comparison.png",
    )


def format_report(name: str, result: Evaluation) -> str:
    """The classification report of one model as text."""
    width = max(10, *(len(class_name) for class_name in result.per_class))
    low, high = result.interval
    lines = [
        f"{name}: accuracy {result.accuracy:.4f} (95% interval {low:.4f} to {high:.4f}), n = {result.n}"
        + ("" if result.roc_auc is None else f", ROC AUC {result.roc_auc:.4f}"),
        f"  {'':{width}}  precision  recall      f1     AUC  pictures",
    ]
    for class_name, row in result.per_class.items():
        area = "      -" if row["roc_auc"] is None else f"{row['roc_auc']:7.4f}"
        lines.append(
            f"  {class_name:{width}}  {row['precision']:9.4f} {row['recall']:7.4f} {row['f1']:7.4f} {area}"
            f" {row['support']:9}"
        )
    for label, row in (("macro mean", result.macro), ("weighted", result.weighted)):
        lines.append(f"  {label:{width}}  {row['precision']:9.4f} {row['recall']:7.4f} {row['f1']:7.4f}")
    if result.confused:
        pairs = ", ".join(f"{true} taken for {given} ({count})" for true, given, count in result.confused[:3])
        lines.append(f"  most confused: {pairs}")
    return "\n".join(lines)
