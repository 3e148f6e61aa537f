"""Pictures and maps as text within the page: small, and together within a bound."""

import base64
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from src.drawing import fit_image
from src.heatmap_drawing import color_layer_table, scale_maximum
from src.imaging import ImageError, encode_image, read_image
from src.progress import track
from src.threads import map_threads

SIDE = 256  # pixels of a picture's longer side
SHEET_SIDES = (1800, 1200, 800)  # of a sheet's width; the first that keeps it small
SHEET_SIZE = 700_000  # characters
BUDGET = 14_500_000  # characters of the whole page: it stays under 15 MB
LARGEST_MAP = 32  # cells of a side; what is finer is averaged
_QUALITY = 80


class PicturePool:
    """Pictures of the page, each once, however often it is shown, and what room there is for them.

    Args:
        folder: that all paths are below.
        budget: characters of all that is taken, and of the page around it.

    Attributes:
        texts: JPEG files in base64, by number.
        unreadable: paths that are no pictures any more.
        left_out: how many pictures were not taken because the page would have become too large.
    """

    def __init__(self, folder: Path, budget: int = BUDGET):
        self._folder, self._budget, self._left = folder, budget, budget
        self._places: dict[str, int] = {}
        self._read: dict[str, str] = {}
        self.texts: list[str] = []
        self.unreadable: list[str] = []
        self.left_out = 0

    def read(self, paths: Iterable[str]) -> None:
        """Read pictures that will be taken, many at once; those that are known cost nothing."""
        known = {*self._read, *self.unreadable}
        new = [path for path in dict.fromkeys(paths) if path not in known]
        found = map_threads(lambda path: _encode_file(self._folder / path), new)
        for path, text in track(zip(new, found), total=len(new), what="Reading pictures for the report"):
            if text is None:
                self.unreadable.append(path)
            else:
                self._read[path] = text

    def take(self, path: str, beside: int = 0) -> int | None:
        """The number of a picture that was read, with room for ``beside`` characters that belong to it; None where it
        was unreadable, or there is no room."""
        if path not in self._read:
            return None
        new = path not in self._places
        if not self.reserve(beside + (len(self._read[path]) if new else 0)):
            self.left_out += 1
            return None
        if new:
            self._places[path] = len(self.texts)
            self.texts.append(self._read[path])
        return self._places[path]

    def reserve(self, characters: int) -> bool:
        """Whether there was room for these, which are then taken."""
        if characters > self._left:
            return False
        self._left -= characters
        return True

    def leave_beside(self, characters: int) -> None:
        """Leave room for a page of so many characters, its sheets among them, beside the pictures taken so far."""
        self._left = max(0, self._budget - characters - sum(map(len, self.texts)))

    def take_sheet(self, path: Path) -> str | None:
        """A sheet of pictures, reduced, as a JPEG in base64; None where there is none, or no room for it."""
        if not path.is_file():
            return None
        try:
            image = read_image(path)
        except ImageError:
            return None
        for side in SHEET_SIDES:
            text = _encode(image, side)
            if len(text) <= SHEET_SIZE:
                break
        return text if self.reserve(len(text)) else None


def _encode_file(path: Path) -> str | None:
    try:
        return _encode(read_image(path, needed=(SIDE, SIDE)), SIDE)
    except ImageError:
        return None


def _encode(image: np.ndarray, side: int) -> str:
    """Pictures are reduced to ``side`` pixels, and never enlarged: browsers do that."""
    if max(image.shape[:2]) > side:
        image = fit_image(image, side)
    options = (cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    return base64.b64encode(encode_image(image, ".jpg", options)).decode()


def encode_maps(*heatmaps: np.ndarray | None) -> list[dict | None]:
    """Raw maps of one picture, on one scale, for the page to draw.

    Returns:
        For each map ``rows`` and ``columns``, and ``values``, a byte for each cell in base64: 255 is the largest value
        of them all, 0 is zero and less; ``empty`` where the map has no positive value. None for None.
    """
    maximum = scale_maximum(*(heatmap for heatmap in heatmaps if heatmap is not None))
    return [None if heatmap is None else _encode_map(heatmap, maximum) for heatmap in heatmaps]


def _encode_map(heatmap: np.ndarray, maximum: float) -> dict:
    heatmap = np.asarray(heatmap, np.float32)
    if max(heatmap.shape) > LARGEST_MAP:
        rows, columns = (min(side, LARGEST_MAP) for side in heatmap.shape)
        heatmap = cv2.resize(heatmap, (columns, rows), interpolation=cv2.INTER_AREA)
    shares = np.clip(heatmap / maximum, 0, 1) if maximum > 0 else np.zeros_like(heatmap)
    rows, columns = heatmap.shape
    values = base64.b64encode(np.rint(shares * 255).astype(np.uint8).tobytes()).decode()
    return {"rows": rows, "columns": columns, "values": values, "empty": not (heatmap > 0).any()}


def encode_colors() -> str:
    """The colours of a map's 256 values, RGBA, in base64."""
    return base64.b64encode(color_layer_table().tobytes()).decode()
