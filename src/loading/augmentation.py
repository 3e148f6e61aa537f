"""What training pictures are put through, as settings. Loads neither TensorFlow nor OpenCV, for the sake of parsers."""

from dataclasses import dataclass, fields

from src.progress import say
from src.settings import (
    check_options,
    flag_of,
    natural_float,
    natural_int,
    option,
    share,
    share_below_one,
    up_to_ten,
    whole_up_to,
)

CROP_FILLS = ("reflect", "constant")
MOST_OPERATIONS = 14  # of RandAugment on one picture: as many as it chooses from
# What acts only beside another option; all of them act only where there is augmentation.
_NEEDED = {"crop_fill": "crop_padding", "rand_magnitude": "rand_augment"}


@dataclass(frozen=True)
class AugmentationSettings:
    """Random views of training pictures. Raises ``UserError`` for a value out of bounds."""

    augment: bool = option(True, "random views of the training pictures; without it all below is off")
    rotation: float = option(20.0, "turn by up to so many degrees either way", type=natural_float)
    shift: float = option(0.1, "shift by up to this share of the height and of the width", type=share_below_one)
    zoom: float = option(0.2, "enlarge or reduce each side by up to this share", type=share_below_one)
    flip: bool = option(True, "mirror half of the pictures, left to right")
    crop_padding: int = option(0, "cut a random part out of the picture padded by so many pixels", type=natural_int)
    crop_fill: str = option("reflect", "what the padding shows; constant is black", choices=CROP_FILLS)
    rand_augment: int = option(
        0, "RandAugment: so many random operations on each picture", type=whole_up_to(MOST_OPERATIONS)
    )
    rand_magnitude: float = option(
        9.0, "strength of RandAugment as in its paper: 10 is the most of each operation", type=up_to_ten
    )
    erasing: float = option(0.0, "Random Erasing: probability of noise in a rectangle of the picture", type=share)

    def __post_init__(self):
        check_options(self)

    def note_idle(self) -> None:
        """Say which options were given that do nothing, because what they belong to is off."""
        for field in fields(self):
            value, needed = getattr(self, field.name), _NEEDED.get(field.name, "augment")
            if value and value != field.default and not getattr(self, needed):
                without = "beside --no-augment" if needed == "augment" else f"without {flag_of(needed)}"
                say(f"Note: {flag_of(field.name)} does nothing {without}.")

    def generator_arguments(self) -> dict:
        """Keyword arguments for :class:`~src.loading.generator.ImageDataGenerator`; none of what is off at first."""
        if not self.augment:
            return {}
        whole = self.rotation == int(self.rotation)
        arguments = {
            "rotation_range": int(self.rotation) if whole else self.rotation,  # 20 and 20.0 are two fingerprints
            "width_shift_range": float(self.shift),
            "height_shift_range": float(self.shift),
            "zoom_range": self.zoom,
            "horizontal_flip": self.flip,
            "fill_mode": "nearest",
        }
        if self.crop_padding:
            arguments |= {"crop_padding": self.crop_padding, "crop_fill": self.crop_fill}
        if self.rand_augment:
            arguments |= {"rand_augment": self.rand_augment, "rand_magnitude": self.rand_magnitude}
        if self.erasing:
            arguments["random_erasing"] = self.erasing
        return arguments
