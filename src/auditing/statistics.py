"""A data set in figures: balance, sizes, colours, and whether its parts are alike."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from src.auditing.inspection import Inspected
from src.auditing.probe import create_probe
from src.settings import PARTS

_ALPHA = 0.01  # of all tests of drift together (Holm)
_LEAST_EFFECT = 0.2  # standard deviations: below, a difference is small (Cohen 1988), however sure
_LEAST_PICTURES = 10

# What parts are compared by: name -> value of one picture.
MEASURES = {
    "width": lambda each: each.verified.width,
    "height": lambda each: each.verified.height,
    "aspect": lambda each: each.verified.width / each.verified.height,
    "brightness": lambda each: each.look.brightness,
    "contrast": lambda each: each.look.contrast,
    "saturation": lambda each: each.look.saturation,
    "red": lambda each: each.look.color[0],
    "green": lambda each: each.look.color[1],
    "blue": lambda each: each.look.color[2],
    "blur": lambda each: each.look.blur,
}


def part_name(part: str | None) -> str:
    """The part, or "all" of a folder that is not split."""
    return part or "all"


def summarize(inspected: Sequence[Inspected]) -> dict:
    """Counts, balance, and for each part the quartiles of every measure; as JSON writes it."""
    by_part = _by_part(inspected)
    counts = {part: dict(sorted(Counter(e.picture.class_name for e in of).items())) for part, of in by_part.items()}
    totals = Counter()
    for by_class in counts.values():
        totals.update(by_class)
    sound = {part: [each for each in of if each.look] for part, of in by_part.items()}
    return {
        "counts": counts,
        "balance": {
            "largest": max(totals.values(), default=0),
            "smallest": min(totals.values(), default=0),
            "ratio": max(totals.values(), default=0) / max(1, min(totals.values(), default=0)),
        },
        "class_shares_differ": compare_shares(counts),
        "measures": {
            part: {name: _quartiles([measure(each) for each in of]) for name, measure in MEASURES.items()}
            for part, of in sound.items()
        },
        "drift": find_drift(sound),
    }


def find_drift(by_part: dict[str, Sequence[Inspected]]) -> list[dict]:
    """How far val and test differ from train in each measure: the mean difference in standard deviations, and the
    p-value of the Kolmogorov-Smirnov test; ``drifts`` where that is small (all tests together, by Holm) and the
    difference is not."""
    if "train" not in by_part:
        return []
    from scipy.stats import ks_2samp

    rows = []
    for part in by_part:
        if part == "train":
            continue
        for name, measure in MEASURES.items():
            values = [np.array([measure(each) for each in by_part[which]], float) for which in ("train", part)]
            train, other = (each[np.isfinite(each)] for each in values)
            if min(len(train), len(other)) < _LEAST_PICTURES:
                continue
            spread = np.sqrt((train.var(ddof=1) + other.var(ddof=1)) / 2)
            difference = float((other.mean() - train.mean()) / spread) if spread > 0 else 0.0
            p_value = float(ks_2samp(train, other).pvalue)
            rows.append({"part": part, "measure": name, "difference": difference, "p_value": p_value})
    for rank, row in enumerate(sorted(rows, key=lambda row: row["p_value"])):
        sure = row["p_value"] * (len(rows) - rank) <= _ALPHA
        row["drifts"] = bool(sure and abs(row["difference"]) >= _LEAST_EFFECT)
    return rows


def compare_shares(counts: dict[str, dict[str, int]]) -> dict | None:
    """Whether the classes have other shares in some part: a chi-squared test; None of one part or class alone."""
    names = sorted({name for by_class in counts.values() for name in by_class})
    table = np.array([[by_class.get(name, 0) for name in names] for by_class in counts.values()])
    table = table[table.sum(axis=1) > 0] if len(table) else table
    if min(table.shape, default=0) < 2:
        return None
    from scipy.stats import chi2_contingency

    p_value = float(chi2_contingency(table).pvalue)
    return {"p_value": p_value, "differ": p_value <= _ALPHA}


def tell_parts_apart(features: np.ndarray, parts: Sequence[str | None], seed: int = 42) -> dict | None:
    """How well a classifier tells train from the other parts by their features (a two-sample test: Lopez-Paz and
    Oquab 2017): the area under its curve with a 95% interval (Hanley and McNeil 1982). 0.5 is chance, as where the
    parts were drawn alike; None where there are too few pictures."""
    is_train = np.array([part == "train" for part in parts])
    positive, negative = int(is_train.sum()), int((~is_train).sum())
    if min(positive, negative) < 5 * _LEAST_PICTURES:
        return None
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    classifier = create_probe(class_weight="balanced")
    split = StratifiedKFold(5, shuffle=True, random_state=seed)
    scores = cross_val_predict(classifier, features, is_train, cv=split, method="decision_function")
    area = float(roc_auc_score(is_train, scores))
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (first - area**2) + (negative - 1) * (second - area**2)
    error = 1.96 * float(np.sqrt(max(0.0, variance) / (positive * negative)))
    low, high = max(0.0, area - error), min(1.0, area + error)
    return {"auc": area, "interval": [low, high], "differ": low > 0.55}


def _by_part(inspected: Sequence[Inspected]) -> dict[str, list[Inspected]]:
    present = {each.picture.part for each in inspected}
    order = [part for part in (*PARTS, None) if part in present]
    return {part_name(part): [each for each in inspected if each.picture.part == part] for part in order}


def _quartiles(values: Sequence[float]) -> list[float] | None:
    finite = np.array(values, float)
    finite = finite[np.isfinite(finite)]
    return [float(value) for value in np.percentile(finite, [25, 50, 75])] if len(finite) else None
