"""Folds: what belongs together on one side, every class in all of them, the same for the same seed."""

import numpy as np
import pytest

from src.datasets.folds import group_files, group_pictures, make_folds, read_keys
from src.datasets.manifest import picture_key
from src.datasets.seen import record_pictures
from src.datasets.split import split_dataset
from src.datasets.split_settings import SplitSettings
from src.files import sha256_file
from src.imaging import write_image
from tests.datasets.pictures import class_folders
from tests.datasets.textures import texture
from tests.running.made import write_photos


@pytest.mark.parametrize("counts", [(30, 30), (47, 13, 8), (5, 100)])
def test_single_pictures_are_stratified_within_one(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    folds = make_folds(labels, np.arange(len(labels)), 5, seed=3)
    of_class = np.array([np.bincount(folds[labels == label], minlength=5) for label in range(len(counts))])
    assert (of_class.max(axis=1) - of_class.min(axis=1) <= 1).all() and of_class.sum() == sum(counts)
    assert np.bincount(folds).max() - np.bincount(folds).min() <= len(counts)


def test_groups_are_never_split_and_classes_spread_as_their_largest_group_allows():
    draw = np.random.default_rng(1)
    for seed in range(20):
        sizes = draw.integers(1, 7, 40)
        groups, classes = np.repeat(np.arange(40), sizes), draw.integers(0, 3, 40)
        labels = np.repeat(classes, sizes)
        folds = make_folds(labels, groups, 4, seed)
        assert all(len(set(folds[groups == group])) == 1 for group in range(40))
        for label in range(3):
            counts = np.bincount(folds[labels == label], minlength=4)
            assert counts.max() - counts.min() <= sizes[classes == label].max()


def test_a_function_of_seed_and_repeat():
    labels, groups = np.repeat([0, 1], 20), np.arange(40)
    first, again = (make_folds(labels, groups, 5, 7) for _ in range(2))
    others = [make_folds(labels, groups, 5, 8), make_folds(labels, groups, 5, 7, repeat=1)]
    assert (first == again).all() and all((first != other).any() for other in others)


def test_fewer_folds_of_fewer_groups_and_none_of_one():
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    assert set(make_folds(labels, np.array([0, 1, 2, 3, 4, 4, 5]), 5, 0)) == {0, 1}
    assert make_folds(labels, np.array([0, 1, 2, 3, 4, 4, 4]), 5, 0) is None


def test_a_rare_class_may_be_absent_from_folds_but_not_from_all_others():
    labels, groups = np.repeat([0, 1, 2], [30, 29, 3]), np.arange(62)
    for seed in range(10):
        folds = make_folds(labels, groups, 10, seed, every_class=False)
        assert set(folds) == set(range(10)) and len(set(folds[labels == 2])) == 3
        of_class = np.array([np.bincount(folds[labels == label], minlength=10) for label in (0, 1)])
        assert (of_class.max(axis=1) - of_class.min(axis=1) <= 1).all()
    assert len(set(make_folds(labels, groups, 10, 0))) == 3


def test_a_class_of_one_group_is_in_no_fold():
    labels, groups = np.repeat([0, 1, 2], [10, 10, 3]), np.append(np.arange(20), [20, 20, 0])  # 0 is of two classes
    folds = make_folds(labels, np.append(np.arange(20), [20, 20, 20]), 5, 0, every_class=False)
    assert (folds[20:] == -1).all() and set(folds[:20]) == set(range(5))
    spread = make_folds(labels, groups, 5, 0, every_class=False)
    assert (spread >= 0).all() and spread[22] == spread[0] != spread[20]
    assert make_folds(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 5, 0, every_class=False) is None


def test_identical_pictures_near_copies_and_keys_are_grouped(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths[:4]):
        write_image(path, texture(number))
    write_image(paths[4], texture(0)[:, ::-1])  # mirrored
    paths[5].write_bytes(paths[1].read_bytes())
    record = record_pictures(list(map(str, paths)))
    assert group_pictures(record).tolist() == [0, 1, 2, 3, 0, 1]
    assert group_pictures(record, [None, None, "a", "a", None, None]).tolist() == [0, 1, 2, 2, 0, 1]


def test_groups_that_the_split_was_told_are_known_again(tmp_path):
    source = class_folders(tmp_path / "animals", {"cat": 30, "dog": 30})
    data = tmp_path / "data"
    split_dataset(SplitSettings(source=str(source), output=str(data), group_by=r"(\d)\d\.png"))
    paths = sorted(data.glob("*/*/*.png"))
    digests = [int(picture_key(sha256_file(path)), 16) for path in paths]
    keys = read_keys(data, digests)
    assert len(set(keys)) == 3 and None not in keys
    tens = {sha256_file(path): path.name[-6] for path in source.glob("*/*.png")}
    by_key = {key: {tens[sha256_file(path)] for path, other in zip(paths, keys) if other == key} for key in set(keys)}
    assert sorted(map(sorted, by_key.values())) == [["0"], ["1"], ["2"]]
    assert read_keys(tmp_path, digests) is None


def test_files_are_grouped_as_they_are_read(tmp_path):
    write_photos(tmp_path, {"a": 3})
    copy = tmp_path / "copy.png"
    copy.write_bytes((tmp_path / "a" / "a_001.png").read_bytes())
    paths = [str(tmp_path / "a" / f"a_00{number}.png") for number in range(3)]
    groups, read = group_files([*paths, str(copy), str(tmp_path / "gone.png")], tmp_path)
    assert groups.tolist() == [0, 1, 2, 1, 3] and read.tolist() == [True] * 4 + [False]
