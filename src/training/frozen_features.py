"""What a frozen backbone computes, computed once.

A frozen layer in inference mode gives the same output for the same pixels in every epoch. So each recorded view of a
training picture goes through the frozen part once, and the epochs train what lies above on the stored outputs. The
result equals plain training on the same views to float precision; what is lost is that a picture has as many views
as are recorded, not a new one in every epoch. (One more difference where a backbone has dropout inside, as EfficientNet
has: in plain training ``fit`` applies it in the frozen part too, here that part is in inference mode.)
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from src.inference.engine import Engine
from src.loading.sampling import draw_order
from src.networks.structure import structure_of
from src.progress import track
from src.training.feature_store import Column, FeatureStore, StoreKey, open_store

# Part of every key: to be raised where features of older versions would no longer be those computed now.
_VERSION = 1


@dataclass(frozen=True)
class Features:
    """Stored outputs of one tensor.

    Attributes:
        values: for each view (N, ...), float16 or float32.
        labels: float32 (N, C).
        found: how many of the views' rows an earlier run had stored.
    """

    values: list[np.ndarray]
    labels: np.ndarray
    found: int = 0

    @property
    def views(self) -> int:
        return len(self.values)


def split_at(logits: keras.Model, tensor) -> keras.Model:
    """The part of a network from ``tensor`` to the logits.

    It shares its layers with ``logits``: what trains in one is trained in the other. The tensor must be the only
    way from the inputs to the logits, as the input of a residual block is.
    """
    return keras.Model(tensor, logits.output)


def network_digest(lower: keras.Model) -> str:
    """Hexadecimal SHA-256 of a network's structure (pre-processing included) and weights."""
    result = hashlib.sha256(structure_of(lower).encode())
    for weight in lower.get_weights():
        result.update(np.ascontiguousarray(weight).data)
    return result.hexdigest()


def store_key(pictures, fingerprint: str, network: str, tensors: dict, *, half: bool = True) -> StoreKey:
    """The key of what ``tensors`` are for the views of ``pictures``.

    Args:
        pictures: a ``DirectoryIterator``.
        fingerprint: of the pictures, by their method of that name, which reads all files.
        network: what identifies the network below the tensors and the precision it is computed in.
        tensors: symbolic, by name.
        half: keep maps as float16. Vectors, which take little, are float32 in any case.
    """
    columns = []
    for name, tensor in tensors.items():
        shape = tuple(tensor.shape[1:])
        columns.append(Column(name, shape, "float16" if half and len(shape) > 1 else "float32"))
    origin = {"version": _VERSION, "network": network, "pictures": fingerprint}
    return StoreKey(origin, tuple(columns), pictures.samples)


@contextlib.contextmanager
def stored_features(
    root: Path, key: StoreKey, pictures, views: int, create_engine: Callable[[], Engine], what: str
) -> Iterator[dict[str, Features]]:
    """The features of all pictures in so many views: those that are stored already, and the others computed.

    Args:
        root: folder of all stores.
        pictures: a ``DirectoryIterator``; view v of a picture is what epoch v would show.
        create_engine: called only where something is to be computed.
        what: named in the progress.

    Yields:
        One ``Features`` for each column of ``key``, readable within the context.

    Raises:
        HalfOverflow: a column of float16 cannot hold a value.
        UserError: the network answers with what is no number, or a picture cannot be read.
    """
    with open_store(root, key, views) as store:
        found = min(store.rows, views * key.pictures)
        if found:
            pictures.stand_ins.recall(store.unreadable)
        if found < views * key.pictures:
            _extract(store, pictures, views, create_engine(), what)
        labels = np.eye(pictures.num_classes, dtype=np.float32)[pictures.classes]
        yield {
            column.name: Features([store.view(column.name, view) for view in range(views)], labels, found)
            for column in key.columns
        }


def _extract(store: FeatureStore, pictures, views: int, engine: Engine, what: str) -> None:
    """Compute the rows that are missing, batch by batch."""
    count, size = pictures.samples, pictures.batch_size
    batches = []
    for view in range(store.rows // count, views):
        first = store.rows - view * count if view == store.rows // count else 0
        batches += [(view, np.arange(at, min(at + size, count))) for at in range(first, count, size)]

    def read(view: int, indices: np.ndarray) -> np.ndarray:
        return pictures.load_batch(indices, view)[0]

    with (
        ThreadPoolExecutor(1) as pool,  # reads the next batch while this one is computed
        track(total=views * count, done=store.rows, what=what) as progress,
    ):
        ahead = pool.submit(read, *batches[0])
        for following in [*batches[1:], None]:
            images = ahead.result()
            if following:
                ahead = pool.submit(read, *following)
            store.unreadable = pictures.stand_ins.record()
            if pictures.stand_ins.lost:
                store.disown()
            store.append(engine.run(images))
            progress.update(len(images))
    store.close()


class FeatureBatches(keras.utils.PyDataset):
    """Batches of stored features for ``fit``: epoch e shows view e modulo the number of views.

    Yields (values float32 (n, ...), labels (n, C)). The order is a function of (seed, epoch); without ``shuffle`` it is
    the pictures' own.

    Args:
        sampling: with ``shuffle``, as in :func:`src.loading.sampling.draw_order`; a picture that is drawn twice in an
            epoch shows the same view twice.
    """

    def __init__(self, features: Features, batch_size: int, *, seed: int, shuffle: bool, sampling: str = "all"):
        super().__init__()
        self.features, self.batch_size, self.seed, self.shuffle = features, batch_size, seed, shuffle
        self.sampling, self.classes = sampling, features.labels.argmax(axis=1)
        self.set_epoch(0)

    def __len__(self) -> int:
        return -(-len(self.features.labels) // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Let ``fit`` begin with this epoch, to resume."""
        self._following = epoch
        self._arrange(epoch)

    def on_epoch_begin(self) -> None:
        self._arrange(self._following)
        self._following += 1

    def _arrange(self, epoch: int) -> None:
        self.epoch = epoch
        count = len(self.classes)
        order = draw_order(self.classes, self.sampling, self.seed, epoch) % count if self.shuffle else np.arange(count)
        self.view, self.order = epoch % self.features.views, order

    def __getitem__(self, index: int):
        indices = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.features.values[self.view][indices].astype(np.float32, copy=False), self.features.labels[indices]
