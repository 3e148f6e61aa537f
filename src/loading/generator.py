"""Keras' ``ImageDataGenerator`` with OpenCV under it and without global random state.

The one place of the project that needs TensorFlow's name for a Keras class: Keras 3 itself no longer exports it.
"""

import numpy as np
from tensorflow.keras.preprocessing.image import ImageDataGenerator as KerasImageDataGenerator

from src.loading.iterator import DirectoryIterator
from src.loading.warp import can_warp, warp_image


class ImageDataGenerator(KerasImageDataGenerator):
    """The stock generator, several times faster, with views that depend on (seed, epoch, index of the picture) alone.

    Takes the arguments of the stock class. For the same transform parameters its views equal the stock ones to one
    level of 255 (a brightness factor above 1 may make two of one, in fewer than 1 in 1000 pixels). Cases that OpenCV
    does not cover (``interpolation_order`` above 1, channels first, float64) go through Keras' own SciPy code, and
    ``flow`` and ``flow_from_dataframe`` give Keras' own iterators, with these views.
    """

    def flow_from_directory(
        self,
        directory,
        target_size=(256, 256),
        color_mode="rgb",
        classes=None,
        class_mode="categorical",
        batch_size=32,
        shuffle=True,
        seed=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        follow_links=False,
        subset=None,
        interpolation="nearest",
        keep_aspect_ratio=False,
        threads=None,
        memory_gb=0.0,
    ) -> DirectoryIterator:
        """Batches from a folder with one sub-folder for each class: Keras' arguments, ``threads`` and ``memory_gb``.

        ``threads`` load the pictures of one batch at a time (default: up to 4, one for each CPU), and up to
        ``memory_gb`` of pictures (10^9 bytes; 0: none) are kept in memory for the epochs to come: both change the
        speed only. Pictures are decoded by :mod:`src.imaging`: upright, transparent places white.
        """
        return DirectoryIterator(
            directory,
            self,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            follow_links=follow_links,
            subset=subset,
            interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio,
            dtype=self.dtype,
            threads=threads,
            memory_gb=memory_gb,
        )

    def get_random_transform(self, img_shape, seed=None) -> dict:
        """Draw the parameters of one view, distributed as in Keras.

        Args:
            img_shape: shape of the picture, for shifts given as fractions.
            seed: an int, or a ``numpy.random.Generator`` to draw from. None takes a seed from global NumPy, as
                Keras' own iterators (``flow``, ``flow_from_dataframe``) expect, which seed it before each batch.

        Returns:
            The stock dictionary: theta, tx, ty, shear, zx, zy, flip_horizontal, flip_vertical,
            channel_shift_intensity, brightness.
        """
        draw = np.random.default_rng(np.random.randint(2**32, size=4, dtype=np.uint32) if seed is None else seed)

        def symmetric(limit):
            return _between(draw, -limit, limit) if limit else 0

        def zoom():
            return 1 if self.zoom_range == [1, 1] else _between(draw, *self.zoom_range)

        return {
            "theta": symmetric(self.rotation_range),
            "tx": _draw_shift(draw, self.height_shift_range, img_shape[self.row_axis - 1]),
            "ty": _draw_shift(draw, self.width_shift_range, img_shape[self.col_axis - 1]),
            "shear": symmetric(self.shear_range),
            "zx": zoom(),
            "zy": zoom(),
            "flip_horizontal": bool((draw.random() < 0.5) & self.horizontal_flip),
            "flip_vertical": bool((draw.random() < 0.5) & self.vertical_flip),
            "channel_shift_intensity": symmetric(self.channel_shift_range) if self.channel_shift_range else None,
            "brightness": None if self.brightness_range is None else _between(draw, *self.brightness_range),
        }

    def apply_transform(self, x, transform_parameters, out=None):
        """Apply the transform to a picture of rank 3; ``x`` stays as it is.

        ``out``, an array of the shape and dtype of ``x``, receives the view where it is given.
        """
        if self.data_format == "channels_last" and can_warp(x, self.fill_mode, self.interpolation_order):
            return warp_image(x, transform_parameters, self.fill_mode, self.cval, self.interpolation_order, out)
        view = super().apply_transform(x, transform_parameters)
        if out is None:
            return view
        out[...] = view
        return out


def _between(draw: np.random.Generator, low: float, high: float) -> float:
    """What ``draw.uniform(low, high)`` gives, in a tenth of its time."""
    return low + (high - low) * draw.random()


def _draw_shift(draw: np.random.Generator, limit, side: int) -> float:
    """A shift in pixels: of a list one member, of an int n any whole number below n, of a float up to that much.

    Either sign; values below one are fractions of ``side``.
    """
    if isinstance(limit, float):
        shift = _between(draw, -limit, limit) if limit else 0
        return shift * side if limit < 1 else shift
    if not np.any(limit):
        return 0
    shift = draw.choice(limit) * draw.choice([-1, 1])
    return shift * side if np.max(limit) < 1 else shift
