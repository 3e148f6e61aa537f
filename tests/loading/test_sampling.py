"""Balanced sampling by counts, its order by the seed, and repeats with views of their own."""

import numpy as np
import pytest

from src.loading.generator import ImageDataGenerator
from src.loading.parts import get_data_generators
from src.loading.sampling import draw_order
from src.settings import random_generator
from tests.conftest import write_image

CLASSES = np.repeat([0, 1, 2], [29, 6, 2])


def test_all_is_a_permutation_by_seed_and_epoch():
    order = draw_order(CLASSES, "all", seed=5, epoch=2)
    np.testing.assert_array_equal(order, random_generator(5, 2, 37).permutation(37))


@pytest.mark.parametrize("classes", [CLASSES, np.repeat([0, 1], [3, 3]), np.repeat([0, 2], [50, 1]), np.zeros(4, int)])
def test_balanced_counts(classes):
    n = len(classes)
    for epoch in range(20):
        order = draw_order(classes, "balanced", seed=1, epoch=epoch)
        pictures, again = order % n, order // n
        assert len(order) == n == len(np.unique(order))
        of_class = np.bincount(classes[pictures])
        of_class = of_class[np.unique(classes)]
        assert of_class.sum() == n and np.ptp(of_class) <= 1
        for label in np.unique(classes):
            members = np.flatnonzero(classes == label)
            assert np.ptp([(pictures == member).sum() for member in members]) <= 1
        for picture in np.unique(pictures):  # its draws are numbered from 0
            assert sorted(again[pictures == picture]) == list(range((pictures == picture).sum()))


def test_balanced_order_is_a_function_of_seed_and_epoch():
    first, same, later, other = (draw_order(CLASSES, "balanced", *key) for key in ((1, 0), (1, 0), (1, 1), (2, 0)))
    np.testing.assert_array_equal(first, same)
    assert (first != later).any() and (first != other).any()
    assert (np.diff(CLASSES[first % 37]) != 0).sum() > 12, "the classes are mixed"


def test_over_many_epochs_every_picture_of_a_class_comes_alike():
    epochs = 600
    counts = sum(np.bincount(draw_order(CLASSES, "balanced", 3, e) % 37, minlength=37) for e in range(epochs))
    for label, members in ((0, 29), (1, 6), (2, 2)):
        expected = epochs * 37 / 3 / members
        np.testing.assert_allclose(counts[label == CLASSES], expected, atol=5 * np.sqrt(epochs) / 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine dark pictures and two light ones in each part; the number of a picture is its upper left pixel."""
    root = tmp_path_factory.mktemp("uneven")
    for part in ("train", "val", "test"):
        for name, count, level in (("dark", 9, 0), ("light", 2, 100)):
            for number in range(count):
                image = np.full((8, 12, 3), level, np.uint8)
                image[0, 0] = level + number
                write_image(root / part / name / f"{number}.png", image)
    return root


@pytest.mark.parametrize("color_mode", ["rgb", "grayscale"])
def test_the_iterator_draws_all_classes_alike(folder, color_mode):
    options = {"target_size": (8, 12), "batch_size": 4, "seed": 1, "color_mode": color_mode, "interpolation": "nearest"}
    iterator = ImageDataGenerator().flow_from_directory(str(folder / "train"), sampling="balanced", **options)
    assert len(iterator) == 3 and iterator.n == 11
    orders = []
    for _ in range(3):
        batches = [iterator[i] for i in range(3)]
        images, labels = (np.concatenate(arrays) for arrays in zip(*batches))
        assert sorted(labels.sum(axis=0)) == [5, 6]
        np.testing.assert_array_equal(labels[:, 1], images[:, 4, 4, 0] == 100)  # each label is its picture's
        orders.append(images[:, 0, 0, 0].tolist())
        light = [value for value in orders[-1] if value >= 100]
        assert set(light) == {100, 101} and abs(light.count(100) - light.count(101)) <= 1
        iterator.on_epoch_end()
    assert orders[0] != orders[1] != orders[2]
    iterator.set_epoch(1)
    assert np.concatenate([iterator[i][0] for i in range(3)])[:, 0, 0, 0].tolist() == orders[1]


def test_repeats_have_views_of_their_own(folder):
    generator = ImageDataGenerator(random_erasing=1.0)
    options = {"target_size": (8, 12), "batch_size": 11, "seed": 1}
    iterator = generator.flow_from_directory(str(folder / "train"), sampling="balanced", **options)
    light = 9
    views = [iterator.load_view(light + 11 * again, epoch=0) for again in range(3)]
    assert all((views[a] != views[b]).any() for a, b in ((0, 1), (0, 2), (1, 2)))
    np.testing.assert_array_equal(iterator.load_view(light + 11, 0), views[1])
    plain = generator.flow_from_directory(str(folder / "train"), **options)
    np.testing.assert_array_equal(plain.load_view(light, 0), views[0])  # the first is what it is without repeats
    np.testing.assert_array_equal(iterator.load_picture(light + 22), plain.load_picture(light))
    assert iterator.load_batch(np.array([0, 11, 9, 20]), 0)[1].argmax(axis=1).tolist() == [0, 0, 1, 1]


def test_balanced_sampling_is_for_the_training_part(folder):
    train, val, test = get_data_generators(folder, (8, 12), 100, augment=False, sampling="balanced")
    assert [iterator.sampling for iterator in (train, val, test)] == ["balanced", "all", "all"]
    assert sorted(train[0][1].sum(axis=0)) == [5, 6]
    assert val[0][1].sum(axis=0).tolist() == [9, 2]


def test_wrong_sampling_says_what_was_received(folder):
    with pytest.raises(ValueError, match="all, balanced. Received: even"):
        ImageDataGenerator().flow_from_directory(str(folder / "train"), sampling="even")
    with pytest.raises(ValueError, match="shuffle must be True. Received: False"):
        ImageDataGenerator().flow_from_directory(str(folder / "train"), sampling="balanced", shuffle=False)
