"""Batches as Keras is given them: the same ones in the same order, epoch by epoch, and nothing that tunes them."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from src.training.batches import as_untuned_dataset
from src.training.fit import fit_phase
from src.training.history import TrainingHistory


class _Numbered(keras.utils.PyDataset):
    """Three batches, the last smaller, whose pictures hold the epoch and their batch's number."""

    def __init__(self, weights=False):
        super().__init__()
        self.epoch, self.weights, self.calls = 0, weights, []

    def __len__(self):
        return 3

    def __getitem__(self, index):
        count = 2 if index < 2 else 1
        images = np.full((count, 4, 3, 3), 10 * self.epoch + index, np.float32)
        labels = np.eye(2, dtype=np.float32)[[index % 2] * count]
        return (images, labels, np.ones(count, np.float32)) if self.weights else (images, labels)

    def on_epoch_begin(self):
        self.calls.append(("begin", self.epoch))

    def on_epoch_end(self):
        self.epoch += 1


def test_the_same_batches_in_the_same_order():
    for weights in (False, True):
        batches = _Numbered(weights)
        dataset = as_untuned_dataset(batches)
        assert int(dataset.cardinality()) == 3 and not dataset.options().autotune.enabled
        for _ in range(2):
            given = list(dataset.as_numpy_iterator())
            assert len(given) == 3
            for index, parts in enumerate(given):
                for part, expected in zip(parts, batches[index], strict=True):
                    np.testing.assert_array_equal(part, expected)


def test_a_dataset_stays_as_it_is():
    dataset = tf.data.Dataset.range(3)
    assert as_untuned_dataset(dataset) is dataset


def test_training_turns_the_epochs_of_its_batches():
    seen = []

    class Note(layers.Layer):
        def call(self, inputs):
            tf.py_function(lambda images: seen.append(int(images[0, 0, 0, 0])), [inputs], [])
            return inputs

    inputs = keras.Input((4, 3, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(Note()(inputs))))
    train, val = _Numbered(), _Numbered()
    val.epoch = 7
    fit_phase(model, train, val, TrainingHistory(model), phase=1, epochs=3, learning_rate=0.01, patience=9)
    assert train.calls == [("begin", 0), ("begin", 1), ("begin", 2)]
    trained, judged = [number for number in seen if number < 70], [number for number in seen if number >= 70]
    assert trained == [0, 1, 2, 10, 11, 12, 20, 21, 22]
    assert judged == [70, 71, 72] * 3
