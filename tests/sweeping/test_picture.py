"""Pictures of sweeps: their colours tell what is drawn."""

import matplotlib
import numpy as np
import pytest

from src.imaging import read_image
from src.sweeping.picture import draw_sweep, is_plain_grid
from src.sweeping.results import TrialResult
from src.sweeping.space import Choices, Range

pytestmark = pytest.mark.large

SPACE = [Choices("optimizer", ("sgd", "adam")), Choices("rate", ("0.1", "0.01", "0.001"))]
GREEN, GRAY, NO_VALUE = (0, 128, 95), (107, 107, 107), (242, 242, 242)


def trial(number, parameters, accuracy, state="complete"):
    epochs = [{"val_accuracy": accuracy * share, "val_loss": 1.0} for share in (0.5, 0.8, 1.0)]
    kept = epochs[-1] if state == "complete" else {}
    return TrialResult(number, parameters, state, [] if state == "failed" else epochs, kept)


def grid(states=("complete",) * 6):
    pairs = [(o, r) for o in SPACE[0].texts for r in SPACE[1].texts]
    return [
        trial(number, {"optimizer": o, "rate": r}, 0.5 + 0.05 * number, state)
        for number, ((o, r), state) in enumerate(zip(pairs, states), 1)
    ]


def count(picture, color):
    return int((picture == color).all(axis=2).sum())


def test_a_grid_of_two_is_a_table(tmp_path):
    draw_sweep(grid(), SPACE, tmp_path / "table.png", title="sweep")
    picture = read_image(tmp_path / "table.png")
    assert count(picture, GREEN) > 500
    # the best is the last: the green frame lies in the lower right cell of the table, which is the left half
    rows, columns = np.nonzero((picture[:, : picture.shape[1] // 2] == GREEN).all(axis=2))
    assert rows.min() > picture.shape[0] * 0.4 and columns.min() > picture.shape[1] * 0.2
    assert all(count(picture, shade) > 1000 for shade in _shades())
    assert count(picture, NO_VALUE) < 100  # smoothed edges of letters
    draw_sweep(grid(("failed", "pruned", *["complete"] * 4)), SPACE, tmp_path / "failed.png")
    failed = read_image(tmp_path / "failed.png")
    assert _reddish(failed) > 30 > _reddish(picture) == 0
    assert count(failed, NO_VALUE) > 1.5 * count(failed, _shades()[0])  # two cells beside one of the lowest value


def _reddish(picture):
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    return int((red > np.maximum(green, blue) + 60).sum())


def _shades():
    """Of the lowest and the highest accuracy."""
    return [np.array(matplotlib.colormaps["Blues"](share, bytes=True)[:3]) for share in (0.04, 0.54)]


def test_what_is_a_table():
    assert is_plain_grid(grid(), SPACE)
    assert not is_plain_grid(grid()[:5], SPACE)
    assert not is_plain_grid(grid(), [*SPACE, Choices("seed", ("1",))])
    assert not is_plain_grid(grid(), [SPACE[0], Range("rate", 0.001, 0.1)])


@pytest.mark.parametrize(("space", "shape"), [(1, (460, 880)), (2, (460, 1320)), (3, (840, 880)), (4, (840, 1320))])
def test_a_panel_for_each_parameter_and_one_for_the_curves(tmp_path, space, shape):
    kinds = [Range("rate", 1e-3, 1.0), Range("units", 1, 9), Choices("optimizer", ("sgd", "adam")), Range("b", 0, 0.5)]
    values = [("0.01", "3", "sgd", "0.1"), ("0.1", "5", "adam", "0.2"), ("0.5", "9", "sgd", "0.3")]
    names = [kind.name for kind in kinds[:space]]
    trials = [trial(n, dict(zip(names, texts)), 0.4 + 0.1 * n) for n, texts in enumerate(values, 1)]
    draw_sweep(trials, kinds[:space], tmp_path / "a.png", title="sweep")
    picture = read_image(tmp_path / "a.png")
    assert picture.shape == (*shape, 3) and count(picture, GREEN) > 200
    pruned = [trial(1, trials[0].parameters, 0.5, "pruned"), *trials[1:]]
    draw_sweep(pruned, kinds[:space], tmp_path / "b.png", title="sweep")
    assert count(read_image(tmp_path / "b.png"), GRAY) > count(picture, GRAY) + 20
