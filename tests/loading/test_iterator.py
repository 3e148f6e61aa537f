"""Batches agree with the stock iterator's, and are functions of (seed, epoch, index) whoever asks, and how."""

import itertools
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorflow.keras.preprocessing.image import ImageDataGenerator as KerasImageDataGenerator

from src.errors import UserError
from src.imaging import ImageError, load_image, read_image, resize_image, write_image
from src.loading.generator import ImageDataGenerator
from src.loading.iterator import surface_errors

SIZE = {"target_size": (24, 32), "batch_size": 4}
RANDOM = {"rotation_range": 20, "zoom_range": 0.2, "horizontal_flip": True}
ATTRIBUTES = (
    "samples", "n", "num_classes", "class_indices", "filenames", "filepaths", "batch_size", "image_shape",
    "batch_index", "class_mode", "target_size", "color_mode", "dtype", "shuffle", "workers", "max_queue_size",
)  # fmt: skip


@pytest.fixture
def visible(pictures, tmp_path):
    """The pictures without the hidden file, which the stock iterator would read."""
    return Path(shutil.copytree(pictures, tmp_path / "visible", ignore=shutil.ignore_patterns("._*")))


def flow(folder, generator=None, **options):
    return (generator or ImageDataGenerator(**RANDOM)).flow_from_directory(str(folder), **(SIZE | options))


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_batch_lets_freed_arrays_keep_their_memory(pictures, monkeypatch):
    """TensorFlow may have forbidden it since the last one."""
    calls = []
    monkeypatch.setattr("src.loading.iterator.keep_freed_memory", lambda: calls.append(1))
    batches = flow(pictures)
    for number in range(2):
        batches[number]
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("generator_options", "options"),
    [
        ({}, {}),
        ({"rescale": 1 / 255}, {"class_mode": "binary", "keep_aspect_ratio": True}),
        ({"samplewise_center": True, "samplewise_std_normalization": True}, {"class_mode": "sparse"}),
        ({"preprocessing_function": lambda x: x[..., ::-1] - 100}, {"class_mode": "input"}),
        ({}, {"class_mode": None, "classes": ["dog", "cat"]}),
        ({}, {"color_mode": "rgba"}),
        ({"data_format": "channels_first"}, {"batch_size": 13}),
        ({"validation_split": 0.3}, {"subset": "validation"}),
        ({"validation_split": 0.3}, {"subset": "training"}),
    ],
)
def test_batches_and_attributes_are_the_stock_ones(visible, capfd, generator_options, options):
    ours, stock = (
        flow(visible, c(**generator_options), shuffle=False, **options)
        for c in (ImageDataGenerator, KerasImageDataGenerator)
    )
    for name in ATTRIBUTES:
        assert getattr(ours, name) == getattr(stock, name), name
    np.testing.assert_array_equal(ours.classes, stock.classes)
    np.testing.assert_array_equal(ours.labels, stock.labels)
    assert len(ours) == len(stock)
    for index in range(len(ours)):
        batches = [batch if isinstance(batch, tuple) else (batch,) for batch in (ours[index], stock[index])]
        for a, b in zip(*batches, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, atol=1e-4)
    assert capfd.readouterr().out.count("Found") == 1  # the stock iterator's; ours speaks on stderr


def test_grayscale_is_the_stock_ones_within_a_level(visible):
    ours, stock = (
        flow(visible, c(), shuffle=False, color_mode="grayscale") for c in (ImageDataGenerator, KerasImageDataGenerator)
    )
    assert ours.image_shape == (24, 32, 1)
    np.testing.assert_allclose(ours[0][0], stock[0][0], atol=1)


def test_wrong_arguments_say_what_was_received(pictures):
    for name in ("interpolation", "class_mode", "color_mode"):
        with pytest.raises(ValueError, match="cubist"):
            flow(pictures, **{name: "cubist"})
    iterator = flow(pictures)
    assert iterator.n == 13  # without the hidden file
    with pytest.raises(ValueError, match="4 batches. Received: 4"):
        iterator[4]


