"""Look at the data: classes and counts of each part, and a picture of the augmentation. Home of get_data_generators."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from src.errors import command
from src.loading.augmentation import AugmentationSettings
from src.settings import (
    add_options,
    create_parser,
    picture_size,
    positive_int,
    quiet_tensorflow,
    read_options,
    seed_int,
)

if TYPE_CHECKING:
    from src.loading.iterator import surface_errors
    from src.loading.parts import get_data_generator, get_data_generators

__all__ = ["get_data_generator", "get_data_generators", "main", "surface_errors"]

EXAMPLES = """\
  python -m src.data_loader
  python -m src.data_loader --data data --image-size 160 --output gradcam
  python -m src.data_loader --crop-padding 16 --rand-augment 2 --erasing 0.5
  python -m src.data_loader --json | python -m json.tool"""


def __getattr__(name: str):
    """Import what needs TensorFlow, which takes seconds, when it is asked for: ``--help`` stays quick."""
    if name not in ("get_data_generator", "get_data_generators", "surface_errors"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    quiet_tensorflow()
    from src.loading import iterator, parts

    return getattr(iterator if name == "surface_errors" else parts, name)


def format_counts(class_names: list[str], counts: dict[str, dict[str, int]]) -> str:
    """A table with a row for each class, a column for each part, and totals."""
    rows = [[name, *(of_class[name] for of_class in counts.values())] for name in class_names]
    rows.append(["total", *(sum(of_class.values()) for of_class in counts.values())])
    rows = [[name, *(f"{count:,}" for count in row), f"{sum(row):,}"] for name, *row in rows]
    table = [["class", *counts, "total"], *rows]
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in table]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


@command
def main(argv=None) -> int | None:
    parser = create_parser("Count the pictures of each part and class, and draw what the augmentation does.", EXAMPLES)
    parser.add_argument("--data", default="data", help="folder with train, val and test, made by split_dataset.py")
    parser.add_argument(
        "--image-size", type=picture_size, default=224, help="pixels of the views, N for squares or HEIGHTxWIDTH"
    )
    parser.add_argument("--batch-size", type=positive_int, default=32, help="pictures in a batch")
    parser.add_argument("--seed", type=seed_int, default=42, help="order and views are functions of it")
    parser.add_argument("--output", default="gradcam", help="the picture goes to data/augmentation.png in this folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    add_options(parser, AugmentationSettings)
    arguments = parser.parse_args(argv)
    augmentation = read_options(AugmentationSettings, arguments)
    augmentation.note_idle()

    from src.loading.folder import check_data_folder

    class_names, counts = check_data_folder(arguments.data)
    if not arguments.json:
        print(format_counts(class_names, counts), flush=True)  # before the seconds that TensorFlow takes

    quiet_tensorflow()
    from src.loading.parts import get_data_generator
    from src.loading.preview import save_augmentation

    size, batch_size = arguments.image_size, arguments.batch_size
    train = get_data_generator(arguments.data, "train", size, batch_size, augment=augmentation, seed=arguments.seed)
    picture = Path(arguments.output) / "data" / "augmentation.png"
    save_augmentation(train, picture)
    if arguments.json:
        result = {"class_names": class_names, "counts": counts, "batches": len(train), "augmentation": str(picture)}
        print(json.dumps(result, ensure_ascii=False))
    else:
        print(f"\n{len(train):,} training batches of {batch_size}; their views: {picture}")
    return None


if __name__ == "__main__":
    sys.exit(main())
