import pytest

from src.datasets.assign import describe_near_copies
from src.datasets.disjoint import Groups
from src.datasets.grouping import assign_groups, find_keys
from src.datasets.near_copies import NearCopy
from src.datasets.sources import Picture
from src.errors import UserError


def pictures(*digests):
    return [Picture("", f"cat/{i}.jpg", "cat", None, digest) for i, digest in enumerate(digests)]


def test_groups_join_through_others():
    groups = Groups(6)
    groups.join(0, 5)
    groups.join(4, 5)
    groups.join_equal(["a", None, "b", "a", None, None])
    assert groups.as_lists() == [[0, 3, 4, 5], [1], [2]]


def test_identical_near_and_named_pictures_are_one_group():
    items = pictures("x", "y", "x", "z", "w")
    assign_groups(items, [NearCopy(2, 3, 0.9, False)], [None, "p", None, "p", None])
    assert [picture.group for picture in items] == [0, 0, 0, 0, 1]
    described = describe_near_copies(items, [NearCopy(2, 3, 0.9, False)])
    assert described == {
        "groups": 1, "pictures": 3, "conflicts": [], "members": [["cat/0.jpg", "cat/2.jpg", "cat/3.jpg"]],
    }  # fmt: skip


def test_identical_pictures_alone_are_no_near_copies():
    assert describe_near_copies(pictures("x", "x", "y"), [])["groups"] == 0


def test_a_regular_expression_names_groups(capsys):
    paths = ["cat/p1_a.jpg", "cat/p1_b.jpg", "dog/p2_a.jpg", "dog/x.jpg"]
    assert find_keys("p([0-9]+)_", paths) == ["1", "1", "2", None]
    assert "tells nothing of 1 pictures, as dog/x.jpg" in capsys.readouterr().err
    assert find_keys(r"(\d*)_", ["a_", "a1_", "b1_"]) == [None, "1", "1"]
    capsys.readouterr()
    assert find_keys("^[a-z]+", paths) == ["cat", "cat", "dog", "dog"]
    assert capsys.readouterr().err == ""


def test_a_table_names_groups(tmp_path, capsys):
    table = tmp_path / "groups.csv"
    table.write_text("group,file\nrex,dog/1.jpg\nrex,dog\\2.jpg\n,dog/3.jpg\nrex,gone.jpg\n", encoding="utf-8-sig")
    assert find_keys(str(table), ["dog/1.jpg", "dog/2.jpg", "dog/3.jpg"]) == ["rex", "rex", None]
    assert "tells nothing of 1 pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    "group_by, content, message",
    [
        ("p([0-9]", None, "no regular expression"),
        ("nothing", None, "tells the group of none of the 1 pictures, as cat/1.jpg"),
        ("missing.csv", None, "--group-by: missing.csv: no such file"),
        ("table.csv", "name,group\ncat/1.jpg,a\n", "columns file and group"),
        ("table.csv", "", "columns file and group"),
        ("table.csv", "file,group\ncat/1.jpg,a\ncat/1.jpg,b\n", "into two groups, a and b"),
        ("table.csv", "file,group\nother.jpg,a\n", "tells the group of none"),
    ],
)
def test_what_names_no_groups(tmp_path, monkeypatch, group_by, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / group_by).write_text(content)
    with pytest.raises(UserError, match=message):
        find_keys(group_by, ["cat/1.jpg"])
