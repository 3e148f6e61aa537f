"""What a visitor sent, made safe: bounded in bytes and pixels, decoded in memory, written nowhere."""

import base64
import math
from dataclasses import dataclass

import cv2
import numpy as np

from src.bundle_facts import Classifier
from src.imaging import decode_image, encode_image, resize_image
from src.verification import verify_upload

MAX_BYTES = 25 * 2**20
MAX_PIXELS = 64_000_000  # telephones make 50 million
SHOWN_SIDE = 640  # pixels of the longer side of what is sent back
NAME = "the picture"  # in what is said of it: its file's name never comes here


@dataclass(frozen=True)
class Upload:
    """A picture that was sent.

    Attributes:
        encoded: its bytes, which were decoded to their end once.
        shown: RGB uint8, upright, at most ``SHOWN_SIDE`` pixels long.
    """

    encoded: bytes
    shown: np.ndarray

    @classmethod
    def open(cls, encoded: bytes) -> "Upload":
        """Raises ``ImageError`` where it is no picture, damaged, or too large."""
        verify_upload(encoded, NAME, MAX_BYTES, MAX_PIXELS)
        image = decode_image(encoded, NAME, needed=(SHOWN_SIDE, SHOWN_SIDE))
        factor = SHOWN_SIDE / max(image.shape[:2])
        if factor < 1:
            height, width = (max(1, math.floor(side * factor)) for side in image.shape[:2])
            image = resize_image(image, (height, width))
        return cls(encoded, image)

    def prepare(self, classifier: Classifier) -> np.ndarray:
        """Float32 input (H, W, 3), as :meth:`Classifier.read` makes it of a file."""
        plain = classifier.interpolation == "nearest"
        image = decode_image(self.encoded, NAME, needed=None if plain else classifier.image_size)
        return classifier.preprocess(resize_image(image, classifier.image_size, classifier.interpolation))


def encode_jpeg(image: np.ndarray) -> str:
    """RGB uint8 as a JPEG in base64."""
    return base64.b64encode(encode_image(image, ".jpg", (cv2.IMWRITE_JPEG_QUALITY, 88))).decode()


def encode_png(image: np.ndarray) -> str:
    """RGBA uint8 as a PNG in base64."""
    return base64.b64encode(encode_image(image, ".png", (cv2.IMWRITE_PNG_COMPRESSION, 3))).decode()
