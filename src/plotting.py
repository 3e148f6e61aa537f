"""Plots: training curves, confusion matrices, comparisons. Each function writes a PNG whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from src.drawing import BLUE, DPI, GRAY, GREEN, ORANGE, open_figure, shorten

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
            drawn.
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
            _draw_curve(axes, history, name)
            epochs = len(history[name])
            if phase_boundary and phase_boundary < epochs:
                axes.axvline(
                    phase_boundary + 0.5, color=GRAY, linestyle=":", linewidth=1.5, label="second phase begins"
                )
            if best_epoch:
                axes.axvline(best_epoch, color=GREEN, linewidth=5, alpha=0.25, label=f"kept: epoch {best_epoch}")
            axes.legend(fontsize=8.5)


def _draw_curve(axes, history: dict[str, list[float]], name: str) -> None:
    epochs = np.arange(1, len(history[name]) + 1)
    marker = "o" if len(epochs) <= 40 else None
    partner = f"val_{name}" in history
    style = {"marker": marker, "markersize": 3.5, "linewidth": 1.6}
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
        label_size = float(np.clip(0.42 * cell * 72 / DPI, 3, 10))
        rows = [f"{label}  (n={total})" for label, total in zip(labels, totals[:, 0])]
        axes.set_yticks(range(count), rows, fontsize=label_size)
        axes.set_xticks(range(count), labels, fontsize=label_size, rotation=90 if upright else 0)
        axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white" if count <= 20 else "#E4E9EE", linewidth=1.5 if count <= 20 else 0.5)
        axes.tick_params(which="minor", length=0)
        axes.spines[:].set_visible(False)
        correct = int(np.trace(matrix))
        summary = f"{correct} of {matrix.sum()} correct ({correct / max(matrix.sum(), 1):.1%})"
        axes.set_title(f"{title}\n{summary}" if title else summary, fontsize=big)
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
