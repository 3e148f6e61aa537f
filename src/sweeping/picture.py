"""A sweep at a glance: a table of colours or a panel for each parameter, and the curves of all trials."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator

from src.drawing import BLUE, GRAY, GREEN, RED, open_figure, shorten
from src.sweeping.results import TrialResult, count_states, describe_parameters, find_best, short
from src.sweeping.space import Choices, Range

_PANEL = (440, 380)  # pixels
_PANELS_IN_A_ROW = 3
_FEW_DECADES = 100  # ranges up to here have ticks at 2 and 5 as well
_MOST_MARKED = 40  # epochs with a dot for each
_ACCURACY = "validation accuracy"
_PRUNED = "pruned, its best epoch"
_LEGEND = {
    "best": {"marker": "*", "s": 130, "color": GREEN},
    "complete": {"marker": "o", "s": 45, "color": BLUE},
    _PRUNED: {"marker": "o", "s": 45, "facecolor": "white", "edgecolor": GRAY},
}


def draw_sweep(
    results: Sequence[TrialResult], space: Sequence[Choices | Range], path: str | Path, *, title: str = ""
) -> None:
    """Draw all trials as a PNG.

    A grid of two parameters is a table, rows for the first one; otherwise each parameter has a panel of its values
    against validation accuracy. The last panel has the validation curves, those of pruned trials dashed. The best trial
    is green everywhere. Failed trials have no accuracy: a table names them, and the title counts them.
    """
    best = find_best(results)
    if is_plain_grid(results, space):
        rows, columns = space
        widest = max(len(short(text)) for text in columns.texts)
        width = 150 + len(columns.texts) * max(96, 9 * widest) + 8 * max(len(short(text)) for text in rows.texts)
        height = max(_PANEL[1], 130 + 62 * len(rows.texts)) + 40
        with open_figure(path, width + _PANEL[0] * 1.2, height) as figure:
            figure.suptitle(_write_title(title, results, best), fontsize=11)
            table, curves = figure.subplots(1, 2, width_ratios=(width, _PANEL[0] * 1.2))
            _draw_table(table, results, rows, columns, best)
            _draw_curves(curves, results, best)
        return
    in_a_row = 2 if len(space) == 3 else min(len(space) + 1, _PANELS_IN_A_ROW)  # four panels are two rows of two
    shape = math.ceil((len(space) + 1) / in_a_row), in_a_row
    with open_figure(path, _PANEL[0] * shape[1], _PANEL[1] * shape[0] + 80) as figure:
        figure.suptitle(_write_title(title, results, best), fontsize=11)
        panels = figure.subplots(*shape, squeeze=False).ravel()
        for panel, parameter in zip(panels, space):
            _draw_parameter(panel, results, parameter, best)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8.5)
        _draw_curves(panels[len(space)], results, best)
        for panel in panels[len(space) + 1 :]:
            panel.set_axis_off()


def is_plain_grid(results: Sequence[TrialResult], space: Sequence[Choices | Range]) -> bool:
    """Whether the trials are all combinations of two options."""
    if len(space) != 2 or not all(isinstance(parameter, Choices) for parameter in space):
        return False
    tried = {tuple(result.parameters[parameter.name] for parameter in space) for result in results}
    return tried == set(itertools.product(*(parameter.texts for parameter in space)))


def _write_title(title: str, results: Sequence[TrialResult], best: TrialResult | None) -> str:
    counts = count_states(results)
    parts = [f"{counts['trials']} trials"]
    parts += [f"{counts[state]} {state}" for state in ("pruned", "failed") if counts[state]]
    lines = [f"{title}, {', '.join(parts)}"]
    if best:
        lines.append(f"best: {best.kept['val_accuracy']:.4f} with {describe_parameters(best.parameters)}")
    return "\n".join(shorten(line, 110) for line in lines)


def _label(name: str) -> str:
    return name.replace("_", "-")


# ------------------------------------------------------------------------------------------------------- the table


def _draw_table(axes, results: Sequence[TrialResult], rows: Choices, columns: Choices, best) -> None:
    """A cell for each combination: the accuracy, below it the loss or what else became of the trial."""
    cells = {(result.parameters[rows.name], result.parameters[columns.name]): result for result in results}
    shape = len(rows.texts), len(columns.texts)
    values = np.full(shape, np.nan)
    for place in np.ndindex(shape):
        result = cells[rows.texts[place[0]], columns.texts[place[1]]]
        accuracy = result.figures.get("val_accuracy", math.nan)
        values[place] = accuracy if result.state == "complete" else math.nan
        text = f"{accuracy:.3f}" if math.isfinite(accuracy) else "–"
        below = f"loss {result.kept['val_loss']:.3f}" if result.state == "complete" else result.state
        color = RED if result.state == "failed" else GRAY if result.state == "pruned" else "black"
        weight = "bold" if result is best else "normal"
        style = {"textcoords": "offset points", "ha": "center", "va": "center", "color": color}
        axes.annotate(text, place[::-1], (0, 6), fontsize=12, weight=weight, **style)
        axes.annotate(below, place[::-1], (0, -10), fontsize=8, **style)
        if result is best:
            corner = (place[1] - 0.48, place[0] - 0.48)
            axes.add_patch(Rectangle(corner, 0.96, 0.96, fill=False, edgecolor=GREEN, linewidth=3, zorder=3))
    low, high = np.nanmin(values), np.nanmax(values)
    shades = (values - low) / max(high - low, 1e-9)
    colors = matplotlib.colormaps["Blues"](0.04 + 0.5 * np.nan_to_num(shades))  # black is read on all of them
    colors[np.isnan(values)] = (0.95, 0.95, 0.95, 1)
    axes.imshow(colors, aspect="auto")
    axes.set_xticks(range(shape[1]), [shorten(short(text), 24) for text in columns.texts])
    axes.set_yticks(range(shape[0]), [shorten(short(text), 24) for text in rows.texts])
    axes.set_xticks(np.arange(shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(shape[0] + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=_label(columns.name), ylabel=_label(rows.name), title=_ACCURACY)


# ------------------------------------------------------------------------------------------------------ the panels


def _draw_parameter(axes, results: Sequence[TrialResult], parameter: Choices | Range, best) -> None:
    """One parameter's values against validation accuracy; those of choices stand side by side in their order."""
    drawn = [result for result in results if "val_accuracy" in result.figures]
    if isinstance(parameter, Range):
        places = [float(result.parameters[parameter.name]) for result in drawn]
        _scale(axes, parameter)
    else:
        # Trials of one value stand next to each other, so that none covers another.
        places = [
            parameter.texts.index(result.parameters[parameter.name]) + 0.06 * (result.number % 5 - 2)
            for result in drawn
        ]
        axes.set_xticks(range(len(parameter.texts)), [shorten(short(text), 14) for text in parameter.texts])
        axes.set_xlim(-0.5, len(parameter.texts) - 0.5)
    for result, place in zip(drawn, places):
        style = _LEGEND["best" if result is best else "complete" if result.state == "complete" else _PRUNED]
        zorder = 3 if result is best else 2
        axes.scatter(place, result.figures["val_accuracy"], linewidth=1.4, zorder=zorder, **style)
    for label, style in _LEGEND.items():
        axes.scatter([], [], label=label, linewidth=1.4, **style)
    axes.set(xlabel=_label(parameter.name), ylabel=_ACCURACY)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def _scale(axes, parameter: Range) -> None:
    """The whole range, with some room at its ends."""
    if parameter.is_logarithmic:
        room = (parameter.high / parameter.low) ** 0.04
        axes.set_xscale("log")
        axes.set_xlim(parameter.low / room, parameter.high * room)
        if parameter.high / parameter.low <= _FEW_DECADES:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")  # the usual powers of ten are formulas, which are switched off
        axes.xaxis.set_minor_formatter("")
        return
    room = 0.04 * (parameter.high - parameter.low)
    axes.set_xlim(parameter.low - room, parameter.high + room)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=isinstance(parameter.low, int)))


