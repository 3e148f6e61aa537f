"""Marks in figures, against maps whose values are known by hand: on marks alone, and on pairs with and without."""

import cv2
import numpy as np
import pytest

from src.explainers.base import Explanation
from src.explainers.pairs import choose_changed, draw_pairs, format_pairs, summarize_pairs
from src.explainers.stream import ExplainedPictures
from src.explainers.summary import compare_with_masks, format_test_part, measure_marks, summarize_test_part
from src.imaging import read_image, write_image
from src.intervals import paired_share_interval, wilson_interval

SIZE = (16, 16)


def explained(cells, predicted, labels, paths=None):
    """Maps of 4 x 4 with 1 at one cell each (None: zero everywhere), over two classes."""
    heatmaps = np.zeros((len(cells), 4, 4), np.float32)
    for heatmap, cell in zip(heatmaps, cells):
        if cell is not None:
            heatmap[cell] = 1.0
    logits = np.eye(2, dtype=np.float32)[predicted]
    explanation = Explanation(heatmaps, logits, logits, np.array(predicted), "conv")
    return ExplainedPictures(paths or [str(i) for i in range(len(cells))], np.array(labels), explanation, [])


def square(path, rows, columns):
    """A mask of 16 x 16 with one rectangle."""
    mask = np.zeros(SIZE, np.uint8)
    mask[rows, columns] = 255
    cv2.imwrite(str(path), mask)
    return path


@pytest.fixture
def masks(tmp_path):
    """A mark: the cell (1, 1) of 4 x 4; an object: the lower half."""
    return square(tmp_path / "mark.png", slice(4, 8), slice(4, 8)), square(
        tmp_path / "object.png", slice(8, 16), slice(0, 16)
    )


# A map of one cell, enlarged: along one axis 1/8 3/8 5/8 7/8 7/8 5/8 3/8 1/8, of which the cell has 3 of 4.
ON_CELL = 0.75**2


def test_figures_of_marks_by_hand(masks):
    mark, lower = masks
    maps = explained([(1, 1), (3, 3), None, (1, 1)], [0, 0, 0, 0], [0, 0, 0, 0])
    found = measure_marks(maps, [mark, mark, mark, None], [lower] * 4, SIZE)
    assert found["n_marks"] == 3 and found["mark_area"] == 1 / 16
    assert found["pointing_on_mark"] == pytest.approx(1 / 3)  # on the mark, elsewhere, nowhere
    assert found["energy_on_mark"] == pytest.approx(ON_CELL / 3)
    # One cell of the map wider on each side: rows and columns 0 to 11, all of the first map. The second is 1/8 and 3/8
    # at 10 and 11, and 4 in all: an eighth along each axis.
    assert found["near_mark_area"] == pytest.approx(144 / 256)
    assert found["pointing_near_mark"] == pytest.approx(1 / 3)
    assert found["energy_near_mark"] == pytest.approx((1 + 1 / 64) / 3)
    # on the object: of the first map the two rows beyond the cell, 1/8 of it; of the second all
    assert found["marked_energy_in_mask"] == pytest.approx((1 / 8 + 1) / 3)
    assert found["blob_energy_on_mark"] < found["blob_energy_near_mark"] < 1
    assert found["blob_marked_energy_in_mask"] == pytest.approx(0.5, abs=1e-6)
    assert measure_marks(maps, [None] * 4, [lower] * 4, SIZE) == {} == measure_marks(maps, [], [lower] * 4, SIZE)
    assert measure_marks(maps, [mark] * 4, [None] * 4, SIZE)["marked_energy_in_mask"] is None


def test_masks_are_widened_by_cells_of_the_map(masks):
    maps = explained([(1, 1)], [0], [0])
    areas = [compare_with_masks(maps, [masks[0]], SIZE, cells)["area"].item() * 256 for cells in (0, 1, 2)]
    assert areas == [4 * 4, 12 * 12, 16 * 16]
    assert compare_with_masks(maps, [masks[0]], (8, 8), 1)["area"].item() == 36 / 64  # a cell is then of 2 pixels


def test_marks_stand_beside_the_masks_in_the_summary(masks):
    mark, lower = masks
    maps = explained([(1, 1), (3, 3)], [0, 1], [0, 1])
    record = summarize_test_part(maps, [lower] * 2, SIZE, ["cat", "dog"], None, [mark, None])
    assert record["n_masks"] == 2 and record["n_marks"] == 1 and record["pointing_on_mark"] == 1.0
    assert record["energy_in_mask"] == pytest.approx((1 / 8 + 1) / 2)
    lines = format_test_part(record | {"model": "m", "title": "Grad-CAM", "output": "o"}).splitlines()
    assert any(line.startswith("On 1 planted marks, on average 6.2% of the picture") for line in lines)
    rows = {line.rsplit(maxsplit=2)[0].strip(): line.split()[-2] for line in lines if line.startswith("  ")}
    assert rows["peak on the mark (no tolerance)"] == "100.0%" and rows["energy on the mark"] == "56.2%"
    assert rows["energy on the object, same pictures"] == "12.5%" and rows["energy on the object"] == "56.2%"
    plain = summarize_test_part(maps, [lower] * 2, SIZE, ["cat", "dog"], None)
    assert plain.keys() == {key for key in record if "mark" not in key}
    assert all(plain[key] == record[key] for key in ("n", "n_masks", "pointing_game", "energy_in_mask", "mask_area"))
    assert "planted" not in format_test_part(plain | {"model": "m", "title": "Grad-CAM", "output": "o"})


