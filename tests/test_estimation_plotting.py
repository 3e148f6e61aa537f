"""The learning curve is drawn with a law, and without where too few sizes were measured."""

import pytest

from src.drawing import render_svg
from src.estimation_plotting import draw_learning_curve

POINTS = [
    {"pictures_per_class": 5.0, "accuracy": 0.8, "interval": [0.7, 0.9]},
    {"pictures_per_class": 10.0, "accuracy": 0.9, "interval": [0.8, 0.95]},
]


@pytest.mark.parametrize("band, fitted", [([], False), ([[5.0, 0.8, 0.7, 0.9], [20.0, 0.95, 0.9, 1.0]], True)])
def test_a_curve_with_and_without_a_law(band, fitted):
    curve = {"points": POINTS, "band": band, "pictures_per_class": 10.0}
    svg = render_svg(lambda axes: draw_learning_curve(axes, curve), 400, 300)
    assert "all there are: 10" in svg and ("fitted" in svg) == fitted
