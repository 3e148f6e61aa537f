"""What a frozen backbone computes, computed once.

A frozen layer in inference mode gives the same output for the same pixels in every epoch. So each recorded view of a
training picture goes through the frozen part once, and the epochs train what lies above on the stored outputs. The
result equals plain training on the same views to float precision; what is lost is that a picture has as many views
as are recorded, not a new one in every epoch. (One more difference where a backbone has dropout inside, as EfficientNet
has: in plain training ``fit`` applies it in the frozen part too, here that part is in inference mode.)
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np

from src.progress import track
from src.settings import random_generator


@dataclass(frozen=True)
class Features:
    """Stored outputs of one tensor: values float32 (views, N, ...), labels (N, C), both in the pictures' order."""

    values: np.ndarray
    labels: np.ndarray

    @property
    def views(self) -> int:
        return self.values.shape[0]


def split_at(logits: keras.Model, tensors: list) -> tuple[keras.Model, list[keras.Model]]:
    """Split a network: one model from the inputs to all ``tensors``, and from each tensor one to the logits.

    The parts share their layers with ``logits``: what trains in one is trained in all. Each tensor must be the only
    way from the inputs to the logits, as the input of a residual block is.
    """
    lower = keras.Model(logits.inputs, tensors)
    return lower, [keras.Model(tensor, logits.output) for tensor in tensors]


def extract_features(lower: keras.Model, pictures, views: int, what: str) -> list[Features]:
    """Run all pictures through ``lower`` once per view.

    Args:
        lower: inputs -> list of tensors; all its layers frozen.
        pictures: a ``DirectoryIterator``; view v of a picture is what epoch v would show.
        views: how many; 1 for pictures that are not augmented.
        what: named in the progress.

    Returns:
        One ``Features`` for each output of ``lower``.
    """
    count, size = pictures.samples, pictures.batch_size
    batches = [
        (view, np.arange(start, min(start + size, count))) for view in range(views) for start in range(0, count, size)
    ]
    stores, labels = None, None
    with ThreadPoolExecutor(1) as pool:  # reads the next batch while this one is computed
        ahead = pool.submit(pictures.load_batch, batches[0][1], batches[0][0])
        for number, (view, indices) in enumerate(track(batches, what=what, unit="batches")):
            images, batch_labels = ahead.result()
            if number + 1 < len(batches):
                ahead = pool.submit(pictures.load_batch, batches[number + 1][1], batches[number + 1][0])
            outputs = lower.predict_on_batch(images)
            outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
            if stores is None:
                stores = [np.empty((views, count, *output.shape[1:]), np.float32) for output in outputs]
                labels = np.empty((count, *batch_labels.shape[1:]), np.float32)
            for store, output in zip(stores, outputs):
                store[view, indices] = output
            labels[indices] = batch_labels
    return [Features(store, labels) for store in stores]


class FeatureBatches(keras.utils.PyDataset):
    """Batches of stored features for ``fit``: epoch e shows view e modulo the number of views.

    Yields (values (n, ...), labels (n, C)). The order is a function of (seed, epoch); without ``shuffle`` it is the
    pictures' own.
    """

    def __init__(self, features: Features, batch_size: int, *, seed: int, shuffle: bool):
        super().__init__()
        self.features, self.batch_size, self.seed, self.shuffle = features, batch_size, seed, shuffle
        self.epoch = -1  # ``fit`` begins its first epoch with on_epoch_begin
        self._arrange(0)

    def __len__(self) -> int:
        return -(-len(self.features.labels) // self.batch_size)

    def on_epoch_begin(self) -> None:
        self.epoch += 1
        self._arrange(self.epoch)

    def _arrange(self, epoch: int) -> None:
        order = np.arange(len(self.features.labels))
        if self.shuffle:
            order = random_generator(self.seed, epoch, len(order)).permutation(len(order))
        self.view, self.order = epoch % self.features.views, order

    def __getitem__(self, index: int):
        indices = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.features.values[self.view, indices], self.features.labels[indices]
