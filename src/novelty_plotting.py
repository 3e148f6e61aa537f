"""How unlike the training pictures others are, drawn: known, tested and unknown pictures beside the threshold."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter

from src.drawing import BLUE, GRAY, ORANGE, open_figure, shorten

_GROUPS = {"held_out": ("held-out pictures", GRAY), "test": ("test pictures", BLUE), "unknown": ("unknown", ORANGE)}


def plot_novelty(histogram: Mapping[str, Sequence], path: str | Path, *, title: str = "") -> None:
    """The histograms of ``evaluation.trust.Trust`` as a PNG."""
    with open_figure(path, 760, 400) as figure:
        figure.suptitle(shorten(title, 90), fontsize=11)
        draw_novelty(figure.subplots(), histogram)


def draw_novelty(axes, histogram: Mapping[str, Sequence]) -> None:
    """For each group the share of its pictures at each novelty; the last bin also holds what is beyond.

    Args:
        histogram: ``edges`` (M + 1) and counts (M,) of ``held_out``, ``test`` and ``unknown``, as far as there are any.
    """
    edges = np.asarray(histogram["edges"], float)
    for name, (label, color) in _GROUPS.items():
        counts = np.asarray(histogram.get(name, ()), float)
        if not counts.sum():
            continue
        fill = name != "held_out"
        style = {"color": color, "alpha": 0.45 if fill else 1.0, "fill": fill, "linewidth": 0 if fill else 1.6}
        text = f"{label} ({counts.sum():.0f})"
        axes.stairs(counts / counts.sum(), edges, label=text, **style)
    axes.axvline(1, color="#000000", linestyle="--", linewidth=1.2, label="threshold")
    ticks = np.linspace(0, edges[-1], 5)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks[:-1]] + [f"{edges[-1]:g}+"])
    axes.set(xlim=(0, edges[-1]), xlabel="novelty, as a share of the threshold", ylabel="share of the pictures")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8.5, frameon=False)
