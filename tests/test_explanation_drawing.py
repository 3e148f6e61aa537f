import cv2
import matplotlib
import numpy as np
import pytest

from src import explanation_drawing as drawing
from src.drawing import fit_image
from src.heatmap_drawing import overlay_heatmap
from src.imaging import read_image

pytestmark = pytest.mark.large

TITLES = {"title": "true: a\npredicted: b", "method": "Grad-CAM"}


def _picture(height=50, width=70):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)


def _count(drawn: np.ndarray, color) -> int:
    """Pixels of a colour within squares of 5 x 5 of it: areas, but not the edges of letters."""
    same = (drawn == color).all(axis=2)
    return int(cv2.morphologyEx(same.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5))).sum())


def _halves(left: float, right: float) -> np.ndarray:
    """A map of 224 x 224 of two values: no interpolation between more than two columns."""
    return np.repeat([[left, right]], 112, axis=1).repeat(224, axis=0).astype(np.float32)


@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_explanation_has_three_panels(tmp_path, scale):
    heatmap = np.eye(4, dtype=np.float32) * scale
    drawing.draw_explanation(_picture(), heatmap, tmp_path / "e.png", **TITLES)
    drawn = read_image(tmp_path / "e.png")
    assert drawn.shape[1] > 3 * 224
    black, yellow = (_count(drawn, matplotlib.colormaps["inferno"](end, bytes=True)[:3]) for end in (0.0, 1.0))
    assert black > 5000 and (yellow > 100 if scale else yellow == 0)


def test_both_classes_are_on_one_scale(tmp_path):
    """The first map is 4 and 2, the runner-up 2 and 0: the two halves of value 2 have one colour, that of one half."""
    gray = np.full((224, 224, 3), 100, np.uint8)
    first, second = _halves(4, 2), _halves(2, 0)
    drawing.draw_explanation(
        gray, first, tmp_path / "e.png", answer=("cat", 0.9), runner_up=(second, "dog", 0.1), **TITLES
    )
    drawn = read_image(tmp_path / "e.png")
    strong, middle = (overlay_heatmap(gray, _halves(value, value), 4.0)[0, 0] for value in (4, 2))
    assert _count(drawn, strong) == 224 * 112 and _count(drawn, middle) == 2 * 224 * 112
    assert _count(drawn, (100, 100, 100)) == 224 * 224 + 224 * 112  # the picture, and where the second map is 0
    single = tmp_path / "single.png"
    drawing.draw_explanation(gray, second, single, **TITLES)
    assert _count(read_image(single), strong) == 224 * 112  # alone it is on its own scale
    with pytest.raises(ValueError, match="runner-up needs"):
        drawing.draw_explanation(gray, first, tmp_path / "e.png", runner_up=(second, "dog", 0.1), **TITLES)


def test_every_option_of_a_drawing_shows(tmp_path):
    image, heatmap = _picture(), np.linspace(-1, 1, 49, dtype=np.float32).reshape(7, 7)
    drawn = []
    for number, style in enumerate(
        ({}, {"signed": True}, {"contours": True}, {"clip": 0.2}, {"colormap": "jet"}, {"answer": ("cat", 0.9)})
    ):
        drawing.draw_explanation(image, heatmap, tmp_path / f"{number}.png", **TITLES, **style)
        drawn.append(read_image(tmp_path / f"{number}.png"))
    assert all(other.shape != drawn[0].shape or not np.array_equal(other, drawn[0]) for other in drawn[1:])
    for title in ({"title": "other", "method": "Grad-CAM"}, {"title": TITLES["title"], "method": "SHAP"}):
        drawing.draw_explanation(image, heatmap, tmp_path / "t.png", **title)
        assert not np.array_equal(read_image(tmp_path / "t.png"), drawn[0])


def test_signed_drawing_shows_both_sides(tmp_path):
    gray = np.full((224, 224, 3), 100, np.uint8)
    drawing.draw_explanation(gray, _halves(-1, 2), tmp_path / "e.png", signed=True, **TITLES)
    drawn = read_image(tmp_path / "e.png")
    table = matplotlib.colormaps["coolwarm"](np.arange(256), bytes=True)[:, :3]
    assert _count(drawn, table[255]) >= 224 * 112 and _count(drawn, table[64]) >= 224 * 112  # 2 of 2, and -1 of 2
    unsigned = tmp_path / "u.png"
    drawing.draw_explanation(gray, _halves(-1, 2), unsigned, **TITLES)
    assert _count(read_image(unsigned), table[64]) == 0


