"""Pictures drawn from pictures: heatmaps over them, single explanations, contact sheets. Plots stand in plotting.py.

All functions that take a ``path`` write a PNG whole or not at all. They use matplotlib's objects, not ``pyplot``: there
is no figure to close, no window system to ask, and nothing of the caller's own plots is touched.
"""

import contextlib
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from src.files import atomic_file

DPI = 100
# Told apart by colour-blind eyes.
BLUE, ORANGE, GREEN, RED, GRAY = "#0072B2", "#E69F00", "#00805F", "#C0392B", "#6B6B6B"
NO_EVIDENCE = "no positive evidence"

# Pixels of a contact sheet: a picture's longer side, the narrowest column, the space between, a line of text.
_CELL, _NARROWEST, _GAP, _LINE = 224, 170, 14, 19
# The bar of strength: height in pixels, gray level behind, colour.
_STRIP, _TRACK, _FILLED = 9, 225, (40, 60, 90)


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
    cell_width = max(_NARROWEST, *(tile.shape[1] for tile in tiles))
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    text_height = _LINE * max(caption.count("\n") + 1 for caption in captions) + _GAP
    row_heights = [
        text_height + max(tile.shape[0] for tile in tiles[row * columns : (row + 1) * columns]) for row in range(rows)
    ]
    bar = 110 if scale else 0
    width = _GAP + columns * (cell_width + _GAP) + bar
    characters = int((width - 2 * _GAP) / 8.3)  # of the bold font, on average
    title = "\n".join(part for line in title.splitlines() for part in textwrap.wrap(line, characters))
    top = _GAP + (round((title.count("\n") + 1) * _LINE * 1.15) + _GAP // 2 if title else 0)
    height = top + sum(row_heights)
    colors = caption_colors or ["black"] * len(tiles)
    with open_figure(path, width, height, layout=None) as figure:
        renderer = FigureCanvasAgg(figure).get_renderer()
        if title:
            text = _fit_lines(renderer, title, width - 2 * _GAP, size=10.5, weight="bold")
            figure.text(_GAP / width, 1 - _GAP / height, text, fontsize=10.5, weight="bold", va="top", linespacing=1.35)
        for index, (tile, caption, color) in enumerate(zip(tiles, captions, colors)):
            row, column = divmod(index, columns)
            left, upper = _GAP + column * (cell_width + _GAP), top + sum(row_heights[:row])
            figure.figimage(tile, left + (cell_width - tile.shape[1]) // 2, height - upper - tile.shape[0])
            text = _fit_lines(renderer, caption, cell_width, size=9)
            place = ((left + cell_width / 2) / width, 1 - (upper + tile.shape[0] + 4) / height)
            figure.text(*place, text, fontsize=9, color=color, ha="center", va="top", linespacing=1.25)
        if scale:
            bar_height = min(sum(row_heights) - text_height, 560)
            area = ((width - bar) / width, 1 - (top + bar_height) / height, 16 / width, bar_height / height)
            _draw_scale(figure, area, *scale)


def _fit_lines(renderer: RendererAgg, text: str, width: float, size: float, weight: str = "normal") -> str:
    """Lines of text, each cut with "…" to ``width`` pixels at a font of ``size`` points."""
    font = font_manager.FontProperties(size=size, weight=weight)

    def fit(line: str) -> str:
        length = len(line)
        while length > 6 and (actual := renderer.get_text_width_height_descent(shorten(line, length), font, False)[0]):
            if actual <= width:
                break
            length = min(length - 1, max(6, int(length * width / actual)))
        return shorten(line, length)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        return "\n".join(map(fit, text.split("\n")))


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
        ["picture", f"{method}\n{describe_maximum(heatmap)}", "overlay"],
        path,
        columns=3,
        title=title,
        cell=max(image.shape[:2]),
        scale=(maximum, colormap, "raw value, scale of this picture") if maximum > 0 else None,
    )


def explanation_pair(
    image: np.ndarray, heatmap: np.ndarray, reference: float, colormap: str = "inferno", side: int = _CELL
) -> np.ndarray:
    """Picture and overlay side by side, for contact sheets.

    The overlay is on the map's own scale, so that weak maps show their shape too; the bar below it says how strong the
    map is: its largest raw value as a share of ``reference``, the largest of the sheet.

    Args:
        image: RGB uint8 (H, W, 3); its longer side is brought to ``side`` pixels.
        heatmap: (h, w) float, raw.

    Returns:
        RGB uint8 (H' + a strip, 2 W', 3).
    """
    image = _fit(image, side)
    maximum = max(float(np.max(heatmap)), 0.0)
    pair = np.hstack([image, overlay_heatmap(image, heatmap, maximum, colormap)])
    bar = np.full((_STRIP, pair.shape[1], 3), 255, np.uint8)
    track = bar[2:, image.shape[1] :]
    track[:] = _TRACK
    track[:, : round(track.shape[1] * min(maximum / reference, 1.0)) if reference > 0 else 0] = _FILLED
    return np.vstack([pair, bar])


def _fit(image: np.ndarray, cell: int) -> np.ndarray:
    """The picture with its longer side at ``cell`` pixels; gray becomes RGB."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    factor = cell / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


# ------------------------------------------------------------------------------------------------------ figures


@contextlib.contextmanager
def open_figure(path: str | Path, width: float, height: float, layout: str | None = "constrained") -> Iterator[Figure]:
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


def shorten(text: str, length: float) -> str:
    """At most ``length`` characters; bytes of a file name that are no text show as "?"."""
    text, length = text.encode("utf-8", "replace").decode("utf-8"), max(int(length), 6)
    return text if len(text) <= length else f"{text[: length - 1]}…"
