"""Keras' ``ImageDataGenerator`` with OpenCV under it and without global random state.

The one place of the project that needs TensorFlow's name for a Keras class: Keras 3 itself no longer exports it.
"""

import numpy as np
from tensorflow.keras.preprocessing.image import ImageDataGenerator as KerasImageDataGenerator

from src.errors import UserError
from src.loading.augmentation import CROP_FILLS, MOST_OPERATIONS
from src.loading.crop import crop_padded, draw_crop
from src.loading.erasing import draw_rectangle, erase
from src.loading.iterator import DirectoryIterator
from src.loading.rand_augment import apply_operations, draw_operations
from src.loading.streams import NO_DRAWS, DrawnError
from src.loading.warp import can_warp, warp_image


class ImageDataGenerator(KerasImageDataGenerator):
    """The stock generator, several times faster, with views that depend on (seed, epoch, index of the picture) alone.

    Takes the arguments of the stock class. For the same transform parameters its views equal the stock ones to one
    level of 255 (a brightness factor above 1 may make two of one, in fewer than 1 in 1000 pixels). Cases that OpenCV
    does not cover (``interpolation_order`` above 1, channels first, float64) go through Keras' own SciPy code, and
    ``flow`` and ``flow_from_dataframe`` give Keras' own iterators, with these views.

    Further arguments, all off by default; a view is first cropped, then warped as in Keras, then the others follow:

    - ``crop_padding``: pixels by which the picture is padded before a random part of its size is cut out;
      ``crop_fill`` is "reflect" or "constant" (black).
    - ``rand_augment``: number of RandAugment's operations, 0 to 14; ``rand_magnitude`` 0 to 10. Rounds to whole
      levels 0..255.
    - ``random_erasing``: probability of Random Erasing.

    Raises ``ValueError`` for one out of bounds, and for channels first with any of them.
    """

    def __init__(
        self,
        *args,
        crop_padding: int = 0,
        crop_fill: str = "reflect",
        rand_augment: int = 0,
        rand_magnitude: float = 9.0,
        random_erasing: float = 0.0,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        for name, value in (("crop_padding", crop_padding), ("rand_augment", rand_augment)):
            if value != int(value) or value < 0:
                raise ValueError(f"{name} must be a whole number of at least 0. Received: {value}")
        bounds = ("rand_augment", rand_augment, MOST_OPERATIONS), ("rand_magnitude", rand_magnitude, 10)
        for name, value, most in (*bounds, ("random_erasing", random_erasing, 1)):
            if not 0 <= value <= most:
                raise ValueError(f"{name} must lie within 0 and {most}. Received: {value}")
        if crop_fill not in CROP_FILLS:
            raise ValueError(f"crop_fill must be one of {', '.join(CROP_FILLS)}. Received: {crop_fill}")
        if (crop_padding or rand_augment or random_erasing) and self.data_format != "channels_last":
            raise ValueError(
                "crop_padding, rand_augment and random_erasing take data_format 'channels_last'. "
                f"Received: {self.data_format}"
            )
        self.crop_padding, self.crop_fill = crop_padding, crop_fill
        self.rand_augment, self.rand_magnitude = rand_augment, rand_magnitude
        self.random_erasing = random_erasing

    @property
    def draws(self) -> bool:
        """Whether a view depends on what is drawn for it: found out by trying, so that no argument can be forgotten.

        A subclass with a ``get_random_transform`` of its own is taken to draw, since it may do so only at times.
        """
        if type(self).get_random_transform is not ImageDataGenerator.get_random_transform:
            return True
        try:
            self.get_random_transform((8, 8, 8), NO_DRAWS)  # whatever the size, the same is drawn
        except DrawnError:
            return True
        return False

    def describe(self) -> dict:
        """The attributes that views depend on; of the further arguments those that are on."""
        off = set() if self.crop_padding else {"crop_padding", "crop_fill"}
        off |= set() if self.rand_augment else {"rand_augment", "rand_magnitude"}
        off |= set() if self.random_erasing else {"random_erasing"}
        return {name: value for name, value in vars(self).items() if name not in off}

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
        sampling="all",
        unreadable=0.0,
    ) -> DirectoryIterator:
        """Batches from a folder with one sub-folder for each class: Keras' arguments and four more.

        ``threads`` load the pictures of one batch at a time (default: up to 4, one for each CPU), and up to
        ``memory_gb`` of pictures (10^9 bytes; 0: none) are kept in memory for the epochs to come: both change the
        speed only. ``sampling`` "balanced" draws from all classes alike, see :mod:`src.loading.sampling`.
        ``unreadable`` is the share of pictures that may be unreadable, see :mod:`src.loading.stand_ins`. Pictures are
        decoded by :mod:`src.imaging`: upright, transparent places white.

        Raises ``UserError`` where ``crop_padding`` reaches the smaller side: views could miss the picture altogether.
        """
        if self.crop_padding >= min(target_size):
            raise UserError(
                f"crop padding must be less than the pictures' smaller side, {min(target_size)} pixels. "
                f"Received: {self.crop_padding}"
            )
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
            sampling=sampling,
            unreadable=unreadable,
        )

    def get_random_transform(self, img_shape, seed=None) -> dict:
        """Draw the parameters of one view, distributed as in Keras.

        Args:
            img_shape: shape of the picture, for shifts given as fractions.
            seed: an int, or a ``numpy.random.Generator`` to draw from. None takes a seed from global NumPy, as
                Keras' own iterators (``flow``, ``flow_from_dataframe``) expect, which seed it before each batch.

        Returns:
            The stock dictionary: theta, tx, ty, shear, zx, zy, flip_horizontal, flip_vertical,
            channel_shift_intensity, brightness. And where they are on: crop (top, left), rand_augment (pairs of
            operation and strength), erasing (top, left, height, width, seed of the noise; or None).
        """
        draw = np.random.default_rng(np.random.randint(2**32, size=4, dtype=np.uint32) if seed is None else seed)

        def symmetric(limit):
            return _between(draw, -limit, limit) if limit else 0

        def flip(on):
            # Drawn also where it is off, so that what follows is the same with and without it.
            return bool((draw.random() < 0.5) & on) if on or draw is not NO_DRAWS else False

        def zoom():
            return 1 if self.zoom_range == [1, 1] else _between(draw, *self.zoom_range)

        parameters = {
            "theta": symmetric(self.rotation_range),
            "tx": _draw_shift(draw, self.height_shift_range, img_shape[self.row_axis - 1]),
            "ty": _draw_shift(draw, self.width_shift_range, img_shape[self.col_axis - 1]),
            "shear": symmetric(self.shear_range),
            "zx": zoom(),
            "zy": zoom(),
            "flip_horizontal": flip(self.horizontal_flip),
            "flip_vertical": flip(self.vertical_flip),
            "channel_shift_intensity": symmetric(self.channel_shift_range) if self.channel_shift_range else None,
            "brightness": None if self.brightness_range is None else _between(draw, *self.brightness_range),
        }
        # Drawn last, so that the views of the arguments above are the same with and without these.
        height, width = img_shape[self.row_axis - 1], img_shape[self.col_axis - 1]
        if self.crop_padding:
            parameters["crop"] = draw_crop(draw, self.crop_padding)
        if self.rand_augment:
            parameters["rand_augment"] = draw_operations(draw, self.rand_augment, self.rand_magnitude, height, width)
        if self.random_erasing:
            on = draw.random() < self.random_erasing
            parameters["erasing"] = draw_rectangle(draw, height, width) if on else None
        return parameters

    def apply_transform(self, x, transform_parameters, out=None):
        """Apply the transform to a picture of rank 3; ``x`` stays as it is.

        ``out``, an array of the shape and dtype of ``x``, receives the view where it is given.
        """
        if crop := transform_parameters.get("crop"):
            x = crop_padded(x, *crop, self.crop_fill)
        if self.data_format == "channels_last" and can_warp(x, self.fill_mode, self.interpolation_order):
            view = warp_image(x, transform_parameters, self.fill_mode, self.cval, self.interpolation_order, out)
        else:
            view = np.empty_like(x) if out is None else out
            view[...] = super().apply_transform(x, transform_parameters)
        if operations := transform_parameters.get("rand_augment"):
            view[...] = apply_operations(view, operations)
        if rectangle := transform_parameters.get("erasing"):
            erase(view, *rectangle)
        return view


def _is_on(limit) -> bool:
    """Whether a limit of shifts, a number or several, lets anything move."""
    return bool(limit) if isinstance(limit, (int, float)) else bool(np.any(limit))


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
    if not _is_on(limit):
        return 0
    shift = draw.choice(limit) * draw.choice([-1, 1])
    return shift * side if np.max(limit) < 1 else shift