@pytest.fixture
def pair(masks):
    """Class 0 "cat" is given away: its three pictures are right with the mark, one without; the dog becomes a cat."""
    marked = explained([(1, 1)] * 4, [0, 0, 0, 0], [0, 0, 0, 1])
    plain = explained([(3, 3), (3, 3), None, (3, 3)], [0, 1, 1, 1], [0, 0, 0, 1])
    return marked, plain, [masks[0]] * 4, [masks[1]] * 4


def test_figures_of_pairs_by_hand(pair):
    record = summarize_pairs(*pair, SIZE, ["cat", "dog"], "cat")
    cat, dog = record["classes"]["cat"], record["classes"]["dog"]
    assert (cat["n"], dog["n"], record["n"]) == (3, 1, 4)
    assert cat["right_with"] == pytest.approx([1.0, *wilson_interval(3, 3)])
    assert cat["right_without"] == pytest.approx([1 / 3, *wilson_interval(1, 3)])
    expected = paired_share_interval([1, 1, 1], [1, 0, 0])
    assert cat["difference"] == pytest.approx([2 / 3, expected.low, expected.high])
    assert (cat["taken_with"], cat["taken_without"]) == (1.0, pytest.approx(1 / 3))
    assert (dog["right_with"][0], dog["right_without"][0]) == (0.0, 1.0)
    assert (dog["taken_with"], dog["taken_without"]) == (1.0, 0.0)
    assert record["peak_on_mark_with"] == 1.0 and record["energy_on_mark_with"] == pytest.approx(ON_CELL)
    assert record["peak_on_mark_without"] == 0.0 == record["energy_on_mark_without"]
    assert record["peak_on_object_without"] == pytest.approx(3 / 4) == record["energy_on_object_without"]
    assert record["area_on_mark"] == 1 / 16 and record["area_near_mark"] == 144 / 256
    assert record["area_on_object"] == 1 / 2 and record["energy_near_mark_with"] == pytest.approx(1.0)
    other = summarize_pairs(*pair, SIZE, ["cat", "dog"], "dog")["classes"]["cat"]
    assert (other["taken_with"], other["taken_without"]) == (0.0, pytest.approx(2 / 3))


def test_figures_of_pairs_as_text(pair):
    record = summarize_pairs(*pair, SIZE, ["cat", "dog"], "cat") | {"model": "transfer", "sheet": "x.png"}
    lines = format_pairs(record).splitlines()
    assert lines[0] == "transfer: 4 test pictures with a planted mark, and the same without it"
    cat = next(line.split() for line in lines if line.startswith("cat"))
    assert cat[1:3] == ["3", "100.0%"] and "+66.7" in cat and cat[-2:] == ["100.0%,", "33.3%"]
    energy = next(line.split() for line in lines if line.startswith("  energy on the mark"))
    assert energy[-3:] == ["56.2%", "0.0%", "6.2%"]
    assert lines[-1] == "To look at: x.png"
    assert "changes no answer" in format_pairs(record | {"sheet": None})


def test_pictures_to_draw_are_those_whose_answer_the_mark_changes(pair):
    marked, plain = pair[:2]
    assert choose_changed(marked, plain, 9, seed=0) == [1, 2, 3]
    chosen = {tuple(choose_changed(marked, plain, 2, seed)) for seed in range(20)}
    assert chosen == {(1, 2), (1, 3), (2, 3)}
    assert choose_changed(marked, marked, 9, seed=0) == []


def test_the_sheet_has_a_row_for_each_picture(tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(2)]
    for path in paths:
        write_image(path, np.full((20, 20, 3), 90, np.uint8))
    pair = [explained([(1, 1), (0, 0)], answers, [0, 1], paths) for answers in ([0, 1], [1, 0])]
    sheets = []
    for number, (indices, title) in enumerate((([0, 1], "a"), ([1], "a"), ([1], "a longer title"))):
        draw_pairs(tmp_path / f"sheet{number}.png", *pair, indices, ["cat", "dog"], title=title)
        sheets.append(read_image(tmp_path / f"sheet{number}.png"))
    assert sheets[0].shape[1] == sheets[1].shape[1] and sheets[0].shape[0] > sheets[1].shape[0] + 190
    assert not np.array_equal(sheets[1], sheets[2])
    red, green = ((0xC0, 0x39, 0x2B), (0x00, 0x80, 0x5F))  # of wrong and right captions
    for color in (red, green):
        assert (sheets[0] == color).all(axis=2).any()
    with pytest.raises(ValueError, match="at least one"):
        draw_pairs(tmp_path / "none.png", *pair, [], ["cat", "dog"], title="")