def test_bars_name_their_ends():
    plain = drawing.color_bar(2.0, "jet", "raw")
    assert (plain.low, plain.high, plain.colormap, plain.label, plain.marks) == (0, 2, "jet", "raw", [])
    assert plain.ends is None and plain.beyond == "neither"
    signed = drawing.color_bar(2.0, "jet", "raw", signed=True, contours=True, clip=0.005)
    assert (signed.low, signed.high, signed.colormap, signed.beyond) == (-2, 2, "coolwarm", "both")
    assert signed.marks == [0.5, -0.5, 1, -1, 1.5, -1.5] and signed.label == "raw; 0.5% lie beyond"
    assert signed.ends == ("speaks against", "speaks for")
    assert drawing.color_bar(1.0, "jet", "raw", clip=0.1).beyond == "max"


def test_pairs_tell_their_strength():
    """The bar below the overlay is as long as the map's largest value is a share of the sheet's."""
    image, heatmap = np.full((100, 100, 3), 50, np.uint8), np.full((2, 2), -3.0, np.float32)
    pair = drawing.explanation_pair(image, heatmap, 6.0, side=200, signed=True)
    assert pair.shape == (209, 400, 3)
    assert np.array_equal(pair[:200, :200], fit_image(image, 200))
    assert np.array_equal(pair[:200, 200:], overlay_heatmap(fit_image(image, 200), heatmap, 3.0, signed=True))
    filled = (pair[205, 200:] == (40, 60, 90)).all(axis=1)
    assert filled.sum() == 100 and filled[:100].all()  # 3 of 6
    unsigned = drawing.explanation_pair(image, heatmap, 6.0, side=200)
    assert np.array_equal(unsigned[:200, 200:], fit_image(image, 200)) and not (unsigned[205] == (40, 60, 90)).any()
    ramp = np.linspace(0, 4, 100, dtype=np.float32).reshape(10, 10)
    lengths = [
        (drawing.explanation_pair(image, ramp, 4.0, side=200, clip=clip)[205] == (40, 60, 90)).all(axis=1).sum()
        for clip in (0.0, 0.5)
    ]
    assert lengths == [200, 100]
    pairs = [drawing.explanation_pair(image, ramp, 4.0, **style) for style in ({}, {"contours": True})]
    assert not np.array_equal(*pairs)


def test_the_two_maps_of_an_error_share_their_scale():
    image = np.full((100, 100, 3), 100, np.uint8)
    weak, strong = np.full((2, 2), 1.0, np.float32), np.full((2, 2), 4.0, np.float32)
    drawn = drawing.explanation_of_error(image, weak, strong, side=100)
    assert drawn.shape == (100, 300, 3) and np.array_equal(drawn[:, :100], image)
    assert np.array_equal(drawn[:, 100:200], overlay_heatmap(image, weak, 4.0))
    assert np.array_equal(drawn[:, 200:], overlay_heatmap(image, strong, 4.0))
    apart = drawing.explanation_of_error(image, weak, strong, side=100, one_scale=False)
    assert np.array_equal(apart[:, 100:200], overlay_heatmap(image, weak, 1.0)) and np.array_equal(
        apart[:, 200:], drawn[:, 200:]
    )
    signed = drawing.explanation_of_error(image, -strong, weak, side=100, signed=True)
    assert np.array_equal(signed[:, 100:200], overlay_heatmap(image, -strong, 4.0, signed=True))


def test_method_sheet_is_relative_to_each_method(tmp_path):
    """Two pictures of gray 100; the second map of each method is half as strong as its first, whatever the units."""
    images = [np.full((120, 120, 3), 100, np.uint8)] * 2
    strong, weak = np.full((2, 2), 1.0, np.float32), np.full((2, 2), 0.5, np.float32)
    methods = {
        "small": ([1e-6 * strong, 1e-6 * weak], False),
        "large": ([1e3 * strong, 1e3 * weak], False),
        "signed": ([-7 * strong, 7 * weak], True),
        "empty": ([0 * strong, 0 * strong], False),
    }
    drawing.draw_method_sheet(images, methods, tmp_path / "m.png", cell=120, labels=["a", "b"], title="t")
    drawn = read_image(tmp_path / "m.png")
    area = 120 * 120
    for value in (strong, weak):
        assert _count(drawn, overlay_heatmap(images[0], value, 1.0)[0, 0]) == 2 * area
    for value in (-strong, weak):
        assert _count(drawn, overlay_heatmap(images[0], value, 1.0, signed=True)[0, 0]) == area
    assert _count(drawn, (100, 100, 100)) == 2 * area + 2 * area  # the pictures, and the method that found nothing
    assert drawn.shape[1] == 14 + 5 * 128 + 14
    with pytest.raises(ValueError, match=r"Received: \{'one': 1\}"):
        drawing.draw_method_sheet(images, {"one": ([strong], False)}, tmp_path / "m.png")
    with pytest.raises(ValueError, match="at least one"):
        drawing.draw_method_sheet([], {"none": ([], False)}, tmp_path / "m.png")


