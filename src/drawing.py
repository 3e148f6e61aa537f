"""Figures and sheets of pictures with text: contact sheets, grids. Maps stand in heatmap_drawing.py, plots in plotting.

All functions that take a ``path`` write a PNG whole or not at all. They use matplotlib's objects, not ``pyplot``: there
is no figure to close, no window system to ask, and nothing of the caller's own plots is touched.
"""

import contextlib
import functools
import io
import math
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from src.atomic import atomic_file

DPI = 100
# Told apart by colour-blind eyes.
BLUE, ORANGE, GREEN, RED, GRAY = "#0072B2", "#E69F00", "#00805F", "#C0392B", "#6B6B6B"

# Pixels of a contact sheet: a picture's longer side, the narrowest column, the space between, a line of text.
CELL = 224
_NARROWEST, _GAP, _LINE = 170, 14, 19
# Pixels of a grid: the space between, a line of a caption and of a header, a colour bar's place.
_GRID_GAP, _GRID_LINE, _HEADER_LINE, _BAR_PLACE = 8, 14, 16, (400, 90)
_GRID_LEAST = 420  # a grid's least width, for its title and colour bar


@dataclass(frozen=True)
class ColorBar:
    """A bar of colours with the raw values that they stand for.

    Attributes:
        low, high: the values of the first and of the last colour.
        colormap: a name that matplotlib knows.
        label: what the values are.
        marks: values where a line crosses the bar, as of contours.
        ends: what the low and the high end mean.
        beyond: where there are values beyond the ends: "neither", "max" or "both".
    """

    low: float
    high: float
    colormap: str
    label: str
    marks: Sequence[float] = ()
    ends: tuple[str, str] | None = None
    beyond: str = "neither"


# ----------------------------------------------------------------------------------------------- contact sheets


