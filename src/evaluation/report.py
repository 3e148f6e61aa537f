"""An evaluation in words, for the terminal."""

from src.evaluation.metrics import Evaluation
from src.evaluation.selective import COVERAGES
from src.evaluation.trust import Trust
from src.intervals import wilson_interval


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
    return "\n".join(lines + _format_confidences(result) + (_format_trust(result.trust) if result.trust else []))


def _format_trust(trust: Trust) -> list[str]:
    """A few lines on verdicts, each share with its 95% interval."""
    asked, lines = trust.thresholds, []

    def share(count: int, total: int) -> str:
        low, high = wilson_interval(count, total)
        return f"{count} of {total}, {count / max(total, 1):.3f} (95% interval {low:.3f} to {high:.3f})"

    if trust.known is not None:
        lines.append(f"  like the training pictures (asked {asked['keep']:g}): {share(trust.known, trust.n)}")
    if trust.sure is None:
        lines.append(f"  sure answers: {asked['n']} held-out pictures are too few to tell them")
    else:
        lines.append(
            f"  sure answers: {trust.sure / trust.n:.3f} of all; right of these (asked "
            f"{1 - asked['accept_errors']:g}): {share(trust.sure_right, trust.sure)}"
        )
    sets = ", ".join(
        f"{found.covered / found.n:.3f} (asked {coverage:g}; {found.mean_size:.2f} classes on average)"
        for coverage, found in trust.sets.items()
    )
    lines.append(f"  the set of possible classes holds the true one in {sets}")
    if trust.unknown is not None:
        lines.append(
            f"  unknown pictures: AUROC {trust.unknown_auroc:.3f}, told as unlike {share(trust.refused, trust.unknown)}"
        )
    return lines


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
