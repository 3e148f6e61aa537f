import matplotlib
import numpy as np
import pytest

from src import drawing, plotting
from src.imaging import read_image


def _picture(height=50, width=70):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)


def test_colours_follow_the_raw_scale():
    heatmap = np.array([[-1.0, 0.0], [1.0, 4.0]], np.float32)
    last, first = (np.array(matplotlib.colormaps["inferno"](end, bytes=True)[:3]) for end in (1.0, 0.0))
    on_own = drawing.colorize_heatmap(heatmap, 4.0)
    assert np.array_equal(on_own[1, 1], last) and np.array_equal(on_own[0, 0], first)
    assert not np.array_equal(drawing.colorize_heatmap(heatmap, 8.0)[1, 1], last)  # a shared scale stays shared


def test_no_evidence_leaves_the_picture_and_divides_nothing():
    picture = _picture()
    with np.errstate(all="raise"):
        assert np.array_equal(drawing.overlay_heatmap(picture, np.zeros((3, 3)), 0.0), picture)
    assert drawing.describe_maximum(np.zeros((2, 2))) == "zero everywhere: no positive evidence"


def test_enlarging_shifts_nothing():
    heatmap = np.zeros((3, 3), np.float32)
    heatmap[2, 0] = 1
    enlarged = drawing.enlarge_heatmap(heatmap, (9, 15))
    assert enlarged.shape == (9, 15) and enlarged[7, 2] == 1.0  # the centre of the cell (2, 0)
    overlay = drawing.overlay_heatmap(_picture(9, 15), heatmap, 1.0)
    assert np.array_equal(overlay[0, 14], _picture(9, 15)[0, 14])


def test_contact_sheet_places_pixels_as_they_are(tmp_path):
    images = [np.full((10, 10, 3), (250, 0, 0), np.uint8), np.full((20, 10), 77, np.uint8), _picture()]
    drawing.draw_contact_sheet(images, ["a $5 & $6", "b\nc", "d" * 200], tmp_path / "s.png", columns=2, title="t")
    sheet = read_image(tmp_path / "s.png")
    assert np.sum((sheet == (250, 0, 0)).all(axis=2)) >= 224 * 224
    assert np.sum((sheet == 77).all(axis=2)) == pytest.approx(224 * 112, rel=0.02)
    assert sheet.shape[1] < 2 * 224 + 60
    assert [path.name for path in tmp_path.iterdir()] == ["s.png"]
    with pytest.raises(ValueError, match="Received: 0, 0"):
        drawing.draw_contact_sheet([], [], tmp_path / "none.png")


@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_explanation_has_three_panels(tmp_path, scale):
    heatmap = np.eye(4, dtype=np.float32) * scale
    drawing.draw_explanation(_picture(), heatmap, tmp_path / "e.png", title="true: a\npredicted: b", method="Grad-CAM")
    drawn = read_image(tmp_path / "e.png")
    assert drawn.shape[1] > 3 * 224
    black, yellow = (
        (drawn == matplotlib.colormaps["inferno"](end, bytes=True)[:3]).all(axis=2).sum() for end in (0.0, 1.0)
    )
    assert black > 5000 and (yellow > 100 if scale else yellow == 0)


def test_long_titles_wrap_and_captions_fit(tmp_path):
    """Nothing is written past the right edge, nor by one caption into the next."""
    narrow = _picture(60, 40)
    drawing.draw_contact_sheet([narrow], ["x"], tmp_path / "short.png", title="word")
    drawing.draw_contact_sheet([narrow], ["x"], tmp_path / "long.png", title="many words " * 9)
    short, long = read_image(tmp_path / "short.png"), read_image(tmp_path / "long.png")
    assert long.shape[0] > short.shape[0] + 40 and long.shape[1] == short.shape[1]
    drawing.draw_contact_sheet([narrow] * 2, ["W" * 99] * 2, tmp_path / "two.png", columns=2)
    ink = (read_image(tmp_path / "two.png")[80:] < 128).any(axis=(0, 2))
    middle = len(ink) // 2
    assert ink.any() and not ink[middle - 3 : middle + 3].any() and not ink[-4:].any()


def test_training_curves(tmp_path):
    history = {"loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.2, 0.9], "learning_rate": [1e-3, 1e-3, 1e-4]}
    plotting.plot_training_curves(history, tmp_path / "c.png", best_epoch=3, phase_boundary=2)
    both = read_image(tmp_path / "c.png")
    assert both.shape == (420, 1040, 3)  # the loss and the learning rate
    blue, orange = ((0, 114, 178), (230, 159, 0))
    assert all((both == color).all(axis=2).sum() > 100 for color in (blue, orange))
    plotting.plot_training_curves(history, tmp_path / "c2.png")
    assert not np.array_equal(both, read_image(tmp_path / "c2.png"))  # the boundary and the best epoch show
    plotting.plot_training_curves({"accuracy": [0.5]}, tmp_path / "one.png")
    assert read_image(tmp_path / "one.png").std() > 5


def test_confusion_matrix_from_2_to_200_classes(tmp_path):
    for count, width in ((2, 400), (12, 900), (151, 2400)):
        matrix = np.eye(count, dtype=int) * 9
        matrix[0] = 0  # a class without pictures divides nothing
        with np.errstate(all="raise"):
            plotting.plot_confusion_matrix(matrix, [f"class {i}" for i in range(count)], tmp_path / "m.png")
        drawn = read_image(tmp_path / "m.png")
        assert width < drawn.shape[1] < 8000
        dark = np.array(matplotlib.colormaps["Blues"](1.0, bytes=True)[:3])
        share = (drawn == dark).all(axis=2).sum() / drawn[..., 0].size
        assert share > 0.15 / count  # one dark cell in each row
    with pytest.raises(ValueError, match="Received"):
        plotting.plot_confusion_matrix(np.eye(3), ["a", "b"], tmp_path / "m.png")


def test_comparison_bars_are_as_long_as_the_figures(tmp_path):
    plotting.plot_comparison(["a", "b"], [0.4, 0.8], [(0.3, 0.5), (0.7, 0.9)], tmp_path / "c.png")
    drawn = read_image(tmp_path / "c.png").astype(int)
    bar = (abs(drawn - (51, 142, 193)).sum(axis=2) < 12).sum(axis=1)  # BLUE over white at 0.8
    upper, lower = (half.max() for half in np.array_split(bar[: len(bar) * 3 // 4], 2))
    assert lower / upper == pytest.approx(2.0, rel=0.1)


def test_the_callers_settings_of_matplotlib_stay(tmp_path):
    before = dict(matplotlib.rcParams)
    plotting.plot_comparison(["a"], [0.4], [(0.3, 0.5)], tmp_path / "c.png")
    assert dict(matplotlib.rcParams) == before
