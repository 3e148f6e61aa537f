"""Everything drawn: heatmaps over pictures, contact sheets, training curves, confusion matrices, comparisons.

All functions that take a ``path`` write a PNG whole or not at all. They use matplotlib's objects, not ``pyplot``: there
is no figure to close, no window system to ask, and nothing of the caller's own plots is touched.
"""

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from src.files import atomic_file

DPI = 100
BLUE, ORANGE, GREEN, RED, GRAY = (
    "#0072B2",
    "#E69F00",
    "#00805F",
    "#C0392B",
    "#6B6B6B",
)  # told apart by colour-blind eyes
COLORMAPS = ("inferno", "viridis", "magma", "turbo", "jet")  # the first three are perceptually uniform
NO_EVIDENCE = "no positive evidence"

MAX_CELLS_WITH_TEXT = 150  # classes; beyond, a confusion matrix shows colours only
_CELL, _GAP, _LINE = (
    224,
    14,
    19,
)  # pixels of a contact sheet: a picture's longer side, the space between, a line of text


# ---------------------------------------------------------------------------------------------------- heatmaps


def colorize_heatmap(heatmap: np.ndarray, maximum: float, colormap: str = "inferno") -> np.ndarray:
    """Colours for a raw map on the scale 0..``maximum``; negative values show as 0.

    Args:
        heatmap: (h, w) float, raw.
        maximum: the raw value that gets the last colour. 0 stands for "no positive evidence": all is the first colour.
        colormap: a name that matplotlib knows.

    Returns:
        RGB uint8 (h, w, 3).
    """
    return _colors(_on_scale(heatmap, maximum), colormap)


def overlay_heatmap(
    image: np.ndarray, heatmap: np.ndarray, maximum: float, colormap: str = "inferno", opacity: float = 0.75
) -> np.ndarray:
    """Lay a raw map over its picture: the more evidence, the more colour covers; without evidence the picture shows.

    Args:
        image: RGB uint8 (H, W, 3).
        heatmap: (h, w) float, raw, of any size: enlarged bilinearly with cell centres aligned.
        maximum: the raw value of the last colour and of the full ``opacity``; 0 leaves the picture as it is.

    Returns:
        RGB uint8 (H, W, 3).
    """
    level = _on_scale(enlarge_heatmap(heatmap, image.shape[:2]), maximum)
    cover = opacity * np.sqrt(level)[..., None]  # the root keeps weak evidence visible; its colour stays on the scale
    return np.rint(image * (1 - cover) + _colors(level, colormap) * cover).astype(np.uint8)


