import cv2
import numpy as np
import pytest

from src import threads
from src.datasets import shapes
from src.datasets.shapes import CLASS_NAMES, DEFAULT_SIZE, draw_picture, draw_shapes
from src.errors import UserError
from src.imaging import read_image
from src.settings import random_generator

PER_CLASS = 30


def files_under(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def drawn():
    """Pictures, masks and labels, in memory."""
    labels = np.repeat(np.arange(len(CLASS_NAMES)), PER_CLASS)
    pairs = [draw_picture(CLASS_NAMES[k], DEFAULT_SIZE, random_generator(7, i)) for i, k in enumerate(labels)]
    images, masks = (np.stack(arrays) for arrays in zip(*pairs))
    return images, masks, labels


def neighbor_accuracy(features, labels):
    """Share of pictures whose nearest other picture by ``features`` (N, D) is of their class."""
    distance = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return (labels[distance.argmin(axis=1)] == labels).mean()


def color_histogram(image, mask):
    """Shares of the object's pixels in 8 x 8 cells of CIELAB's a and b, as square roots."""
    ab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[mask > 0][:, 1:].astype(float)
    counts = np.histogramdd(ab, bins=(8, 8), range=((40, 216), (40, 216)))[0].ravel()
    return np.sqrt(counts / counts.sum())


# -------------------------------------------------------------------------------------------------- what is drawn


def test_there_are_at_least_three_classes_in_order():
    assert len(CLASS_NAMES) >= 3
    assert sorted(set(CLASS_NAMES)) == CLASS_NAMES


def test_pictures_are_rgb_and_masks_are_two_valued(drawn):
    images, masks, _ = drawn
    assert images.dtype == masks.dtype == np.uint8
    assert images.shape == (len(masks), DEFAULT_SIZE, DEFAULT_SIZE, 3) and images.shape[:3] == masks.shape
    assert set(np.unique(masks)) == {0, 255}


@pytest.mark.parametrize("size", [64, 97, 224])
def test_other_sizes(size):
    image, mask = draw_picture(CLASS_NAMES[0], size, random_generator(0))
    assert image.shape == (size, size, 3) and mask.shape == (size, size)
    assert 0.04 < (mask > 0).mean() < 0.2


def test_objects_are_small(drawn):
    share = (drawn[1] > 0).mean(axis=(1, 2))
    assert 0.05 < share.mean() <= 0.15
    assert share.min() > 0.04 and share.max() < 0.2


def test_the_middle_of_the_picture_rarely_shows_the_object(drawn):
    """Else an explanation that always points at the middle would look right."""
    middle = DEFAULT_SIZE // 2
    assert (drawn[1][:, middle, middle] > 0).mean() < 0.45


def test_objects_lie_anywhere(drawn):
    middles = np.array([np.argwhere(mask).mean(axis=0) for mask in drawn[1]]) / DEFAULT_SIZE
    quadrant = (middles[:, 0] > 0.5) * 2 + (middles[:, 1] > 0.5)
    assert np.bincount(quadrant, minlength=4).min() >= 0.12 * len(middles)
    assert (middles.std(axis=0) > 0.12).all()


def test_neither_color_nor_size_tells_the_class(drawn):
    """By its colours, its area or the picture's mean colour, an object is recognised no better than by chance."""
    images, masks, labels = drawn
    colors = np.array([color_histogram(image, mask) for image, mask in zip(images, masks)])
    area = (masks > 0).mean(axis=(1, 2))[:, None]
    for features in (colors, area, images.mean(axis=(1, 2))):
        assert neighbor_accuracy(features, labels) < 1 / len(CLASS_NAMES) + 0.16  # four standard deviations


def test_the_mask_marks_where_the_object_changes_the_picture():
    for i, name in enumerate(CLASS_NAMES * 3):
        image, mask = draw_picture(name, DEFAULT_SIZE, random_generator(3, i))
        without, same_mask = draw_picture(name, DEFAULT_SIZE, random_generator(3, i), with_object=False)
        assert np.array_equal(mask, same_mask)
        change = np.abs(image.astype(int) - without).max(axis=2)
        near = cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0
        inner = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0
        assert (change[inner] > 0).mean() > 0.99
        assert change[mask > 0].sum() > 0.92 * change.sum()  # soft edges and blur reach a little beyond
        assert change[~near].sum() < 0.005 * change.sum()  # a tip cut off by an occluder, too thin to be marked


def test_some_objects_are_partly_hidden(monkeypatch):
    """The mask is the visible part: an occluder takes a share of it, and never most of it."""
    shares = []
    for i in range(8):
        monkeypatch.setattr(shapes, "_OCCLUSION_RATE", 0.0)
        whole = draw_picture("star", DEFAULT_SIZE, random_generator(5, i))[1]
        monkeypatch.setattr(shapes, "_OCCLUSION_RATE", 1.0)
        visible = draw_picture("star", DEFAULT_SIZE, random_generator(5, i))[1]
        assert not (visible > whole).any()
        shares.append((visible > 0).sum() / (whole > 0).sum())
    assert min(shares) > 0.72 and np.mean(shares) < 0.97


# -------------------------------------------------------------------------------------------------- determinism


def test_the_same_generator_draws_the_same_picture():
    first, second = (draw_picture("star", 96, random_generator(1, 2)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_global_random_state_is_neither_read_nor_changed():
    np.random.seed(0)
    first = draw_picture("star", 64, random_generator(1))[0]
    state = np.random.get_state()[1].copy()
    np.random.seed(1)
    assert np.array_equal(first, draw_picture("star", 64, random_generator(1))[0])
    np.random.seed(0)
    assert np.array_equal(state, np.random.get_state()[1])


def test_files_depend_on_seed_class_and_index_alone(tmp_path):
    names = draw_shapes(tmp_path / "p2", tmp_path / "m2", images_per_class=2, size=64, seed=1)
    draw_shapes(tmp_path / "p3", tmp_path / "m3", images_per_class=3, size=64, seed=1)
    draw_shapes(tmp_path / "p2x", tmp_path / "m2x", images_per_class=2, size=64, seed=2)
    assert names == CLASS_NAMES
    pictures, masks = files_under(tmp_path / "p2"), files_under(tmp_path / "m2")
    assert sorted(pictures) == [f"{name}/{name}_{i:04d}.png" for name in CLASS_NAMES for i in range(2)]
    assert masks.keys() == pictures.keys()
    assert pictures.items() <= files_under(tmp_path / "p3").items()
    assert masks.items() <= files_under(tmp_path / "m3").items()
    other = files_under(tmp_path / "p2x")
    assert all(pictures[name] != other[name] for name in pictures)
    assert len(set(pictures.values())) == len(pictures)


def test_the_number_of_threads_changes_nothing(tmp_path, monkeypatch):
    for workers in (1, 5):
        monkeypatch.setattr(threads, "WORKERS", workers)
        draw_shapes(tmp_path / f"p{workers}", tmp_path / f"m{workers}", images_per_class=2, size=64)
    assert files_under(tmp_path / "p1") == files_under(tmp_path / "p5")
    assert files_under(tmp_path / "m1") == files_under(tmp_path / "m5")


def test_files_hold_what_is_drawn_in_memory(tmp_path):
    draw_shapes(tmp_path / "p", tmp_path / "m", images_per_class=1, size=64, seed=4)
    for k, name in enumerate(CLASS_NAMES):
        image, mask = draw_picture(name, 64, random_generator(4, k, 0, shapes._STREAM))
        assert np.array_equal(read_image(tmp_path / "p" / name / f"{name}_0000.png"), image)
        stored = cv2.imread(str(tmp_path / "m" / name / f"{name}_0000.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(stored, mask)


# -------------------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(UserError, match="images_per_class must be at least 1"):
        draw_shapes(tmp_path / "p", tmp_path / "m", images_per_class=0)
    with pytest.raises(UserError, match="class_name must be one of"):
        draw_picture("unicorn", 64, random_generator(0))
    with pytest.raises(UserError, match="size must be at least"):
        draw_picture("star", 8, random_generator(0))
    with pytest.raises(UserError, match="at most 1024"):
        draw_picture("star", 60_000, random_generator(0))


def test_a_missing_texture_is_named(monkeypatch):
    monkeypatch.setattr(shapes, "_TEXTURES", (("skimage", "data/none.png"), ("no_such_package", "x.png")))
    for index, name in enumerate(("skimage/data/none.png", "no_such_package/x.png")):
        with pytest.raises(UserError, match=f"{name}.*is missing"):
            shapes._texture.__wrapped__(index)
