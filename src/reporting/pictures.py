"""Pictures and maps as text within the page: small, and together within a bound."""

import base64
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from src.drawing import fit_image
from src.heatmap_drawing import color_layer_table, scale_maximum
from src.imaging import ImageError, read_image
from src.progress import track
from src.threads import map_threads

SIDE = 256  # pixels of a picture's longer side
SHEET_SIDE = 1800
BUDGET = 10 * 2**20  # characters of all pictures together: the page stays under 15 MB
LARGEST_MAP = 32  # cells of a side; what is finer is averaged
_QUALITY = 80


class PicturePool:
    """Pictures of the page, each once, however often it is shown.

    Attributes:
        unreadable: paths that are no pictures any more.
        left_out: how many pictures were not taken because the page would have become too large.
    """

    def __init__(self, budget: int = BUDGET):
        self._budget, self._size = budget, 0
        self._places: dict[str, int] = {}
        self._texts: list[str] = []
        self.unreadable: list[str] = []
        self.left_out = 0

    def add(self, paths: Iterable[str | Path]) -> None:
        """Take pictures in their order, as long as there is room; those that are in already cost nothing."""
        known = {*self._places, *self.unreadable}
        new = [path for path in dict.fromkeys(map(str, paths)) if path not in known]
        for path, text in track(
            zip(new, map_threads(_encode_file, new)), total=len(new), what="Reading pictures for the report"
        ):
            if text is None:
                self.unreadable.append(path)
            elif self._size + len(text) > self._budget:
                self.left_out += 1
            else:
                self._places[path] = len(self._texts)
                self._texts.append(text)
                self._size += len(text)

    def place(self, path: str | Path) -> int | None:
        """The number of a picture; None where it was not taken."""
        return self._places.get(str(path))

    @property
    def texts(self) -> list[str]:
        """JPEG files in base64, by number."""
        return self._texts


def encode_sheet(path: Path) -> str | None:
    """A sheet of pictures, reduced, as a JPEG in base64; None where there is none."""
    if not path.is_file():
        return None
    try:
        return _encode(read_image(path), SHEET_SIDE)
    except ImageError:
        return None


def _encode_file(path: str) -> str | None:
    try:
        return _encode(read_image(path, needed=(SIDE, SIDE)), SIDE)
    except ImageError:
        return None


def _encode(image: np.ndarray, side: int) -> str:
    """Pictures are reduced to ``side`` pixels, and never enlarged: browsers do that."""
    if max(image.shape[:2]) > side:
        image = fit_image(image, side)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    return base64.b64encode(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]).decode()


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
