"""The same random parameters give the stock generator's pictures; the same seed the same parameters."""

import numpy as np
import pytest
from tensorflow.keras.preprocessing.image import ImageDataGenerator as KerasImageDataGenerator

from src.loading.generator import ImageDataGenerator
from src.loading.warp import FILL_MODES

EVERYTHING = {
    "rotation_range": 40,
    "width_shift_range": 0.2,
    "height_shift_range": [3, 5],
    "shear_range": 20,
    "zoom_range": [0.7, 1.3],
    "horizontal_flip": True,
    "vertical_flip": True,
}


def draw_picture(rng, channels=3):
    """Noise on noise, not square, of every size between 30 and 90."""
    height, width = rng.integers(30, 90, 2)
    return rng.integers(0, 256, (height, width, channels)).astype(np.float32)


@pytest.mark.parametrize("fill_mode", FILL_MODES)
@pytest.mark.parametrize("draw", range(20))
def test_views_equal_keras_own(fill_mode, draw):
    rng = np.random.default_rng([draw, FILL_MODES.index(fill_mode)])
    options = {name: value for name, value in EVERYTHING.items() if rng.random() < 0.8}
    options |= {"fill_mode": fill_mode, "cval": 77, "channel_shift_range": 60 if rng.random() < 0.5 else 0}
    ours, stock = ImageDataGenerator(**options), KerasImageDataGenerator(**options)
    picture = draw_picture(rng, channels=(1, 3, 4)[draw % 3])
    before = picture.copy()
    parameters = ours.get_random_transform(picture.shape, seed=draw)
    view = ours.apply_transform(picture, parameters)
    assert view.dtype == np.float32
    # Without a flaw also at the borders of "wrap" and "constant"; the tenth covers OpenCV's float32 coordinates.
    np.testing.assert_allclose(view, stock.apply_transform(picture.copy(), parameters), atol=0.1)
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("draw", range(8))
def test_brightness_within_a_level(draw):
    rng = np.random.default_rng(draw)
    options = EVERYTHING | {"brightness_range": (0.3, 1.8), "channel_shift_range": 30 if draw % 2 else 0}
    ours, stock = ImageDataGenerator(**options), KerasImageDataGenerator(**options)
    picture = draw_picture(rng, 4 if draw % 3 == 2 else 3) + (
        40 if draw >= 6 else 0
    )  # past 255 Keras stretches to 0..255 meanwhile
    parameters = ours.get_random_transform(picture.shape, seed=draw)
    difference = np.abs(ours.apply_transform(picture, parameters) - stock.apply_transform(picture, parameters))
    # Pillow cuts off fractions, and then the factor enlarges the level where the two cut differently.
    assert difference.max() <= np.ceil(max(1, parameters["brightness"])) * (295 / 255 if draw >= 6 else 1) + 0.01
    assert (difference > 1).mean() < 0.001 or draw >= 6
    assert (difference > 0.01).mean() < 0.01


@pytest.mark.parametrize("order", [0, 1])
def test_uint8_and_nearest_neighbour(order):
    rng = np.random.default_rng(order)
    ours, stock = (c(**EVERYTHING, interpolation_order=order) for c in (ImageDataGenerator, KerasImageDataGenerator))
    for draw in range(5):
        picture = draw_picture(rng).astype(np.uint8)
        parameters = ours.get_random_transform(picture.shape, seed=draw)
        view, expected = (g.apply_transform(picture, parameters) for g in (ours, stock))
        assert view.dtype == np.uint8
        assert (np.abs(view.astype(int) - expected) > 1).mean() < 1e-3  # ties of nearest neighbours


@pytest.mark.parametrize("options", [{"interpolation_order": 3}, {"data_format": "channels_first"}])
def test_other_cases_are_keras_own(options):
    ours, stock = ImageDataGenerator(**EVERYTHING, **options), KerasImageDataGenerator(**EVERYTHING, **options)
    picture = draw_picture(np.random.default_rng(0))
    picture = picture.transpose(2, 0, 1) if "data_format" in options else picture
    parameters = ours.get_random_transform(picture.shape, seed=5)
    out = np.empty_like(picture)
    assert ours.apply_transform(picture, parameters, out=out) is out
    np.testing.assert_array_equal(out, stock.apply_transform(picture, parameters))


def test_no_transform_copies():
    picture = draw_picture(np.random.default_rng(0))
    view = ImageDataGenerator().apply_transform(picture, ImageDataGenerator().get_random_transform(picture.shape, 1))
    assert view is not picture
    np.testing.assert_array_equal(view, picture)


def test_parameters_have_keras_keys_and_distributions():
    options = EVERYTHING | {"brightness_range": (0.5, 1.5), "channel_shift_range": 60, "height_shift_range": 4}
    ours, stock = ImageDataGenerator(**options), KerasImageDataGenerator(**options)
    state = np.random.get_state()[1].copy()
    draw = np.random.default_rng(3)
    drawn = [ours.get_random_transform((50, 80, 3), seed=draw) for _ in range(2000)]
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # global NumPy is left alone
    np.random.seed(1)
    expected = [stock.get_random_transform((50, 80, 3)) for _ in range(2000)]
    assert list(drawn[0]) == list(expected[0])
    for key in drawn[0]:
        a, b = (np.array([parameters[key] for parameters in views], float) for views in (drawn, expected))
        scale = b.std()
        assert abs(a.mean() - b.mean()) < 0.15 * scale and abs(a.std() / scale - 1) < 0.1, key
        assert abs(a.min() - b.min()) < 0.05 * np.ptp(b) and abs(a.max() - b.max()) < 0.05 * np.ptp(b), key


def test_a_seed_repeats_and_every_option_changes_the_view():
    picture = draw_picture(np.random.default_rng(0))
    shape, plain = picture.shape, ImageDataGenerator()
    reference = plain.apply_transform(picture, plain.get_random_transform(shape, 2))
    options = EVERYTHING | {"brightness_range": (0.5, 0.9), "channel_shift_range": 60}
    for name, value in options.items():
        generator = ImageDataGenerator(**{name: value})
        views = [generator.apply_transform(picture, generator.get_random_transform(shape, 2)) for _ in range(2)]
        np.testing.assert_array_equal(*views)
        changed = [generator.apply_transform(picture, generator.get_random_transform(shape, seed)) for seed in range(9)]
        assert any((view != reference).any() for view in changed), name


def test_keras_own_iterators_repeat_by_their_seed():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    first, second, other = (next(ImageDataGenerator(rotation_range=40).flow(pictures, seed=s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
