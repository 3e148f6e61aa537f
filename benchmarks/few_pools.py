"""Pools of labelled pictures that bench_few draws small sets from, with what the frozen backbone computes of each.

All of a pool's pictures go through the frozen network once, as they are and in augmented views; each draw is then a
choice of rows. The classic schedule is trained on such rows, which equals training on the pictures in those views
(``src/training/frozen_features.py``, tested there).
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from src.datasets.sources import read_folder
from src.inference.engine import create_engine
from src.loading.augmentation import AugmentationSettings
from src.loading.generator import ImageDataGenerator
from src.networks.heads import logits_model
from src.networks.registry import build_transfer_model, get_backbone
from src.training.frozen_features import network_digest, split_at, store_key, stored_features

BACKBONE = "efficientnet_lite0"
VIEWS = 5  # the classic schedule's epochs show so many different views
_CUT = "below"


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


@dataclass(frozen=True)
class Draw:
    """Places in a pool: what a user has, in three parts, and all the rest."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    remainder: np.ndarray

    @property
    def all(self) -> np.ndarray:
        return np.concatenate([self.train, self.val, self.test])


def draw_pictures(
    labels: np.ndarray, per_class: int, seed: Sequence[int], parts: Sequence[float] = (0.7, 0.15, 0.15)
) -> Draw:
    """``per_class`` pictures of each class, split by the shares ``parts`` class by class; the first part rounds up."""
    random = np.random.default_rng(seed)
    train, val, test, remainder = [], [], [], []
    for label in np.unique(labels):
        places = random.permutation(np.flatnonzero(labels == label))
        chosen = places[:per_class]
        counted = [int(per_class * share + 1e-9) for share in parts[1:]]
        ends = per_class - sum(counted), per_class - counted[1]
        train.append(chosen[: ends[0]])
        val.append(chosen[ends[0] : ends[1]])
        test.append(chosen[ends[1] :])
        remainder.append(places[per_class:])
    return Draw(*(np.concatenate(each) for each in (train, val, test, remainder)))


class Networks:
    """The transfer network of so many classes, and its parts above each place where features are stored."""

    def __init__(self, class_count: int, seed: int = 0):
        keras.utils.set_random_seed(seed)
        self.backbone = get_backbone(BACKBONE)
        size = (self.backbone.image_size, self.backbone.image_size)
        self.model, self.base, _ = build_transfer_model(self.backbone, class_count, size)
        self.logits = logits_model(self.model)
        self.first_trainable = self.backbone.block_start(self.base, self.backbone.unfreeze_from)
        self.cuts = {
            "pooling": self.logits.get_layer("pooling").output,
            _CUT: self.base.layers[self.first_trainable].input,
        }

    @cached_property
    def above_pooling(self) -> keras.Model:
        return split_at(self.logits, self.cuts["pooling"])

    @cached_property
    def above_cut(self) -> keras.Model:
        return split_at(self.logits, self.cuts[_CUT])


def link_pictures(source: Path, target: Path, classes: Sequence[str] | None, most: int | None, seed: int) -> None:
    """Lay out ``target``/<class>/ with links to the pictures of a folder, at most so many of each class, by chance.

    Args:
        source: as ``split_dataset.py`` takes it.
        classes: which; None for all.
    """
    found: dict[str, list[str]] = {}
    for picture in read_folder(source).pictures:
        if classes is None or picture.class_name in classes:
            found.setdefault(picture.class_name, []).append(picture.path)
    for name in sorted(found):
        (target / name).mkdir(parents=True)
        paths = sorted(map(str, found[name]))
        chosen = np.random.default_rng([seed, len(paths)]).permutation(len(paths))[:most]
        for number in sorted(chosen):
            path = os.path.realpath(paths[number])
            os.symlink(path, target / name / f"{number:06d}_{Path(path).name}")


