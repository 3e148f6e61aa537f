"""Features that tell the classes apart, and labels of which some are wrong."""

import numpy as np
import pytest

from src.auditing.features import Neighbourhood, find_outliers, find_scenes
from src.auditing.labels import LabelJudgement, _cross_validate, judge_labels
from src.datasets.near_copies import NearCopy
from src.datasets.sources import Picture

NAMES = ["cat", "dog", "fox"]


@pytest.fixture(scope="module")
def features():
    """(300, 400), three clouds of 100."""
    draw = np.random.default_rng(0)
    centers = draw.normal(0, 0.5, (3, 400))
    return (draw.normal(0, 1, (300, 400)) + np.repeat(centers, 100, axis=0)).astype(np.float32)


def labelled(wrong=()):
    names = np.repeat(NAMES, 100)
    pictures = [Picture("", f"{i:03d}.jpg", str(name), None, str(i)) for i, name in enumerate(names)]
    for index in wrong:
        pictures[index].class_name = NAMES[(index // 100 + 1) % 3]
    return pictures


def test_flipped_labels_are_found_with_the_class_they_look_like(features):
    wrong = {3, 17, 120, 150, 199, 201, 250, 299}
    judgement = judge_labels(labelled(wrong), features, range(300))
    found = judgement.findings
    assert judgement.accuracy > 0.9
    files = {int(finding.file[:3]): finding for finding in found}
    assert len(wrong & set(files)) >= 6 and len(set(files) - wrong) <= 1
    for index in wrong & set(files):
        assert files[index].suggested == NAMES[index // 100] and files[index].score > 0.5
        assert f"labelled {NAMES[(index // 100 + 1) % 3]}" in files[index].reason
    assert judgement == judge_labels(labelled(wrong), features, range(300))


def test_right_labels_are_left_alone(features):
    judgement = judge_labels(labelled(), features, range(300))
    assert judgement.findings == [] and judgement.accuracy > 0.95


def test_copies_do_not_speak_for_each_other(features):
    """Ten copies of one picture, all with the same wrong label: by themselves they would make it right."""
    copied = np.concatenate([features, np.repeat(features[:1], 10, axis=0)])
    pictures = labelled()
    pictures += [Picture("", f"copy{i}.jpg", "dog", None, "0") for i in range(10)]
    groups = [*range(300), *[0] * 10]
    together = {finding.file for finding in judge_labels(pictures, copied, groups).findings}
    alone = {finding.file for finding in judge_labels(pictures, copied, range(310)).findings}
    assert sum(name.startswith("copy") for name in together) > sum(name.startswith("copy") for name in alone)


def test_a_class_that_was_left_out_whole_is_learned_all_the_same(features):
    labels = np.repeat([0, 1], 100)
    folds = [(np.arange(0, 200, 2), np.arange(1, 200, 2)), (np.arange(1, 200, 2), np.arange(0, 200, 2))]
    plain = _cross_validate(features[:200], labels, folds, np.zeros(200, bool))
    np.testing.assert_array_equal(_cross_validate(features[:200], labels, folds, labels == 1), plain)
    np.testing.assert_allclose(plain.sum(axis=1), 1)
    fewer = _cross_validate(features[:200], labels, folds, np.arange(200) < 30)
    assert not np.array_equal(fewer, plain)


def test_classes_of_few_pictures_are_not_judged(features, capsys):
    pictures = labelled()[:205]
    assert judge_labels(pictures, features[:205], range(205)).findings == []
    assert "not judged in fox: fewer than 10" in capsys.readouterr().err
    assert judge_labels(pictures[:100], features[:100], range(100)) == LabelJudgement([], None)
    assert judge_labels(pictures[:200], features[:200], [0] * 100 + [1] * 100) == LabelJudgement([], None)
    assert "copies of one picture" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------- neighbourhoods


def directions(count=40, size=16, seed=1):
    """Unit vectors in all directions, all about as far from each other."""
    vectors = np.random.default_rng(seed).normal(0, 1, (count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_neighbours_are_those_of_the_cosine():
    vectors = directions() * np.linspace(1, 5, 40, dtype=np.float32)[:, None]  # lengths do not count
    neighbourhood = Neighbourhood(vectors)
    cosines = directions() @ directions().T
    np.fill_diagonal(cosines, -2)
    np.testing.assert_array_equal(neighbourhood.places, np.argsort(-cosines, axis=1)[:, :10])
    np.testing.assert_allclose(neighbourhood.cosines, -np.sort(-cosines, axis=1)[:, :10], atol=1e-6)


def test_a_pair_much_nearer_than_the_rest_is_one_scene():
    vectors = directions()
    vectors[7] = vectors[3] + 0.1 * vectors[7]
    [pair] = find_scenes(Neighbourhood(vectors), [])
    assert (pair.first, pair.second) == (3, 7) and pair.similarity > 0.9
    assert find_scenes(Neighbourhood(vectors), [NearCopy(3, 7, 1.0, False)]) == []
    alike = directions(1, 400) + 0.05 * directions(40, 400, seed=2)  # all near, none stands out
    assert find_scenes(Neighbourhood(alike), []) == []


def test_what_lies_far_from_all_is_an_outlier():
    vectors = directions(1, 30)[:1] + 0.2 * directions(60, 30, seed=2)
    vectors[11] = -vectors[11]
    pictures = [Picture("", f"{i}.jpg", "cat", None, str(i)) for i in range(60)]
    found = list(find_outliers(pictures, Neighbourhood(vectors)))
    assert [finding.file for finding in found] == ["11.jpg"] and "farther than usual" in found[0].reason
    assert list(find_outliers(pictures[:5], Neighbourhood(vectors[:5]))) == []  # too few to say


def test_equal_features_are_each_others_neighbours():
    neighbourhood = Neighbourhood(np.ones((30, 4), np.float32))
    assert neighbourhood.places.shape == (30, 10)
    np.testing.assert_allclose(neighbourhood.cosines, 1, atol=1e-6)
    assert find_scenes(neighbourhood, []) is not None