def test_every_way_to_a_batch_gives_the_same(pictures):
    whole = [flow(pictures, seed=3, threads=1)[i] for i in range(4)]
    state = np.random.get_state()[1].copy()
    iterator = flow(pictures, seed=3, threads=4)
    for index in (2, 0, 3, 1, 2):  # in any order, more than once
        assert_same(iterator[index], whole[index])
    for batch, expected in zip(iterator, whole):  # as a plain iterator
        assert_same(batch, expected)
    assert iterator.epoch == 1
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    iterator.set_epoch(0)
    order = iterator.index_array
    for index in range(iterator.n):  # alone
        place = int(np.flatnonzero(order == index)[0])
        np.testing.assert_array_equal(iterator.load_view(index, 0), whole[place // 4][0][place % 4])


def test_epochs_differ_resume_and_reset(pictures):
    first = flow(pictures, seed=3)
    epochs = [[next(first) for _ in range(len(first))] for _ in range(3)]
    assert all((a[0][0] != b[0][0]).any() for a, b in itertools.combinations(epochs, 2))
    resumed = flow(pictures, seed=3)
    resumed.set_epoch(2)
    assert_same(next(resumed), epochs[2][0])
    next(resumed)
    resumed.reset()
    assert_same(next(resumed), epochs[2][0])
    resumed.set_epoch(0)
    resumed.on_epoch_end()
    assert_same(resumed[1], epochs[1][1])
    for label in ((flow(pictures, seed=4), True), (flow(pictures, seed=None), True), (flow(pictures, seed=3), False)):
        assert (label[0][0][0] != epochs[0][0][0]).any() == label[1]


def test_each_picture_once_in_an_epoch(pictures):
    iterator = flow(pictures, ImageDataGenerator(), seed=1)
    seen = np.concatenate([iterator[i][0] for i in range(len(iterator))])
    unshuffled = flow(pictures, ImageDataGenerator(), shuffle=False, batch_size=13)[0][0]
    order = np.lexsort(seen.reshape(13, -1).T), np.lexsort(unshuffled.reshape(13, -1).T)
    np.testing.assert_array_equal(seen[order[0]], unshuffled[order[1]])
    assert (seen != unshuffled).any()


class Recorder(keras.Model):
    """Notes the sums of the pictures of each batch that ``fit`` hands over."""

    def __init__(self, sums: list):
        super().__init__()
        self.dense, self.note = keras.layers.Dense(2), sums.append  # a list as an attribute would be wrapped by Keras

    def call(self, x):
        return self.dense(keras.ops.mean(x, axis=(1, 2)))

    def train_step(self, data):
        self.note(sums_of(np.asarray(data[0])))
        return {"loss": 0.0}


def sums_of(images: np.ndarray) -> tuple:
    return tuple(images.astype(np.float64).sum(axis=(1, 2, 3)))


def fitted(iterator, **options) -> list:
    sums = []
    model = Recorder(sums)
    model.compile(run_eagerly=True)
    model.fit(iterator, verbose=0, **options)
    return sums


def test_fit_sees_the_same_batches_whatever_the_workers(pictures):
    expected, iterator = [], flow(pictures, seed=3)
    for _ in range(3):
        expected += [sums_of(iterator[i][0]) for i in range(len(iterator))]
        iterator.on_epoch_end()
    for workers, threads in ((1, 1), (1, 4), (4, 2)):
        iterator = flow(pictures, seed=3, threads=threads)
        iterator.workers, iterator.use_multiprocessing = workers, workers > 1
        assert iterator.threads == max(threads, workers)
        assert fitted(iterator, epochs=2, shuffle=False) == expected[:8]
        assert iterator.epoch == 2
        assert fitted(iterator, shuffle=False) == expected[8:]  # a second fit counts on
        iterator.set_epoch(1)  # resumed
        assert fitted(iterator, initial_epoch=1, epochs=3, shuffle=False) == expected[4:]
    # By default Keras shuffles the batches once more; they hold the same.
    assert sorted(fitted(flow(pictures, seed=3))) == sorted(expected[:4])


@pytest.mark.parametrize("size", [(24, 32), (23, 31)])
def test_tensorflow_takes_a_batch_over_without_a_copy(pictures, size):
    images = flow(pictures, target_size=size)[1][0]
    assert images.ctypes.data % 64 == 0 and images.flags["C_CONTIGUOUS"] and images.flags["WRITEABLE"]


def test_large_jpegs_come_as_prediction_reads_them(tmp_path):
    (tmp_path / "cat").mkdir()
    path = tmp_path / "cat" / "large.jpg"
    large = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    write_image(path, resize_image(large, (480, 640), "bicubic"))
    for interpolation in ("bilinear", "nearest"):
        images = flow(tmp_path, ImageDataGenerator(), classes=["cat"], interpolation=interpolation)[0][0]
        np.testing.assert_array_equal(images[0], load_image(path, (24, 32), interpolation))
        whole = resize_image(read_image(path), (24, 32), interpolation)
        assert (images[0] == whole).all() == (interpolation == "nearest")


def test_save_to_dir(pictures, tmp_path):
    iterator = flow(pictures, seed=3, save_to_dir=str(tmp_path), save_prefix="view", save_format="png", shuffle=False)
    images, _ = iterator[1]
    names = sorted(os.listdir(tmp_path))
    assert names == [f"view_{index}_0.png" for index in range(4, 8)]
    assert read_image(tmp_path / names[0]).shape == (24, 32, 3)


@pytest.fixture
def damaged(pictures, tmp_path):
    """The pictures, and one file of each class that is none, behind the others."""
    folder = Path(shutil.copytree(pictures, tmp_path / "damaged"))
    (folder / "dog" / "z.jpg").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize("color_mode", ["rgb", "rgba"])
def test_an_unreadable_picture_is_one_sentence(damaged, color_mode):
    iterator = flow(damaged, color_mode=color_mode, shuffle=False)
    with pytest.raises(ImageError, match=r"z.jpg: .*remove the file, or run split_dataset.py again") as caught:
        list(itertools.islice(iterator, 4))
    assert isinstance(caught.value, UserError) and "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("method", ["fit", "validation", "evaluate", "predict"])
def test_errors_surface_from_keras(pictures, damaged, method, workers):
    good, bad = (flow(f, shuffle=False, batch_size=2) for f in (pictures, damaged))
    bad.workers = workers
    model = keras.Sequential([keras.Input((24, 32, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    model.compile(loss="mse")
    calls = {
        "fit": lambda: model.fit(bad, verbose=0),
        "validation": lambda: model.fit(good, validation_data=bad, verbose=0),
        "evaluate": lambda: model.evaluate(bad, verbose=0),
        "predict": lambda: model.predict(bad, verbose=0),
    }
    with pytest.raises(ImageError, match="z.jpg"), surface_errors(good, bad, None):
        calls[method]()


def test_other_errors_pass_as_they_are(pictures):
    iterator = flow(pictures)
    iterator.error = ImageError("old.jpg", "of an earlier run")
    with pytest.raises(KeyError), surface_errors(iterator):
        raise KeyError("x")
    with surface_errors(iterator):
        pass