def load_pool(folder: Path, cache: Path, networks: Networks, *, views: int = VIEWS, seed: int = 42) -> Pool:
    """Compute, or find in ``cache``, the features of all pictures below ``folder``/<class>/."""
    tensors = networks.cuts if views else {"pooling": networks.cuts["pooling"]}
    frozen = keras.Model(networks.logits.inputs[0], tensors)
    network = network_digest(frozen)

    def compute(augment: bool, count: int) -> Iterator[tuple[list[dict], np.ndarray, list[str]]]:
        settings = AugmentationSettings(augment=augment)
        size = (networks.backbone.image_size,) * 2
        pictures = ImageDataGenerator(**settings.generator_arguments()).flow_from_directory(
            folder, target_size=size, batch_size=32, shuffle=False, seed=seed,
            interpolation=networks.backbone.interpolation, memory_gb=0,
        )  # fmt: skip
        key = store_key(pictures, pictures.fingerprint(), network, tensors)
        make = lambda: create_engine(networks.logits.inputs[0], tensors)  # noqa: E731
        what = f"{folder.name}, {count if augment else 'no'} views"
        with stored_features(cache, key, pictures, count, make, what) as features:
            columns = {name: [np.array(view) for view in each.values] for name, each in features.items()}
        rows = [{name: columns[name][view] for name in columns} for view in range(count)]
        return rows, np.asarray(pictures.classes), list(pictures.class_indices)

    (plain,), labels, class_names = compute(False, 1)
    augmented = compute(True, views)[0] if views else []
    return Pool(class_names, labels, plain, augmented)


def train_classic(
    networks: Networks, pool: Pool, draw: Draw, seed: int, epochs: tuple[int, int] = (5, 5)
) -> tuple[float, float]:
    """S1's schedule: five epochs of the head at 1e-4, then five with the top layers at 1e-5, batches of 32, the best
    epoch of each by validation loss, or the last where the draw has no validation part.

    Returns:
        Accuracy on the remainder after the first phase, and after both.
    """
    from src.training.two_phase import freeze_below

    _reset_head(networks, seed)
    accuracies = []
    phases = ((networks.above_pooling, "pooling", None, 1e-4), (networks.above_cut, _CUT, networks.first_trainable, 1e-5))
    start = [np.array(value) for value in networks.base.get_weights()]
    for (model, name, first, rate), count in zip(phases, epochs):
        freeze_below(networks.base, first)
        model.compile(keras.optimizers.Adam(rate), keras.losses.CategoricalCrossentropy(from_logits=True))
        _fit(model, pool, draw, name, count, seed)
        answers = predict_rows(model, pool.plain[name], draw.remainder)
        accuracies.append(float((answers.argmax(axis=1) == pool.labels[draw.remainder]).mean()))
    networks.base.set_weights(start)
    return tuple(accuracies)


def predict_rows(model: keras.Model, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.concatenate(
        [np.asarray(model(values[chunk].astype(np.float32), training=False)) for chunk in np.array_split(places, 1 + len(places) // 256)]
    )


def _reset_head(networks: Networks, seed: int) -> None:
    """New weights of the head, as Keras begins."""
    for number, name in enumerate(("dense", "logits")):
        layer = networks.model.get_layer(name)
        draw = keras.initializers.GlorotUniform(seed=seed * 10 + number)
        layer.set_weights([np.asarray(draw(layer.kernel.shape)), np.zeros(layer.bias.shape)])


def _fit(model: keras.Model, pool: Pool, draw: Draw, name: str, epochs: int, seed: int) -> None:
    targets, best, lowest = np.eye(len(pool.class_names), dtype=np.float32)[pool.labels], None, np.inf
    for epoch in range(epochs):
        values = pool.views[epoch % len(pool.views)][name]
        order = np.random.default_rng([seed, epoch]).permutation(draw.train)
        for first in range(0, len(order), 32):
            batch = order[first : first + 32]
            model.train_on_batch(values[batch].astype(np.float32), targets[batch])
        if len(draw.val):
            logits = predict_rows(model, pool.plain[name], draw.val)
            loss = -float((keras.ops.convert_to_numpy(keras.ops.log_softmax(logits)) * targets[draw.val]).sum(axis=1).mean())
            if loss < lowest:
                lowest, best = loss, [np.array(value) for value in model.get_weights()]
    if best is not None:
        model.set_weights(best)