def draw_contact_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    path: str | Path,
    *,
    columns: int = 4,
    title: str = "",
    caption_colors: Sequence[str] | None = None,
    cell: int | None = CELL,
    bar: ColorBar | None = None,
) -> None:
    """Pictures in rows, each with its caption below, pixel by pixel (no resampling by the plotting library).

    Args:
        images: RGB uint8 (H, W, 3) of any sizes; each is fitted into its cell with its aspect ratio kept.
        captions: one for each picture; line breaks are kept, lines too long for their cell are cut with "…".
        columns: pictures in a row.
        cell: pixels of each picture's longer side; None draws the pictures at their own sizes.
        bar: one colour bar for the whole sheet.

    Raises:
        ValueError: no pictures, or not one caption for each.
    """
    if not len(images) or len(images) != len(captions):
        raise ValueError(
            f"expected as many captions as pictures, at least one. Received: {len(images)}, {len(captions)}"
        )
    tiles = [fit_image(image, cell) if cell else image for image in images]
    cell_width = max(_NARROWEST, *(tile.shape[1] for tile in tiles))
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    text_height = _LINE * max(caption.count("\n") + 1 for caption in captions) + _GAP
    row_heights = [
        text_height + max(tile.shape[0] for tile in tiles[row * columns : (row + 1) * columns]) for row in range(rows)
    ]
    bar_height = min(sum(row_heights) - text_height, 560)
    bar_width = 0
    if bar:
        label = textwrap.wrap(bar.label, max(12, bar_height // 7))
        bar = replace(bar, label="\n".join(label))
        bar_width = (160 if bar.ends else 94) + 16 * len(label)
    width = _GAP + columns * (cell_width + _GAP) + bar_width
    title, title_height = _wrap_title(title, width)
    top = _GAP + title_height
    height = top + sum(row_heights)
    colors = caption_colors or ["black"] * len(tiles)
    with open_figure(path, width, height, layout=None) as figure:
        renderer = FigureCanvasAgg(figure).get_renderer()
        _write_title(figure, renderer, title, width, height)
        for index, (tile, caption, color) in enumerate(zip(tiles, captions, colors)):
            row, column = divmod(index, columns)
            left, upper = _GAP + column * (cell_width + _GAP), top + sum(row_heights[:row])
            figure.figimage(tile, left + (cell_width - tile.shape[1]) // 2, height - upper - tile.shape[0])
            text = fit_lines(renderer, caption, cell_width, size=9)
            place = ((left + cell_width / 2) / width, 1 - (upper + tile.shape[0] + 4) / height)
            figure.text(*place, text, fontsize=9, color=color, ha="center", va="top", linespacing=1.25)
        if bar:
            area = ((width - bar_width) / width, 1 - (top + bar_height) / height, 16 / width, bar_height / height)
            _draw_bar(figure, area, bar, "vertical")


def fit_image(image: np.ndarray, cell: int) -> np.ndarray:
    """The picture with its longer side at ``cell`` pixels; gray becomes RGB."""
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    factor = cell / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


# -------------------------------------------------------------------------------------------------------- grids


def draw_grid(
    tiles: Sequence[Sequence[np.ndarray | None]],
    captions: Sequence[Sequence[str]],
    headers: Sequence[str],
    path: str | Path,
    *,
    cell: int,
    title: str = "",
    bars: Sequence[ColorBar] = (),
) -> None:
    """A table of small pictures, pixel by pixel, with a header over each column and a caption below each picture.

    Args:
        tiles: rows of RGB uint8 (H, W, 3), none wider or higher than ``cell`` pixels; None stays blank.
        captions: rows of texts; line breaks are kept, lines too long for their cell are cut with "…". Those of the
            first column name the rows: they are bold, and broken into more lines where they are long.
        headers: one for each column, broken into at most three lines.
        bars: colour bars, under the title.

    Raises:
        ValueError: no rows, or rows that are not of one length.
    """
    if not len(tiles) or any(len(row) != len(headers) for row in (*tiles, *captions)) or len(tiles) != len(captions):
        raise ValueError("expected at least one row, and in each row a picture and a caption for each header")
    headers = [_break_lines(header, cell // 8, 3) for header in headers]
    captions = [
        ["\n".join(_break_lines(line, cell // 7, 2) for line in name.split("\n")), *others]
        for name, *others in captions
    ]
    width = max(_GRID_LEAST, _GAP + len(headers) * (cell + _GRID_GAP) + _GAP)
    title, title_height = _wrap_title(title, width)
    bars_top = _GAP + title_height
    headers_top = bars_top + math.ceil(len(bars) / _bars_in_a_row(width)) * _BAR_PLACE[1]
    top = headers_top + _HEADER_LINE * max(header.count("\n") + 1 for header in headers) + _GRID_GAP
    highest = [max((tile.shape[0] for tile in row if tile is not None), default=cell) for row in tiles]
    lines = [max(text.count("\n") + 1 for text in texts) for texts in captions]
    heights = [tile + count * _GRID_LINE + _GAP for tile, count in zip(highest, lines)]
    height = top + sum(heights)
    canvas = np.full((height, width, 3), 255, np.uint8)
    with open_figure(path, width, height, layout=None) as figure:
        renderer = FigureCanvasAgg(figure).get_renderer()
        _write_title(figure, renderer, title, width, height)
        _draw_bars(figure, bars, bars_top)
        centers = [_GAP + column * (cell + _GRID_GAP) + cell // 2 for column in range(len(headers))]
        room = cell + _GRID_GAP - 2
        for x, header in zip(centers, headers):
            y = top - _GRID_GAP - (header.count("\n") + 1) * _HEADER_LINE
            _write_centred(figure, renderer, x, y, header, room, size=9, weight="bold")
        for number, (row, texts) in enumerate(zip(tiles, captions)):
            upper = top + sum(heights[:number])
            for x, tile, text in zip(centers, row, texts):
                if tile is not None:
                    left = x - tile.shape[1] // 2
                    canvas[upper : upper + tile.shape[0], left : left + tile.shape[1]] = tile
                weight = "bold" if x == centers[0] else "normal"
                _write_centred(figure, renderer, x, upper + highest[number] + 3, text, room, size=7.5, weight=weight)
        figure.figimage(canvas, 0, 0, zorder=-1)


def _write_centred(
    figure: Figure, renderer: RendererAgg, x: float, y: float, text: str, width: float, *, size: float, weight: str
) -> None:
    """Text below the point (x, y), which is in pixels from the upper left corner."""
    text = fit_lines(renderer, text, width, size, weight)
    place = (x / figure.bbox.width, 1 - y / figure.bbox.height)
    figure.text(*place, text, fontsize=size, weight=weight, ha="center", va="top", linespacing=1.2)


def _break_lines(text: str, characters: int, most: int) -> str:
    """Words in at most so many lines; what is left over stands in the last one, to be cut to its width."""
    lines = textwrap.wrap(text, max(6, characters))
    return "\n".join([*lines[: most - 1], " ".join(lines[most - 1 :])] if len(lines) > most else lines)


def _draw_bars(figure: Figure, bars: Sequence[ColorBar], top: int) -> None:
    """Lay colour bars side by side, from ``top`` pixels on."""
    width, height = figure.bbox.width, figure.bbox.height
    for index, bar in enumerate(bars):
        row, column = divmod(index, _bars_in_a_row(round(width)))
        left, upper = _GAP + 50 + column * _BAR_PLACE[0], top + row * _BAR_PLACE[1] + 6
        area = (left / width, 1 - (upper + 12) / height, (_BAR_PLACE[0] - 110) / width, 12 / height)
        _draw_bar(figure, area, bar, "horizontal")


def _bars_in_a_row(width: int) -> int:
    return max(1, (width - _GAP) // _BAR_PLACE[0])


def _draw_bar(figure: Figure, area: tuple, bar: ColorBar, orientation: str) -> None:
    """A colour bar in ``area`` (left, bottom, width, height; shares of the figure)."""
    drawn = figure.colorbar(
        matplotlib.cm.ScalarMappable(Normalize(bar.low, bar.high), bar.colormap),
        cax=figure.add_axes(area),
        label=bar.label,
        orientation=orientation,
        extend=bar.beyond,
    )
    drawn.outline.set_visible(False)
    if bar.ends:
        ticks = np.linspace(bar.low, bar.high, 5)
        texts = [f"{tick:.2g}" for tick in ticks]
        drawn.set_ticks(ticks, labels=[f"{texts[0]}\n{bar.ends[0]}", *texts[1:-1], f"{texts[-1]}\n{bar.ends[1]}"])
    line = drawn.ax.axhline if orientation == "vertical" else drawn.ax.axvline
    for mark in bar.marks:
        line(mark, color="black", linewidth=2.6)
        line(mark, color="white", linewidth=1.0)


# --------------------------------------------------------------------------------------------- figures and text


@contextlib.contextmanager
def open_figure(path: str | Path, width: float, height: float, layout: str | None = "constrained") -> Iterator[Figure]:
    """A figure of ``width`` x ``height`` pixels, saved to ``path`` when the block ends without an error."""
    with matplotlib.rc_context(_style()):
        figure = Figure(figsize=(round(width) / DPI, round(height) / DPI), dpi=DPI, layout=layout, facecolor="white")
        yield figure
        with atomic_file(path) as temporary, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # shown as a box, which says it once and in place
            figure.savefig(temporary, dpi=DPI)


def _style() -> dict:
    # A class called "$5 or $6" is no formula.
    return {"font.family": _fonts(), "text.parse_math": False, "axes.titlesize": 11, "axes.labelsize": 10}


def render_svg(draw: Callable[[Axes], None], width: float, height: float) -> str:
    """What ``draw`` puts on one pair of axes, as an SVG document of ``width`` x ``height`` pixels: no background, text
    as text, the same bytes for the same drawing."""
    with matplotlib.rc_context(_style() | {"svg.fonttype": "none", "svg.hashsalt": "", "legend.frameon": False}):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _wrap_title(title: str, width: int) -> tuple[str, int]:
    """A title broken into lines for ``width`` pixels, and its height in pixels."""
    characters = int((width - 2 * _GAP) / 9)  # of the bold font, on average
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, characters)]
    return "\n".join(lines), round(len(lines) * _LINE * 1.15) + _GAP // 2 if lines else 0


def _write_title(figure: Figure, renderer: RendererAgg, title: str, width: int, height: int) -> None:
    if title:
        text = fit_lines(renderer, title, width - 2 * _GAP, size=10.5, weight="bold")
        figure.text(_GAP / width, 1 - _GAP / height, text, fontsize=10.5, weight="bold", va="top", linespacing=1.35)


def fit_lines(renderer: RendererAgg, text: str, width: float, size: float, weight: str = "normal") -> str:
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


@functools.lru_cache(maxsize=64)
def render_text(text: str, width: int) -> np.ndarray:
    """One line of text as coverage 0..255, uint8 (24, ``width``), read-only; what is longer is cut off."""
    renderer = RendererAgg(width, 24, DPI)
    font = font_manager.FontProperties(family=_fonts(), size=10)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        renderer.draw_text(renderer.new_gc(), 8, 17, shorten(text, width), font, 0)
    drawn = np.array(np.asarray(renderer.buffer_rgba())[..., 3])
    drawn.flags.writeable = False  # the cache's own
    return drawn


@functools.cache
def _fonts() -> list[str]:
    """matplotlib's own font, and what the machine has for scripts that it lacks."""
    wider = {"Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "PingFang SC", "Arial Unicode MS", "Noto Sans"}
    return ["DejaVu Sans", *sorted(wider & set(font_manager.get_font_names()))]


def shorten(text: str, length: float) -> str:
    """At most ``length`` characters; bytes of a file name that are no text show as "?"."""
    text, length = text.encode("utf-8", "replace").decode("utf-8"), max(int(length), 6)
    return text if len(text) <= length else f"{text[: length - 1]}…"