def enlarge_heatmap(heatmap: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A raw map (h, w) at ``size`` = (height, width), float32, bilinear, cell centres aligned: nothing is shifted."""
    return cv2.resize(np.asarray(heatmap, np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def describe_maximum(heatmap: np.ndarray) -> str:
    """The largest raw value in words; a map without positive values is one without positive evidence."""
    maximum = float(np.max(heatmap))
    return f"largest raw value {maximum:.3g}" if maximum > 0 else f"zero everywhere: {NO_EVIDENCE}"


def _on_scale(heatmap: np.ndarray, maximum: float) -> np.ndarray:
    """Raw values to 0..1. A maximum of 0 divides nothing: such a map holds no positive evidence."""
    heatmap = np.asarray(heatmap, np.float32)
    return np.clip(heatmap / maximum, 0, 1) if maximum > 0 else np.zeros_like(heatmap)


def _colors(level: np.ndarray, colormap: str) -> np.ndarray:
    return matplotlib.colormaps[colormap](level, bytes=True)[..., :3]


# ----------------------------------------------------------------------------------------------- contact sheets


def draw_contact_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    path: str | Path,
    *,
    columns: int = 4,
    title: str = "",
    caption_colors: Sequence[str] | None = None,
    cell: int | None = _CELL,
    scale: tuple[float, str, str] | None = None,
) -> None:
    """Pictures in rows, each with its caption below, pixel by pixel (no resampling by the plotting library).

    Args:
        images: RGB uint8 (H, W, 3) of any sizes; each is fitted into its cell with its aspect ratio kept.
        captions: one for each picture; line breaks are kept, lines too long for their cell are cut with "…".
        columns: pictures in a row.
        cell: pixels of each picture's longer side; None draws the pictures at their own sizes.
        scale: (maximum, colormap, label) draws one colour bar of raw values for the whole sheet.

    Raises:
        ValueError: no pictures, or not one caption for each.
    """
    if not len(images) or len(images) != len(captions):
        raise ValueError(
            f"expected as many captions as pictures, at least one. Received: {len(images)}, {len(captions)}"
        )
    tiles = [_fit(image, cell) if cell else image for image in images]
    cell_width = max(max(tile.shape[1] for tile in tiles), 100)
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    text_height = _LINE * max(caption.count("\n") + 1 for caption in captions) + _GAP
    row_heights = [
        text_height + max(tile.shape[0] for tile in tiles[row * columns : (row + 1) * columns]) for row in range(rows)
    ]
    title_lines = title.count("\n") + 1 if title else 0
    top = _GAP + round(title_lines * _LINE * 1.15) + (_GAP // 2 if title else 0)
    bar = 110 if scale else 0
    width, height = _GAP + columns * (cell_width + _GAP) + bar, top + sum(row_heights)
    colors = caption_colors or ["black"] * len(tiles)
    with _figure(path, width, height, layout=None) as figure:
        if title:
            text = "\n".join(_shorten(line, (width - 2 * _GAP) / 7.6) for line in title.split("\n"))
            figure.text(_GAP / width, 1 - _GAP / height, text, fontsize=10.5, weight="bold", va="top", linespacing=1.35)
        for index, (tile, caption, color) in enumerate(zip(tiles, captions, colors)):
            row, column = divmod(index, columns)
            left, upper = _GAP + column * (cell_width + _GAP), top + sum(row_heights[:row])
            figure.figimage(tile, left + (cell_width - tile.shape[1]) // 2, height - upper - tile.shape[0])
            text = "\n".join(_shorten(line, cell_width / 6.3) for line in caption.split("\n"))
            place = ((left + cell_width / 2) / width, 1 - (upper + tile.shape[0] + 4) / height)
            figure.text(*place, text, fontsize=9, color=color, ha="center", va="top", linespacing=1.25)
        if scale:
            bar_height = min(sum(row_heights) - text_height, 560)
            area = ((width - bar) / width, 1 - (top + bar_height) / height, 16 / width, bar_height / height)
            _draw_scale(figure, area, *scale)


def _draw_scale(figure: Figure, area: tuple, maximum: float, colormap: str, label: str) -> None:
    """A colour bar of raw values in ``area`` (left, bottom, width, height; shares of the figure)."""
    bar = figure.colorbar(
        matplotlib.cm.ScalarMappable(Normalize(0, maximum), colormap), cax=figure.add_axes(area), label=label
    )
    bar.outline.set_visible(False)


def draw_explanation(
    image: np.ndarray, heatmap: np.ndarray, path: str | Path, *, title: str, method: str, colormap: str = "inferno"
) -> None:
    """One picture explained: original, raw map, overlay; a colour bar on this map's own scale, its maximum in words.

    Args:
        image: RGB uint8 (H, W, 3), drawn with its longer side between 224 and 560 pixels.
        heatmap: (h, w) float, raw. A map without positive values is labelled "no positive evidence".
    """
    image = _fit(image, int(np.clip(max(image.shape[:2]), _CELL, 560)))
    maximum = max(float(np.max(heatmap)), 0.0)
    colored = colorize_heatmap(enlarge_heatmap(heatmap, image.shape[:2]), maximum, colormap)
    draw_contact_sheet(
        [image, colored, overlay_heatmap(image, heatmap, maximum, colormap)],
        ["picture", f"{method}: {describe_maximum(heatmap)}", "overlay"],
        path,
        columns=3,
        title=title,
        cell=max(image.shape[:2]),
        scale=(maximum, colormap, "raw value, scale of this picture") if maximum > 0 else None,
    )


def explanation_pair(
    image: np.ndarray, heatmap: np.ndarray, maximum: float, colormap: str = "inferno", side: int = _CELL
) -> np.ndarray:
    """Picture and overlay side by side, RGB uint8, each with its longer side at ``side`` pixels; for contact sheets."""
    image = _fit(image, side)
    return np.hstack([image, overlay_heatmap(image, heatmap, maximum, colormap)])


def _fit(image: np.ndarray, cell: int) -> np.ndarray:
    """The picture with its longer side at ``cell`` pixels; gray becomes RGB."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    factor = cell / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


# -------------------------------------------------------------------------------------------------------- plots


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
    with _figure(path, 520 * max(len(names), 1), 420) as figure:
        if title:
            figure.suptitle(_shorten(title, 100))
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
    labels = [_shorten(name, 26) for name in class_names]
    longest = max(len(label) for label in labels)
    upright = cell < 7.5 * longest  # the names below the columns
    big = float(np.interp(count, [10, 100], [11, 30]))  # a wide picture is looked at from afar
    width = 1.05 * cell * count + 190 + 7 * longest
    height = cell * count + (7 * longest if upright else 25) + 60 + 8 * big
    with _figure(path, width, height) as figure:
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
    with _figure(path, 900, 120 + 46 * max(len(names), 2)) as figure:
        axes = figure.add_subplot()
        errors = np.abs(intervals.T - accuracies)
        axes.barh(positions, accuracies, 0.62, color=BLUE, alpha=0.8, xerr=errors, capsize=5, ecolor="#1B2A3A")
        for position, accuracy, (low, high) in zip(positions, accuracies, intervals):
            text = f"{accuracy:.3f}  [{low:.3f}, {high:.3f}]"
            axes.text(max(accuracy, high) + 0.015, position, text, va="center", fontsize=9.5)
        axes.set_yticks(positions, [_shorten(name, 32) for name in names])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.3), xticks=np.linspace(0, 1, 6), xlabel=label, title=title)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)


@contextlib.contextmanager
def _figure(path: str | Path, width: float, height: float, layout: str | None = "constrained") -> Iterator[Figure]:
    """A figure of ``width`` x ``height`` pixels, saved to ``path`` when the block ends without an error."""
    style = {"font.family": _fonts(), "text.parse_math": False, "axes.titlesize": 11, "axes.labelsize": 10}
    with matplotlib.rc_context(style):  # a class called "$5 or $6" is no formula
        figure = Figure(figsize=(round(width) / DPI, round(height) / DPI), dpi=DPI, layout=layout, facecolor="white")
        yield figure
        with atomic_file(path) as temporary, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # shown as a box, which says it once and in place
            figure.savefig(temporary, dpi=DPI)


def _fonts() -> list[str]:
    """matplotlib's own font, and what the machine has for scripts that it lacks."""
    wider = {"Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "PingFang SC", "Arial Unicode MS", "Noto Sans"}
    return ["DejaVu Sans", *sorted(wider & set(font_manager.get_font_names()))]


def _shorten(text: str, length: float) -> str:
    """At most ``length`` characters; bytes of a file name that are no text show as "?"."""
    text, length = text.encode("utf-8", "replace").decode("utf-8"), max(int(length), 6)
    return text if len(text) <= length else f"{text[: length - 1]}…"
