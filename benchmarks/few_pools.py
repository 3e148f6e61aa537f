"""Pools of labelled pictures that bench_few draws small sets from, with what the frozen backbone computes of each.

All of a pool's pictures go through the frozen network once, as they are and in augmented views; each draw is then a
choice of rows. The classic schedule is trained on such rows, which equals training on the pictures in those views
(``src/training/frozen_features.py``, tested there).
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from src.evaluation.calibration import losses, softmax
from src.inference.engine import create_engine
from src.loading.augmentation import AugmentationSettings
from src.loading.generator import ImageDataGenerator
from src.networks.heads import logits_model
from src.networks.registry import build_transfer_model, get_backbone
from src.training.frozen_features import network_digest, split_at, store_key, stored_features
from src.training.two_phase import freeze_below

BACKBONE = "efficientnet_lite0"
VIEWS = 5  # the classic schedule's epochs show so many different views
BATCH = 32
_POOLED, _CUT = "pooling", "below"


@dataclass(frozen=True)
class Pool:
    """What is known of a pool's N pictures.

    Attributes:
        class_names: sorted.
        labels: int (N,).
        plain, views: for each output name, "pooling" (N, D) or "below" (N, h, w, C), what the network computes of the
            pictures as they are, and a list of the same for each augmented view.
    """

    class_names: list[str]
    labels: np.ndarray
    plain: dict[str, np.ndarray]
    views: list[dict[str, np.ndarray]]

    @property
    def features(self) -> np.ndarray:
        """Pooled, float32 (N, D), of the pictures as they are."""
        return self.plain[_POOLED]


@dataclass(frozen=True)
class Draw:
    """Places in a pool: what a user has, in three parts, and all the rest."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    remainder: np.ndarray

    @property
    def labelled(self) -> np.ndarray:
        """What a user has."""
        return np.concatenate([self.train, self.val, self.test])


def draw_pictures(
    labels: np.ndarray, per_class: int, seed: Sequence[int], shares: tuple[float, float] = (0.15, 0.15)
) -> Draw:
    """So many pictures of each class, of which the shares for validation and test, rounded down, are set apart."""
    random = np.random.default_rng(seed)
    val_count, test_count = (int(per_class * share + 1e-9) for share in shares)
    rows = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    ends = per_class - val_count - test_count, per_class - test_count, per_class
    return Draw(*map(np.concatenate, zip(*(np.split(row, ends) for row in rows))))


def link_pictures(files: dict[str, Sequence[str]], target: Path, most: int | None = None, seed: int = 0) -> None:
    """Lay out ``target``/<class>/ with links to the files of each class, at most so many of each, by chance."""
    for name, paths in sorted(files.items()):
        (target / name).mkdir(parents=True)
        paths = sorted(paths)
        for number in sorted(np.random.default_rng([seed, len(paths)]).permutation(len(paths))[:most]):
            path = os.path.realpath(paths[number])
            os.symlink(path, target / name / f"{number:06d}_{Path(path).name}")


class Networks:
    """The transfer network of so many classes, and its parts above each place where features are stored."""

    def __init__(self, class_count: int):
        self.backbone = get_backbone(BACKBONE)
        size = (self.backbone.image_size, self.backbone.image_size)
        self.model, self.base, _ = build_transfer_model(self.backbone, class_count, size)
        self.logits = logits_model(self.model)
        self.first_trainable = self.backbone.block_start(self.base, self.backbone.unfreeze_from)
        below = self.base.layers[self.first_trainable].input
        self.cuts = {_POOLED: self.logits.get_layer("pooling").output, _CUT: below}
        self._start = self.base.get_weights()

    @cached_property
    def above_pooling(self) -> keras.Model:
        return split_at(self.logits, self.cuts[_POOLED])

    @cached_property
    def above_cut(self) -> keras.Model:
        return split_at(self.logits, self.cuts[_CUT])

    def reset(self, seed: int) -> None:
        """The pre-trained backbone, and a head as Keras begins it."""
        self.base.set_weights(self._start)
        for number, name in enumerate(("dense", "logits")):
            layer = self.model.get_layer(name)
            draw = keras.initializers.GlorotUniform(seed=10 * seed + number)
            layer.set_weights([np.asarray(draw(layer.kernel.shape)), np.zeros(layer.bias.shape)])


