"""Several classifiers as one, on stand-ins whose answers are known."""

from dataclasses import dataclass

import numpy as np
import pytest

from src.bundle_facts import Classifier
from src.ensemble import align_classes, check_same_classes, predict_in_batches
from src.errors import UserError
from src.evaluation.calibration import apply_temperature, average_logits
from src.imaging import write_image


@dataclass(frozen=True, kw_only=True)
class Brightness(Classifier):
    """The share of white is the probability of its class ``light``; of three classes the rest is shared evenly."""

    def _compute(self, inputs):
        light = inputs.mean(axis=(1, 2, 3)) / 255
        columns = {"light": light, "dark": 0.75 * (1 - light), "none": 0.25 * (1 - light)}
        assert inputs.shape[1:] == (*self.image_size, 3)
        return np.stack([columns[name] for name in self.class_names], axis=1).astype(np.float32)


def _member(name, size, *class_names, **options):
    return Brightness(name=name, class_names=class_names, image_size=(size, size), interpolation="bilinear", **options)


@pytest.fixture
def paths(tmp_path):
    """Five gray pictures, the third of which is none."""
    for number in range(5):
        write_image(tmp_path / f"{number}.png", np.full((20, 20, 3), 40 * number + 20, np.uint8))
    (tmp_path / "2.png").write_text("no picture")
    return [str(tmp_path / f"{number}.png") for number in range(5)]


MEMBERS = [
    _member("a", 8, "light", "dark", "none"),
    _member("b", 12, "none", "light", "dark", temperature=3.0),
]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_members_of_other_sizes_and_orders_are_averaged_by_name(paths, batch_size):
    read, rows, failures = [], [], []
    for places, probabilities, _, failed in predict_in_batches(MEMBERS, paths, batch_size):
        read += places
        rows.append(probabilities)
        failures += failed
    light = np.array([20, 60, 140, 180]) / 255
    one = np.stack([light, 0.75 * (1 - light), 0.25 * (1 - light)], axis=1)
    np.testing.assert_allclose(np.concatenate(rows), average_logits([one, apply_temperature(one, 3.0)]), rtol=1e-5)
    assert read == [0, 1, 3, 4]
    assert [failure.path for failure in failures] == [paths[2]], "once, not once for each member"


def test_one_alone_answers_for_itself(paths):
    ((read, rows, _, _),) = predict_in_batches(MEMBERS[1:], paths, 9)
    np.testing.assert_array_equal(rows, MEMBERS[1].predict(MEMBERS[1].prepare([paths[i] for i in read])))


def test_a_file_that_goes_between_two_readers_is_left_out(paths):
    gone = _member("gone", 8, "light", "dark", "none")
    original = gone.read

    def read(path):
        return original(paths[2] if path == paths[0] else path)

    object.__setattr__(gone, "read", read)
    ((found, rows, _, failures),) = predict_in_batches([MEMBERS[0], gone], paths, 9)
    assert found == [1, 3, 4] and len(rows) == 3 and len(failures) >= 1
    alone = MEMBERS[0].predict(MEMBERS[0].prepare([paths[i] for i in found]))
    np.testing.assert_allclose(rows, alone, rtol=1e-5)


def test_columns_follow_names():
    rows = np.array([[0.1, 0.2, 0.7]])
    np.testing.assert_array_equal(align_classes(rows, ("a", "b", "c"), ["c", "a", "b"]), [[0.7, 0.1, 0.2]])
    assert align_classes(rows, ("a", "b"), ["a", "b"]) is rows


def test_other_classes_are_refused():
    check_same_classes(MEMBERS)
    with pytest.raises(UserError, match="b knows the classes none, light, dark, c knows light, dark"):
        check_same_classes([MEMBERS[1], _member("c", 8, "light", "dark")])
