"""Each kind by a picture that is just so, and by one that is just not."""

import math

import cv2
import numpy as np
import pytest

from src.auditing.inspection import Inspected, inspect_pictures, measure_look
from src.auditing.rules import judge_pictures
from src.datasets.sources import Picture
from src.verification import Verified
from tests.encoded import pillow


def texture(number: int, side: int = 96) -> np.ndarray:
    """Sharp squares of random colours, RGB uint8 (side, side, 3)."""
    squares = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    return cv2.resize(squares, (side, side), interpolation=cv2.INTER_NEAREST)


def inspected(image=None, name="cat/a.png", height=100, width=100, **verified):
    look = measure_look(texture(0) if image is None else image)
    picture = Picture("", name, "cat", None, "x")
    return Inspected(picture, None, Verified(height, width, **({"format": "PNG", "frames": 1} | verified)), look)


def kinds(*pictures):
    return [(finding.kind, finding.file) for finding in judge_pictures(pictures)]


def test_a_picture_like_the_others_gives_nothing():
    assert kinds(*[inspected(name=f"cat/{number}.png") for number in range(5)]) == []


@pytest.mark.parametrize(
    "image, expected",
    [
        (np.full((80, 80, 3), 7, np.uint8), "uniform"),
        (np.full((80, 80, 3), (200, 10, 10), np.uint8), "uniform"),
        (texture(1) // 5, "dark"),
        (255 - texture(1) // 8, "bright"),
        (cv2.GaussianBlur(texture(1, 192), (0, 0), 12), "blurred"),
        (texture(1) // 3, None),
        (255 - texture(1) // 3, None),
    ],
)
def test_looks(image, expected):
    found = kinds(inspected(image))
    assert found == ([(expected, "cat/a.png")] if expected else [])


def test_photographs_are_blurred_once_they_are_blurred():
    from src.datasets.samples import sample_photographs
    from src.imaging import read_image

    for path in sample_photographs():
        image = read_image(path, needed=(256, 256))
        assert measure_look(image).blur < 0.6 < measure_look(cv2.GaussianBlur(image, (0, 0), image.shape[1] / 60)).blur


def test_looks_by_hand():
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 50:] = (255, 0, 0)
    look = measure_look(image)
    red = 76 / 255  # the luma of red, 0.299, as OpenCV rounds it
    assert look.brightness == pytest.approx(red / 2) and look.contrast == pytest.approx(red / 2)
    assert (look.darkest, look.lightest) == (0, pytest.approx(red))
    assert look.color == pytest.approx((0.5, 0, 0)) and look.saturation == pytest.approx(0.5)
    assert math.isnan(measure_look(image[:40]).blur)  # too small to be judged


def test_sizes_are_judged_beside_the_others():
    ordinary = [inspected(name=f"cat/{number}.png", height=300, width=400) for number in range(9)]
    small = [inspected(name="cat/small.png", height=59, width=80), inspected(name="cat/fits.png", height=60, width=80)]
    odd = [inspected(name="cat/wide.png", height=100, width=400), inspected(name="cat/tall.png", height=400, width=100)]
    found = kinds(*ordinary, *small, *odd)
    assert found == [("tiny", "cat/small.png"), ("odd_aspect", "cat/wide.png"), ("odd_aspect", "cat/tall.png")]
    reasons = {finding.file: finding.reason for finding in judge_pictures([*ordinary, *odd])}
    assert "3.0 times wider" in reasons["cat/wide.png"] and "5.3 times narrower" in reasons["cat/tall.png"]
    # where all are small, or wide, none is
    assert kinds(*[inspected(name=f"cat/{i}.png", height=32, width=32) for i in range(9)]) == []
    assert kinds(*[inspected(name=f"cat/{i}.png", height=100, width=900) for i in range(9)]) == []


def test_files_that_are_not_what_their_names_say():
    assert kinds(inspected(name="cat/a.jpg")) == [("wrong_extension", "cat/a.jpg")]
    assert kinds(inspected(name="cat/a.gif", format="GIF", frames=4)) == [("animated", "cat/a.gif")]


# ------------------------------------------------------------------------------------------------------ reading


def test_files_are_read_and_broken_ones_told_apart(tmp_path):
    jpeg = pillow(texture(3, 320), "JPEG", quality=90)
    contents = {
        "sound.png": pillow(texture(2), "PNG"),
        "empty.jpg": b"",
        "text.jpg": b"some text",
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "torn.jpg": jpeg[: len(jpeg) // 2] + b"\xff\xd9",
        "more.jpg": jpeg[:-2] + bytes(60) + jpeg[-2:],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    names = [*contents, "missing.png"]
    found = inspect_pictures([Picture(str(tmp_path / name), f"cat/{name}", "cat", None) for name in names])
    flaws = {each.picture.relative: each.flaw and each.flaw[0] for each in found}
    assert flaws == {
        "cat/sound.png": None, "cat/empty.jpg": "empty", "cat/text.jpg": "unreadable", "cat/cut.jpg": "unreadable",
        "cat/torn.jpg": "damaged", "cat/more.jpg": None, "cat/missing.png": "unreadable",
    }  # fmt: skip
    assert found[0].picture.thumbnail.shape == (32, 32) and found[0].look and found[4].look is None
    assert {kind for kind, _ in kinds(*found)} == {"empty", "unreadable", "damaged", "irregular"}
