"""Maps over pictures, pixel by pixel: colours of raw values, transparent overlays, iso-lines, frames of a video.

Values are raw, and the scale is the caller's: ``maximum`` is the raw value of the last colour. Unsigned maps are on the
scale 0..maximum; what is negative shows as 0. Signed maps (``signed=True``: positive values speak for the class,
negative ones against it) are on the scale -maximum..maximum, with 0 in the middle of ``SIGNED_COLORMAP``. Which of the
two a map is, its method knows; values do not tell, since a signed map may happen to hold no negative one.
"""

import functools
from pathlib import Path

import contourpy
import cv2
import matplotlib
import numpy as np

from src.drawing import render_text
from src.imaging import write_image

# Moreland 2009, "Diverging color maps for scientific visualization": both ends equally dark, told apart by colour-blind
# eyes, and, unlike those of RdBu, light enough to be seen over dark pictures.
SIGNED_COLORMAP = "coolwarm"
CONTOUR_SHARES = (0.25, 0.5, 0.75)  # of the scale's maximum, where iso-lines run
OPACITY = 0.75
NO_EVIDENCE = "no positive evidence"

_LIGHT, _DARK = (255, 255, 255), (20, 20, 20)


def scale_maximum(*heatmaps: np.ndarray, signed: bool = False, clip: float = 0.0) -> float:
    """The ``maximum`` that these raw maps need together; 0 where there is no (unsigned: no positive) evidence.

    Args:
        clip: share 0..1 of the values that may lie beyond it, and then show as the last colour. In maps of single
            pixels a few extremes would leave all others without colour; the colour bar says that they are there.
    """
    strengths = np.concatenate([np.ravel(np.abs(heatmap) if signed else heatmap) for heatmap in heatmaps])
    greatest = max(float(np.max(strengths)), 0.0)
    if clip > 0 and greatest > 0:
        return float(np.quantile(np.maximum(strengths, 0), 1 - clip)) or greatest
    return greatest


def describe_maximum(heatmap: np.ndarray, signed: bool = False) -> str:
    """The largest raw value in words, of a signed map those on both sides; a map without evidence is said to be so."""
    least, greatest = float(np.min(heatmap)), float(np.max(heatmap))
    if signed:
        within = f"against {format_value(min(0.0, least))}, for {format_value(max(0.0, greatest))}"
        return within if least < 0 or greatest > 0 else "zero everywhere: no evidence"
    return f"largest raw value {format_value(greatest)}" if greatest > 0 else f"zero everywhere: {NO_EVIDENCE}"


