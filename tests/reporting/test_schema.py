"""JSON against what is needed of it."""

import pytest

from src.reporting.schema import COUNT, INTERVAL, Each, Maybe, conform

SCHEMA = {
    "n": int,
    "share": float,
    "name": Maybe(str),
    "rows": [{"x": Maybe(float)}],
    "by": Each(bool),
    "right": Maybe(COUNT),
    "interval": Maybe(INTERVAL),
}


def test_what_is_named_is_kept_and_nothing_else():
    value = {"n": 3, "share": 1, "rows": [{"x": 0.5, "y": 2}, {}], "by": {"a": True}, "more": None, "right": 0}
    value["interval"] = [0, 1 + 1e-9]  # a share may be rounded
    found = conform(value, SCHEMA)
    assert found.pop("right") == 0 and found.pop("interval") == [0.0, 1 + 1e-9]
    assert found == {"n": 3, "share": 1.0, "name": None, "rows": [{"x": 0.5}, {"x": None}], "by": {"a": True}}
    assert type(found["share"]) is float


@pytest.mark.parametrize(
    "change, words",
    [
        ({"n": 1.5}, "n is no int"),
        ({"n": True}, "n is no int"),
        ({"n": None}, "n is missing"),
        ({"share": float("nan")}, "share is no float"),
        ({"share": "1"}, "share is no float"),
        ({"share": 10**400}, "share is no float"),
        ({"right": -1}, "right is not within 0 and 1e"),
        ({"right": 0.5}, "right is no int"),
        ({"interval": [0.5]}, "interval has not 2 values"),
        ({"interval": [0.5, 1.1]}, "interval is not within 0 and 1"),
        ({"interval": [0.5, None]}, "interval is missing"),
        ({"interval": {}}, "interval is no list"),
        ({"name": 3}, "name is no str"),
        ({"rows": {}}, "rows is no list"),
        ({"rows": [None]}, "rows is missing"),
        ({"by": {"a": 1}}, "by.a is no bool"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    value = {"n": 3, "share": 1.0, "rows": [], "by": {}} | change
    with pytest.raises(ValueError, match=words):
        conform(value, SCHEMA)
    with pytest.raises(ValueError, match="it is no dict"):
        conform([], SCHEMA)
