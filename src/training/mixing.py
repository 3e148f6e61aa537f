"""What happens to a batch before it is learnt from: pictures blended or pasted together, labels softened, weights.

All of it changes training batches alone, so that the validation loss stays plain cross-entropy and can be compared
between settings.
"""

import keras
import numpy as np

from src.settings import random_generator
from src.training.options import TrainingSettings

_STREAM = 0x6D6978  # in the key of the random draws, so that they are not those of the pictures' order and views


class MixedBatches(keras.utils.PyDataset):
    """Batches for ``fit`` of what another dataset yields, mixed by :class:`TrainingSettings`.

    Draws are a function of (seed, epoch, batch). With both MixUp and CutMix each batch takes one of them by a coin.

    Args:
        batches: yields (images float32 (N, H, W, C), or features (N, ...); labels one-hot (N, C)); has ``epoch``.
        options: mixup, cutmix and label_smoothing count here.
        class_weight: for each class the weight of its pictures in the loss; of mixed pictures the mean by their shares.

    Yields:
        (images, targets (N, C)), or (images, targets, weights (N,)) with ``class_weight``.
    """

    def __init__(self, batches, options: TrainingSettings, *, seed: int, class_weight: dict[int, float] | None = None):
        super().__init__()
        self.batches, self.options, self.seed, self.class_weight = batches, options, seed, class_weight

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def epoch(self) -> int:
        """Of the batches that are mixed."""
        return self.batches.epoch

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, to resume."""
        self.batches.set_epoch(epoch)

    def on_epoch_begin(self) -> None:
        self.batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()

    def __getitem__(self, index: int):
        draw = random_generator(self.seed, _STREAM, self.epoch, index)
        images, targets = self.batches[index]
        images, targets = mix(images, targets, draw, mixup=self.options.mixup, cutmix=self.options.cutmix)
        softened = smooth(targets, self.options.label_smoothing)
        if not self.class_weight:
            return images, softened
        of_classes = np.array([self.class_weight[i] for i in range(targets.shape[1])], np.float32)
        return images, softened, targets @ of_classes


def smooth(targets: np.ndarray, share: float) -> np.ndarray:
    """Label smoothing (Szegedy et al. 2016, section 7): (1 - share) of the targets (N, C), share / C of each class."""
    return targets if not share else targets * np.float32(1 - share) + np.float32(share / targets.shape[1])


def mix(
    images: np.ndarray, targets: np.ndarray, draw: np.random.Generator, *, mixup: float = 0.0, cutmix: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mix each picture of a batch with another one of it, by MixUp, CutMix, or neither where both are 0.

    MixUp (Zhang et al. 2018, equation 1) with a share for each picture from Beta(mixup, mixup); CutMix (Yun et al.
    2019, equations 1 and 2) with one rectangle for the batch, its area from Beta(cutmix, cutmix), and labels by the
    area that is really pasted.

    Args:
        images: float32 (N, ...); for CutMix (N, H, W, C). Unchanged.
        targets: float32 (N, C).

    Returns:
        New images and targets (the same objects where nothing is mixed).
    """
    if mixup and cutmix:
        mixup, cutmix = (mixup, 0.0) if draw.random() < 0.5 else (0.0, cutmix)
    if not (mixup or cutmix):
        return images, targets
    others = draw.permutation(len(images))
    if mixup:
        shares = draw.beta(mixup, mixup, len(images)).astype(np.float32)
        return _blend(images, images[others], shares), _blend(targets, targets[others], shares)
    height, width = images.shape[1:3]
    rows, columns = _rectangle(height, width, 1 - draw.beta(cutmix, cutmix), draw)
    mixed = images.copy()
    mixed[:, rows, columns] = images[others, rows, columns]
    kept = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return mixed, _blend(targets, targets[others], np.full(len(images), kept, np.float32))


def _blend(first: np.ndarray, second: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """``shares`` (N,) of the first and the rest of the second, picture by picture."""
    shares = shares.reshape(-1, *(1,) * (first.ndim - 1))
    return first * shares + second * (1 - shares)


def _rectangle(height: int, width: int, area: float, draw: np.random.Generator) -> tuple[slice, slice]:
    """A rectangle of the picture's proportions and that share of its area, about any pixel; cut off at the edges."""
    half_height, half_width = (int(side * np.sqrt(area)) // 2 for side in (height, width))
    row, column = int(draw.integers(height)), int(draw.integers(width))
    return (
        slice(max(row - half_height, 0), min(row + half_height, height)),
        slice(max(column - half_width, 0), min(column + half_width, width)),
    )
