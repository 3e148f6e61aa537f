"""Split pictures into data/{train,val,test}/<class>/, from a folder, an archive or a named data set."""

import sys

from src.datasets.split_settings import SplitSettings
from src.errors import command
from src.files import format_json
from src.settings import add_options, create_parser, read_options

EXAMPLES = """\
  python split_dataset.py                                       the embedded data set: coloured shapes
  python split_dataset.py --source pictures                     pictures/cat/*.jpg, pictures/dog/*.jpg, ...
  python split_dataset.py --source dogs-vs-cats/train           cat.0.jpg, dog.12.jpg, ... as Kaggle ships them
  python split_dataset.py --source flowers.zip --ratios 0.8 0.1 0.1
  python split_dataset.py --source cifar10 --classes cat dog --limit-per-class 1000 --force
  python split_dataset.py --source pictures --link hardlink     no second copy on the disk
  python split_dataset.py --source pictures --group-by "patient_([0-9]+)"   all pictures of one patient in one part
  python split_dataset.py --source shapes --shortcut --output shortcut/planted"""


@command
def main(argv=None):
    parser = create_parser(__doc__, EXAMPLES)
    add_options(parser, SplitSettings)
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    arguments = parser.parse_args(argv)
    settings = read_options(SplitSettings, arguments)

    from src.datasets.split import split_dataset  # after the arguments: --help needs no OpenCV

    manifest = split_dataset(settings)
    print(to_json(manifest, settings.output) if arguments.json else to_table(manifest, settings.output))


def to_json(manifest, output: str) -> str:
    """The result on one line."""
    return format_json(
        {
            "output": output,
            "class_names": manifest.class_names,
            "counts": manifest.counts,
            "content_hash": manifest.content_hash,
            "set_aside": len(manifest.set_aside),
            "ignored": manifest.ignored,
            "duplicate_groups": manifest.duplicates["groups"],
            "conflicts": len(manifest.duplicates["conflicts"]),
            "removed_copies": len(manifest.duplicates["removed"]),
            "near_copy_groups": manifest.near_copies["groups"],
            "near_copy_conflicts": len(manifest.near_copies["conflicts"]),
            "grouped": manifest.grouped,
            "masks": manifest.masks,
            "marks": manifest.marks,
        }
    )


def to_table(manifest, output: str) -> str:
    """Counts for each class and part, with totals."""
    counts = manifest.counts
    rows = [["class", *counts, "total"]]
    for name in manifest.class_names:
        numbers = [counts[part][name] for part in counts]
        rows.append([name, *numbers, sum(numbers)])
    totals = [sum(by_class.values()) for by_class in counts.values()]
    rows.append(["total", *totals, sum(totals)])
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:<{width}}" + "".join(f"{cell:>8}" for cell in row[1:]) for row in rows]
    return "\n".join([*lines, f"written to {output}"])


if __name__ == "__main__":
    sys.exit(main())
