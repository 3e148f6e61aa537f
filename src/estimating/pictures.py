"""The labelled pictures of a data folder with what a frozen, pre-trained backbone computes of them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from src.datasets.folds import group_files
from src.errors import Circumstance
from src.inference.engine import create_engine, precision_of
from src.loading.augmentation import AugmentationSettings
from src.loading.parts import get_data_generator
from src.loading.sample import PlainSample
from src.loading.stand_ins import MAX_UNREADABLE
from src.networks.registry import build_transfer_model, get_backbone
from src.settings import PARTS
from src.training.feature_store import make_room
from src.training.frozen_features import network_digest, store_key, stored_features

_CACHE_GB = 10.0  # as a training has it by default
_BATCH = 32


@dataclass(frozen=True)
class Pictures:
    """N pictures that can be read.

    Attributes:
        paths, parts: of each, ``parts`` of ``settings.PARTS``.
        labels: int (N,), places in ``class_names``.
        groups: int (N,): identical pictures, near-copies, and what the split was told belongs together.
        class_names: sorted.
    """

    paths: list[str]
    parts: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    class_names: list[str]

    def of_parts(self, parts: Sequence[str]) -> np.ndarray:
        """Places of the pictures of these parts."""
        return np.flatnonzero(np.isin(self.parts, parts))


class FrozenBackbone:
    """A backbone with its pre-trained weights, for features of the pictures of a data folder.

    What it computes is stored with the features of trainings, under the same keys: features of training views are those
    of ``src.transfer_model`` with this backbone and the defaults of augmentation and seed.

    Args:
        weights: "imagenet" or a path.
        image_size: (height, width); None for those of the ImageNet weights.

    Raises ``UserError`` where the weights cannot be had.
    """

    def __init__(self, name: str, weights: str = "imagenet", image_size: tuple[int, int] | None = None):
        self.backbone = get_backbone(name)
        size = image_size or (self.backbone.image_size, self.backbone.image_size)
        model, _, self.origin = build_transfer_model(self.backbone, 2, tuple(size), weights=weights, dense_units=0)
        self.image_size, self.pooled = tuple(size), {"pooling": model.get_layer("pooling").output}
        self.inputs = model.inputs[0]
        self._network = network_digest(keras.Model(self.inputs, self.pooled, name="frozen"))
        self._engine = functools.cache(lambda: create_engine(self.inputs, self.pooled))

    def open_part(self, data: str | Path, part: str, class_names: list[str], seed: int):
        """The iterator over views of one part."""
        return get_data_generator(
            data,
            part,
            self.image_size,
            _BATCH,
            augment=AugmentationSettings(),
            shuffle=False,
            seed=seed,
            interpolation=self.backbone.interpolation,
            class_names=class_names,
            unreadable=MAX_UNREADABLE,
        )

    def compute(self, pictures, fingerprint: str, views: int, root: Path, what: str) -> np.ndarray:
        """Features float32 (V, N, D), those that are stored or else computed and stored.

        Args:
            pictures: an iterator or a ``PlainSample``.
            fingerprint: of the pictures.
            root: of the stores.
            what: named in the progress.
        """
        network = f"{self._network} auto {precision_of('auto')}"
        key = store_key(pictures, fingerprint, network, self.pooled)
        if refusal := make_room(root, {key.folder_name: key.size(views)}, int(_CACHE_GB * 1e9)):
            raise Circumstance(f"features cannot be stored in {root}: {refusal.replace(' (--cache-gb)', '')}")
        with stored_features(root, key, pictures, views, self._engine, what) as stored:
            return np.stack([np.array(view, np.float32) for view in stored["pooling"].values])


class PictureFeatures:
    """The pictures of a data folder, and their features by one backbone or several.

    Args:
        data: folder with some of the parts.
        class_names: of each part.
        features_dir: where features are stored.
        parts: that are looked at.
        seed: of the views.
    """

    def __init__(
        self,
        data: str | Path,
        class_names: list[str],
        features_dir: Path,
        *,
        parts: Sequence[str] = PARTS,
        seed: int = 42,
    ):
        self.data, self.class_names, self.root, self.parts, self.seed = data, class_names, features_dir, parts, seed
        self._opened: dict[tuple, dict] = {}
        self._read: dict[str, np.ndarray] = {}

    def _open(self, backbone: FrozenBackbone) -> dict:
        key = backbone.image_size, backbone.backbone.interpolation
        if key not in self._opened:
            self._opened[key] = {
                part: backbone.open_part(self.data, part, self.class_names, self.seed) for part in self.parts
            }
        return self._opened[key]

    @functools.cached_property
    def pictures(self) -> Pictures:
        """Those that could be read; to be asked for after :meth:`plain`, which finds out."""
        iterators = next(iter(self._opened.values()))
        paths = [path for part in self.parts for path in iterators[part].filepaths]
        parts = np.array([part for part in self.parts for _ in iterators[part].filepaths])
        labels = np.concatenate([iterators[part].classes for part in self.parts]).astype(int)
        kept = np.concatenate([self._readable(iterators[part]) for part in self.parts])
        paths = [path for path, keep in zip(paths, kept) if keep]
        groups, _ = group_files(paths, self.data)
        return Pictures(paths, parts[kept], labels[kept], groups, self.class_names)

    @staticmethod
    def _readable(iterator) -> np.ndarray:
        return np.array([path not in iterator.stand_ins.reasons for path in iterator.filepaths])

    def plain(self, backbone: FrozenBackbone) -> np.ndarray:
        """Features of all pictures as they are, float32 (N, D)."""
        found = []
        for part, iterator in self._open(backbone).items():
            sample = PlainSample(iterator, iterator.samples, seed=self.seed)
            fingerprint = sample.fingerprint(iterator.fingerprint())
            found.append(backbone.compute(sample, fingerprint, 1, self.root, f"Features of {part}")[0])
        rows = np.concatenate(found)
        return rows[np.concatenate([self._readable(each) for each in self._open(backbone).values()])]

    def views(self, backbone: FrozenBackbone, count: int, parts: Sequence[str]) -> np.ndarray:
        """Features of augmented views of some parts' pictures, float32 (V, n, D), in the order of
        ``pictures.of_parts(parts)``."""
        found = []
        for part, iterator in self._open(backbone).items():
            if part in parts:
                what = f"Features of {part}, augmented"
                rows = backbone.compute(iterator, iterator.fingerprint(), count, self.root, what)
                found.append(rows[:, self._readable(iterator)])
        return np.concatenate(found, axis=1)
