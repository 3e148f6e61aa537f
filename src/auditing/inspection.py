"""Every file read once: whether it is sound, its digest, its thumbnail, and how it looks in figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from src.datasets.near_copies import make_thumbnail
from src.datasets.sources import Picture
from src.errors import explain_os_error
from src.files import sha256_file
from src.imaging import ImageError, check_file, read_image
from src.progress import track
from src.threads import map_threads
from src.verification import IRREGULAR, Verified, find_damage, verify_image

LOOK_SIDE = 256  # of the longer side at which pictures are judged: about what networks see
_LEAST_SIDE_FOR_BLUR = 64  # the measure compares with a blur of 11 pixels


@dataclass(frozen=True, slots=True)
class Look:
    """How a picture looks, at a longer side of at most 256 pixels; brightness is luma, 0 (black) to 1.

    Attributes:
        brightness, contrast: mean and standard deviation of the luma.
        darkest, lightest: its 2nd and 98th percentile.
        saturation: mean of max - min of the three colours, 0 to 1.
        color: means of red, green and blue, 0 to 1.
        blur: Crete et al. 2007 ("The blur effect", as in scikit-image), 0 sharp to 1; NaN for pictures too small.
    """

    brightness: float
    contrast: float
    darkest: float
    lightest: float
    saturation: float
    color: tuple[float, float, float]
    blur: float


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found out about one file.

    Attributes:
        picture: with ``digest`` (of every file that can be opened) and, where it is sound, ``thumbnail``.
        flaw: (kind, reason) of a file that cannot be used: "empty", "unreadable", "damaged".
        verified: None where it cannot be decoded.
        look: None where there is a flaw.
        irregular: what is odd about a file that can be used.
    """

    picture: Picture
    flaw: tuple[str, str] | None
    verified: Verified | None
    look: Look | None
    irregular: str | None = None


def inspect_pictures(pictures: Sequence[Picture]) -> list[Inspected]:
    """Read all files, in threads, in their order; sets ``digest`` and ``thumbnail``."""
    return list(track(map_threads(_inspect, pictures), total=len(pictures), what="Reading pictures"))


def _inspect(picture: Picture) -> Inspected:
    try:
        check_file(picture.path)
        picture.digest = sha256_file(picture.path)
        verified = verify_image(picture.path)
        damage = find_damage(picture.path, verified)
        if damage and not damage.startswith(IRREGULAR):
            return Inspected(picture, ("damaged", damage), verified, None)
        image = read_image(picture.path, needed=(LOOK_SIDE, LOOK_SIDE))
    except (ImageError, OSError) as error:
        reason = error.reason if isinstance(error, ImageError) else explain_os_error(error)
        return Inspected(picture, ("empty" if "is empty" in reason else "unreadable", reason), None, None)
    picture.thumbnail = make_thumbnail(image)
    return Inspected(picture, None, verified, measure_look(image), damage)


def measure_look(image: np.ndarray) -> Look:
    """The figures of RGB uint8 (H, W, 3)."""
    from skimage.measure import blur_effect

    factor = LOOK_SIDE / max(image.shape[:2])
    if factor < 1:
        size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    darkest, lightest = np.percentile(gray, [2, 98]) / 255
    contrast = float(gray.std()) / 255
    judged = min(gray.shape) >= _LEAST_SIDE_FOR_BLUR and contrast > 0
    return Look(
        brightness=float(gray.mean()) / 255,
        contrast=contrast,
        darkest=float(darkest),
        lightest=float(lightest),
        saturation=float(np.mean(image.max(axis=2) - image.min(axis=2))) / 255,
        color=tuple((image.reshape(-1, 3).mean(axis=0) / 255).tolist()),
        blur=float(blur_effect(gray)) if judged else math.nan,
    )
