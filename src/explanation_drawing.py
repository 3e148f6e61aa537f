"""Drawings of explanations: one picture, one method on a sheet, wrong answers, many methods side by side, what a class
looks for.

What is called ``draw_`` writes a PNG whole or not at all; the others make tiles for contact sheets. ``signed`` and the
scales are those of heatmap_drawing.py; ``colormap`` is that of unsigned maps.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from src.drawing import CELL, ColorBar, draw_contact_sheet, draw_grid, fit_image
from src.heatmap_drawing import (
    CONTOUR_SHARES,
    NO_EVIDENCE,
    SIGNED_COLORMAP,
    colorize_heatmap,
    describe_maximum,
    enlarge_heatmap,
    format_value,
    overlay_heatmap,
    scale_maximum,
)
from src.imaging import resize_image

# The bar of strength: height in pixels, gray level behind, colour.
_STRIP, _TRACK, _FILLED = 9, 225, (40, 60, 90)


def color_bar(
    maximum: float, colormap: str, label: str, signed: bool = False, contours: bool = False, clip: float = 0.0
) -> ColorBar:
    """The bar of the scale 0..``maximum``, or -``maximum``..``maximum``, which says which end speaks for the class."""
    marks = [sign * share * maximum for share in CONTOUR_SHARES if contours for sign in ((1, -1) if signed else (1,))]
    label += f"; {100 * clip:g}% lie beyond" if clip else ""
    if signed:
        ends, beyond = ("speaks against", "speaks for"), "both" if clip else "neither"
        return ColorBar(-maximum, maximum, SIGNED_COLORMAP, label, marks, ends, beyond)
    return ColorBar(0.0, maximum, colormap, label, marks, beyond="max" if clip else "neither")


def draw_explanation(
    image: np.ndarray,
    heatmap: np.ndarray,
    path: str | Path,
    *,
    title: str,
    method: str,
    colormap: str = "inferno",
    signed: bool = False,
    contours: bool = False,
    clip: float = 0.0,
    answer: tuple[str, float] | None = None,
    runner_up: tuple[np.ndarray, str, float] | None = None,
) -> None:
    """One picture explained: original, raw map, overlay; or, with a runner-up, the overlays of two classes.

    A colour bar is on this picture's own scale, which two classes share; each map's maximum stands below it in words.

    Args:
        image: RGB uint8 (H, W, 3), drawn with its longer side between 224 and 560 pixels.
        heatmap: (h, w) float, raw. A map without positive values is labelled "no positive evidence".
        contours: iso-lines over the overlay, at 25, 50 and 75% of the scale's maximum.
        clip: share of the values beyond the scale, see :func:`src.heatmap_drawing.scale_maximum`.
        answer: name and probability of the class that ``heatmap`` is about; needed beside a runner-up.
        runner_up: map, name and probability of another class, drawn in the place of the raw map.

    Raises:
        ValueError: a runner-up, but no answer to set it beside.
    """
    if runner_up and not answer:
        raise ValueError("a runner-up needs the name and the probability of the first class beside it")
    image = fit_image(image, int(np.clip(max(image.shape[:2]), CELL, 560)))
    classes = [(heatmap, *(answer or ("", 0.0))), *([runner_up] if runner_up else [])]
    maximum = scale_maximum(*(values for values, _, _ in classes), signed=signed, clip=clip)
    overlays = [
        overlay_heatmap(image, values, maximum, colormap, signed=signed, contours=contours) for values, _, _ in classes
    ]
    if runner_up:
        panels = [image, *overlays]
        # The probability first: it must survive when a long name is cut.
        captions = [f"{share:.1%}: {name}\n{describe_maximum(values, signed)}" for values, name, share in classes]
        captions = [f"picture\n{method}, both on one scale", *captions]
    else:
        colored = colorize_heatmap(enlarge_heatmap(heatmap, image.shape[:2]), maximum, colormap, signed)
        panels = [image, colored, *overlays]
        about = f"\nfor {answer[1]:.1%}: {answer[0]}" if answer else ""
        captions = ["picture", f"{method}\n{describe_maximum(heatmap, signed)}", f"overlay{about}"]
    label = "raw value, scale of this picture"
    bar = color_bar(maximum, colormap, label, signed, contours, clip) if maximum > 0 else None
    draw_contact_sheet(panels, captions, path, columns=3, title=title, cell=max(image.shape[:2]), bar=bar)


def explanation_pair(
    image: np.ndarray,
    heatmap: np.ndarray,
    reference: float,
    colormap: str = "inferno",
    side: int = CELL,
    *,
    signed: bool = False,
    contours: bool = False,
    clip: float = 0.0,
) -> np.ndarray:
    """Picture and overlay side by side, for contact sheets.

    The overlay is on the map's own scale, so that weak maps show their shape too; the bar below it says how strong the
    map is: its largest raw value (signed: on either side) as a share of ``reference``, the largest of the sheet.

    Args:
        image: RGB uint8 (H, W, 3); its longer side is brought to ``side`` pixels.
        heatmap: (h, w) float, raw.

    Returns:
        RGB uint8 (H' + a strip, 2 W', 3).
    """
    image = fit_image(image, side)
    maximum = scale_maximum(heatmap, signed=signed, clip=clip)
    overlay = overlay_heatmap(image, heatmap, maximum, colormap, signed=signed, contours=contours)
    pair = np.hstack([image, overlay])
    bar = np.full((_STRIP, pair.shape[1], 3), 255, np.uint8)
    track = bar[2:, image.shape[1] :]
    track[:] = _TRACK
    track[:, : round(track.shape[1] * min(maximum / reference, 1.0)) if reference > 0 else 0] = _FILLED
    return np.vstack([pair, bar])


def explanation_of_error(
    image: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray,
    colormap: str = "inferno",
    side: int = CELL,
    *,
    signed: bool = False,
    contours: bool = False,
    clip: float = 0.0,
    one_scale: bool = True,
) -> np.ndarray:
    """Picture, overlay for the class that was predicted, overlay for the true one, side by side, for contact sheets.

    Args:
        image: RGB uint8 (H, W, 3); its longer side is brought to ``side`` pixels.
        predicted, true: (h, w) float, raw, by one method.
        one_scale: both on the scale of the stronger, which shows which class found more; else each on its own.

    Returns:
        RGB uint8 (H', 3 W', 3).
    """
    image = fit_image(image, side)
    tiles = [image]
    for heatmap in (predicted, true):
        maximum = scale_maximum(*((predicted, true) if one_scale else (heatmap,)), signed=signed, clip=clip)
        tiles.append(overlay_heatmap(image, heatmap, maximum, colormap, signed=signed, contours=contours))
    return np.hstack(tiles)


def draw_method_sheet(
    images: Sequence[np.ndarray],
    maps_by_method: Mapping[str, tuple[Sequence[np.ndarray], bool]],
    path: str | Path,
    *,
    labels: Sequence[str] | None = None,
    title: str = "",
    colormap: str = "inferno",
    contours: bool = False,
    clip: float = 0.0,
    cell: int | None = None,
) -> None:
    """The same pictures (rows) under every method (columns).

    Raw values of different methods have different units. Each map is therefore drawn as a share of the largest absolute
    value that its own method reaches on the sheet: within a column strong and weak maps can be told apart, and all
    columns are read on one colour bar, or on one for signed and one for unsigned methods. Below each map stands its
    own largest raw value. The ground is gray, so that all colour is the map's.

    Args:
        images: RGB uint8 (H, W, 3), of any sizes.
        maps_by_method: title -> (one raw map (h, w) for each picture, whether the method is signed).
        labels: texts below the pictures.
        clip: of each method, the share of its drawn values that lies beyond the scale's end.
        cell: pixels of each picture's longer side; None for 160 down to 112, the less the more methods there are.

    Raises:
        ValueError: no pictures, or a method without exactly one map for each.
    """
    wrong = {name: len(maps) for name, (maps, _) in maps_by_method.items() if len(maps) != len(images)}
    if not len(images) or wrong:
        raise ValueError(f"expected one map for each of {len(images)} pictures, at least one. Received: {wrong}")
    cell = cell or int(np.clip(2400 / (1 + len(maps_by_method)), 112, 160))
    tiles = [[fit_image(image, cell)] for image in images]
    grounds = [_gray(image) for (image,) in tiles]
    captions = [[text] for text in labels or [""] * len(images)]
    for maps, signed in maps_by_method.values():
        # The scale is that of the maps as they are drawn: single pixels of larger ones are averaged.
        drawn = [enlarge_heatmap(values, ground.shape[:2]) for values, ground in zip(maps, grounds)]
        maximum = scale_maximum(*drawn, signed=signed, clip=clip)
        for row, (ground, values, raw) in enumerate(zip(grounds, drawn, maps)):
            tiles[row].append(overlay_heatmap(ground, values, maximum, colormap, signed=signed, contours=contours))
            captions[row].append(_short_maximum(raw, signed))
    kinds = sorted({signed for _, signed in maps_by_method.values()})
    bars = [color_bar(1.0, colormap, "share of the method's scale", signed, contours, clip) for signed in kinds]
    end = f"the value that {100 * clip:g}% of its method's values exceed" if clip else "its method's largest value"
    note = f"each map as a share of {end} on this sheet; below it: its own largest raw value"
    draw_grid(tiles, captions, ["picture", *maps_by_method], path, cell=cell, title=f"{title}\n{note}", bars=bars)


def _gray(image: np.ndarray) -> np.ndarray:
    """The picture without its colours, RGB: a ground on which all colour is the map's."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _short_maximum(heatmap: np.ndarray, signed: bool) -> str:
    if not scale_maximum(heatmap, signed=signed) > 0:
        return "no evidence"
    least, greatest = min(0.0, float(np.min(heatmap))), max(0.0, float(np.max(heatmap)))
    return f"{format_value(least)} … {format_value(greatest)}" if signed else format_value(greatest)


