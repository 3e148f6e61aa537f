"""Plots: training curves, confusion matrices, comparisons. Each function writes a PNG whole or not at all."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from src.drawing import BLUE, DPI, GRAY, GREEN, ORANGE, fit_lines, open_figure, shorten
from src.ranking import Compared, Measure, Score, mean_ranks, rank_scores

MAX_CELLS_WITH_TEXT = 150  # classes; beyond, a confusion matrix shows colours only


def plot_training_curves(
    history: dict[str, list[float]],
    path: str | Path,
    *,
    best_epoch: int | None = None,
    phase_boundary: int | None = None,
    title: str = "",
) -> None:
    """Training against validation, one panel for each metric that has a ``val_`` partner, and the learning rate.

    Args:
        history: values for each epoch, as Keras names them ("loss", "val_loss", ...); without any partner all are
            drawn. What is measured on training pictures without dropout and augmentation ("clean_loss") is drawn
            beside it: that line is the one to compare validation with.
        best_epoch: the epoch (counted from 1) whose weights were kept.
        phase_boundary: number of epochs of the first phase; a line separates it from the second.
    """
    names = [name for name in history if f"val_{name}" in history]
    names = sorted(names, key=lambda name: name == "loss") or [name for name in history if name != "epoch"]
    names += [name for name in ("learning_rate",) if name in history and name not in names]
    with open_figure(path, 520 * max(len(names), 1), 420) as figure:
        if title:
            figure.suptitle(shorten(title, 100))
        for axes, name in zip(np.atleast_1d(figure.subplots(1, max(len(names), 1))), names):
            draw_training_curve(axes, history, name, best_epoch, phase_boundary)


def find_phase_boundary(history: dict[str, list[float]]) -> int | None:
    """Number of epochs of the first phase, by the column ``phase``; None where there are not both."""
    phases = history.get("phase", [])
    return phases.count(1) if 1 in phases and 2 in phases else None


def draw_training_curve(
    axes, history: dict[str, list[float]], name: str, best_epoch: int | None, phase_boundary: int | None
) -> None:
    """One panel of :func:`plot_training_curves`, with its legend."""
    _draw_curve(axes, history, name)
    if phase_boundary and phase_boundary < len(history[name]):
        axes.axvline(phase_boundary + 0.5, color=GRAY, linestyle=":", linewidth=1.5, label="second phase begins")
    if best_epoch:
        axes.axvline(best_epoch, color=GREEN, linewidth=5, alpha=0.25, label=f"kept: epoch {best_epoch}")
    axes.legend(fontsize=8.5)


def _draw_curve(axes, history: dict[str, list[float]], name: str) -> None:
    epochs = np.arange(1, len(history[name]) + 1)
    marker = "o" if len(epochs) <= 40 else None
    partner = f"val_{name}" in history
    style = {"marker": marker, "markersize": 3.5, "linewidth": 1.6}
    clean = history.get(f"clean_{name}")
    if clean:
        axes.plot(
            epochs, history[name], color=BLUE, alpha=0.45, label="training, as it goes", **style | {"linewidth": 1}
        )
        axes.plot(np.arange(1, len(clean) + 1), clean, color=BLUE, label="training pictures as they are", **style)
    else:
        axes.plot(epochs, history[name], color=BLUE, label="training" if partner else name, **style)
    if partner:
        validation = history[f"val_{name}"]
        axes.plot(np.arange(1, len(validation) + 1), validation, color=ORANGE, label="validation", **style)
    if name == "learning_rate" and min(history[name]) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")  # the usual powers of ten are formulas, which are switched off
        axes.yaxis.set_minor_formatter("")
    axes.set(title=name.replace("_", " "), xlabel="epoch", xlim=(0.5, len(epochs) + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def plot_rate_finding(rates: np.ndarray, losses: np.ndarray, suggestion: float, path: str | Path) -> None:
    """The smoothed loss (n,) against the learning rate (n,), which grows from batch to batch; the suggestion marked."""
    with open_figure(path, 720, 420) as figure:
        axes = figure.add_subplot()
        axes.plot(rates, losses, color=BLUE, linewidth=1.6)
        axes.axvline(suggestion, color=GREEN, linewidth=5, alpha=0.25, label=f"falls fastest: {suggestion:.2g}")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        low, start = losses.min(), losses[: max(1, len(losses) // 5)].mean()
        axes.set_ylim(low - 0.1 * (start - low + 0.1), start + 0.6 * (start - low + 0.1))  # where it rises, it explodes
        axes.set(title="learning-rate range test", xlabel="learning rate of a batch", ylabel="loss, smoothed")
        axes.legend(fontsize=8.5)
        axes.grid(alpha=0.3)


_LEAST_ROW = 16.0  # pixels, in which a name can be read


def plot_confusion_matrix(matrix: np.ndarray, class_names: Sequence[str], path: str | Path, *, title: str = "") -> None:
    """Counts and row shares in every cell, coloured by row share; rows are the true classes.

    Args:
        matrix: (C, C) int, ``matrix[true, predicted]``. Beyond 20 classes empty cells stay blank, beyond
            ``MAX_CELLS_WITH_TEXT`` there are colours only.
    """
    matrix = np.asarray(matrix)
    count = len(class_names)
    if matrix.shape != (count, count):
        raise ValueError(f"expected a ({count}, {count}) matrix. Received: {matrix.shape}")
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    cell = float(np.interp(count, [2, 10, 30, MAX_CELLS_WITH_TEXT], [150, 76, 46, 40]))
    cell = min(cell, 6000 / count) if count <= MAX_CELLS_WITH_TEXT else max(4.0, 2400 / count)
    labels = [shorten(name, 26) for name in class_names]
    longest = max(len(label) for label in labels)
    upright = cell < 7.5 * longest  # the names below the columns
    big = float(np.interp(count, [10, 100], [11, 30]))  # a wide picture is looked at from afar
    width = 1.05 * cell * count + 190 + 7 * longest
    height = cell * count + (7 * longest if upright else 25) + 60 + 8 * big
    with open_figure(path, width, height) as figure:
        axes = figure.add_subplot()
        drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        size = float(np.interp(cell, [40, 76, 150], [6.5, 9, 14]))
        if count <= MAX_CELLS_WITH_TEXT:
            _write_cells(axes, matrix, shares, size)
        named = slice(None, None, max(1, round(_LEAST_ROW / cell)))  # where rows are too narrow, every second or so
        label_size = float(np.clip(0.42 * max(cell, _LEAST_ROW) * 72 / DPI, 3, 10))
        rows = [f"{label}  (n={total})" for label, total in zip(labels, totals[:, 0])]
        places = np.arange(count)[named]
        axes.set_yticks(places, rows[named], fontsize=label_size)
        axes.set_xticks(places, labels[named], fontsize=label_size, rotation=90 if upright else 0)
        if cell >= _LEAST_ROW:
            axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
            axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
            axes.grid(which="minor", color="white" if count <= 20 else "#E4E9EE", linewidth=1.5 if count <= 20 else 0.5)
            axes.tick_params(which="minor", length=0)
        axes.spines[:].set_visible(False)
        correct = int(np.trace(matrix))
        summary = f"{correct} of {matrix.sum()} correct ({correct / max(matrix.sum(), 1):.1%})"
        axes.set_title(f"{shorten(title, 100)}\n{summary}" if title else summary, fontsize=big)
        axes.set_xlabel("predicted", fontsize=big)
        axes.set_ylabel("true", fontsize=big)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.6, aspect=40, pad=0.01)
        bar.set_label("share of the row", fontsize=big)
        bar.outline.set_visible(False)


def _write_cells(axes, matrix: np.ndarray, shares: np.ndarray, size: float) -> None:
    for row, column in np.ndindex(*matrix.shape):
        if matrix[row, column] or (len(matrix) <= 20 and matrix[row].any()):
            text = f"{matrix[row, column]}\n{shares[row, column]:.0%}"
            color = "white" if shares[row, column] > 0.55 else "#1B2A3A" if matrix[row, column] else "#A9B4BF"
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color, linespacing=1.15)


def plot_comparison(
    names: Sequence[str],
    accuracies: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    path: str | Path,
    *,
    label: str = "test accuracy (95% interval)",
    title: str = "",
) -> None:
    """One bar for each model, from 0 to 1, with its interval (low, high) as an error bar and both in figures."""
    accuracies, intervals = np.asarray(accuracies, float), np.asarray(intervals, float).reshape(-1, 2)
    positions = np.arange(len(names))
    with open_figure(path, 900, 120 + 46 * max(len(names), 2)) as figure:
        axes = figure.add_subplot()
        errors = np.abs(intervals.T - accuracies)
        axes.barh(positions, accuracies, 0.62, color=BLUE, alpha=0.8, xerr=errors, capsize=5, ecolor="#1B2A3A")
        for position, accuracy, (low, high) in zip(positions, accuracies, intervals):
            text = f"{accuracy:.3f}  [{low:.3f}, {high:.3f}]"
            axes.text(max(accuracy, high) + 0.015, position, text, va="center", fontsize=9.5)
        axes.set_yticks(positions, [shorten(name, 32) for name in names])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.3), xticks=np.linspace(0, 1, 6), xlabel=label, title=title)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)


# ------------------------------------------------------------------------------------------ tables of comparison

# Pixels of a table: the margin, the space around controls, a line of a header, the legend.
_MARGIN, _BREAK, _TABLE_LINE, _LEGEND = 16, 26, 15, 100
_MEAN_RANK = "mean rank"


def plot_comparison_table(
    rows: Sequence[Compared],
    columns: Sequence[Measure],
    path: str | Path,
    *,
    title: str = "",
    count: int | None = None,
) -> None:
    """Methods by measures, every cell a value over its interval, shaded by its rank within the column.

    Methods stand in the order of their mean rank over the columns in which they have one, which is a column of its own;
    controls stand apart below. A value that does not beat the controls is gray, struck through, not shaded, and ranked
    after the others. One of which that cannot be said is drawn as one that does. A column that shall not count (time,
    say) is given no better way.

    Args:
        count: the number of values that ``title`` speaks of; columns whose scores rest on another say so.

    Raises:
        ValueError: no method, or a row without exactly one score for each column.
    """
    if all(row.is_control for row in rows) or any(len(row.scores) != len(columns) for row in rows):
        raise ValueError(f"expected at least one method, and {len(columns)} scores in each row")
    ranks = rank_scores(rows, columns)
    means = mean_ranks(ranks)
    order = sorted(range(len(rows)), key=lambda row: (rows[row].is_control, np.nan_to_num(means[row], nan=np.inf)))
    shares = np.hstack([_rank_shares(ranks)[order], np.full((len(rows), 1), np.nan)])
    ordered = [Compared(rows[row].title, [*rows[row].scores, Score(means[row])], rows[row].is_control) for row in order]
    _Table(ordered, [*columns, Measure(_MEAN_RANK, None, "{:.1f}")], shares, count).save(path, title)


def _rank_shares(ranks: np.ndarray) -> np.ndarray:
    """Ranks to 0 (worst) .. 1 (best) within each column; a single rank is the best."""
    counts = (~np.isnan(ranks)).sum(axis=0)
    return 1 - (ranks - 1) / np.maximum(counts - 1, 1)


class _Table:
    """Places and draws the cells; all measures are pixels, y counted downwards."""

    def __init__(self, rows: Sequence[Compared], columns: Sequence[Measure], shares: np.ndarray, count: int | None):
        self.rows, self.columns, self.shares = rows, columns, shares
        self.texts = [[self._texts(row, column) for column in range(len(columns))] for row in rows]
        longest = max(len(interval) for row in self.texts for _, interval in row)
        self.cell = (max(84, round(6.4 * longest) + 12), 42 if longest else 28)
        self.headers = [
            textwrap.wrap(measure.title, self.cell[0] // 8) + self._number(column, count)
            for column, measure in enumerate(columns)
        ]
        self.names = min(max(round(7.6 * max(len(row.title) for row in rows)), 110), 260) + 12
        self.width = max(2 * _MARGIN + self.names + len(columns) * self.cell[0], 640)
        self.controls = sum(row.is_control for row in rows)

    def _texts(self, row: Compared, column: int) -> tuple[str, str]:
        """A cell's value and interval as text."""
        if not row.has(column):
            return "–", ""
        score, write = row.scores[column], self.columns[column].format.format
        return write(score.value), f"[{write(score.low)}, {write(score.high)}]" if score.is_bounded else ""

    def _number(self, column: int, count: int | None) -> list[str]:
        """How many values a column's scores rest on, where that is not ``count``: one line, or none."""
        numbers = {row.scores[column].n for row in self.rows if row.has(column)} - {None}
        if numbers <= {count}:
            return []
        least, most = min(numbers), max(numbers)
        return [f"n = {least}" if least == most else f"n = {least}–{most}"]

    def save(self, path: str | Path, title: str) -> None:
        header = _TABLE_LINE * (1 + max(map(len, self.headers))) + 8
        top = _MARGIN + (30 if title else 0) + header
        space = _BREAK if self.controls else 0
        height = top + len(self.rows) * self.cell[1] + space + _LEGEND
        with open_figure(path, self.width, height, layout=None) as figure:
            self.axes = figure.add_axes((0, 0, 1, 1), xlim=(0, self.width), ylim=(height, 0))
            self.axes.set_axis_off()
            self.renderer = FigureCanvasAgg(figure).get_renderer()
            if title:
                self._write(_MARGIN, _MARGIN + 6, title, 12, self.width - 2 * _MARGIN, ha="left", weight="bold")
            for column, lines in enumerate(self.headers):
                x = _MARGIN + self.names + (column + 0.5) * self.cell[0]
                arrow = {True: "↑", False: "↓", None: ""}[self.columns[column].higher_is_better]
                for number, line in enumerate([*lines, arrow]):
                    y = top - 8 - _TABLE_LINE * (len(lines) - number + 0.5)
                    self._write(x, y, line, 11 if line == arrow else 8.5, self.cell[0] - 4, weight="bold")
            for number, row in enumerate(self.rows):
                self._draw_row(number, top + number * self.cell[1] + (space if row.is_control else 0))
            if self.controls:
                y = top + (len(self.rows) - self.controls) * self.cell[1] + _BREAK / 2 + 2
                self._write(_MARGIN, y, "controls", 8.5, self.names, ha="left", style="italic", color=GRAY)
            self._draw_legend(height - _LEGEND + 22)

    def _draw_row(self, number: int, y: float) -> None:
        row, (width, height) = self.rows[number], self.cell
        middle = y + height / 2
        self._write(_MARGIN, middle, row.title, 9.5, self.names - 8, ha="left", weight="normal")
        for column, (value, interval) in enumerate(self.texts[number]):
            x = _MARGIN + self.names + column * width
            share = self.shares[number, column]
            fails = row.has(column) and row.scores[column].beats_controls is False and not row.is_control
            color = "#EFEFEF" if row.is_control else "white" if fails or np.isnan(share) else _shade(share)
            self.axes.add_patch(Rectangle((x, y), width, height, facecolor=color, edgecolor="#D5DAE0", linewidth=0.8))
            ink, weight = ("#8A8A8A" if fails else "black"), ("bold" if share == 1 and not fails else "normal")
            upper = middle - 7 if interval else middle
            text = self._write(x + width / 2, upper, value, 9.5, width - 4, color=ink, weight=weight)
            if interval:
                self._write(x + width / 2, middle + 10, interval, 7.5, width - 4, color=ink if fails else "#333333")
            if fails:
                half = text.get_window_extent(self.renderer).width / 2 + 3
                center = x + width / 2
                self.axes.plot([center - half, center + half], [upper, upper], color=ink, linewidth=1.1)

    def _draw_legend(self, y: float) -> None:
        style = {"ha": "left", "color": "#333333"}
        x = _MARGIN
        for number, share in enumerate(np.linspace(1, 0, 6)):
            self.axes.add_patch(Rectangle((x + 18 * number, y - 7), 18, 14, facecolor=_shade(share)))
        self._write(x + 116, y, "best to worst of the column, best in bold", 8.5, 400, **style)
        self._write(x + 400, y, "↑ more is better   ↓ less is better", 8.5, 300, **style)
        methods = [row for row in self.rows if not row.is_control]
        judged = sum(score is not None and score.beats_controls is not None for row in methods for score in row.scores)
        if not judged:
            if len(methods) < len(self.rows):
                unknown = "too few values to say which of them beat the controls, which know nothing"
                self._write(x + 116, y + 24, unknown, 8.5, 520, **style)
            return
        struck = self._write(x, y + 24, "0.00", 9.5, 100, ha="left", color="#8A8A8A")
        end = x + struck.get_window_extent(self.renderer).width + 3
        self.axes.plot([x - 3, end], [y + 24] * 2, color="#8A8A8A", linewidth=1.1)
        beaten = "does not beat all controls, which know nothing; ranked after all others"
        self._write(x + 116, y + 24, beaten, 8.5, 520, **style)
        chance = f"{judged} values compared with controls: with so many, some beat them by chance"
        self._write(x + 116, y + 46, chance, 8.5, 520, **style)

    def _write(self, x: float, y: float, text: str, size: float, width: float, **style):
        style = {"ha": "center", "weight": "normal"} | style
        text = fit_lines(self.renderer, text, width, size, style["weight"])
        return self.axes.text(x, y, text, fontsize=size, va="center_baseline", **style)


def _shade(share: float) -> tuple[float, ...]:
    """From white-blue (0, the worst) to a blue on which black is read with ease (1, the best)."""
    return matplotlib.colormaps["Blues"](0.04 + 0.5 * share)