def test_method_sheet_shows_its_options(tmp_path):
    image, heatmap = _picture(), np.linspace(0, 1, 49, dtype=np.float32).reshape(7, 7)
    styles = ({}, {"clip": 0.3}, {"contours": True}, {"colormap": "jet"}, {"labels": ["cat"]}, {"title": "t"})
    drawn = []
    for number, style in enumerate(styles):
        drawing.draw_method_sheet([image], {"m": ([heatmap], False)}, tmp_path / f"{number}.png", **style)
        drawn.append(read_image(tmp_path / f"{number}.png"))
    assert all(other.shape != drawn[0].shape or not np.array_equal(other, drawn[0]) for other in drawn[1:])
    widths = []
    for count in (1, 30):
        methods = {str(number): ([heatmap], False) for number in range(count)}
        drawing.draw_method_sheet([image], methods, tmp_path / "w.png")
        widths.append(read_image(tmp_path / "w.png").shape[1])
    assert widths == [420, 28 + 31 * (112 + 8)]  # the least width, and the smallest cells


def test_crops_stand_around_the_peak():
    image = np.arange(100 * 200, dtype=np.int64).reshape(100, 200, 1).astype(np.float32)
    heatmap = np.zeros((5, 10), np.float32)
    heatmap[2, 5] = 1  # the centre of this cell is at (50, 110)
    assert np.array_equal(drawing.crop_peak(image, heatmap, 0.4), image[30:70, 90:130])
    assert np.array_equal(drawing.crop_peak(image, heatmap, 0.1), image[45:55, 105:115])
    heatmap[0, 9] = 2  # the upper right corner: moved inwards, not cut
    assert np.array_equal(drawing.crop_peak(image, heatmap, 0.4), image[:40, 160:])
    assert drawing.crop_peak(image, heatmap, 1e-9).shape == (1, 1, 1)
    assert drawing.crop_peak(image, heatmap, 1.0).shape == (100, 100, 1)


def test_class_focus_averages_and_crops(tmp_path):
    """Pictures of gray 10, 30, 50 with peaks 0, 2, 1: the mean is 30, the crops are 30 (the stronger), then 50."""
    grays = (10, 30, 50)
    heatmaps = np.stack([np.full((2, 2), value, np.float32) for value in (0, 2, 1)])
    images = (np.full((90, 70, 3), gray, np.uint8) for gray in grays)  # a generator: run through once
    drawing.draw_class_focus([("cat", images, heatmaps)], tmp_path / "f.png", crops=3, cell=100, title="t")
    drawn = read_image(tmp_path / "f.png")
    area = 100 * 100
    assert _count(drawn, (30, 30, 30)) == 2 * area and _count(drawn, (50, 50, 50)) == area
    assert _count(drawn, (10, 10, 10)) == 0  # a map without positive values has no peak
    mean = np.full((1, 1, 3), 30, np.uint8)
    assert _count(drawn, overlay_heatmap(mean, np.ones((1, 1)), 1.0)[0, 0]) == area
    first, second = (np.flatnonzero((drawn == gray).all(axis=2).sum(axis=0) >= 100) for gray in (30, 50))
    assert first.min() == 14 and second.tolist() == list(range(14 + 3 * 108, 114 + 3 * 108))  # in the fourth column


def test_class_focus_shows_its_options(tmp_path):
    heatmaps = np.random.default_rng(2).uniform(-1, 1, (4, 3, 3)).astype(np.float32)
    images = [_picture() + np.uint8(number) for number in range(4)]
    drawn = []
    for number, style in enumerate(
        (
            {},
            {"crops": 1},
            {"share": 0.8},
            {"signed": True},
            {"colormap": "jet"},
            {"cell": 90},
            {"clip": 0.3},
            {"title": "t"},
        )
    ):
        drawing.draw_class_focus([("cat", images, heatmaps)], tmp_path / f"{number}.png", **({"crops": 2} | style))
        drawn.append(read_image(tmp_path / f"{number}.png"))
    assert all(other.shape != drawn[0].shape or not np.array_equal(other, drawn[0]) for other in drawn[1:])
    two = [("cat", images, heatmaps), ("cat", images, heatmaps)]  # two classes may have one name
    drawing.draw_class_focus(two, tmp_path / "two.png")
    assert len(read_image(tmp_path / "two.png")) > len(drawn[0]) + 128
    with pytest.raises(ValueError, match="4 maps, 3 pictures"):
        drawing.draw_class_focus([("cat", images[:3], heatmaps)], tmp_path / "f.png")
    with pytest.raises(ValueError, match="at least one picture"):
        drawing.draw_class_focus([("cat", [], heatmaps[:0])], tmp_path / "f.png")
    with pytest.raises(ValueError, match="at least one row"):
        drawing.draw_class_focus([], tmp_path / "f.png")
