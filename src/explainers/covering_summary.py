"""What covering comes to: figures for each class, the table of pictures, the sheet of those where the rest decides."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.drawing import draw_grid, fit_image
from src.explainers.covering import Covering, cover, hottest_region
from src.explainers.covering_words import CATEGORIES, REST, VIEWS
from src.explainers.stream import ExplainedPictures
from src.explanation_drawing import color_bar
from src.files import write_csv
from src.heatmap_drawing import overlay_heatmap, scale_maximum
from src.imaging import read_image, resize_image
from src.intervals import Interval, mean_interval, paired_share_interval, share_interval

LISTED = 60  # pictures named in covering.json
_WORST, _EXAMPLES, _CELL = 8, 8, 150


def summarize_covering(
    covering: Covering, explained: ExplainedPictures, class_names: Sequence[str], share: float
) -> dict:
    """Figures as ``--json`` prints them.

    Returns:
        ``share``: of the picture that the hottest region is; ``n``: pictures; ``without_region``: how many more have
        none; ``all`` and, by the predicted class, ``classes``: see :func:`_summarize`; ``rest_decides``: those
        pictures, the surest first, at most ``LISTED``, each with its ``path``, ``true`` and predicted ``class`` and
        the probabilities of that class ``before``, with the ``region_covered`` and with the ``region_alone``.
    """
    found = np.flatnonzero(np.array(covering.categories) == REST)
    worst = sorted(found.tolist(), key=lambda i: (-_margin(covering, i), explained.paths[covering.index[i]]))
    everything = np.ones(len(covering.index), bool)
    return {
        "share": share,
        "n": len(covering.index),
        "without_region": covering.without_region,
        "all": _summarize(covering, everything),
        "classes": {
            class_names[label]: _summarize(covering, covering.class_index == label)
            for label in np.unique(covering.class_index).tolist()
        },
        "rest_decides": [_describe(covering, i, explained, class_names) for i in worst[:LISTED]],
    }


def _summarize(covering: Covering, chosen: np.ndarray) -> dict:
    """Of some of the pictures, bool (n,): their number ``n`` and the mean ``area`` of their regions; for each view the
    share whose answer ``changed`` (Wilson's interval) and by how much the probability ``moved`` on average (Student's),
    each as [mean, low, high]; ``beyond_control``: the share changed with the region covered less that with the control
    covered (Newcombe, paired), likewise; ``categories``: how many pictures are of each."""
    changed = {view: covering.changed(view)[chosen] for view in VIEWS}
    categories = np.array(covering.categories)[chosen].tolist()
    beyond = paired_share_interval(changed["region_covered"], changed["control_covered"])
    return {
        "n": int(chosen.sum()),
        "area": float(covering.area[chosen].mean()) if chosen.any() else None,
        "changed": {view: _bounds(share_interval(values)) for view, values in changed.items()},
        "moved": {view: _bounds(mean_interval(covering.moved(view)[chosen])) for view in VIEWS},
        "beyond_control": _bounds(beyond),
        "categories": {name: categories.count(name) for name in CATEGORIES.values()},
    }


def _bounds(interval: Interval) -> list[float]:
    return [interval.mean, interval.low, interval.high]


def _margin(covering: Covering, place: int) -> float:
    """How much more of the probability is left without the region than with it alone."""
    return float(covering.probability["region_covered"][place] - covering.probability["region_alone"][place])


def _describe(covering: Covering, place: int, explained: ExplainedPictures, class_names: Sequence[str]) -> dict:
    index = covering.index[place]
    label = int(explained.labels[index])
    return {
        "path": explained.paths[index],
        "true": class_names[label] if label >= 0 else None,
        "class": class_names[covering.class_index[place]],
        "before": float(covering.before[place]),
        **{view: float(covering.probability[view][place]) for view in ("region_covered", "region_alone")},
    }


def write_covering(path: Path, covering: Covering, explained: ExplainedPictures, class_names: Sequence[str]) -> None:
    """Write the table of all pictures: path, true and predicted class, its probability, area, category, and for each
    view the class answered then with the probability of the class predicted before."""
    header = ["path", "true", "class", "before", "area", "category"]
    header += [column for view in VIEWS for column in (f"{view}_class", f"{view}_probability")]
    rows = []
    for place, category in enumerate(covering.categories):
        row = _describe(covering, place, explained, class_names)
        cells = [
            row["path"],
            row["true"],
            row["class"],
            f"{row['before']:.4f}",
            f"{covering.area[place]:.4f}",
            category,
        ]
        for view in VIEWS:
            cells += [class_names[covering.answer[view][place]], f"{covering.probability[view][place]:.4f}"]
        rows.append(cells)
    write_csv(path, header, rows)


def choose_drawn(covering: Covering) -> tuple[list[int], list[int]]:
    """Places of the pictures to draw: those where the rest decides, the clearest first, and of each class one
    that is as most of it are, the one whose probability moves the most with its region covered."""
    categories = np.array(covering.categories)
    decided = np.flatnonzero(categories == REST)
    worst = decided[np.argsort([-_margin(covering, place) for place in decided], kind="stable")].tolist()[:_WORST]
    moved, examples = covering.moved("region_covered"), []
    for label in np.unique(covering.class_index)[:_EXAMPLES]:
        of_class = np.flatnonzero(covering.class_index == label)
        most = max(CATEGORIES.values(), key=lambda name: (categories[of_class] == name).sum())
        typical = of_class[categories[of_class] == most]
        examples.append(int(typical[moved[typical].argmin()]))
    return worst, [place for place in examples if place not in worst]


def draw_covering(
    path: Path,
    covering: Covering,
    explained: ExplainedPictures,
    class_names: Sequence[str],
    *,
    size: tuple[int, int],
    share: float,
    title: str,
    colormap: str = "inferno",
    seed: int = 42,
) -> Path | None:
    """Draw the chosen pictures, a row each: the picture, its map, the hottest region covered, all else covered, with
    the answer and its confidence below each; None, and no older file, where there is no picture to draw.

    Args:
        size: (height, width) that the network sees.
        share: of the picture that the hottest region is.
    """
    worst, examples = choose_drawn(covering)
    if not worst and not examples:
        path.unlink(missing_ok=True)
        return None
    tiles, captions = [], []
    for place in (*worst, *examples):
        index = covering.index[place]
        image, heatmap = read_image(explained.paths[index], needed=(512, 512)), explained.explanation.heatmaps[index]
        seen = resize_image(image, size).astype(np.float32)
        region = hottest_region(heatmap, size, share)
        covered = [np.clip(cover(seen, each, seed=seed), 0, 255).astype(np.uint8) for each in (region, ~region)]
        plain = seen.astype(np.uint8)
        overlay = overlay_heatmap(plain, heatmap, scale_maximum(heatmap), colormap)
        tiles.append([fit_image(tile, _CELL) for tile in (plain, overlay, *covered)])
        captions.append(_captions(covering, place, int(explained.labels[index]), class_names))
    count = int(sum(name == REST for name in covering.categories))
    about = f"the rest decides in {count} of {len(covering.index)} pictures"
    about += f" ({len(worst)} shown first)" if worst else ""
    about += "; an example of each class" + (" below" if worst else "")
    draw_grid(
        tiles,
        captions,
        ["picture", "map", f"hottest {share:.0%} covered", "all else covered"],
        path,
        cell=_CELL,
        title=f"{title}\n{about}",
        bars=[color_bar(1.0, colormap, "share of the map's largest value")],
    )
    return path


def _captions(covering: Covering, place: int, label: int, class_names: Sequence[str]) -> list[str]:
    predicted = covering.class_index[place]
    true = "" if label in (-1, predicted) else f"\nis {class_names[label]}"
    texts = [f"{covering.before[place]:.0%} {class_names[predicted]}{true}", covering.categories[place]]
    for view in ("region_covered", "region_alone"):
        answer, probability = int(covering.answer[view][place]), float(covering.probability[view][place])
        if answer == predicted:
            texts.append(f"{probability:.0%} {class_names[predicted]}")
        else:
            texts.append(f"now {class_names[answer]}\n({probability:.0%} {class_names[predicted]})")
    return texts
