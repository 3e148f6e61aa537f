from collections import Counter

import pytest

from src.datasets.assign import apportion, assign_parts, describe_duplicates, drop_leaks, shuffle
from src.datasets.sources import Picture
from src.errors import UserError

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def pictures(name, count, digest=None, part=None):
    return [Picture("", f"{name}/{i:03d}", name, part, digest or f"{name}{i}") for i in range(count)]


@pytest.mark.parametrize(
    "count, expected", [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (7, 2, 1)), (20, (14, 3, 3)), (250, (175, 38, 37))]
)
def test_apportion_by_hand(count, expected):
    assert tuple(apportion(count, SHARES).values()) == expected


def test_shuffle_is_pinned():
    # the order of SHA-256 of "42\0cat/000" ...: the same on every machine and with every library
    assert [p.relative[-1] for p in shuffle(pictures("cat", 5), 42)] == ["2", "4", "0", "3", "1"]
    assert [p.relative for p in shuffle(pictures("cat", 5), 43)] != [
        p.relative for p in shuffle(pictures("cat", 5), 42)
    ]


def test_exact_counts_for_each_class():
    items = pictures("cat", 20) + pictures("dog", 10)
    assign_parts(items, SHARES, 42)
    assert Counter((p.class_name, p.part) for p in items) == {
        ("cat", "train"): 14, ("cat", "val"): 3, ("cat", "test"): 3,
        ("dog", "train"): 7, ("dog", "val"): 2, ("dog", "test"): 1,
    }  # fmt: skip


def test_order_and_other_classes_change_nothing():
    alone, among = pictures("cat", 20), pictures("cat", 20)[::-1]
    assign_parts(alone, SHARES, 1)
    assign_parts(among + pictures("dog", 9), SHARES, 1)
    assert [p.part for p in alone] == [p.part for p in among[::-1]]
    other = pictures("cat", 20)
    assign_parts(other, SHARES, 2)
    assert [p.part for p in alone] != [p.part for p in other]


def test_identical_pictures_stay_together_even_across_classes():
    items = pictures("cat", 20) + pictures("dog", 20)
    for i in (0, 5, 25):
        items[i].digest = "same"
    assign_parts(items, SHARES, 42)
    assert len({items[i].part for i in (0, 5, 25)}) == 1
    counts = Counter((p.class_name, p.part) for p in items)
    assert [counts["dog", part] for part in SHARES] == [14, 3, 3]
    duplicates = describe_duplicates(items, [])
    assert duplicates["groups"] == 1 and duplicates["pictures"] == 3
    assert duplicates["conflicts"] == [{"classes": ["cat", "dog"], "paths": ["cat/000", "cat/005", "dog/005"]}]


def test_three_groups_are_enough_for_three_parts():
    items = [p for i in range(3) for p in pictures(f"cat{i}", 2, digest=f"{i}")]
    for p in items:
        p.class_name = "cat"
    assign_parts(items, SHARES, 42)
    assert Counter(p.part for p in items) == {"train": 2, "val": 2, "test": 2}


def test_a_large_group_leaves_something_for_the_others():
    items = pictures("cat", 8, digest="same") + [Picture("", f"x{i}", "cat", None, f"x{i}") for i in range(2)]
    assign_parts(items, SHARES, 42)
    assert Counter(p.part for p in items) == {"train": 8, "val": 1, "test": 1}


def test_too_few_pictures_say_how_many_are_needed():
    with pytest.raises(UserError, match="class cat has 2 different readable pictures; at least 3 are needed"):
        assign_parts(pictures("cat", 2) + pictures("dog", 5), SHARES, 42)


def test_leaks_leave_train_first():
    items = [
        Picture("", "test/cat/a", "cat", "test", "1"),
        Picture("", "train/cat/a", "cat", "train", "1"),
        Picture("", "train/cat/b", "cat", "train", "2"),
        Picture("", "train/cat/c", "cat", "train", "2"),
        Picture("", "train/cat/d", "cat", "train", "3"),
        Picture("", "val/cat/d", "cat", "val", "3"),
    ]
    kept, removed = drop_leaks(items)
    assert [p.relative for p in kept] == ["test/cat/a", "train/cat/b", "train/cat/c", "val/cat/d"]
    assert removed == [
        {"path": "train/cat/a", "part": "train", "kept": "test/cat/a"},
        {"path": "train/cat/d", "part": "train", "kept": "val/cat/d"},
    ]