def format_value(value: float) -> str:
    """Three digits, and no power of ten for large numbers that are short without."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e5 else f"{value:.3g}"


def enlarge_heatmap(heatmap: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A raw map (h, w) at ``size`` = (height, width), float32, bilinear, cell centres aligned: nothing is shifted.

    A map that is larger than ``size`` is averaged by area: single pixels that happen to be met would tell less.
    """
    heatmap = np.asarray(heatmap, np.float32)
    least = tuple(min(side, wanted) for side, wanted in zip(heatmap.shape, size))
    if least != heatmap.shape:
        heatmap = cv2.resize(heatmap, least[::-1], interpolation=cv2.INTER_AREA)
    return cv2.resize(heatmap, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def colorize_heatmap(
    heatmap: np.ndarray, maximum: float, colormap: str = "inferno", signed: bool = False
) -> np.ndarray:
    """Colours for a raw map.

    Args:
        heatmap: (h, w) float, raw.
        maximum: see the module. 0 stands for "no evidence": all is the colour of 0.
        colormap: a name that matplotlib knows, for unsigned maps; signed ones take ``SIGNED_COLORMAP``.

    Returns:
        RGB uint8 (h, w, 3).
    """
    return _look_up(_shares(np.asarray(heatmap, np.float32), maximum, signed), colormap, signed)


def overlay_heatmap(
    image: np.ndarray,
    heatmap: np.ndarray,
    maximum: float,
    colormap: str = "inferno",
    opacity: float = OPACITY,
    *,
    signed: bool = False,
    contours: bool = False,
) -> np.ndarray:
    """Lay a raw map over its picture: the more evidence, the more colour covers; without evidence the picture shows.

    Args:
        image: RGB uint8 (H, W, 3).
        heatmap: (h, w) float, raw, of any size: enlarged bilinearly with cell centres aligned.
        maximum: the raw value of the last colour and of the full ``opacity``; 0 leaves the picture as it is.
        opacity: 0..1.
        contours: iso-lines too, at ``CONTOUR_SHARES`` of ``maximum``, each light on a darker, wider one, to be seen on
            any ground; where ``signed``, those of negative values dark on light. They suit smooth maps, not pixels.

    Returns:
        RGB uint8 (H, W, 3).
    """
    colors, cover = _paint(heatmap, image.shape[:2], maximum, colormap, opacity, signed, contours)
    cover = cv2.cvtColor(cover, cv2.COLOR_GRAY2RGB)
    # Bytes throughout, as any program composes the layer: within one gray level of the same in floats, and the
    # half of a millisecond that OpenCV takes for each step is what leaves a camera's frames their time.
    under = cv2.multiply(image, cv2.bitwise_not(cover), scale=1 / 255)
    return cv2.add(under, cv2.multiply(colors, cover, scale=1 / 255))


def heatmap_layer(
    heatmap: np.ndarray,
    size: tuple[int, int],
    maximum: float,
    colormap: str = "inferno",
    opacity: float = OPACITY,
    *,
    signed: bool = False,
    contours: bool = False,
) -> np.ndarray:
    """The overlay without its picture: RGBA uint8 (H, W, 4) of ``size`` = (height, width), alpha not premultiplied.

    Laid over the picture it gives what :func:`overlay_heatmap` gives, to a gray level; where the map is 0, alpha is 0.
    """
    return np.dstack(_paint(heatmap, size, maximum, colormap, opacity, signed, contours))


def color_layer_table(colormap: str = "inferno", opacity: float = OPACITY) -> np.ndarray:
    """RGBA uint8 (256, 4) of the shares 0/255 .. 255/255 of an unsigned scale: what :func:`heatmap_layer` makes of
    them, for programs that draw maps of bytes themselves."""
    shares = np.arange(256, dtype=np.float32)[None] / 255
    return heatmap_layer(shares, (1, 256), 1.0, colormap, opacity)[0]


def write_overlay(
    image: np.ndarray,
    heatmap: np.ndarray,
    path: str | Path,
    layer_path: str | Path,
    *,
    maximum: float,
    colormap: str = "inferno",
    signed: bool = False,
    contours: bool = False,
) -> None:
    """Write a picture with its map laid over it, and the layer alone with transparency, both at the picture's own size.

    Args:
        image: RGB uint8 (H, W, 3).
        path: gets the overlay, a PNG of W x H pixels.
        layer_path: gets the layer, an RGBA PNG of W x H pixels, to be laid over the picture in any program.
    """
    style = {"colormap": colormap, "signed": signed, "contours": contours}
    write_image(path, overlay_heatmap(image, heatmap, maximum, **style))
    write_image(layer_path, heatmap_layer(heatmap, image.shape[:2], maximum, **style))


def overlay_frame(
    image: np.ndarray,
    heatmap: np.ndarray,
    maximum: float,
    *,
    caption: str = "",
    colormap: str = "inferno",
    opacity: float = OPACITY,
    signed: bool = False,
) -> np.ndarray:
    """A frame of a video or a camera: the overlay, and a line of text on a dark band at the top.

    The scale must be the same in all frames, lest every frame look equally sure: take the largest value so far.

    Args:
        image: RGB uint8 (H, W, 3).
        caption: one line; what is wider than the frame is cut off.

    Returns:
        RGB uint8 (H, W, 3).
    """
    frame = overlay_heatmap(image, heatmap, maximum, colormap, opacity, signed=signed)
    if caption:
        ink = render_text(caption, frame.shape[1])[: frame.shape[0], :, None]
        band = frame[: len(ink)]
        np.maximum(band // 4, ink, out=band)
    return frame


def _shares(heatmap: np.ndarray, maximum: float, signed: bool) -> np.ndarray:
    """Raw float32 values to 0..1, or -1..1 where signed. A maximum of 0 divides nothing: there is no evidence."""
    if not maximum > 0:
        return np.zeros_like(heatmap)
    shares = heatmap / np.float32(maximum)
    return np.clip(shares, -1.0 if signed else 0.0, 1.0, out=shares)


def _paint(
    heatmap: np.ndarray,
    size: tuple[int, int],
    maximum: float,
    colormap: str,
    opacity: float,
    signed: bool,
    contours: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Colours RGB uint8 (H, W, 3) of a raw map at ``size`` = (height, width), and how much they cover, uint8 (H, W)."""
    shares = _shares(enlarge_heatmap(heatmap, size), maximum, signed)
    # The root keeps weak evidence visible; its colour stays on the scale. The light middle of the signed colours would
    # so become a veil over dark pictures: there the cover is in proportion.
    strength = np.abs(shares) if signed else cv2.sqrt(shares)
    colors, cover = _look_up(shares, colormap, signed), cv2.convertScaleAbs(strength, alpha=255 * opacity)
    if contours and maximum > 0 and min(size) > 1:  # a line of pixels has no iso-lines
        _trace_contours(colors, cover, shares)
    return colors, cover


def _trace_contours(colors: np.ndarray, cover: np.ndarray, shares: np.ndarray) -> None:
    """Draw iso-lines of the shares into colours (H, W, 3) and cover (H, W), in place."""
    thin = max(1, round(max(shares.shape) / 640))
    lines = contourpy.contour_generator(z=shares)
    for share in CONTOUR_SHARES:
        for sign, inner, outer in ((1, _LIGHT, _DARK), (-1, _DARK, _LIGHT)):  # unsigned shares have none below 0
            points = [np.rint(line * 16).astype(np.int32) for line in lines.lines(sign * share)]  # 1/16 pixel
            for color, covering, width in ((outer, 150, thin + 2), (inner, 255, thin)):
                cv2.polylines(colors, points, False, color, width, cv2.LINE_AA, shift=4)
                cv2.polylines(cover, points, False, covering, width, cv2.LINE_AA, shift=4)


def _look_up(shares: np.ndarray, colormap: str, signed: bool) -> np.ndarray:
    """Colours of shares of the scale. Signed: 0 has entry 128, and -x and x lie equally far from it."""
    if signed:
        index = np.rint(shares * 127).astype(np.int16) + 128
    else:
        index = np.minimum(shares * 256, 255)
    return cv2.applyColorMap(index.astype(np.uint8), _color_table(SIGNED_COLORMAP if signed else colormap))


@functools.lru_cache(maxsize=16)
def _color_table(colormap: str) -> np.ndarray:
    """The 256 colours of a map of matplotlib, RGB uint8 (256, 1, 3), as OpenCV takes them."""
    return np.ascontiguousarray(matplotlib.colormaps[colormap](np.arange(256), bytes=True)[:, None, :3])
