"""The settings of the augmentation: their bounds, the arguments they stand for, and their way to the iterators."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from src.errors import UserError
from src.loading.augmentation import AugmentationSettings
from src.loading.generator import ImageDataGenerator
from src.loading.parts import AUGMENTATION, get_data_generator, get_data_generators
from src.settings import add_options, create_parser, read_options

# One other value of each field; magnitude and fill act where what they belong to is on.
CHANGES = {
    "augment": ({}, False),
    "rotation": ({}, 33.0),
    "shift": ({}, 0.25),
    "zoom": ({}, 0.4),
    "flip": ({}, False),
    "crop_padding": ({}, 4),
    "crop_fill": ({"crop_padding": 4}, "constant"),
    "rand_augment": ({}, 2),
    "rand_magnitude": ({"rand_augment": 2}, 4.0),
    "erasing": ({}, 1.0),
}


def test_the_defaults_are_what_they_were():
    before = {
        "rotation_range": 20,
        "width_shift_range": 0.1,
        "height_shift_range": 0.1,
        "zoom_range": 0.2,
        "horizontal_flip": True,
        "fill_mode": "nearest",
    }
    assert AugmentationSettings().generator_arguments() == before == AUGMENTATION
    assert repr(AUGMENTATION) == repr(before), "20 and 20.0 would be two fingerprints"
    assert AugmentationSettings(augment=False).generator_arguments() == {}


@pytest.mark.parametrize(
    ("options", "notes"),
    [
        ({}, []),
        ({"crop_fill": "constant", "crop_padding": 4, "rand_augment": 1, "rand_magnitude": 3.0}, []),
        ({"augment": False, "erasing": 0.5}, ["Note: --erasing does nothing beside --no-augment."]),
        ({"augment": False, "rotation": 0, "flip": False}, []),  # off is off
        ({"crop_fill": "constant"}, ["Note: --crop-fill does nothing without --crop-padding."]),
        ({"rand_magnitude": 3.0}, ["Note: --rand-magnitude does nothing without --rand-augment."]),
    ],
)
def test_what_does_nothing_is_noted(options, notes, capsys):
    AugmentationSettings(**options).note_idle()
    assert capsys.readouterr().err.splitlines() == notes


def test_each_field_is_an_option_and_changes_the_arguments():
    assert list(CHANGES) == [field.name for field in dataclasses.fields(AugmentationSettings)]
    parser = create_parser("Example.", "  example")
    add_options(parser, AugmentationSettings)
    for name, (others, value) in CHANGES.items():
        word = f"--{name.replace('_', '-')}"
        words = [word, str(value)] if not isinstance(value, bool) else [f"--no-{name}"]
        for other, its_value in others.items():
            words += [f"--{other.replace('_', '-')}", str(its_value)]
        settings = read_options(AugmentationSettings, parser.parse_args(words))
        assert settings == AugmentationSettings(**others, **{name: value})
        arguments = settings.generator_arguments()
        assert arguments != AugmentationSettings(**others).generator_arguments(), name
        ImageDataGenerator(**arguments)
    everything = AugmentationSettings(rotation=0, crop_padding=4, rand_augment=2, rand_magnitude=5, erasing=0.25)
    expected = {"crop_padding": 4, "crop_fill": "reflect", "rand_augment": 2, "rand_magnitude": 5}
    assert everything.generator_arguments() == AUGMENTATION | expected | {"rotation_range": 0, "random_erasing": 0.25}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation", -1),
        ("shift", 1.0),  # Keras would take it for one pixel
        ("zoom", 1),
        ("crop_padding", 1.5),
        ("crop_fill", "mirror"),
        ("rand_augment", -1),
        ("rand_augment", 15),
        ("rotation", None),
        ("rand_magnitude", 11),
        ("erasing", 1.1),
    ],
)
def test_values_out_of_bounds_name_the_setting(name, value):
    with pytest.raises(UserError, match=f"{name}: expected .*Received: {value}"):
        AugmentationSettings(**{name: value})


def test_settings_reach_the_training_part_only(small_data):
    settings = AugmentationSettings(rotation=0, shift=0, zoom=0, flip=False, erasing=1.0)
    train, val, test = get_data_generators(small_data, 24, 100, augment=settings)
    plain = get_data_generators(small_data, 24, 100, augment=False)
    assert train.image_data_generator.random_erasing == 1 and train.augmented
    for ours, other, same in zip((train, val, test), plain, (False, True, True)):
        assert (ours[0][0] == other[0][0]).all() == same
    off = get_data_generators(small_data, 24, 100, augment=AugmentationSettings(augment=False))[0]
    np.testing.assert_array_equal(off[0][0], plain[0][0][0])
    one = get_data_generator(small_data, "train", 24, 100, augment=settings)
    np.testing.assert_array_equal(one[0][0], train[0][0])
    by_default = get_data_generators(small_data, 24, 100)[0]
    np.testing.assert_array_equal(
        get_data_generators(small_data, 24, 100, augment=AugmentationSettings())[0][0][0], by_default[0][0]
    )


def test_parsers_need_neither_tensorflow_nor_opencv_for_it():
    code = "import sys, src.loading.augmentation; print(sorted({'tensorflow', 'keras', 'cv2'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
