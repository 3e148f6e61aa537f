import matplotlib
import numpy as np
import pytest

from src import plotting
from src.imaging import read_image
from src.ranking import Compared, Measure, Score


def test_training_curves(tmp_path):
    history = {"loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.2, 0.9], "learning_rate": [1e-3, 1e-3, 1e-4]}
    plotting.plot_training_curves(history, tmp_path / "c.png", best_epoch=3, phase_boundary=2)
    both = read_image(tmp_path / "c.png")
    assert both.shape == (420, 1040, 3)  # the loss and the learning rate
    blue, orange = ((0, 114, 178), (230, 159, 0))
    assert all((both == color).all(axis=2).sum() > 100 for color in (blue, orange))
    plotting.plot_training_curves(history, tmp_path / "c2.png")
    plain = read_image(tmp_path / "c2.png")
    assert not np.array_equal(both, plain)  # the boundary and the best epoch show
    plotting.plot_training_curves(history | {"clean_loss": [1.9, 0.8, 0.4]}, tmp_path / "c3.png")
    clean = read_image(tmp_path / "c3.png")  # its curve takes the full blue, that of training itself grows paler
    pale = np.round(0.45 * np.array(blue) + 0.55 * 255).astype(int)
    counts = [(np.abs(drawn.astype(int) - pale).max(axis=2) <= 1).sum() for drawn in (plain, clean)]
    assert (clean == blue).all(axis=2).sum() > 100 and counts[1] > counts[0] + 50
    plotting.plot_training_curves({"accuracy": [0.5]}, tmp_path / "one.png")
    assert read_image(tmp_path / "one.png").std() > 5


@pytest.mark.large
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


def _compared(title, *values, fails=(), is_control=False):
    scores = [None if value is None else Score(value, beats_controls=n not in fails) for n, value in enumerate(values)]
    return Compared(title, scores, is_control)


COLUMNS = [Measure("up", True), Measure("down", False), Measure("neither")]


def test_shares_of_ranks():
    ranks = np.array([[2.5], [2.5], [4], [np.nan], [1], [5]])
    np.testing.assert_array_equal(plotting._rank_shares(ranks)[:, 0], [0.625, 0.625, 0.25, np.nan, 1, 0])
    assert plotting._rank_shares(np.array([[1.0]])).tolist() == [[1.0]]


def _table(tmp_path, rows, columns=COLUMNS, **options):
    plotting.plot_comparison_table(rows, columns, tmp_path / "t.png", **options)
    return read_image(tmp_path / "t.png").astype(int)


def _cell(drawn, row, column, height=28, width=84, names=122):
    """The upper left corner of a cell: its colour, without text."""
    return tuple(drawn[16 + 15 * 2 + 8 + row * height + 4, 16 + names + column * width + 4])


def test_cells_are_shaded_by_rank_and_rows_are_in_order(tmp_path):
    rows = [_compared("worst", 0.1, 9.0, 0), _compared("best", 0.9, 1.0, 0), _compared("middle", 0.5, 5.0, 0)]
    drawn = _table(tmp_path, rows)
    shades = [tuple(round(255 * part) for part in plotting._shade(share)[:3]) for share in (1, 0.5, 0)]
    for column in (0, 1):
        cells = [_cell(drawn, row, column) for row in range(3)]
        assert np.abs(np.subtract(cells, shades)).max() <= 1
    assert {_cell(drawn, row, column) for row in range(3) for column in (2, 3)} == {(255, 255, 255)}
    turned = _table(tmp_path, rows, [Measure("up", False), Measure("down", True), COLUMNS[2]])
    assert [_cell(turned, row, 0) for row in range(3)] == [_cell(drawn, row, 0) for row in range(3)]
    assert not np.array_equal(turned, drawn)  # "worst" now stands first


def test_what_beats_no_control_is_not_shaded_and_controls_stand_apart(tmp_path):
    rows = [
        _compared("control", 0.5, 5.0, 0, is_control=True),
        _compared("good", 0.9, 1.0, 0),
        _compared("poor", 0.8, 2.0, 0, fails=(0,)),
    ]
    drawn = _table(tmp_path, rows)
    assert _cell(drawn, 1, 0) == (255, 255, 255) != _cell(drawn, 1, 1)
    gray = (drawn == 0xEF).all(axis=2)
    assert gray[: 16 + 38 + 2 * 28].sum() < 50  # nothing of the control within the methods, but edges of letters
    assert gray.sum() > 3 * 28 * 84  # all its cells, less their figures
    judged = [_compared("good", 0.9, 1.0, 0), _compared("poor", 0.8, 2.0, 0)]
    assert _cell(_table(tmp_path, judged), 1, 0) != (255, 255, 255)


def test_table_shows_intervals_formats_and_titles(tmp_path):
    plain = Compared("a", [Score(0.5)])
    column = [Measure("up", True)]
    drawn = _table(tmp_path, [plain], column)
    others = [
        _table(tmp_path, [Compared("a", [Score(0.5, 0.4, 0.6)])], column),
        _table(tmp_path, [plain], [Measure("up", True, "{:.1%}")]),
        _table(tmp_path, [plain], column, title="title"),
        _table(tmp_path, [Compared("b", [Score(0.5)])], column),
        _table(tmp_path, [plain], [Measure("other", True)]),
    ]
    assert all(other.shape != drawn.shape or not np.array_equal(other, drawn) for other in others)
    assert others[0].shape[0] == drawn.shape[0] + 42 - 28  # a second line in each row
    with pytest.raises(ValueError, match="1 scores in each row"):
        _table(tmp_path, [Compared("a", [])], column)
    with pytest.raises(ValueError, match="at least one method"):
        _table(tmp_path, [Compared("a", [Score(1.0)], is_control=True)], column)


def _written(monkeypatch, tmp_path, rows, columns, **options):
    """All texts of a table, in the order of their drawing."""
    texts, write = [], plotting._Table._write

    def record(self, x, y, text, *rest, **style):
        texts.append(text)
        return write(self, x, y, text, *rest, **style)

    monkeypatch.setattr(plotting._Table, "_write", record)
    plotting.plot_comparison_table(rows, columns, tmp_path / "t.png", **options)
    return texts


def test_intervals_that_are_not_known_are_not_written(tmp_path, monkeypatch):
    nan = float("nan")
    rows = [Compared("a", [Score(0.5, nan, nan), Score(0.25, 0.1, 0.4)])]
    texts = _written(monkeypatch, tmp_path, rows, COLUMNS[:2])
    assert {"0.50", "0.25", "[0.10, 0.40]"} <= set(texts) and not any("nan" in text for text in texts)


def test_columns_say_on_how_many_values_they_rest_where_it_is_not_the_titles(tmp_path, monkeypatch):
    def row(title, *numbers):
        return Compared(title, [Score(0.5, n=n) for n in numbers])

    rows = [row("a", 16, 4, 200, None), row("b", 16, 4, 16, None)]
    columns = [Measure(name, True) for name in "vxyz"]
    texts = _written(monkeypatch, tmp_path, rows, columns, count=16)
    assert [text for text in texts if text.startswith("n =")] == ["n = 4", "n = 16–200"]
    monkeypatch.undo()
    texts = _written(monkeypatch, tmp_path, rows, columns)
    assert [text for text in texts if text.startswith("n =")] == ["n = 16", "n = 4", "n = 16–200"]


def test_the_legend_counts_comparisons_with_controls(tmp_path, monkeypatch):
    rows = [_compared("a", 0.5, 0.5, 0.5), _compared("b", 0.5, None, 0.5), _compared("c", 1, 1, 1, is_control=True)]
    texts = _written(monkeypatch, tmp_path, rows, COLUMNS)
    assert "5 values compared with controls: with so many, some beat them by chance" in texts
    monkeypatch.undo()
    plain = [Compared("a", [Score(0.5)] * 3)]
    texts = _written(monkeypatch, tmp_path, plain, COLUMNS)
    assert not any("by chance" in text or "controls" in text for text in texts)
    monkeypatch.undo()
    unknown = [*plain, Compared("b", [Score(0.5)] * 3, is_control=True)]  # of too few pictures nothing can be said
    texts = _written(monkeypatch, tmp_path, unknown, COLUMNS)
    assert any("too few values to say" in text for text in texts)
    assert not any("does not beat" in text for text in texts)


def test_a_large_table_has_room_for_all_its_cells(tmp_path):
    columns = [Measure(f"measure {number} of many words", True) for number in range(13)]
    scores = [Score(0.5, 0.4, 0.6)] * 13
    drawn = _table(tmp_path, [Compared(f"method {number}", scores) for number in range(8)], columns)
    assert drawn.shape[0] > 8 * 42 and drawn.shape[1] > 14 * 84
    ink = (drawn < 128).all(axis=2)
    assert not ink[:, -8:].any() and not ink[-8:].any() and not ink[:, :8].any()
