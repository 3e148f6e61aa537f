"""What the audit shows: a sheet for each kind of finding, and the data set at a glance."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.auditing.findings import KINDS, Finding
from src.auditing.inspection import Inspected
from src.auditing.statistics import part_name
from src.drawing import BLUE, GREEN, ORANGE, draw_contact_sheet, fit_image, open_figure, shorten
from src.imaging import ImageError, read_image
from src.settings import PARTS
from src.verification import read_torn

MOST_SHOWN = 24
_CELL, _PAIR_GAP = 224, 6
_NOTHING_TO_SEE = ("empty", "unreadable")
_COLORS = {"train": BLUE, "val": ORANGE, "test": GREEN, "all": BLUE}


def draw_sheets(folder: Path, findings: Sequence[Finding], paths: dict[str, str]) -> dict[str, str]:
    """Draw ``<kind>.png`` for each kind whose pictures can be shown, the clearest cases; pairs side by side.

    Args:
        findings: sorted.
        paths: the path of each file by its name in the findings.

    Returns:
        The sheets' paths by kind. Sheets of kinds that were not found are removed.
    """
    drawn = {}
    for kind in KINDS:
        if kind in _NOTHING_TO_SEE:
            continue
        of_kind = [finding for finding in findings if finding.kind == kind]
        shown = [
            (finding, tile) for finding in of_kind[:MOST_SHOWN] if (tile := _draw_tile(finding, paths)) is not None
        ]
        sheet = folder / f"{kind}.png"
        if not shown:
            sheet.unlink(missing_ok=True)
            continue
        title = f"{kind}: {KINDS[kind]}; {len(shown)} of {len(of_kind)}"
        captions = [f"{finding.file}\n{_wrap(finding.reason)}" for finding, _ in shown]
        draw_contact_sheet([tile for _, tile in shown], captions, sheet, title=title, cell=None)
        drawn[kind] = str(sheet)
    return drawn


def _draw_tile(finding: Finding, paths: dict[str, str]) -> np.ndarray | None:
    names = [finding.file, finding.other] if finding.other else [finding.file]
    tiles = []
    for name in names:
        try:
            read = read_torn if finding.kind == "damaged" else read_image
            tiles.append(fit_image(read(paths[name]), _CELL))
        except (ImageError, KeyError):  # there is nothing to be seen of it
            return None
    height = max(tile.shape[0] for tile in tiles)
    width = sum(tile.shape[1] for tile in tiles) + _PAIR_GAP * (len(tiles) - 1)
    canvas, left = np.full((height, width, 3), 255, np.uint8), 0
    for tile in tiles:
        top = (height - tile.shape[0]) // 2
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        left += tile.shape[1] + _PAIR_GAP
    return canvas


def _wrap(reason: str) -> str:
    """Broken where a caption's line would be too long."""
    for seam, broken in (
        ("; ", "\n"),
        (", looks", "\nlooks"),
        ("copy of ", "copy of\n"),
        (" than like", "\nthan like"),
    ):
        reason = reason.replace(seam, broken)
    return reason


def draw_overview(path: Path, inspected: Sequence[Inspected], counts: dict[str, dict[str, int]], title: str) -> None:
    """Counts of each class, sizes, brightness and colours, part by part."""
    parts = [name for name in (*map(part_name, PARTS), "all") if name in counts]
    sound = {name: [e for e in inspected if e.look and part_name(e.picture.part) == name] for name in parts}
    classes = sorted({name for by_class in counts.values() for name in by_class})
    with open_figure(path, 1160, 860) as figure:
        figure.suptitle(shorten(title, 120))
        (balance, sizes), (light, colors) = figure.subplots(2, 2)
        _draw_balance(balance, counts, parts, classes)
        for name in parts:
            widths, heights = ([getattr(each.verified, side) for each in sound[name]] for side in ("width", "height"))
            sizes.scatter(widths, heights, s=8, alpha=0.4, color=_COLORS[name], label=name, linewidths=0)
            values = [each.look.brightness for each in sound[name]]
            if values:
                weights = np.full(len(values), 1 / len(values))
                light.hist(values, np.linspace(0, 1, 26), weights=weights, histtype="step", color=_COLORS[name], lw=1.6)
        sizes.set(xlabel="width (pixels)", ylabel="height (pixels)", title="sizes", xlim=(0, None), ylim=(0, None))
        light.set(xlabel="mean brightness (0 black, 1 white)", ylabel="share of the part", title="brightness")
        _draw_colors(colors, sound, parts)
        if len(parts) > 1:
            handles, labels = sizes.get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=len(parts), markerscale=2.5)


def _draw_balance(axes, counts: dict[str, dict[str, int]], parts: Sequence[str], classes: Sequence[str]) -> None:
    shown = classes[:40]
    left = np.zeros(len(shown))
    for name in parts:
        values = np.array([counts[name].get(each, 0) for each in shown])
        axes.barh(range(len(shown)), values, left=left, color=_COLORS[name], height=0.8)
        left += values
    axes.set_yticks(range(len(shown)), [shorten(name, 22) for name in shown], fontsize=9 if len(shown) <= 16 else 6)
    axes.invert_yaxis()
    more = f" (the first {len(shown)} of {len(classes)})" if len(classes) > len(shown) else ""
    axes.set(xlabel="pictures", title=f"classes{more}")


def _draw_colors(axes, sound: dict[str, Sequence[Inspected]], parts: Sequence[str]) -> None:
    """Mean and spread of each colour over the pictures of each part."""
    for number, name in enumerate(parts):
        values = np.array([each.look.color for each in sound[name]])
        if len(values):
            places = np.arange(3) + (number - (len(parts) - 1) / 2) * 0.18
            style = {"fmt": "o", "color": _COLORS[name], "capsize": 4, "markersize": 6}
            axes.errorbar(places, values.mean(axis=0), values.std(axis=0), **style)
    axes.set_xticks(range(3), ["red", "green", "blue"])
    axes.set(ylim=(0, 1), ylabel="mean over pictures, and standard deviation", title="colours")
