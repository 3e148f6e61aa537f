"""The embedded data set: coloured shapes on natural textures among distractors, each with its object's mask.

A class is told by its form alone: colour, size, place, rotation, light, occlusion and background are drawn alike for
all classes. The mask marks the object's visible part, so that explanations can be measured against it.

The textures come with scikit-image and scikit-learn (``china.jpg``, ``flower.jpg``: CC BY 2.0, danielbuechele and
vultilion on flickr.com); nothing is downloaded.
"""

import functools
import importlib.util
from pathlib import Path

import cv2
import numpy as np

from src.datasets.marks import STREAM as MARK_STREAM
from src.datasets.marks import mark_picture
from src.errors import UserError
from src.imaging import read_image, resize_image, write_image
from src.progress import track
from src.settings import random_generator
from src.threads import map_threads

CLASS_NAMES = ["flower", "ladder", "star", "wheel"]
DEFAULT_IMAGES_PER_CLASS = 250
DEFAULT_SIZE = 160
MIN_SIZE = 64
MAX_SIZE = 1024  # takes some 100 MB in each thread

# Shares of the picture's area, before occlusion and the border take their part.
_OBJECT_AREA = (0.12, 0.18)
_DISTRACTOR_AREA = (0.008, 0.03)
_DISTRACTORS = (2, 4)  # how many, inclusive
_MIN_INSIDE = 0.97  # share of the object within the picture
_OCCLUSION_RATE = 0.35
_OCCLUDED = (0.05, 0.2)  # share of the object behind the occluder
_MIN_CONTRAST = 60.0  # distance in CIELAB between a thing's colour and what lies behind it
_SUPERSAMPLING = 4
_STREAM = 0x5A9E  # keeps these draws apart from those of other users of the same seed

