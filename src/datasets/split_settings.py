"""What can be asked of a split. Light, so that ``--help`` is quick."""

from dataclasses import dataclass

from src.errors import UserError
from src.settings import option, positive_int

LINKS = ("copy", "hardlink", "symlink")
DOWNLOADS = ("cats_vs_dogs", "cats_and_dogs_filtered", "cifar10", "cifar100")
SHAPES = "shapes"
NAMES = (*DOWNLOADS, SHAPES)
MARKED_CLASS = "flower"  # of the drawn shapes, the one that a planted mark gives away
PLANTED, EVERYWHERE = SHORTCUTS = ("planted", "everywhere")


@dataclass(frozen=True)
class SplitSettings:
    source: str | None = option(None, f"a folder, a zip or tar archive, or a name: {', '.join(NAMES)}; none: shapes")
    output: str = option("data", "where train/, val/, test/ and split.json go")
    ratios: tuple[float, ...] = option(
        (0.7, 0.15, 0.15), "shares of train, val and test", type=float, nargs=3, metavar=("TRAIN", "VAL", "TEST")
    )
    seed: int = option(42, "same seed and same pictures: same split, on every machine")
    classes: tuple[str, ...] | None = option(None, "take only these classes", type=str, nargs="+", metavar="CLASS")
    limit_per_class: int | None = option(
        None, "take at most N pictures of each class (and part, where split already)", type=positive_int, metavar="N"
    )
    pool: bool = option(False, "where the source is split already: put its parts together and split anew")
    group_by: str | None = option(
        None,
        "what belongs together and stays in one part: a .csv file with the columns file and group, or a regular "
        "expression whose first bracket, in a picture's path, is its group: 'patient_([0-9]+)'",
        metavar="REGEX|CSV",
    )
    allow_near_duplicates: bool = option(
        False, "let near-copies (resized, cropped, mirrored, re-encoded) of one picture come into different parts"
    )
    link: str = option("copy", "how pictures are placed", choices=LINKS)
    force: bool = option(False, "replace the split at the output; other files there stay")
    images_per_class: int | None = option(
        None, "only for shapes: how many to draw of each class", type=positive_int, metavar="N"
    )
    picture_size: int | None = option(
        None, "only for shapes: side of a picture in pixels", type=positive_int, metavar="PIXELS"
    )
    shortcut: str | None = option(
        None,
        f"only for shapes: plant a small colour chart in most pictures of the class {MARKED_CLASS} (planted; so it is "
        "where no value is given), or in every picture (everywhere); masks of the charts go into marks/",
        nargs="?",
        const=PLANTED,
        choices=SHORTCUTS,
    )

    def verify(self) -> None:
        """Raise ``UserError`` for values that are none, and for options of shapes with another source."""
        ratios = tuple(self.ratios)
        # written so that NaN, which compares false with everything, is refused as well
        if len(ratios) != 3 or not all(r >= 0 for r in ratios) or not abs(sum(ratios) - 1) <= 1e-6:
            raise UserError(f"--ratios must be three numbers of at least 0 with the sum 1. Received: {_spaced(ratios)}")
        if ratios[0] <= 0:
            raise UserError(f"--ratios must leave something for training. Received: {_spaced(ratios)}")
        if self.link not in LINKS:
            raise UserError(f"--link must be one of {', '.join(LINKS)}. Received: {self.link}")
        if self.shortcut not in (None, *SHORTCUTS):
            raise UserError(f"--shortcut must be one of {', '.join(SHORTCUTS)}. Received: {self.shortcut}")
        if self.source not in (None, SHAPES):
            self.verify_not_drawn()
        if self.shortcut == PLANTED and self.classes and MARKED_CLASS not in self.classes:
            raise UserError(f"--shortcut plants its mark in the class {MARKED_CLASS}, which --classes leaves out")

    def verify_not_drawn(self) -> None:
        """Raise ``UserError`` for options of shapes: the source is another."""
        if self.images_per_class or self.picture_size or self.shortcut:
            raise UserError(
                "--images-per-class, --picture-size and --shortcut are for the drawn data only (--source shapes)"
            )

    def recorded(self) -> dict:
        """What decides the result, for ``split.json``."""
        names = ("seed", "limit_per_class", "link", "images_per_class", "picture_size", "shortcut", "pool")
        names += ("group_by", "allow_near_duplicates")
        return {
            "ratios": list(self.ratios),
            "classes": sorted(self.classes) if self.classes else None,
            **{name: getattr(self, name) for name in names},
        }


def _spaced(values) -> str:
    return " ".join(str(value) for value in values)
