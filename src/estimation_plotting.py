"""The learning curve, drawn: accuracy against pictures of a class, and on to twice as many."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter

from src.drawing import BLUE, GRAY, ORANGE, open_figure


def plot_learning_curve(curve: dict, path: str | Path, *, title: str = "") -> None:
    """Write :func:`draw_learning_curve` as a PNG."""
    with open_figure(path, 640, 440) as figure:
        axes = figure.add_subplot()
        draw_learning_curve(axes, curve)
        figure.suptitle(title, fontsize=11)


def draw_learning_curve(axes, curve: dict) -> None:
    """Measured points with their intervals, the fitted law with its band, and where there are pictures today.

    Args:
        curve: ``LearningCurve.as_json()``: points, band of rows (n, accuracy, low, high), pictures_per_class.
    """
    points, band = curve["points"], np.array(curve["band"], float).reshape(-1, 4)
    n = np.array([point["pictures_per_class"] for point in points])
    accuracy = np.array([point["accuracy"] for point in points])
    bounds = np.array([point["interval"] for point in points]).reshape(-1, 2)
    now = curve["pictures_per_class"]
    if len(band):
        axes.fill_between(band[:, 0], band[:, 2], band[:, 3], color=ORANGE, alpha=0.2, linewidth=0)
        axes.plot(band[:, 0], band[:, 1], color=ORANGE, linewidth=1.6, label="fitted, with 95% interval")
    errors = np.abs(bounds.T - accuracy)
    style = {"color": BLUE, "fmt": "o", "markersize": 4.5, "capsize": 2.5, "linewidth": 1.2}
    axes.errorbar(n, accuracy, errors, label="cross-validated, with 95% interval", **style)
    axes.axvline(now, color=GRAY, linestyle=":", linewidth=1.5, label=f"all there are: {now:.3g}")
    axes.set_xscale("log")
    axes.set_xticks(*_ticks(n.min(), max([now, *band[-1:, 0]])))
    axes.minorticks_off()
    least = min(bounds.min(), *band[:, 2]) if len(band) else bounds.min()
    axes.set_ylim(max(0.0, least - 0.03), 1.005)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="training pictures of a class", ylabel="accuracy")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, columnspacing=1.2, fontsize=8)


def _ticks(low: float, high: float) -> tuple[Sequence[float], Sequence[str]]:
    """1, 2, 5, 10, ... within the bounds, at least the bounds themselves."""
    steps = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
    chosen = [step for step in steps if 0.9 * low <= step <= 1.1 * high]
    chosen = chosen if len(chosen) > 1 else [round(low), round(high)]
    return chosen, [f"{step:g}" for step in chosen]
