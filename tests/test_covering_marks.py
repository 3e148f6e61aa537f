"""A burst is no mark: its pictures have all their patches in common."""

from types import SimpleNamespace

import cv2
import numpy as np

from src.covering import find_marks
from src.imaging import write_image

NAMES = ("cat", "dog")


def _scene(seed: int) -> np.ndarray:
    """Blurred noise of its own, as fine and as coarse as a photograph, RGB uint8 (160, 160, 3)."""
    rng = np.random.default_rng(seed)
    layers = [cv2.resize(rng.normal(0, 1, (side, side, 3)), (160, 160), interpolation=cv2.INTER_CUBIC)
              for side in (5, 10, 20, 40, 80)]  # fmt: skip
    return np.clip(128 + 30 * sum(layers), 0, 255).astype(np.uint8)


def _found(tmp_path, images):
    """What is found of pictures that are all taken for dogs, the maps' peaks in the middle."""
    paths = []
    for number, image in enumerate(images):
        paths.append(str(tmp_path / f"{number}.png"))
        write_image(paths[-1], image)
    heatmaps = np.zeros((len(images), 7, 7), np.float32)
    heatmaps[:, 3, 3] = 1
    explained = SimpleNamespace(paths=paths, explanation=SimpleNamespace(heatmaps=heatmaps))
    covering = SimpleNamespace(index=np.arange(len(images)), class_index=np.ones(len(images), int))
    found = find_marks(covering, explained, NAMES)
    assert list(found) == ["dog"]
    return found["dog"], paths


def test_a_burst_counts_as_one_picture(tmp_path):
    scene, rng, burst = _scene(0), np.random.default_rng(1), []
    for _ in range(8):
        top, left = rng.integers(0, 8, 2)
        burst.append(np.clip(scene[top : top + 150, left : left + 150].astype(int) + rng.integers(-5, 6), 0, 255))
    found, _ = _found(tmp_path, [image.astype(np.uint8) for image in burst] + [_scene(n) for n in range(1, 5)])
    assert found["share"][0] == 0 and found["share"][1] < 0.25


def test_a_mark_in_different_pictures_is_found(tmp_path):
    mark = np.random.default_rng(99).integers(0, 256, (10, 10, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    images = [_scene(number) for number in range(8)]
    for image in images[:7]:
        image[60:100, 60:100] = mark
    found, paths = _found(tmp_path, images)
    share, low, high = found["share"]
    assert share == 6 / 7 and low < share < high and found["path"] in paths[:7]
