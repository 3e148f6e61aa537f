"""The generators of the three parts of a data folder, as every command takes them."""

import os
from collections.abc import Sequence

from src.loading.augmentation import AugmentationSettings
from src.loading.folder import check_data_folder
from src.loading.generator import ImageDataGenerator
from src.loading.iterator import DirectoryIterator
from src.settings import PARTS

# What training pictures are put through by default; validation and test pictures never are.
AUGMENTATION = AugmentationSettings().generator_arguments()


def get_data_generators(
    data_dir: str | os.PathLike = "data",
    img_size: int | tuple[int, int] = 224,
    batch_size: int = 32,
    *,
    augment: bool | AugmentationSettings = True,
    seed: int = 42,
    class_mode: str | None = "categorical",
    interpolation: str = "bilinear",
    workers: int | None = None,
    memory_gb: float = 1.0,
    class_names: Sequence[str] | None = None,
    sampling: str = "all",
    unreadable: float = 0.0,
) -> tuple[DirectoryIterator, DirectoryIterator, DirectoryIterator]:
    """The iterators ``(train, val, test)`` over ``data_dir``/{train,val,test}/<class>/.

    Args:
        data_dir: the folder that split_dataset.py made.
        img_size: height and width, or ``(height, width)``.
        batch_size: pictures in a batch.
        augment: random views of the training pictures; True for the defaults (:data:`AUGMENTATION`), or settings. They
            are shuffled in any case; the other parts are neither augmented nor shuffled.
        seed: order and views are functions of (seed, epoch, picture).
        class_mode: "categorical" (one-hot), "sparse", "binary", "input" or None.
        interpolation: "nearest", "bilinear", "bicubic" or "lanczos"; all but the first average blocks of pixels where
            they shrink to a half or less.
        workers: threads that load a batch, None for up to 4; changes the speed only.
        memory_gb: how much of each part (10^9 bytes) stays in memory after its first epoch, decoded: 6,600 pictures of
            224 x 224 to the gigabyte; 0 for none. Changes the speed only, as long as no file changes during the run,
            which would not be noticed.
        class_names: the classes in the order of their indices; None for those of train, sorted.
        sampling: "all" shows each training picture once in an epoch; "balanced" as many pictures in all, every class
            equally often (:func:`~src.loading.sampling.draw_order`).
        unreadable: share of the training pictures, and of those for validation, that may turn out to be unreadable;
            another of its class stands in for each (:mod:`src.loading.stand_ins`). Of test pictures none may.

    Returns:
        Three iterators over batches of RGB float32 (N, height, width, 3), 0..255 (models carry their own
        pre-processing), with labels. For resuming, ``train.set_epoch(n)``: its epoch goes up after every pass.

    Raises:
        UserError: a folder or class is missing, empty, alone, or not the same in all parts.
    """
    class_names, _ = check_data_folder(data_dir, PARTS, class_names)
    options = {"batch_size": batch_size, "seed": seed, "class_mode": class_mode, "interpolation": interpolation}
    options |= {"threads": workers, "memory_gb": memory_gb, "classes": class_names}
    train, val, test = (os.path.join(data_dir, part) for part in PARTS)
    return (
        _iterate(train, img_size, augment, shuffle=True, sampling=sampling, unreadable=unreadable, **options),
        _iterate(val, img_size, augment=False, shuffle=False, unreadable=unreadable, **options),
        _iterate(test, img_size, augment=False, shuffle=False, **options),
    )


def get_data_generator(
    data_dir: str | os.PathLike = "data",
    part: str = "test",
    img_size: int | tuple[int, int] = 224,
    batch_size: int = 32,
    *,
    augment: bool | AugmentationSettings = False,
    shuffle: bool | None = None,
    seed: int = 42,
    class_mode: str | None = "categorical",
    interpolation: str = "bilinear",
    workers: int | None = None,
    memory_gb: float = 1.0,
    class_names: Sequence[str] | None = None,
    unreadable: float = 0.0,
) -> DirectoryIterator:
    """The iterator over one part alone, e.g. for evaluation where the training pictures are not at hand.

    Arguments as in :func:`get_data_generators`; ``shuffle`` None shuffles "train" only.
    """
    class_names, _ = check_data_folder(data_dir, [part], class_names)
    return _iterate(
        os.path.join(data_dir, part),
        img_size,
        augment=augment,
        batch_size=batch_size,
        classes=class_names,
        class_mode=class_mode,
        shuffle=part == "train" if shuffle is None else shuffle,
        seed=seed,
        interpolation=interpolation,
        threads=workers,
        memory_gb=memory_gb,
        unreadable=unreadable,
    )


def _iterate(
    folder: str, img_size: int | tuple[int, int], augment: bool | AugmentationSettings, **options
) -> DirectoryIterator:
    """The iterator over a part that has been checked; ``options`` are those of ``flow_from_directory``."""
    size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
    settings = augment if isinstance(augment, AugmentationSettings) else AugmentationSettings(augment=augment)
    return ImageDataGenerator(**settings.generator_arguments()).flow_from_directory(folder, target_size=size, **options)
