"""Drawn shapes are all different; copies of them, altered, are found, and nothing else."""

import cv2
import numpy as np
import pytest

from src import neighbours
from src.datasets.disjoint import Groups
from src.datasets.near_copies import (
    SIDE,
    THRESHOLD,
    compare_thumbnails,
    find_near_copies,
    find_near_copies_of,
    make_thumbnail,
    read_thumbnail,
)
from src.datasets.shapes import draw_shapes
from src.imaging import ImageError, read_image, write_image


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """80 pictures, RGB uint8 (128, 128, 3)."""
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder / "pictures", folder / "masks", images_per_class=20, size=128, seed=3)
    return [read_image(path) for path in sorted((folder / "pictures").rglob("*.png"))]


def reencode(image, quality=40):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


ALTERATIONS = {
    "half size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "another shape": lambda image: cv2.resize(image, (160, 96)),
    "quality 40": reencode,
    "cropped on all sides": lambda image: image[6:-6, 6:-6],
    "cropped on the left": lambda image: image[:, 7:],
    "mirrored": lambda image: image[:, ::-1],
    "brighter": lambda image: np.clip(image * 1.2, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.8).astype(np.uint8),
    "gray": lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2),
    "all at once": lambda image: reencode((cv2.resize(image[6:-3, 4:-7][:, ::-1], (80, 70)) * 0.8).astype(np.uint8)),
}


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_altered_copies_are_found_and_nothing_else(shapes, alteration):
    thumbnails = [make_thumbnail(image) for image in shapes]
    copies = [make_thumbnail(np.ascontiguousarray(ALTERATIONS[alteration](image))) for image in shapes[::4]]
    found = find_near_copies(thumbnails + copies)
    expected = {(4 * number, len(shapes) + number) for number in range(len(copies))}
    pairs = {(copy.first, copy.second) for copy in found}
    assert pairs <= expected and len(pairs) >= 0.95 * len(expected)
    assert all(THRESHOLD <= copy.similarity <= 1 + 1e-6 for copy in found)
    if alteration in ("mirrored", "all at once"):
        assert sum(copy.mirrored for copy in found) >= 0.9 * len(found)
    of_others = find_near_copies_of(copies, thumbnails)
    assert {(copy.second, len(shapes) + copy.first) for copy in of_others} == pairs


def test_different_pictures_have_no_copies(shapes):
    assert find_near_copies([make_thumbnail(image) for image in shapes]) == []


def test_the_graph_finds_what_comparing_all_finds(shapes, monkeypatch):
    thumbnails = [make_thumbnail(image) for image in shapes]
    thumbnails += [make_thumbnail(image[3:, :-4]) for image in shapes]
    exact = find_near_copies(thumbnails)
    monkeypatch.setattr(neighbours, "_EXACT_UP_TO", 0)
    assert find_near_copies(thumbnails) == exact == find_near_copies(thumbnails) and len(exact) >= 76


def test_similarity_by_identities(shapes):
    first, second = make_thumbnail(shapes[0]), make_thumbnail(shapes[1])
    assert compare_thumbnails(first, first) == pytest.approx(1, abs=1e-6)
    # brightness and contrast do not count
    assert compare_thumbnails(first, (first * 0.5 + 60).astype(np.uint8)) == pytest.approx(1, abs=0.02)
    assert compare_thumbnails(first, 255 - first) == -1
    assert compare_thumbnails(first, second) < THRESHOLD


def test_pictures_of_one_colour_are_no_copies_of_each_other():
    flat = [np.full((SIDE, SIDE), value, np.uint8) for value in (0, 0, 128, 255)]
    assert find_near_copies(flat) == [] == find_near_copies_of(flat, flat)
    assert compare_thumbnails(flat[0], flat[1]) == -1


def test_few_pictures_or_none(shapes):
    one = make_thumbnail(shapes[0])
    assert find_near_copies([]) == find_near_copies([one]) == find_near_copies_of([], [one]) == []
    assert find_near_copies_of([one], []) == []
    [pair] = find_near_copies([one, one])
    assert (pair.first, pair.second) == (0, 1) and pair.similarity == pytest.approx(1, abs=1e-6)


def test_many_copies_of_one_picture_hang_together(shapes):
    """Each finds only some of the others; together they are one group."""
    copies = [make_thumbnail(shapes[0][shift:, shift:]) for shift in range(1, 7) for _ in range(5)]
    others = [make_thumbnail(image) for image in shapes[1:]]
    pairs = [(copy.first, copy.second) for copy in find_near_copies(copies + others)]
    reached = {0}
    for _ in copies:
        reached |= {place for pair in pairs if reached & set(pair) for place in pair}
    assert reached == set(range(len(copies)))


@pytest.mark.parametrize("count", [7, 10])
def test_large_groups_of_copies_are_joined(shapes, count):
    """Two clusters, each so large that no member's nearest neighbours are of the other."""
    image = shapes[5]
    cropped = image[4:-4, 4:-4]
    clusters = [[reencode(each, 50 + 4 * number) for number in range(count)] for each in (image, cropped)]
    thumbnails = [make_thumbnail(each) for cluster in clusters for each in cluster]
    thumbnails += [make_thumbnail(each) for each in shapes[6:]]
    copies = find_near_copies(thumbnails)
    groups = Groups(len(thumbnails))
    for copy in copies:
        assert copy.first < copy.second
        groups.join(copy.first, copy.second)
    assert groups.as_lists()[0] == list(range(2 * count))
    assert len(groups.as_lists()) == 1 + len(shapes) - 6


@pytest.mark.large
def test_a_set_that_is_all_alike_has_no_near_copies(capsys):
    """Handwritten digits: of one kind, and yet each its own."""
    from sklearn.datasets import load_digits

    digits = [np.repeat((image * 15.9).astype(np.uint8)[..., None], 3, axis=2) for image in load_digits().images[:300]]
    thumbnails = [make_thumbnail(image) for image in digits]
    assert len(find_near_copies(thumbnails)) < 3
    assert "so much alike" in capsys.readouterr().err
    assert len(find_near_copies_of(thumbnails[:100], thumbnails[100:])) < 3


def test_thumbnails_of_files(shapes, tmp_path):
    write_image(tmp_path / "a.png", shapes[0])
    thumbnail = read_thumbnail(tmp_path / "a.png")
    assert thumbnail.shape == (SIDE, SIDE) and thumbnail.dtype == np.uint8
    np.testing.assert_array_equal(thumbnail, make_thumbnail(shapes[0]))
    # 4 x 4 blocks of gray are averaged
    gray = cv2.cvtColor(shapes[0], cv2.COLOR_RGB2GRAY).astype(float).reshape(SIDE, 4, SIDE, 4).mean(axis=(1, 3))
    assert np.abs(thumbnail - gray).max() <= 0.5 + 1e-9
    assert make_thumbnail(np.zeros((5, 300, 3), np.uint8)).shape == (SIDE, SIDE)
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(ImageError):
        read_thumbnail(tmp_path / "b.png")
