"""Every option alone has views that are functions of (seed, epoch, picture); without any nothing is drawn."""

import numpy as np
import pytest

from src.loading.generator import ImageDataGenerator
from src.loading.streams import NO_DRAWS, DrawnError

ALONE = {
    "rotation_range": 40,
    "width_shift_range": 0.3,
    "height_shift_range": [3, 5],
    "brightness_range": (0.3, 0.9),
    "shear_range": 30,
    "zoom_range": 0.4,
    "channel_shift_range": 60,
    "horizontal_flip": True,
    "vertical_flip": True,
    "crop_padding": 6,
    "rand_augment": 3,
    "random_erasing": 1.0,
}


class _Brighter(ImageDataGenerator):
    """What Keras' users write: a transform of their own behind the stock arguments, which are all off."""

    def get_random_transform(self, img_shape, seed=None):
        draw = np.random.default_rng(seed)
        return super().get_random_transform(img_shape, draw) | {"brightness": 0.2 + draw.random()}


def _flow(folder, generator, threads=1):
    return generator.flow_from_directory(str(folder), target_size=(24, 32), batch_size=13, seed=3, threads=threads)


def _check_reproducible(pictures, generator):
    assert generator.draws
    one, four = (_flow(pictures, generator, threads) for threads in (1, 4))
    batch = one[0][0]
    np.testing.assert_array_equal(one[0][0], batch)
    np.testing.assert_array_equal(four[0][0], batch)
    for place, index in enumerate(one.index_array):
        np.testing.assert_array_equal(one.load_view(index, 0), batch[place])
    assert (one.load_batch(one.index_array, 1)[0] != batch).any(), "another epoch has other views"


@pytest.mark.parametrize("name", ALONE)
def test_each_option_alone_is_a_function_of_seed_epoch_and_picture(pictures, name):
    _check_reproducible(pictures, ImageDataGenerator(**{name: ALONE[name]}))


def test_a_subclass_with_a_transform_of_its_own_is_one_too(pictures):
    _check_reproducible(pictures, _Brighter())


@pytest.mark.parametrize("options", [{}, {"rescale": 1 / 255}, {"zoom_range": 0, "width_shift_range": [0]}])
def test_without_any_nothing_is_drawn(pictures, options):
    generator = ImageDataGenerator(**options)
    assert not generator.draws
    images = _flow(pictures, generator)
    np.testing.assert_array_equal(images[0][0][0], images.load_view(images.index_array[0], 5))


def test_drawing_where_nothing_should_be_drawn_is_loud(pictures, monkeypatch):
    for method in ("random", "integers", "choice", "uniform", "spawn"):
        with pytest.raises(DrawnError, match=method):
            getattr(NO_DRAWS, method)
    monkeypatch.setattr(ImageDataGenerator, "draws", False)  # as if an option had been forgotten
    for name, value in ALONE.items():
        with pytest.raises(DrawnError):
            _flow(pictures, ImageDataGenerator(**{name: value}))[0]
