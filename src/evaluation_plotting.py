"""Plots of one model's answers: confidences against the truth, coverage, classes. PNGs whole or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter

from src.drawing import BLUE, GRAY, ORANGE, open_figure, shorten
from src.intervals import wilson_interval

INK = "#1B2A3A"


@dataclass(frozen=True)
class ReliabilityPanel:
    """Answers in M bins of equal width by confidence.

    Attributes:
        title: what stands above.
        counts, right: int (M,), how many answers, and how many of them right.
        confidence: float (M,), their mean confidence; not read where there are none.
    """

    title: str
    counts: np.ndarray
    right: np.ndarray
    confidence: np.ndarray


def plot_reliability(panels: Sequence[ReliabilityPanel], path: str | Path, *, title: str = "") -> None:
    """Reliability diagrams side by side: the share of right answers in each bin of confidence, with counts below.

    Where a model is honest the bars end at the diagonal. The error bars are 95% Wilson intervals; the marks stand at
    the bin's mean confidence, which the share is to be compared with.
    """
    with open_figure(path, 60 + 480 * len(panels), 630) as figure:
        if title:
            figure.suptitle("\n".join(shorten(line, 50 * len(panels)) for line in title.splitlines()))
        grid = figure.subplots(2, len(panels), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1))
        for (upper, lower), panel in zip(grid.T, panels):
            draw_reliability(upper, panel)
            _draw_counts(lower, panel.counts)
        grid[0, 0].set_ylabel("share of right answers")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8.5)
        grid[1, 0].set_ylabel("pictures")
        grid[1, 0].set_ylim(0, 1.25 * max(panel.counts.max() for panel in panels))


def draw_reliability(axes, panel: ReliabilityPanel) -> None:
    """The upper half of :func:`plot_reliability`, without its legend and names of axes."""
    places = np.flatnonzero(panel.counts)
    counts, right = panel.counts[places], panel.right[places]
    width = 1 / len(panel.counts)
    centers, shares = (places + 0.5) * width, right / counts
    bounds = np.array([wilson_interval(int(hits), int(count)) for hits, count in zip(right, counts)])
    errors = np.abs(bounds - shares[:, None]).T
    axes.plot([0, 1], [0, 1], "--", color=GRAY, linewidth=1.2, label="as sure as right")
    axes.bar(centers, shares, 0.92 * width, color=BLUE, alpha=0.75, label="right (95% interval)")
    axes.errorbar(centers, shares, errors, fmt="none", ecolor=INK, capsize=3, elinewidth=1)
    marks = {"color": ORANGE, "markeredgecolor": INK, "markeredgewidth": 0.6, "markersize": 6, "linestyle": "none"}
    axes.plot(centers, panel.confidence[places], "D", label="mean confidence", **marks)
    axes.set(title=panel.title, xlim=(0, 1), ylim=(0, 1.03))
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def _draw_counts(axes, counts: np.ndarray) -> None:
    width = 1 / len(counts)
    centers = (np.arange(len(counts)) + 0.5) * width
    axes.bar(centers, counts, 0.92 * width, color=GRAY, alpha=0.6)
    for center, count in zip(centers, counts):
        if count:
            axes.annotate(f"{count}", (center, count), (0, 2), textcoords="offset points", ha="center", fontsize=7.5)
    axes.set(xlabel="confidence")
    axes.spines[["top", "right"]].set_visible(False)


@dataclass(frozen=True)
class CoveragePoint:
    """``right`` of the ``n`` answers of at least ``threshold`` confidence."""

    n: int
    right: int
    threshold: float


def plot_coverage(
    points: Sequence[CoveragePoint], marked: Sequence[CoveragePoint], path: str | Path, *, title: str = ""
) -> None:
    """Accuracy of the answers that are given against the share of pictures that get one, with its 95% Wilson interval.

    Args:
        points: in the order of rising n; the last covers everything.
        marked: points of interest, written out in a table beside the curve.
    """
    with open_figure(path, 900, 420) as figure:
        figure.suptitle(shorten(title, 100), fontsize=11)
        axes, beside = figure.subplots(1, 2, width_ratios=(1.7, 1))
        draw_coverage(axes, points, marked)
        _write_points(beside, marked, points[-1].n)


def draw_coverage(axes, points: Sequence[CoveragePoint], marked: Sequence[CoveragePoint]) -> None:
    """The curve of :func:`plot_coverage`, without the table."""
    total = points[-1].n
    counts, right = (np.array([getattr(point, name) for point in points]) for name in ("n", "right"))
    bounds = np.array([wilson_interval(int(hits), int(count)) for hits, count in zip(right, counts)])
    shares = right / counts
    axes.fill_between(counts / total, *bounds.T, color=BLUE, alpha=0.15, linewidth=0, label="95% interval")
    axes.plot(counts / total, shares, color=BLUE, linewidth=1.8, marker="." if len(points) <= 40 else None)
    axes.axhline(shares[-1], color=GRAY, linestyle=":", linewidth=1.2, label="nothing refused")
    spots = [(point.n / total, point.right / point.n) for point in marked]
    axes.plot(*zip(*spots), "o", color=ORANGE, markeredgecolor=INK, markeredgewidth=0.6, label="in the table")
    low = _lowest_shown(counts, shares, bounds[:, 0], [share for _, share in spots])
    axes.set(xlim=(0, 1.02), ylim=(low, 1 + 0.03 * (1 - low)))
    axes.set(xlabel="coverage: share of pictures that get an answer", ylabel="accuracy of the answers")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8.5)


def _lowest_shown(counts: np.ndarray, shares: np.ndarray, lows: np.ndarray, marked: Sequence[float]) -> float:
    """Where the axis of :func:`plot_coverage` begins; what a few surest pictures leave open must not flatten the rest.

    Shares count from a twentieth of the pictures on, their intervals' lower bounds from a quarter on, marked shares
    always.
    """
    total = counts[-1]
    shown = shares[counts >= total / 20].min(), lows[counts >= total / 4].min(), *marked
    return max(0.0, min(shown) - 0.02)


def _write_points(axes, marked: Sequence[CoveragePoint], total: int) -> None:
    axes.set_axis_off()
    cells = [["share of pictures\nanswered", "right\nof these", "least\nconfidence"]]
    for point in marked:
        share = f"{point.n / total:.1%} ({point.n})"
        cells.append([share, f"{point.right / point.n:.1%} ({point.right})", f"{point.threshold:.4f}"])
    for row, texts in enumerate(cells):
        for x, text in zip((0.36, 0.7, 1.0), texts):
            weight = "bold" if row == 0 else "normal"
            place = {"transform": axes.transAxes, "ha": "right", "va": "bottom"}
            axes.text(x, 0.9 - 0.085 * row, text, fontsize=8.5, weight=weight, **place)


def plot_class_accuracy(
    class_names: Sequence[str], right: Sequence[int], counts: Sequence[int], path: str | Path, *, title: str = ""
) -> None:
    """A bar for each class: the share of its pictures that are recognised, the worst on top, with 95% Wilson intervals.

    Args:
        right, counts: for each class how many pictures are recognised, and how many there are; classes without
            pictures are left out.
    """
    rows = [(hits / n, name, hits, n) for name, hits, n in zip(class_names, right, counts) if n]
    rows.sort(key=lambda row: (row[0], row[1]))
    shares = np.array([row[0] for row in rows])
    bounds = np.array([wilson_interval(int(hits), int(n)) for _, _, hits, n in rows])
    places = np.arange(len(rows))
    line = float(np.interp(len(rows), [2, 12, 100], [40, 28, 17]))
    size = float(np.interp(line, [17, 28], [7.5, 9]))
    with open_figure(path, 860, 110 + line * max(len(rows), 2)) as figure:
        axes = figure.add_subplot()
        axes.barh(places, shares, 0.66, color=BLUE, alpha=0.75)
        errors = np.abs(bounds - shares[:, None]).T
        axes.errorbar(shares, places, xerr=errors, fmt="none", ecolor=INK, capsize=2.5, elinewidth=1)
        mean = sum(row[2] for row in rows) / sum(row[3] for row in rows)
        axes.axvline(mean, color=ORANGE, linewidth=1.4, zorder=1.5, label=f"all pictures: {mean:.3f}")
        for place, (share, _, hits, n) in enumerate(rows):
            text = f"{share:.3f}   {hits} of {n}"
            paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # the line must not cross the figures
            axes.text(max(bounds[place, 1], share) + 0.012, place, text, va="center", fontsize=size, bbox=paper)
        axes.set_yticks(places, [shorten(row[1], 30) for row in rows], fontsize=size)
        axes.set(xlim=(0, 1.27), ylim=(len(rows) - 0.4, -0.6), xticks=np.linspace(0, 1, 6))
        axes.set_xlabel("share of the class that is recognised (95% interval)")
        axes.set_title(shorten(title, 70), loc="left")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, fontsize=8.5, frameon=False)
