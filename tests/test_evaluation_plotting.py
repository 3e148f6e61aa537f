import numpy as np
import pytest
from matplotlib.axes import Axes

from src.evaluation_plotting import (
    CoveragePoint,
    ReliabilityPanel,
    _lowest_shown,
    plot_class_accuracy,
    plot_coverage,
    plot_reliability,
)
from src.imaging import read_image

BAR = (64, 149, 197)  # BLUE over white at 0.75


def _is(drawn, color):
    return np.abs(drawn.astype(int) - color).max(axis=2) <= 3


def _panel(title, right):
    return ReliabilityPanel(
        title, np.array([0, 0, 40, 40]), np.array([0, 0, *right]), np.array([np.nan, np.nan, 0.6, 0.9])
    )


def test_reliability_bars_are_as_high_as_the_shares(tmp_path):
    plot_reliability([_panel("x", (10, 40))], tmp_path / "r.png")
    drawn = read_image(tmp_path / "r.png")
    heights = _is(drawn, BAR).sum(axis=0)
    right, left = (np.median(half[half > 0]) for half in np.split(heights, [400])[::-1])
    assert right / left == pytest.approx(4, rel=0.1), "40 of 40 against 10 of 40"
    plot_reliability([_panel("x", (10, 40)), _panel("x", (20, 40))], tmp_path / "two.png")
    assert read_image(tmp_path / "two.png").shape[1] - drawn.shape[1] == 480
    plot_reliability([_panel("x", (10, 40))], tmp_path / "titled.png", title="title")
    assert not np.array_equal(read_image(tmp_path / "titled.png"), drawn)


def test_coverage_shows_its_points_and_its_table(tmp_path):
    points = [CoveragePoint(n, right, 1 - n / 100) for n, right in ((10, 10), (50, 45), (100, 80))]
    plot_coverage(points, points[2:], tmp_path / "c.png")
    drawn = read_image(tmp_path / "c.png")
    orange = _is(drawn, (230, 159, 0))
    plot_coverage(points, points[1:], tmp_path / "two.png")
    two = read_image(tmp_path / "two.png")
    assert _is(two, (230, 159, 0)).sum() == pytest.approx(1.5 * orange.sum(), rel=0.1), "one more beside the legend's"
    lines = [np.diff(np.r_[0, (table[:, 600:] < 128).any(axis=(1, 2))].astype(int)) for table in (drawn, two)]
    assert (lines[1] == 1).sum() == (lines[0] == 1).sum() + 1, "a row more in the table"


def test_the_surest_answers_do_not_set_the_axis():
    """Of 100 answers, one by one, only the surest is wrong: from the fifth on 0.8 or more are right."""
    counts = np.arange(1, 101)
    shares, lows = (counts - 1) / counts, np.full(100, 0.85)
    assert _lowest_shown(counts, shares, lows, []) == pytest.approx(0.8 - 0.02)
    assert _lowest_shown(counts, shares, np.where(counts == 25, 0.7, lows), []) == pytest.approx(0.68)
    assert _lowest_shown(counts, shares, np.where(counts == 24, 0.7, lows), []) == pytest.approx(0.78)
    assert _lowest_shown(counts, shares, lows, [0.5]) == pytest.approx(0.48), "what is marked is seen"


def test_the_curve_fills_the_axis_though_the_surest_answer_is_wrong(tmp_path, monkeypatch):
    limits, original = [], Axes.set

    def keep(axes, **options):
        limits.append(options.get("ylim"))
        return original(axes, **options)

    monkeypatch.setattr(Axes, "set", keep)
    points = [CoveragePoint(n, n - 1, 1 - n / 100) for n in range(1, 101)]
    plot_coverage(points, points[99:], tmp_path / "c.png")
    assert limits[0][0] > 0.7


def _bars(path, *arguments):
    """Lengths of the bars in pixels, from the top, by the rows that have one."""
    plot_class_accuracy(*arguments, path)
    lengths = _is(read_image(path), BAR).sum(axis=1)
    edges = np.flatnonzero(np.diff(np.r_[0, lengths > 0, 0]))
    return [int(np.median(lengths[start:end])) for start, end in zip(edges[::2], edges[1::2])]


def test_class_bars_stand_in_order_the_worst_first(tmp_path):
    bars = _bars(tmp_path / "p.png", ["a", "b", "none", "c"], [40, 10, 0, 20], [40, 40, 0, 40])
    assert len(bars) == 3, "a class without pictures has no accuracy"
    np.testing.assert_allclose(np.array(bars) / bars[2], [0.25, 0.5, 1], atol=0.03)


@pytest.mark.parametrize("count", [2, 60])
def test_as_many_bars_as_classes(tmp_path, count):
    names = [f"class {number}" for number in range(count)]
    assert len(_bars(tmp_path / "p.png", names, [5] * count, [10] * count)) == count
    assert read_image(tmp_path / "p.png").shape[0] >= 17 * count
