"""A small data folder: lossless pictures of several sizes, two classes."""

import numpy as np
import pytest

from src.imaging import write_image


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Folder with 7 cats and 6 dogs as PNG, sizes between 20 and 60. Read only."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, count in (("cat", 7), ("dog", 6)):
        for index in range(count):
            height, width = rng.integers(20, 60, 2)
            write_image(folder / name / f"{index}.png", rng.integers(0, 256, (height, width, 3)).astype(np.uint8))
    (folder / "cat" / "._0.png").write_bytes(b"left by a Mac")
    return folder
