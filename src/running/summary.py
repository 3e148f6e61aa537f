"""What a run came to, from what its stages have saved."""

import shlex
from collections import Counter

from src.auditing.findings import BROKEN, KINDS
from src.datasets.manifest import load_manifest
from src.files import read_json, read_table
from src.running.execute import Outcome
from src.running.plan import RunSettings

_MOVED = ("in the class ", "in quarantine")  # how reasons begin that are no fault of the file


def summarize(settings: RunSettings, outcome: Outcome) -> dict:
    """The figures of a run, as its line of JSON has them: ``models`` (the one to use first), ``cross_validated``
    (accuracy on all pictures), ``unreadable`` pictures with their reasons, ``worst_finding`` of the audit or None, the
    page, the command to predict with."""
    models, crossed = {}, read_json(settings.estimate)["cross_validated"]
    for name in settings.models:
        metrics = read_json(settings.results / name / "metrics.json")
        models[name] = {key: metrics[key] for key in ("accuracy", "interval", "n")}
    return {
        "source": settings.source,
        "output": str(settings.output),
        "report": str(settings.report),
        "classes": outcome.pictures.counts,
        "counts": load_manifest(settings.data).counts,
        "models": models,
        "cross_validated": {name: crossed[name] for name in ("accuracy", "interval", "n")},
        "unreadable": list_unreadable(settings),
        "worst_finding": find_worst(settings),
        "predict": predict_command(settings),
        "stages": {name: done.seconds for name, done in outcome.record.stages.items()},
        "done_now": list(outcome.seconds),
        "seconds": round(sum(outcome.seconds.values()), 2),
    }


def list_unreadable(settings: RunSettings) -> list[dict]:
    """``path`` and ``reason`` of each picture that was left out because of itself."""
    entries = load_manifest(settings.data).set_aside
    return [entry for entry in entries if not entry["reason"].startswith(_MOVED)]


def find_worst(settings: RunSettings) -> dict | None:
    """The worst kind that was found, what cannot be used before wrong labels, those before the rest in the order of
    ``KINDS``: its ``kind``, what it ``means``, ``count``, and the clearest case's ``file`` and ``reason``."""
    rows = read_table(settings.results / "audit" / "findings.csv", ("file", "kind", "reason"))
    counts = Counter(kind for _, kind, _ in rows)
    for kind in dict.fromkeys((*BROKEN, "label_error", *KINDS)):
        if counts[kind]:
            file, _, reason = next(row for row in rows if row[1] == kind)
            return {"kind": kind, "means": KINDS[kind], "count": counts[kind], "file": file, "reason": reason}
    return None


def predict_command(settings: RunSettings) -> str:
    return f"python -m src.predict --models-dir {shlex.quote(str(settings.models_dir))} PHOTO"


def describe(summary: dict) -> str:
    """The same in a few lines."""
    lines = []
    for name, figures in summary["models"].items():
        low, high = figures["interval"]
        lines.append(
            f"{name}: {figures['accuracy']:.1%} of {figures['n']} test pictures are right (95% interval {low:.1%} to "
            f"{high:.1%})"
        )
    (low, high), crossed = summary["cross_validated"]["interval"], summary["cross_validated"]
    lines.append(
        f"By cross-validation of all {crossed['n']} pictures: {crossed['accuracy']:.1%} (95% interval {low:.1%} to "
        f"{high:.1%})"
    )
    if worst := summary["worst_finding"]:
        lines.append(f"Audit: {worst['count']} x {worst['kind']} ({worst['means']}), as {worst['file']}")
    else:
        lines.append("Audit: nothing was found")
    lines += [f"Not read: {entry['path']}: {entry['reason']}" for entry in summary["unreadable"][:5]]
    if len(summary["unreadable"]) > 5:
        lines.append(f"Not read: {len(summary['unreadable']) - 5} more; split.json names them")
    lines.append(f"The page: {summary['report']}")
    lines.append(f"To use it: {summary['predict']}")
    return "\n".join(lines)