def draw_class_focus(
    classes: Iterable[tuple[str, Iterable[np.ndarray], np.ndarray]],
    path: str | Path,
    *,
    crops: int = 6,
    share: float = 0.35,
    title: str = "",
    colormap: str = "inferno",
    signed: bool = False,
    clip: float = 0.0,
    cell: int = 128,
) -> None:
    """What each class looks for, a row each: the mean picture, the mean raw map over it, crops at the strongest peaks.

    The ground of the mean map is gray, so that all colour is the map's.

    A mean map is on its own scale, its largest raw value below it. Crops come from the maps with the largest positive
    values, the strongest first; maps without positive values have no peak.

    Args:
        classes: (name, pictures RGB uint8 of any sizes, their raw maps (n, h, w)). Pictures are run through once and
            may come from a generator; for the mean each is stretched to a square, as the network sees it.
        crops: of each class at most.
        share: side of a crop as a share 0..1 of the picture's shorter side.
        clip: share of a mean map's values beyond its scale.

    Raises:
        ValueError: no classes, or one without exactly one map for each picture, or without pictures.
    """
    tiles, captions = [], []
    for name, images, heatmaps in classes:
        mean, cut = _average_class(images, heatmaps, crops, share, cell)
        average = np.mean(heatmaps, axis=0, dtype=np.float64).astype(np.float32)
        maximum = scale_maximum(average, signed=signed, clip=clip)
        blank = [None] * (crops - len(cut))
        overlay = overlay_heatmap(_gray(mean), average, maximum, colormap, signed=signed)
        tiles.append([mean, overlay, *cut.values(), *blank])
        about = [f"{name}\nn = {len(heatmaps)}", _short_maximum(average, signed)]
        missing = ["" if cut else NO_EVIDENCE, *[""] * crops][: len(blank)]
        captions.append([*about, *(format_value(float(np.max(heatmaps[index]))) for index in cut), *missing])
    headers = ["mean picture", "mean raw map", *(f"peak {number}" for number in range(1, crops + 1))]
    label = "share of the mean map's scale" if clip else "share of the mean map's largest value"
    bar = color_bar(1.0, colormap, label, signed, clip=clip)
    note = "below: the largest raw value; crops: around the peaks of the strongest maps, the strongest first"
    draw_grid(tiles, captions, headers, path, cell=cell, title=f"{title}\n{note}", bars=[bar])


