"""What the page says of a model's verdicts: unlike pictures, sure answers, sets of classes."""

from typing import TYPE_CHECKING

from src.reporting.charts import draw_novelties
from src.reporting.pictures import PicturePool

if TYPE_CHECKING:
    from src.reporting.results import ModelResults


_ORIGINS = {
    "validation": "of the validation part, which the network was not trained on",
    "cross-validation": "of the parts train and val, each judged by a head of the same kind that had not seen it",
}


def describe_trust(model: "ModelResults", pool: PicturePool) -> dict | None:
    """Rows of figures, the chart, the test pictures that look least like the training set; None for a model that has no
    verdicts."""
    trust = model.metrics["trust"]
    if trust is None:
        return None
    thresholds = trust["thresholds"]
    kept = 1 - 1 / (max(thresholds["n"], 0) + 1)
    histogram = {name: counts for name, counts in (trust["histogram"] or {}).items() if counts is not None}
    answers = [(model.answers[int(place)], novelty) for place, novelty in trust["least_like"]]
    pool.read(answer.path for answer, _ in answers)
    return {
        "thresholds": thresholds,
        "origin": _ORIGINS.get(thresholds["origin"], f"({thresholds['origin']})"),
        "kept": kept if trust["known"] and kept < thresholds["keep"] - 1e-9 else None,
        "rows": _list_rows(trust),
        "chart": draw_novelties(model.name, histogram) if histogram else None,
        "least_like": [
            {"picture": pool.take(answer.path), "path": answer.path, "novelty": novelty, "answer": answer}
            for answer, novelty in answers
        ],
        "no_sure": trust["sure"] is None,
    }


def _list_rows(trust: dict) -> list[dict]:
    """Each promise with what came of it."""
    asked, sure, rows = trust["thresholds"], trust["sure"], []

    def add(text: str, promise: str, found: dict, of: str) -> None:
        if found["share"] is not None:
            low, high = found["interval"]
            rows.append({"text": text, "asked": promise, "share": found["share"], "low": low, "high": high, "of": of})

    if trust["known"]:
        found = trust["known"]
        add("test pictures that count as known", f"{asked['keep']:g}", found, f"{found['n']} test pictures")
    if trust["unknown"]:
        refused = trust["unknown"]["refused"]
        of = f"{refused['n']} pictures of no known class (AUROC {trust['unknown']['auroc']:.3f})"
        add("unknown pictures told as unlike", "–", refused, of)
    if sure:
        add("answers that are sure", "–", sure, f"{sure['n']} test pictures")
        right = trust["right_of_sure"]
        add("sure answers that are right", f"{1 - asked['accept_errors']:g}", right, f"{right['n']} sure answers")
    for found in trust["sets"]:
        of = f"{found['n']} test pictures; {found['mean_size']:.2f} classes on average"
        entry = {"share": found["coverage"], "interval": found["interval"]}
        add("sets of possible classes that hold the true one", f"{found['asked']:g}", entry, of)
    return rows


def is_whole(trust: dict | None, count: int) -> bool:
    """Whether what is said of verdicts is of so many answers, and fit to be drawn."""
    if trust is None:
        return True
    histogram = trust["histogram"] or {"edges": [0.0, 1.0]}
    edges = histogram["edges"]
    counts = [values for name, values in histogram.items() if name != "edges" and values is not None]
    return (
        all(place.is_integer() and 0 <= place < count and novelty >= 0 for place, novelty in trust["least_like"])
        and len(edges) > 1
        and all(low < high for low, high in zip(edges, edges[1:]))
        and all(len(values) == len(edges) - 1 for values in counts)
        and (trust["sure"] is None) == (trust["right_of_sure"] is None)
    )
