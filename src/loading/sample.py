"""Some training pictures as they are, to judge training by without augmentation."""

import hashlib

import keras
import numpy as np

from src.loading.iterator import DirectoryIterator
from src.loading.stand_ins import StandIns
from src.settings import random_generator

_STREAM = 0x73616D70  # in the key of the random draw, so that it is none of the views'


class PlainSample(keras.utils.PyDataset):
    """Batches of a random sample of an iterator's pictures, un-augmented, always the same, for ``evaluate``.

    The pictures come through the iterator's own memory, so that none is read a second time for this. What it has in
    common with an iterator (``samples``, ``classes``, ``load_batch``) lets its features be stored like others.

    Args:
        pictures: yields (images, labels); neither its order nor its epoch moves.
        count: of pictures in the sample, at most all of them.
    """

    def __init__(self, pictures: DirectoryIterator, count: int, *, seed: int):
        super().__init__()
        self.pictures, self.batch_size = pictures, pictures.batch_size
        count = min(count, pictures.samples)
        chosen = random_generator(seed, _STREAM).permutation(pictures.samples)[:count]
        self.indices = np.sort(chosen)
        self.samples, self.num_classes = len(self.indices), pictures.num_classes
        self.classes = pictures.classes[self.indices]

    @property
    def stand_ins(self) -> StandIns:
        """Those of all pictures."""
        return self.pictures.stand_ins

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def __getitem__(self, index: int):
        return self.load_batch(np.arange(self.samples)[index * self.batch_size : (index + 1) * self.batch_size])

    def load_batch(self, indices: np.ndarray, epoch: int = 0):
        """The pictures at these places of the sample with their labels, one-hot; alike in all epochs."""
        try:
            images = np.stack([self.pictures.load_picture(index) for index in self.indices[indices]])
        except Exception as error:
            self.pictures.error = error  # for surface_errors
            raise
        return images, np.eye(self.num_classes, dtype=np.float32)[self.classes[indices]]

    def fingerprint(self, of_all: str) -> str:
        """Hexadecimal SHA-256 of what the pictures are a function of, by that of the iterator."""
        return hashlib.sha256(f"{of_all} plain {self.indices.tolist()}".encode()).hexdigest()
