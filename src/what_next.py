"""What next: the pictures that are most worth a second label or another shot, as a sheet and a table."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.atomic import atomic_folder
from src.drawing import BLUE, CELL, GREEN, RED, draw_contact_sheet
from src.evaluation.worth import REASONS, Proposal, propose
from src.files import finite, write_csv, write_json
from src.imaging import ImageError, read_image

FOLDER, SHEET, TABLE, RECORD = "what_next", "what_next.png", "what_next.csv", "what_next.json"
SHOWN, LISTED = 12, 40  # pictures of each reason, on the sheet and in the table
_COLUMNS = 6
_COLORS = dict(zip(REASONS, (RED, BLUE, GREEN)))


def write_what_next(
    output: str | Path,
    pictures: Sequence[str | Path],
    labels: np.ndarray,
    class_names: Sequence[str],
    probabilities: np.ndarray,
    scores: np.ndarray | None = None,
    groups: Sequence[int] | None = None,
    features: np.ndarray | None = None,
    fingerprint: str | None = None,
    *,
    names: Sequence[str] | None = None,
    command: str | None = None,
) -> dict:
    """Write ``what_next/`` in ``output``, whole or not at all: what_next.png, what_next.csv and what_next.json.

    Args:
        pictures: N paths.
        labels: int (N,), the classes that the pictures are labelled with.
        probabilities: (N, C) or (R, N, C), of classifiers that have not learned from the picture; see
            ``evaluation.worth.propose``, also for the scores of novelty (N,), groups (N,) and features (N, D).
        fingerprint: of the split, by which the report knows that this is of its pictures.
        names: what the pictures are called in the table, as below their folder; None for their paths.
        command: that this is a part of.

    Returns:
        What the JSON file holds: ``n``, ``counts`` by reason, and ``proposals``, the clearest first of each reason.

    Raises:
        ValueError: the lengths do not agree.
        OSError: it cannot be written.
    """
    names = [str(each) for each in (pictures if names is None else names)]
    proposals = propose(labels, probabilities, novelty=scores, features=features, groups=groups, each=LISTED)
    rows = _describe(proposals, names, labels, class_names)
    counts = Counter(row["reason"] for row in rows)
    record = {"data": fingerprint, "command": command, "n": len(names)}
    record |= {"counts": {reason: counts[reason] for reason in REASONS}, "proposals": rows}
    with atomic_folder(Path(output) / FOLDER) as folder:
        record["sheet"] = _draw(folder / SHEET, rows, [str(pictures[each.place]) for each in proposals])
        header = ["file", "label", "reason", "suggested", "confidence", "rank", "given", "disagreement", "score"]
        write_csv(folder / TABLE, header, ([row[name] for name in header] for row in rows))
        write_json(folder / RECORD, finite(record))
    return record


def _describe(
    proposals: Sequence[Proposal], names: Sequence[str], labels: np.ndarray, class_names: Sequence[str]
) -> list[dict]:
    rows, ranks = [], Counter()
    for each in proposals:
        ranks[each.reason] += 1
        own, other = class_names[labels[each.place]], class_names[each.suggested]
        rows.append(
            {
                "file": names[each.place],
                "label": own,
                "reason": each.reason,
                "suggested": "" if each.reason == "atypical" else other,
                "confidence": round(each.likely, 4),
                "rank": ranks[each.reason],
                "given": round(each.given, 4),
                "disagreement": round(each.disagreement, 4),
                "score": round(each.score, 4),
                "other": other,
            }
        )
    return rows


def _draw(path: Path, rows: Sequence[dict], pictures: Sequence[str]) -> bool:
    """The first pictures of each reason, each reason from a new row on; False where there is none to draw."""
    tiles, captions, colors = [], [], []
    blank = np.full((CELL, CELL, 3), 255, np.uint8)
    for reason in REASONS:
        shown = 0
        for row, picture in zip(rows, pictures):
            if row["reason"] != reason or row["rank"] > SHOWN:
                continue
            try:
                tiles.append(read_image(picture, needed=(CELL, CELL)))
            except ImageError:  # it has gone meanwhile, and stays in the table
                continue
            captions.append(_caption(row))
            colors.append(_COLORS[reason])
            shown += 1
        missing = -shown % _COLUMNS
        tiles += [blank] * missing
        captions += [""] * missing
        colors += ["black"] * missing
    if not tiles:
        return False
    title = "\n".join(f"{reason}: {meaning}" for reason, meaning in REASONS.items())
    title = f"What next? Judged by classifiers that have not seen the picture\n{title}"
    draw_contact_sheet(tiles, captions, path, columns=_COLUMNS, title=title, caption_colors=colors)
    return True


def _caption(row: dict) -> str:
    lines = [f"{row['reason']} {row['rank']}", Path(row["file"]).name, f"labelled {row['label']} ({row['given']:.0%})"]
    if row["reason"] == "atypical":
        return "\n".join([*lines, f"{row['score']:.1f} deviations from its class"])
    verb = "looks like" if row["reason"] == "second label" else "or"
    lines.append(f"{verb} {row['other']} ({row['confidence']:.0%})")
    return "\n".join(lines)