def _draw_curves(axes, results: Sequence[TrialResult], best) -> None:
    """Validation accuracy after each epoch, a line for each trial; the best over the others."""
    longest = max((len(result.epochs) for result in results), default=1)
    marker = "o" if longest <= _MOST_MARKED else None
    labels = set()
    for result in sorted(results, key=lambda result: result is best):
        if not result.epochs or result.twin:
            continue
        if result is best:
            kind, style = f"best: trial {result.number}", {"color": GREEN, "linewidth": 3, "zorder": 3}
        elif result.state == "complete":
            kind, style = "complete", {"color": BLUE, "linewidth": 1.2, "alpha": 0.6}
        else:
            dashes = {"pruned": "--", "failed": ":"}.get(result.state, "-.")
            color = RED if result.state == "failed" else GRAY
            kind, style = result.state, {"color": color, "linewidth": 1.2, "linestyle": dashes}
        label = None if kind in labels else kind
        labels.add(kind)
        epochs = np.arange(1, len(result.epochs) + 1)
        axes.plot(epochs, result.curve, marker=marker, markersize=3.5, label=label, **style)
    axes.set(title="curves of all trials", xlabel="epoch", ylabel=_ACCURACY, xlim=(0.7, max(longest, 1) + 0.3))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    if labels:
        axes.legend(fontsize=8.5)
