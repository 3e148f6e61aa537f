"""RandAugment's operations against Pillow's, and the draw of which come with which strength."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from src.loading.rand_augment import OPERATIONS, apply_operations, draw_operations, strength_at

GEOMETRIC = {"rotate", "shear_x", "shear_y"}
SIGNED = GEOMETRIC | {"translate_x", "translate_y", "color", "contrast", "brightness", "sharpness"}
HEIGHT, WIDTH = 120, 170


@pytest.fixture(scope="module")
def photograph():
    """Blurred noise of several grains, an edge and a slope: smooth as photographs are; no channel fills 0..255."""
    rng = np.random.default_rng(0)
    image = sum(grain * cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH, 3)), (0, 0), grain) for grain in (1, 3, 9))
    image = image / image.std() * 35 + np.float64([110, 125, 140]) + np.linspace(-25, 25, WIDTH)[:, None]
    image[40:80, 60:100] += 25
    return np.clip(np.rint(image), 5, 245).astype(np.uint8)


def apply_pillow(image: np.ndarray, name: str, strength: float) -> np.ndarray:
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)

    def affine(*coefficients):
        return picture.transform(picture.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)

    result = {
        "identity": lambda: picture,
        "autocontrast": lambda: ImageOps.autocontrast(picture),
        "equalize": lambda: ImageOps.equalize(picture),
        "rotate": lambda: picture.rotate(strength, Image.Resampling.BILINEAR),
        "solarize": lambda: ImageOps.solarize(picture, strength),
        "color": lambda: ImageEnhance.Color(picture).enhance(1 + strength),
        "posterize": lambda: ImageOps.posterize(picture, strength),
        "contrast": lambda: ImageEnhance.Contrast(picture).enhance(1 + strength),
        "brightness": lambda: ImageEnhance.Brightness(picture).enhance(1 + strength),
        "sharpness": lambda: ImageEnhance.Sharpness(picture).enhance(1 + strength),
        "shear_x": lambda: affine(1, strength, 0, 0, 1, 0),
        "shear_y": lambda: affine(1, 0, 0, strength, 1, 0),
        "translate_x": lambda: affine(1, 0, -strength, 0, 1, 0),
        "translate_y": lambda: affine(1, 0, 0, 0, 1, -strength),
    }[name]()
    return np.asarray(result).reshape(image.shape)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_pillows_to_one_level(photograph, name, channels):
    image = photograph if channels == 3 else photograph[..., :1]
    before = image.copy()
    for magnitude in (0, 2.5, 5, 9, 10):
        for sign in (1, -1) if name in SIGNED else (1,):
            strength = sign * strength_at(name, magnitude, HEIGHT, WIDTH)
            view = apply_operations(image, [(name, strength)])
            assert view.dtype == np.uint8 and view.shape == image.shape
            difference = np.abs(view.astype(int) - apply_pillow(image, name, strength)).max(axis=2)
            if name in GEOMETRIC and magnitude:
                # Along the edge to the black outside OpenCV fades over a pixel, Pillow does not: up to 1.4% of these.
                white = apply_pillow(np.full((HEIGHT, WIDTH, 1), 255, np.uint8), name, strength)[..., 0]
                edge = cv2.dilate(white, np.ones((3, 3))) != cv2.erode(white, np.ones((3, 3)), borderValue=0)
                assert (difference > 1).mean() < 0.014, (magnitude, sign)
                difference = difference[~edge]
            assert difference.max() <= 1, (magnitude, sign)
            unchanged = magnitude == 0 and name not in ("autocontrast", "equalize")
            if unchanged or name == "identity" or (name == "color" and channels == 1):
                np.testing.assert_array_equal(view, image)
            elif magnitude:
                assert (view != image).any(), magnitude
    np.testing.assert_array_equal(image, before)


def test_operations_of_even_and_extreme_pictures(photograph):
    for level in (0, 7, 255):
        even = np.full((9, 12, 3), level, np.uint8)
        for name in OPERATIONS:
            strength = strength_at(name, 6, 9, 12)
            difference = np.abs(
                apply_operations(even, [(name, strength)]).astype(int) - apply_pillow(even, name, strength)
            )
            if name not in GEOMETRIC:
                assert difference.max() <= 1, (name, level)
    np.testing.assert_array_equal(apply_operations(photograph, []), photograph)


def test_directions_by_hand():
    image = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    assert apply_operations(image, [("translate_x", 1)])[..., 0].tolist() == [[0, 0, 1], [0, 3, 4], [0, 6, 7]]
    assert apply_operations(image, [("translate_y", -2)])[..., 0].tolist() == [[6, 7, 8], [0, 0, 0], [0, 0, 0]]
    assert apply_operations(image, [("rotate", 90)])[..., 0].tolist() == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]
    assert apply_operations(image, [("posterize", 6), ("solarize", 4)])[..., 0].tolist() == [
        [0, 0, 0],
        [0, 251, 251],
        [251, 251, 247],
    ]


def test_floats_are_rounded_and_cut_off_first():
    image = np.float32([[-3.0, 0.4, 0.6], [254.7, 255.4, 300.0]])[..., None]
    assert apply_operations(image, [("identity", 0)])[..., 0].tolist() == [[0, 0, 1], [255, 255, 255]]


@pytest.mark.parametrize(
    ("name", "at_10", "at_5"),
    [
        ("rotate", 30, 15),
        ("shear_x", 0.3, 0.15),
        ("shear_y", 0.3, 0.15),
        ("translate_x", 45, 22),  # 150 / 331 of 100 pixels, of which whole ones count
        ("translate_y", 90, 45),
        ("color", 0.9, 0.45),
        ("contrast", 0.9, 0.45),
        ("brightness", 0.9, 0.45),
        ("sharpness", 0.9, 0.45),
        ("posterize", 4, 6),
        ("solarize", 0, 128),
        ("identity", 0, 0),
    ],
)
def test_ranges_are_torchvisions(name, at_10, at_5):
    assert strength_at(name, 10, height=200, width=100) == at_10
    assert strength_at(name, 5, height=200, width=100) == at_5


def test_the_draw_is_a_function_of_the_generator():
    first, again, other = (draw_operations(np.random.default_rng(s), 5, 9.0, 32, 48) for s in (1, 1, 2))
    assert first == again != other and len(first) == 5
    assert draw_operations(np.random.default_rng(1), 0, 9.0, 32, 48) == ()


def test_operations_and_signs_occur_alike():
    draw, n = np.random.default_rng(0), 7000
    drawn = [draw_operations(draw, 2, 9.0, 40, 40) for _ in range(n)]
    counts = dict.fromkeys(OPERATIONS, 0)
    for operations in drawn:
        for name, strength in operations:
            counts[name] += 1
            assert abs(strength) == strength_at(name, 9.0, 40, 40)
    assert all(abs(count - n / 7) < 5 * np.sqrt(n / 7) for count in counts.values()), counts
    # With replacement: two draws of fourteen are 2 - 1/14 different ones on average, each pair with variance 13/196.
    different = np.mean([len({name for name, _ in operations}) for operations in drawn])
    assert abs(different - (2 - 1 / 14)) < 5 * np.sqrt(13 / 196 / n)
    for name in OPERATIONS:
        signs = [strength < 0 for operations in drawn for other, strength in operations if other == name]
        expected = 0.5 if name in SIGNED else 0
        assert abs(np.mean(signs) - expected) <= 5 * np.sqrt(0.25 / len(signs)) * (name in SIGNED), name