def load_pool(folder: Path, cache: Path, networks: Networks, *, views: int = VIEWS, seed: int = 42) -> Pool:
    """Compute, or find in ``cache``, the features of all pictures below ``folder``/<class>/; without views the pooled
    ones alone."""
    tensors = networks.cuts if views else {_POOLED: networks.cuts[_POOLED]}
    network = network_digest(keras.Model(networks.logits.inputs[0], tensors))

    def engine():
        return create_engine(networks.logits.inputs[0], tensors)

    def compute(augment: bool, count: int):
        settings, size = AugmentationSettings(augment=augment), networks.backbone.image_size
        pictures = ImageDataGenerator(**settings.generator_arguments()).flow_from_directory(
            folder,
            target_size=(size, size),
            batch_size=BATCH,
            shuffle=False,
            seed=seed,
            interpolation=networks.backbone.interpolation,
            memory_gb=0,
        )
        key = store_key(pictures, pictures.fingerprint(), network, tensors)
        what = f"{folder.name}, {count} augmented views" if augment else folder.name
        with stored_features(cache, key, pictures, count, engine, what) as features:
            columns = {name: [np.array(view) for view in each.values] for name, each in features.items()}
        rows = [{name: columns[name][view] for name in columns} for view in range(count)]
        return rows, np.asarray(pictures.classes), list(pictures.class_indices)

    (plain,), labels, class_names = compute(False, 1)
    return Pool(class_names, labels, plain, compute(True, views)[0] if views else [])


def train_classic(networks: Networks, pool: Pool, draw: Draw, seed: int) -> tuple[float, float]:
    """S1's schedule on the draw's training part: five epochs of the head (256 units, dropout 0.5) at 1e-4, five more
    with the top layers at 1e-5, Adam, batches of 32, an augmented view of each picture in every epoch; of both phases
    the best epoch by validation loss, or the last where there is no validation part.

    Returns:
        Accuracy on the remainder after the first phase, and after both.
    """
    keras.utils.set_random_seed(seed)
    networks.reset(seed)
    accuracies = []
    for model, name, first_trainable, rate in (
        (networks.above_pooling, _POOLED, None, 1e-4),
        (networks.above_cut, _CUT, networks.first_trainable, 1e-5),
    ):
        freeze_below(networks.base, first_trainable)
        model.compile(keras.optimizers.Adam(rate), keras.losses.CategoricalCrossentropy(from_logits=True))
        _fit(model, pool, draw, name, seed)
        logits = _answer(model, pool.plain[name], draw.remainder)
        accuracies.append(float((logits.argmax(axis=1) == pool.labels[draw.remainder]).mean()))
    return tuple(accuracies)


def _fit(model: keras.Model, pool: Pool, draw: Draw, name: str, seed: int) -> None:
    targets, best, lowest = np.eye(len(pool.class_names), dtype=np.float32)[pool.labels], None, np.inf
    for epoch, view in enumerate(pool.views):
        order = np.random.default_rng([seed, epoch]).permutation(draw.train)
        for batch in _chunks(order, BATCH):
            model.train_on_batch(view[name][batch].astype(np.float32), targets[batch])
        if len(draw.val):
            answers = softmax(_answer(model, pool.plain[name], draw.val))
            loss = float(losses(answers, pool.labels[draw.val]).mean())
            if loss < lowest:
                lowest, best = loss, model.get_weights()
    if best is not None:
        model.set_weights(best)


def _answer(model: keras.Model, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    chunks = _chunks(places, 8 * BATCH)
    return np.concatenate([np.asarray(model(values[chunk].astype(np.float32), training=False)) for chunk in chunks])


def _chunks(places: np.ndarray, size: int) -> Iterable[np.ndarray]:
    return (places[first : first + size] for first in range(0, len(places), size))
