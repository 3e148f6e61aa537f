"""Which pictures are proposed, for which reason, in which order."""

import numpy as np
import pytest

from src.evaluation.worth import REASONS, measure_novelty, propose


def _named(proposals) -> dict[str, list[int]]:
    return {reason: [each.place for each in proposals if each.reason == reason] for reason in REASONS}


def test_labels_that_another_class_beats_and_pictures_between_two():
    labels = np.array([0, 0, 1, 2, 0, 1])
    probabilities = np.array(
        [
            [0.9, 0.1, 0.0],
            [0.2, 0.7, 0.1],  # margin 0.5
            [0.9, 0.05, 0.05],  # margin 0.85
            [0.35, 0.1, 0.55],  # wavers, its own class first
            [0.48, 0.42, 0.1],  # wavers more
            [0.0, 0.8, 0.2],
        ]
    )
    proposals = propose(labels, probabilities)
    assert _named(proposals) == {"second label": [2, 1], "near the boundary": [4, 3], "atypical": []}
    first, second, third, _ = proposals
    assert (first.suggested, first.likely, first.given) == (0, 0.9, 0.05) and first.score == pytest.approx(0.85)
    assert second.suggested == 1 and second.score == pytest.approx(0.5)
    assert third.score == pytest.approx(1 - 0.06) and third.suggested == 1 and third.disagreement == 0


def test_repeats_that_disagree_bring_a_picture_to_the_boundary():
    sure, other = [0.95, 0.05], [0.05, 0.95]
    repeats = np.array([[sure, sure], [sure, other], [sure, sure]])
    proposals = propose(np.array([0, 0]), repeats)
    assert _named(proposals)["near the boundary"] == [1]
    assert proposals[0].disagreement == pytest.approx(1 / 3) and proposals[0].given == pytest.approx(0.65)


def test_a_repeat_without_an_answer_does_not_count():
    none = [np.nan, np.nan]
    repeats = np.array([[[0.1, 0.9], none, none], [[0.3, 0.7], [0.2, 0.8], none]])
    proposals = propose(np.array([0, 0, 0]), repeats)
    assert _named(proposals)["second label"] == [0, 1]
    assert proposals[0].given == pytest.approx(0.2) and proposals[1].given == pytest.approx(0.2)


def test_only_one_of_a_group_is_named():
    labels, groups = np.zeros(4, int), ["a", "a", "b", "b"]
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.51, 0.49]])
    assert _named(propose(labels, probabilities, groups=groups)) == {
        "second label": [0, 2],
        "near the boundary": [],  # its group is named already
        "atypical": [],
    }


def test_a_series_of_one_thing_gives_way_and_the_same_kind_does_not():
    """Three shots of one thing are the clearest cases, then come others, all about equally far from each other."""
    rng = np.random.default_rng(0)
    others = rng.normal(size=(9, 40))
    features = np.vstack([others[:1] + 0.01 * rng.normal(size=(3, 40)), others[1:]])
    given = np.array([0.01, 0.02, 0.03, 0.10, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.24])
    probabilities = np.stack([given, 1 - given], axis=1)
    labels = np.zeros(11, int)
    assert _named(propose(labels, probabilities, each=4))["second label"] == [0, 1, 2, 3]
    assert _named(propose(labels, probabilities, features=features, each=4))["second label"] == [0, 3, 4, 5]
    assert _named(propose(labels, probabilities, features=features))["second label"][-2:] in ([1, 2], [2, 1])


def test_the_atypical_are_so_for_their_own_class():
    """The second class is of many looks; only what is far for its class counts."""
    novelty = np.r_[np.linspace(0.10, 0.12, 9), 0.2, np.linspace(0.3, 0.7, 10)]
    labels = np.repeat([0, 1], 10)
    sure = np.eye(2)[labels] * 0.98 + 0.01
    assert _named(propose(labels, sure, novelty=novelty))["atypical"] == [9]
    assert propose(labels, sure) == []


def test_novelty_is_the_distance_to_the_nearest_of_its_class_in_other_groups():
    east, north = [1.0, 0.0], [0.0, 1.0]
    features = np.array([east, east, north, east, north], np.float32)
    novelty = measure_novelty(features, np.array([0, 0, 0, 1, 2]), np.array([0, 1, 2, 3, 4]))
    np.testing.assert_allclose(novelty[:3], [0.5, 0.5, 1.0], atol=1e-6)  # one alike and one at a right angle; two such
    assert np.isnan(novelty[3:]).all()
    copies = measure_novelty(features, np.zeros(5, int), np.array([0, 0, 1, 0, 1]))
    np.testing.assert_allclose(copies, 1.0, atol=1e-6)


def test_the_same_again_and_at_most_so_many():
    rng = np.random.default_rng(1)
    labels, features = rng.integers(0, 3, 60), rng.normal(size=(60, 8))
    probabilities = rng.dirichlet(np.ones(3), (2, 60))
    first = propose(labels, probabilities, features=features, each=5)
    assert first == propose(labels, probabilities, features=features, each=5)
    assert len(_named(first)["second label"]) == 5 and len({each.place for each in first}) == len(first)


@pytest.mark.parametrize(
    "labels, probabilities, more",
    [
        ([0, 1], np.ones((3, 2)), {}),
        ([0, 2], np.ones((2, 2)), {}),
        ([-1, 0], np.ones((2, 2)), {}),
        ([0, 1], np.ones((2, 2)), {"novelty": [1.0]}),
        ([0, 1], np.ones((2, 2)), {"features": np.ones((3, 4))}),
        ([0, 1], np.ones((2, 2)), {"groups": [1]}),
    ],
)
def test_what_does_not_fit_is_refused(labels, probabilities, more):
    with pytest.raises(ValueError, match="Received"):
        propose(np.array(labels), probabilities, **more)


def test_nothing_to_choose_from():
    assert propose(np.array([0, 0]), np.ones((2, 1))) == []  # one class
    assert propose(np.empty(0, int), np.empty((0, 2))) == []
    assert propose(np.array([0]), np.full((1, 2), np.nan)) == []