_PATTERNS = ("brick.png", "grass.png", "gravel.png")  # gray and without an upright: turned and tinted freely
_TEXTURES = (
    *(("skimage", f"data/{name}") for name in _PATTERNS),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/hubble_deep_field.jpg"),
    ("skimage", "data/motorcycle_left.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)


def draw_shapes(
    pictures: Path,
    masks: Path,
    *,
    images_per_class: int = DEFAULT_IMAGES_PER_CLASS,
    size: int = DEFAULT_SIZE,
    seed: int = 42,
    shortcut: str | None = None,
    marks: Path | None = None,
) -> list[str]:
    """Draw the data set: ``<class>/<class>_0000.png`` under ``pictures`` (RGB) and ``masks`` (0 or 255).

    Picture i of a class is a function of (``seed``, class, i, ``size``) alone, so that a larger set contains the
    smaller one, and threads change nothing. Files of the same names are overwritten, others left. With a ``shortcut``
    (see :func:`src.datasets.marks.mark_picture`) some pictures carry a mark, whose mask goes under ``marks``; but for
    the mark they are as without.

    Returns:
        The names of the classes, in order.
    """
    if images_per_class < 1:
        raise UserError(f"images_per_class must be at least 1. Received: {images_per_class}")
    names = [(index, name, i) for index, name in enumerate(CLASS_NAMES) for i in range(images_per_class)]

    def draw(picture: tuple[int, str, int]) -> None:
        class_index, class_name, i = picture
        image, mask = draw_picture(class_name, size, random_generator(seed, class_index, i, _STREAM))
        relative = Path(class_name) / f"{class_name}_{i:04d}.png"
        if shortcut:
            rng = random_generator(seed, class_index, i, MARK_STREAM)
            image, mark = mark_picture(image, mask, class_name, shortcut, rng)
            if mark is not None:
                write_image(Path(marks) / relative, mark)
        write_image(Path(pictures) / relative, image)
        write_image(Path(masks) / relative, mask)

    for _ in track(map_threads(draw, names), total=len(names), what="Drawing shapes"):
        pass
    return list(CLASS_NAMES)


def draw_picture(
    class_name: str, size: int, rng: np.random.Generator, *, with_object: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one picture in memory.

    Args:
        class_name: one of ``CLASS_NAMES``.
        size: side in pixels.
        rng: where every random choice comes from; the same number of draws with and without the object.
        with_object: False leaves the object out of the picture and everything else, also the mask, as it is.

    Returns:
        RGB uint8 (size, size, 3), and the object's visible part as uint8 (size, size), 0 or 255.
    """
    if class_name not in CLASS_NAMES:
        raise UserError(f"class_name must be one of {', '.join(CLASS_NAMES)}. Received: {class_name}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UserError(f"size must be at least {MIN_SIZE} pixels and at most {MAX_SIZE}. Received: {size}")
    scene = _draw_background(size, rng)
    coverage, detail = _place_object(_OUTLINES[class_name](), size, rng)
    for _ in range(rng.integers(*_DISTRACTORS, endpoint=True)):
        _paint(scene, _place_distractor(coverage, size, rng), rng)
    _paint(scene, coverage, rng, visible=with_object)
    _paint(scene, detail, rng, visible=with_object)
    if rng.random() < _OCCLUSION_RATE:
        cover = _place_occluder(coverage, size, rng)
        _blend(scene, _draw_background(size, rng), cover)
        coverage = coverage * (1.0 - cover)
    mask = np.where(coverage >= 0.5, 255, 0).astype(np.uint8)
    return _photograph(scene, rng), mask


# ---------------------------------------------------------------------------------------------------- background


@functools.cache
def _texture(index: int) -> np.ndarray:
    """RGB uint8 of a texture, read where the package lies, without importing it; kept for the next picture."""
    package, name = _TEXTURES[index]
    found = importlib.util.find_spec(package)
    path = Path(found.submodule_search_locations[0], name) if found else None
    if path is None or not path.is_file():
        raise UserError(f"{package}/{name}, a texture of the embedded data set, is missing; run: make install")
    return read_image(path)


def _draw_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """A random crop of a random texture, flipped and tinted, softened in contrast: float32 RGB 0..255."""
    index = int(rng.integers(len(_TEXTURES)))
    texture, is_pattern = _texture(index), index < len(_PATTERNS)
    side = int(min(texture.shape[:2]) * rng.uniform(0.3, 0.95))
    top, left = (int(rng.integers(extent - side + 1)) for extent in texture.shape[:2])
    crop = resize_image(texture[top : top + side, left : left + side], (size, size)).astype(np.float32)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    crop = np.rot90(crop, rng.integers(4) if is_pattern else 0)
    tint = rng.uniform(*((0.65, 1.2) if is_pattern else (0.85, 1.15)), size=3)
    crop = (crop - crop.mean()) * rng.uniform(0.45, 0.8) + crop.mean() * 0.6 + 0.4 * rng.uniform(70, 185)
    return np.ascontiguousarray(np.clip(crop * tint, 0, 255), np.float32)


# ---------------------------------------------------------------------------------------------------- forms


def _flower() -> list[np.ndarray]:
    t = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    radius = 0.85 + 0.15 * np.cos(10 * t)
    return [np.stack([radius * np.cos(t), radius * np.sin(t)], axis=1), 0.42 * _regular(64)]


def _ladder() -> list[np.ndarray]:
    def box(left: float, right: float, half_height: float) -> np.ndarray:
        return np.array([(left, -half_height), (right, -half_height), (right, half_height), (left, half_height)])

    return [box(-1, 1, 0.75)] + [box(left + 0.06, left + 0.44, 0.6) for left in (-1, -0.5, 0, 0.5)]


def _star() -> list[np.ndarray]:
    t = np.arange(10) * np.pi / 5
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.55)
    star = np.stack([radius * np.sin(t), -radius * np.cos(t)], axis=1)
    return [star, 0.45 * star]


def _wheel() -> list[np.ndarray]:
    outlines = [_regular(64)]
    for start in np.arange(6) * np.pi / 3:
        t = np.linspace(start + 0.16, start + np.pi / 3 - 0.16, 12)
        hub = 0.28 * np.array([[np.cos(start + np.pi / 6), np.sin(start + np.pi / 6)]])
        outlines.append(np.vstack([0.78 * np.stack([np.cos(t), np.sin(t)], axis=1), hub]))
    return outlines


# Each object's silhouette, then the parts that are painted upon it in a second colour.
_OUTLINES = {"flower": _flower, "ladder": _ladder, "star": _star, "wheel": _wheel}


def _regular(corners: int) -> np.ndarray:
    t = np.arange(corners) * 2 * np.pi / corners
    return np.stack([np.cos(t), np.sin(t)], axis=1)


def _blob(rng: np.random.Generator) -> np.ndarray:
    """A smooth closed line about a circle."""
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones_like(t)
    for wave in (2, 3, 4):
        radius += rng.uniform(0.04, 0.16) * np.cos(wave * t + rng.uniform(0, 2 * np.pi))
    return np.stack([radius * np.cos(t), radius * np.sin(t)], axis=1)


def _distractor(rng: np.random.Generator) -> np.ndarray:
    """The outline of something that belongs to no class."""
    kind = rng.integers(5)
    if kind == 4:
        return _blob(rng)
    if kind == 3:  # a line
        return _regular(4) @ _turn(np.eye(2), np.pi / 4) * (1.0, rng.uniform(0.12, 0.3))
    return _regular((64, 4, 3)[kind])  # a disc, a square, a triangle


def _turn(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _pose(outlines: list[np.ndarray], area: float, rng: np.random.Generator) -> list[np.ndarray]:
    """The outlines slightly squeezed and turned at random, the first's box about the origin, its area in pixels."""
    squeeze, angle = (1.0, rng.uniform(0.85, 1.15)), rng.uniform(0, 2 * np.pi)
    outlines = [_turn(outline * squeeze, angle) for outline in outlines]
    middle = (outlines[0].max(axis=0) + outlines[0].min(axis=0)) / 2
    x, y = (outlines[0] - middle).T
    own_area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return [(outline - middle) * np.sqrt(area / own_area) for outline in outlines]


def _cover(outlines: list[np.ndarray], size: int, place: np.ndarray) -> np.ndarray:
    """Share of each pixel within the outlines (x, y in pixels, moved by ``place``): float32 (size, size)."""
    large = np.zeros((size * _SUPERSAMPLING,) * 2, np.uint8)
    points = [np.rint(((outline + place) * _SUPERSAMPLING - 0.5) * 16).astype(np.int32) for outline in outlines]
    cv2.fillPoly(large, points, 255, shift=4)
    return cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0


# ---------------------------------------------------------------------------------------------------- places


def _place_object(outlines: list[np.ndarray], size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coverage of an object, and of its second colour; (nearly) all of it within the picture, its middle anywhere."""
    area = rng.uniform(*_OBJECT_AREA) * size * size
    outlines = _pose(outlines, area, rng)
    while True:
        place = rng.uniform(0, size, size=2)
        coverage = _cover(outlines[:1], size, place)
        if coverage.sum() >= _MIN_INSIDE * area:
            return coverage, _cover(outlines[1:], size, place)


def _place_distractor(object_coverage: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Coverage of a distractor clear of the object; nothing at all where no such place is found."""
    outlines = _pose([_distractor(rng)], rng.uniform(*_DISTRACTOR_AREA) * size * size, rng)
    for _ in range(12):
        coverage = _cover(outlines, size, rng.uniform(0, size, size=2))
        if np.vdot(coverage, object_coverage) <= 0.02 * coverage.sum():
            return coverage
    return np.zeros_like(object_coverage)


def _place_occluder(object_coverage: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Coverage of a bar across the picture or of a blob, which hides a moderate share of the object."""
    ys, xs = np.nonzero(object_coverage >= 0.5)
    radius = np.sqrt(object_coverage.sum() / np.pi)
    for _ in range(20):
        place = rng.integers(len(xs))
        if rng.random() < 0.5:
            half_width = rng.uniform(0.15, 0.35) * radius
            bar = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (2 * size, half_width)
            outline = _turn(bar, rng.uniform(0, 2 * np.pi))
        else:
            outline = _blob(rng) * rng.uniform(0.4, 0.8) * radius
        cover = _cover([outline], size, np.array([xs[place], ys[place]]))
        if _OCCLUDED[0] <= np.vdot(cover, object_coverage) / object_coverage.sum() <= _OCCLUDED[1]:
            return cover
    return np.zeros_like(object_coverage)


# ---------------------------------------------------------------------------------------------------- paint and light


def _paint(scene: np.ndarray, coverage: np.ndarray, rng: np.random.Generator, *, visible: bool = True) -> None:
    """Paint one thing into the scene: a random colour that stands out from what lies behind, softly shaded."""
    x, y, width, height = cv2.boundingRect((coverage > 0).astype(np.uint8))
    scene, coverage = scene[y : y + height, x : x + width], coverage[y : y + height, x : x + width]
    color = _draw_color(scene, coverage, rng)
    slope, angle = rng.uniform(0.1, 0.35), rng.uniform(0, 2 * np.pi)
    if visible and coverage.size:
        shading = 1.0 + slope * _ramp(coverage.shape, angle)
        _blend(scene, np.clip(color * shading[..., None], 0, 255), coverage)


def _draw_color(scene: np.ndarray, coverage: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first of several random colours that is far enough from the background's mean, or the farthest."""
    lightness, chroma, hue = rng.uniform(35, 85, 12), rng.uniform(40, 85, 12), rng.uniform(0, 2 * np.pi, 12)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1).astype(np.float32)
    colors = np.clip(cv2.cvtColor(lab[None], cv2.COLOR_LAB2RGB), 0, 1)  # not every colour of CIELAB can be shown
    behind = np.zeros(3)
    if coverage.size:
        behind = np.average(scene.reshape(-1, 3), axis=0, weights=coverage.ravel()) / 255.0
    behind = cv2.cvtColor(behind[None, None].astype(np.float32), cv2.COLOR_RGB2LAB)
    distance = np.linalg.norm(cv2.cvtColor(colors, cv2.COLOR_RGB2LAB) - behind, axis=2)
    chosen = int(np.argmax(np.minimum(distance, _MIN_CONTRAST)))  # argmax takes the first of equals
    return colors[0, chosen] * 255.0


def _ramp(shape: tuple[int, int], angle: float) -> np.ndarray:
    """A plane that rises in one direction from -1 to 1: float32 of that shape."""
    x, y = (np.linspace(-1, 1, extent, dtype=np.float32) for extent in shape[::-1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (x * cos + y[:, None] * sin) / (abs(cos) + abs(sin))


def _blend(scene: np.ndarray, layer: np.ndarray, coverage: np.ndarray) -> None:
    """Lay ``layer`` over the scene, in place."""
    scene += (layer - scene) * coverage[..., None]


def _photograph(scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uneven light, a little blur and noise: RGB uint8."""
    light = 1.0 + rng.uniform(0.1, 0.35) * _ramp(scene.shape[:2], rng.uniform(0, 2 * np.pi))
    sigma = rng.uniform(0.2, 0.9) * len(scene) / DEFAULT_SIZE
    lit = cv2.GaussianBlur(scene * light[..., None], (0, 0), sigma)
    noise = rng.standard_normal(scene.shape, np.float32) * np.float32(rng.uniform(1.0, 6.0))
    return np.clip(np.rint(lit + noise), 0, 255).astype(np.uint8)
