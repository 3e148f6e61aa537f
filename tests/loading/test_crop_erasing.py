"""Random crop and Random Erasing: by hand, by counts, and through the generator and the iterator."""

import shutil

import numpy as np
import pytest
from tensorflow.keras.preprocessing.image import DirectoryIterator as KerasDirectoryIterator

from src.errors import UserError
from src.loading.crop import crop_padded, draw_crop
from src.loading.erasing import AREAS, ASPECTS, draw_rectangle, erase
from src.loading.generator import ImageDataGenerator


def picture(height=24, width=32, channels=3, dtype=np.float32):
    return np.random.default_rng([height, width, channels]).integers(0, 256, (height, width, channels)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(4, 6, 3), (5, 3, 1), (1, 2, 3)])
@pytest.mark.parametrize("fill", ["reflect", "constant"])
def test_crops_are_parts_of_numpys_padding(fill, shape, dtype):
    image, p = picture(*shape, dtype), 3  # more than some of the sides have
    padded = np.pad(image, [(p, p), (p, p), (0, 0)], mode=fill)
    before = image.copy()
    for top in range(-p, p + 1):
        for left in range(-p, p + 1):
            part = crop_padded(image, top, left, fill)
            assert part.dtype == dtype
            np.testing.assert_array_equal(part, padded[p + top :, p + left :][: shape[0], : shape[1]])
    np.testing.assert_array_equal(image, before)


def test_a_crop_by_hand():
    row = np.float32([[10, 20, 30]])[..., None]
    assert crop_padded(row, 0, -2, "reflect").ravel().tolist() == [30, 20, 10]
    assert crop_padded(row, 0, -2, "constant").ravel().tolist() == [0, 0, 10]
    assert crop_padded(row, 0, 1, "reflect").ravel().tolist() == [20, 30, 20]


def test_all_offsets_occur_alike():
    draw, padding, per_offset = np.random.default_rng(0), 4, 400
    offsets = np.array([draw_crop(draw, padding) for _ in range(81 * per_offset)]) + padding
    counts = np.bincount(offsets[:, 0] * 9 + offsets[:, 1], minlength=81)
    assert offsets.min() == 0 and offsets.max() == 8 and len(counts) == 81
    # Chi-squared of 80 degrees of freedom lies in 45 to 128 in all but 1 of 1,000 draws.
    assert 45 < ((counts - per_offset) ** 2 / per_offset).sum() < 128


def test_rectangles_lie_within_bounds_and_reach_them():
    draw, (height, width) = np.random.default_rng(0), (60, 90)
    drawn = np.array([draw_rectangle(draw, height, width) for _ in range(2000)])  # none of 2,000 is None
    top, left, rows, columns, seeds = drawn.T
    areas, aspects = rows * columns / (height * width), rows / columns
    assert AREAS[0] <= areas.min() < 0.025 and 0.32 < areas.max() <= AREAS[1]
    assert ASPECTS[0] <= aspects.min() < 0.35 and 2.9 < aspects.max() <= ASPECTS[1]
    assert abs(np.log(aspects).mean()) < 0.1, "upright and lying ones are alike frequent"
    assert (top >= 0).all() and (top + rows <= height).all() and (top + rows == height).any() and (top == 0).any()
    assert (left >= 0).all() and (left + columns <= width).all() and (left + columns == width).any()
    assert len(np.unique(seeds)) == 2000
    assert draw_rectangle(draw, 1, 1) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_exactly_the_rectangle_changes(channels, dtype):
    image = np.full((40, 50, channels), 300 if dtype == np.float32 else 0, dtype)
    erased = image.copy()
    erase(erased, 5, 7, 20, 30, seed=1)
    inside = np.zeros((40, 50), bool)
    inside[5:25, 7:37] = True
    np.testing.assert_array_equal(erased[~inside], image[~inside])
    values = erased[inside].astype(float)
    assert (values == np.rint(values)).all() and values.min() == 0 and values.max() == 255
    assert abs(values.mean() - 127.5) < 5 * 73.9 / np.sqrt(values.size)  # 73.9 is the deviation of 0..255
    if channels == 3:
        assert (values[:, 0] != values[:, 1]).mean() > 0.9
    again, other = image.copy(), image.copy()
    erase(again, 5, 7, 20, 30, seed=1)
    erase(other, 5, 7, 20, 30, seed=2)
    np.testing.assert_array_equal(again, erased)
    assert (other[inside] != erased[inside]).any()


def test_probability_of_erasing():
    generator, draw = ImageDataGenerator(random_erasing=0.3), np.random.default_rng(0)
    on = sum(generator.get_random_transform((32, 32, 3), draw)["erasing"] is not None for _ in range(2000))
    assert abs(on - 600) < 5 * np.sqrt(2000 * 0.3 * 0.7)
    always = ImageDataGenerator(random_erasing=1.0)
    assert all(always.get_random_transform((32, 32, 3), draw)["erasing"] for _ in range(200))


FURTHER = {"crop_padding": 4, "rand_augment": 2, "random_erasing": 1.0}


@pytest.mark.parametrize("options", [{}, {"rotation_range": 20, "zoom_range": 0.2, "horizontal_flip": True}])
def test_present_draws_come_first_and_stay(options):
    plain, further = ImageDataGenerator(**options), ImageDataGenerator(**options, **FURTHER)
    for seed in range(5):
        before, parameters = (g.get_random_transform((24, 32, 3), seed) for g in (plain, further))
        assert {key: parameters[key] for key in before} == before
        assert parameters.keys() - before.keys() == {"crop", "rand_augment", "erasing"}
    for name, key in zip(FURTHER, ("crop", "rand_augment", "erasing")):
        only = ImageDataGenerator(**options, **{name: FURTHER[name]}).get_random_transform((24, 32, 3), 1)
        assert only.keys() - before.keys() == {key}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(24, 32, 3), (40, 20, 1)])
