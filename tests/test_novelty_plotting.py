"""The histogram of novelties: its shares, and a picture of them."""

from matplotlib.figure import Figure

from src.imaging import read_image
from src.novelty_plotting import draw_novelty, plot_novelty

HISTOGRAM = {
    "edges": [0.0, 0.5, 1.0, 1.5, 2.0],
    "held_out": [3, 1, 0, 0],
    "test": [1, 1, 2, 0],
    "unknown": [0, 0, 1, 4],
}


def test_each_group_is_drawn_as_shares_of_itself():
    axes = Figure().add_subplot()
    draw_novelty(axes, HISTOGRAM)
    drawn = {patch.get_label(): patch.get_data().values.tolist() for patch in axes.patches}
    assert drawn == {
        "held-out pictures (4)": [0.75, 0.25, 0, 0],
        "test pictures (4)": [0.25, 0.25, 0.5, 0],
        "unknown (5)": [0, 0, 0.2, 0.8],
    }
    assert axes.get_xticklabels()[-1].get_text() == "2+"
    few = Figure().add_subplot()
    draw_novelty(few, {"edges": HISTOGRAM["edges"], "test": [0, 0, 0, 0], "unknown": [1, 0, 0, 0]})
    assert [patch.get_label() for patch in few.patches] == ["unknown (1)"]


def test_it_is_saved(tmp_path):
    plot_novelty(HISTOGRAM, tmp_path / "novelty.png", title="a model")
    assert read_image(tmp_path / "novelty.png").std() > 10
