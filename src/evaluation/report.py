"""An evaluation in words, for the terminal."""

from src.evaluation.metrics import Evaluation
from src.evaluation.selective import COVERAGES


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
    return "\n".join(lines + _format_confidences(result))


def _format_confidences(result: Evaluation) -> list[str]:
    found, before = result.calibration, result.calibration_before
    earlier = "" if before is found else f" (before the temperature {before.ece:.4f})"
    points = dict.fromkeys(map(result.selective.at, COVERAGES[1:]))  # ties may make two of them one
    surest = ", ".join(f"{point.coverage:.0%} {point.accuracy:.4f}" for point in points)
    lines = [
        f"  confidences: ECE {found.ece:.4f}{earlier}, worst bin {found.mce:.4f}, Brier {found.brier:.4f}, NLL "
        f"{found.nll:.4f}",
        f"  accuracy where only the surest are answered: {surest}; AURC {result.selective.aurc:.4f}",
    ]
    if result.gap:
        gap = result.gap.difference
        lines.append(
            f"  training part, asked the same way: {result.gap.accuracy:.4f}, n = {result.gap.n}; gap {gap.mean:+.4f} "
            f"(95% interval {gap.low:+.4f} to {gap.high:+.4f})"
        )
    return lines