def test_a_view_is_crop_then_warp_then_operations_then_noise(shape, dtype):
    from src.loading.rand_augment import apply_operations
    from src.loading.warp import warp_image

    generator, image = ImageDataGenerator(rotation_range=30, horizontal_flip=True, **FURTHER), picture(*shape, dtype)
    before = image.copy()
    for seed in range(10):
        parameters = generator.get_random_transform(shape, seed)
        expected = warp_image(crop_padded(image, *parameters["crop"], "reflect"), parameters)
        expected = apply_operations(expected, parameters["rand_augment"]).astype(dtype)
        erase(expected, *parameters["erasing"])
        out = np.empty_like(image)
        assert generator.apply_transform(image, parameters, out=out) is out and out.dtype == dtype
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(generator.apply_transform(image, parameters), expected)
    np.testing.assert_array_equal(image, before)


def test_keras_own_transforms_take_them_too():
    generator, image = ImageDataGenerator(interpolation_order=3, random_erasing=1.0), picture()
    before = image.copy()
    view = generator.apply_transform(image, generator.get_random_transform(image.shape, 3))
    np.testing.assert_array_equal(image, before)
    assert 0.02 * 768 * 0.9 <= (view != image).any(axis=2).sum() <= 0.33 * 768


def test_arguments_are_checked():
    for name in FURTHER:
        with pytest.raises(ValueError, match="data_format 'channels_last'. Received: channels_first"):
            ImageDataGenerator(data_format="channels_first", **{name: 1})
    ImageDataGenerator(data_format="channels_first")
    wrong = {
        "crop_padding": -1,
        "rand_augment": 1.5,
        "rand_magnitude": 10.5,
        "random_erasing": -0.1,
        "crop_fill": "mirror",
    }
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=f"{name} must .*Received: {value}"):
            ImageDataGenerator(**{name: value})
    with pytest.raises(ValueError, match="rand_augment must lie within 0 and 14. Received: 15"):
        ImageDataGenerator(rand_augment=15)
    generator = ImageDataGenerator(rand_augment=14)
    with pytest.raises(ValueError, match="1 or 3 channels. Received: 4"):
        generator.apply_transform(picture(channels=4), generator.get_random_transform((24, 32, 4), 1))


def flow(folder, generator, **options):
    options = {"target_size": (24, 32), "batch_size": 4, "seed": 3} | options
    return generator.flow_from_directory(str(folder), **options)


def test_padding_as_wide_as_the_picture_is_refused(pictures):
    assert flow(pictures, ImageDataGenerator(crop_padding=23))[0][0].shape == (4, 24, 32, 3)
    with pytest.raises(UserError, match="smaller side, 24 pixels. Received: 24"):
        flow(pictures, ImageDataGenerator(crop_padding=24))


@pytest.mark.parametrize("color_mode", ["rgb", "grayscale"])
def test_views_are_functions_of_seed_epoch_and_index(pictures, color_mode):
    generator = ImageDataGenerator(horizontal_flip=True, **FURTHER)
    one, four = (flow(pictures, generator, color_mode=color_mode, threads=threads) for threads in (1, 4))
    for batch in (0, 3):
        np.testing.assert_array_equal(one[batch][0], four[batch][0])
    view = one.load_view(5, 2)
    np.testing.assert_array_equal(four.load_view(5, 2), view)
    assert all((other != view).any() for other in (one.load_view(5, 3), one.load_view(6, 2)))
    assert (flow(pictures, generator, color_mode=color_mode, seed=4).load_view(5, 2) != view).any()
    assert view.shape == (24, 32, 3 if color_mode == "rgb" else 1)


def test_fingerprint_and_augmented_notice_what_is_on(pictures):
    plain = flow(pictures, ImageDataGenerator())
    assert not plain.augmented
    for off in ({"crop_fill": "constant"}, {"rand_magnitude": 3.0}):
        assert flow(pictures, ImageDataGenerator(**off)).fingerprint() == plain.fingerprint(), "it acts on nothing"
    different = (
        {"crop_padding": 4},
        {"crop_padding": 3},
        {"crop_padding": 4, "crop_fill": "constant"},
        {"rand_augment": 2},
        {"rand_augment": 1},
        {"rand_augment": 2, "rand_magnitude": 3.0},
        {"random_erasing": 0.01},
        {"random_erasing": 1.0},
    )
    iterators = [flow(pictures, ImageDataGenerator(**options)) for options in different]
    assert all(iterator.augmented for iterator in iterators)
    assert len({iterator.fingerprint() for iterator in [plain, *iterators]}) == 9


def test_keras_own_iterators_give_these_views(pictures, tmp_path):
    visible = shutil.copytree(pictures, tmp_path / "visible", ignore=shutil.ignore_patterns("._*"))
    images = np.stack([picture(dtype=np.uint8)] * 4)
    first, second, other = (
        next(ImageDataGenerator(horizontal_flip=True, **FURTHER).flow(images, seed=s, shuffle=False)) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any() and first.dtype == np.float32
    # What reads files for ``flow_from_dataframe``, without the data frame, which would take pandas.
    options = {"target_size": (24, 32), "shuffle": False, "seed": 1}
    noise, plain = (
        next(KerasDirectoryIterator(str(visible), ImageDataGenerator(random_erasing=p), **options))[0]
        for p in (1.0, 0.0)
    )
    changed = (noise != plain).any(axis=3).mean(axis=(1, 2))
    assert ((changed > 0.018) & (changed <= 0.33)).all()
