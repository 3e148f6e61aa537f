import cv2
import matplotlib
import numpy as np
import pytest

from src import drawing
from src.imaging import read_image


def _picture(height=50, width=70):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)


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


def test_the_bar_has_its_colours_marks_and_ends(tmp_path):
    """One bar beside 224 pixels of gray: the colours of its ends, of its middle, and a line across at 0.5."""
    gray = np.full((224, 224, 3), 77, np.uint8)
    bars = {
        "plain": drawing.ColorBar(-1.0, 1.0, "coolwarm", "raw"),
        "marked": drawing.ColorBar(-1.0, 1.0, "coolwarm", "raw", marks=[0.5]),
        "ends": drawing.ColorBar(-1.0, 1.0, "coolwarm", "raw", ends=("against", "for")),
        "beyond": drawing.ColorBar(-1.0, 1.0, "coolwarm", "raw", beyond="both"),
        "other": drawing.ColorBar(-2.0, 1.0, "viridis", "other"),
    }
    drawn = {}
    for name, bar in bars.items():
        drawing.draw_contact_sheet([gray], ["x"], tmp_path / f"{name}.png", bar=bar)
        drawn[name] = read_image(tmp_path / f"{name}.png")
    column = drawn["plain"][14 : 14 + 224, 224 + 2 * 14 + 8]  # through the middle of the bar
    table = matplotlib.colormaps["coolwarm"](np.arange(256), bytes=True)[:, :3].astype(int)
    assert np.abs(column[[1, 112, -2]] - table[[255, 128, 0]]).max() < 9  # an entry or two
    assert np.abs(column[[1, -2]] - table[[0, 255]]).max() > 99
    marked = drawn["marked"][14 : 14 + 224, 224 + 2 * 14 + 8]
    changed = np.flatnonzero((marked != column).any(axis=1))
    assert changed.min() >= 50 and changed.max() <= 62 and marked[changed].max() > 230  # a quarter of the way down
    assert drawn["ends"].shape[1] > drawn["plain"].shape[1] + 40  # room for the words
    assert (drawn["beyond"][14 : 14 + 3, 224 + 2 * 14 : 224 + 2 * 14 + 4] > 250).all()  # the corner of an arrow
    assert not np.array_equal(drawn["other"], drawn["plain"])


def test_grid_places_pixels_as_they_are(tmp_path):
    red, green = (np.full((60, 100, 3), color, np.uint8) for color in ((250, 0, 0), (0, 200, 0)))
    tiles = [[red, green, None], [green[:40], red[:, :50], red]]
    captions = [["a name of many words, which are broken", "x", ""], ["", "", "y"]]
    drawing.draw_grid(tiles, captions, ["one", "two", "three"], tmp_path / "g.png", cell=100, title="title")
    drawn = read_image(tmp_path / "g.png")
    is_red, is_green = ((drawn == color).all(axis=2) for color in ((250, 0, 0), (0, 200, 0)))
    assert is_red.sum() == 60 * 100 + 60 * 50 + 60 * 100 and is_green.sum() == 60 * 100 + 40 * 100
    columns = np.flatnonzero(is_green.any(axis=0))
    assert columns.min() == 14 and columns.max() == 14 + 108 + 99  # the first column and the second
    with pytest.raises(ValueError, match="for each header"):
        drawing.draw_grid(tiles, captions, ["one", "two"], tmp_path / "g.png", cell=100)
    with pytest.raises(ValueError, match="at least one row"):
        drawing.draw_grid([], [], ["one"], tmp_path / "g.png", cell=100)


def test_grid_grows_with_its_bars(tmp_path):
    bars = [drawing.ColorBar(0, 1, "inferno", "x"), drawing.ColorBar(-1, 1, "coolwarm", "y", ends=("a", "b"))]
    heights = []
    for count in range(3):
        drawing.draw_grid([[_picture()]], [[""]], ["h"], tmp_path / "g.png", cell=100, bars=bars[:count])
        heights.append(len(read_image(tmp_path / "g.png")))
    assert (
        heights[1] == heights[0] + 90 and heights[2] == heights[0] + 2 * 90
    )  # one below the other: the grid is narrow


def test_words_are_broken_into_few_lines():
    assert drawing._break_lines("Integrated gradients", 12, 3) == "Integrated\ngradients"
    assert drawing._break_lines("one two three four", 6, 2) == "one\ntwo three four"
    assert drawing._break_lines("", 6, 2) == ""


def test_rendered_text_is_coverage(tmp_path):
    short, long = drawing.render_text("tench 93%", 200), drawing.render_text("tench 93%, and more", 200)
    assert short.shape == (24, 200) and short.dtype == np.uint8 and short.max() > 200 and not short[:, 120:].any()
    assert long[:, 120:].any() and drawing.render_text("W" * 99, 50).shape == (24, 50)
    assert drawing.render_text("", 9).max() == 0
    with pytest.raises(ValueError, match="read-only"):
        short[:] = 0


def test_pictures_are_fitted_by_their_longer_side():
    assert drawing.fit_image(_picture(50, 100), 20).shape == (10, 20, 3)
    gray = drawing.fit_image(np.full((4, 2), 9, np.uint8), 8)
    assert gray.shape == (8, 4, 3) and (gray == 9).all()
    assert np.array_equal(
        drawing.fit_image(_picture(40, 40), 20), cv2.resize(_picture(40, 40), (20, 20), interpolation=cv2.INTER_AREA)
    )
