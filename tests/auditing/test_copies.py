from src.auditing.copies import count_pairs, judge_copies, judge_identical
from src.datasets.near_copies import NearCopy
from src.datasets.sources import Picture


def picture(name, digest):
    part, class_name, _ = name.split("/")
    return Picture("", name, class_name, part, digest)


PICTURES = [
    picture("train/cat/a.jpg", "1"),
    picture("train/cat/b.jpg", "1"),
    picture("test/cat/c.jpg", "1"),
    picture("train/dog/d.jpg", "2"),
    picture("val/dog/e.jpg", "3"),
]


def test_identical_pictures_name_the_one_to_keep():
    found = list(judge_identical(PICTURES))
    assert [(finding.file, finding.other) for finding in found] == [
        ("train/cat/a.jpg", "test/cat/c.jpg"), ("train/cat/b.jpg", "test/cat/c.jpg"),
    ]  # fmt: skip
    assert "across parts (test and train: a leak)" in found[0].reason and found[0].score == 1
    assert count_pairs(found, PICTURES) == {"found": 2, "across_parts": 2, "across_classes": 0}


def test_a_near_copy_is_named_once_beside_the_likest():
    copies = [NearCopy(0, 1, 1.0, False), NearCopy(0, 3, 0.8, False), NearCopy(3, 4, 0.9, True)]
    found = list(judge_copies(PICTURES, copies))
    assert [(finding.file, finding.other, finding.score) for finding in found] == [
        ("train/dog/d.jpg", "val/dog/e.jpg", 0.9)
    ]
    assert found[0].reason == "mirrored copy of val/dog/e.jpg; across parts (val and train: a leak)"
    contradiction = list(judge_copies(PICTURES, copies[1:2]))[0]
    assert "across classes (cat and dog: a contradiction)" in contradiction.reason


def test_pictures_of_no_parts():
    pictures = [Picture("", f"{name}.jpg", "cat", None, "same") for name in "ba"]
    [found] = judge_identical(pictures)
    assert (found.file, found.other, found.reason) == ("b.jpg", "a.jpg", "the same bytes as a.jpg")