def _average_class(
    images: Iterable[np.ndarray], heatmaps: np.ndarray, crops: int, share: float, cell: int
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The mean picture, and crops by the index of their map, in one pass."""
    if not len(heatmaps):
        raise ValueError("expected at least one picture and its map")
    peaks = np.max(heatmaps, axis=(1, 2))
    strongest = [index for index in np.argsort(-peaks, kind="stable")[:crops].tolist() if peaks[index] > 0]
    cut: dict[int, np.ndarray] = dict.fromkeys(strongest)  # in this order
    total, count = np.zeros((cell, cell, 3)), 0
    for index, image in enumerate(images):
        total += resize_image(image, (cell, cell))
        count += 1
        if index in cut:
            cut[index] = fit_image(crop_peak(image, heatmaps[index], share), cell)
    if count != len(heatmaps):
        raise ValueError(f"expected one map for each picture. Received: {len(heatmaps)} maps, {count} pictures")
    return np.rint(total / count).astype(np.uint8), cut


def crop_peak(image: np.ndarray, heatmap: np.ndarray, share: float = 0.35) -> np.ndarray:
    """The square around the centre of a map's greatest cell, moved inwards where it would leave the picture.

    Args:
        image: RGB uint8 (H, W, 3).
        heatmap: (h, w) raw, of the whole picture.
        share: side of the square as a share 0..1 of the picture's shorter side.

    Returns:
        A view of ``image``, (S, S, 3), S = ``share`` of the shorter side, at least 1.
    """
    side = max(1, round(share * min(image.shape[:2])))
    cell = np.unravel_index(np.argmax(heatmap), heatmap.shape)
    corner = []
    for length, position, count in zip(image.shape, cell, heatmap.shape):
        center = (position + 0.5) * length / count
        corner.append(int(np.clip(round(center - side / 2), 0, length - side)))
    return image[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
