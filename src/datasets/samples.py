"""Real photographs that installed packages carry: something to explain with no data and no download.

``python -m src.datasets.samples`` prints their paths (the cat, the coffee, the motorcycle, the flower).
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from src.errors import UserError, command
from src.settings import create_parser

EXAMPLES = "  python -m src.datasets.samples"

_SAMPLES = (
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/motorcycle_left.png"),
    ("sklearn", "datasets/images/flower.jpg"),
)


def sample_photographs() -> list[Path]:
    """Paths of the photographs. Raises ``UserError`` where a package is missing."""
    paths = []
    for package, name in _SAMPLES:
        found = find_spec(package)
        path = Path(found.submodule_search_locations[0], name) if found else None
        if path is None or not path.is_file():
            raise UserError(f"{package}/{name} is missing; run: pip install -r requirements.txt")
        paths.append(path)
    return paths


@command
def main(argv=None) -> None:
    create_parser("Print the paths of the photographs that installed packages carry.", EXAMPLES).parse_args(argv)
    print(*sample_photographs(), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
