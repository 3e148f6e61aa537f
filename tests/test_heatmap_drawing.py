import cv2
import matplotlib
import numpy as np
import pytest

from src import heatmap_drawing as drawing
from src.imaging import read_image

INFERNO, COOLWARM = (matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3] for name in ("inferno", "coolwarm"))


def _picture(height=50, width=70):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)


def test_colours_follow_the_raw_scale():
    heatmap = np.array([[-1.0, 0.0], [1.0, 4.0]], np.float32)
    on_own = drawing.colorize_heatmap(heatmap, 4.0)
    assert np.array_equal(on_own[1, 1], INFERNO[255]) and np.array_equal(on_own[0, 0], INFERNO[0])
    assert not np.array_equal(drawing.colorize_heatmap(heatmap, 8.0)[1, 1], INFERNO[255])  # a shared scale stays shared
    assert np.array_equal(drawing.colorize_heatmap(heatmap, 8.0)[1, 1], on_own[1, 1] * 0 + INFERNO[128])


@pytest.mark.parametrize("colormap", ["inferno", "jet"])
def test_colours_are_those_of_matplotlib(colormap):
    heatmap = np.random.default_rng(1).uniform(-0.2, 1.3, (40, 40)).astype(np.float32)
    expected = matplotlib.colormaps[colormap](np.clip(heatmap, 0, 1), bytes=True)[..., :3]
    assert np.array_equal(drawing.colorize_heatmap(heatmap, 1.0, colormap), expected)


def test_signed_colours_are_symmetric_about_zero():
    heatmap = np.array([[-9.0, -3.0, -1.5, 0.0, 1.5, 3.0, 9.0]], np.float32)
    drawn = drawing.colorize_heatmap(heatmap, 3.0, signed=True)[0]
    assert np.array_equal(drawn, COOLWARM[[1, 1, 64, 128, 192, 255, 255]])
    assert np.array_equal(drawing.colorize_heatmap(heatmap, 0.0, signed=True)[0], COOLWARM[[128] * 7])
    # "jet" is for unsigned maps; a signed one without negative values is on the signed scale all the same
    assert np.array_equal(drawing.colorize_heatmap(abs(heatmap), 3.0, "jet", signed=True)[0, 3], COOLWARM[128])


def test_overlay_is_the_blend_it_says():
    """Against the formula in floats: picture (1 - c) + colour c, c = opacity times the share's root (signed: share)."""
    picture, heatmap = _picture(), np.random.default_rng(1).uniform(-1, 1, (50, 70)).astype(np.float32)
    for signed, opacity in ((False, 0.75), (True, 0.75), (False, 0.3)):
        cover = opacity * (np.abs(heatmap) if signed else np.sqrt(np.maximum(heatmap, 0)))[..., None]
        exact = picture * (1 - cover) + drawing.colorize_heatmap(heatmap, 1.0, signed=signed) * cover
        drawn = drawing.overlay_heatmap(picture, heatmap, 1.0, opacity=opacity, signed=signed)
        assert np.abs(drawn - exact).max() < 2
    assert np.array_equal(drawing.overlay_heatmap(picture, heatmap, 1.0, opacity=0), picture)
    full = drawing.overlay_heatmap(picture, heatmap * 0 + 1, 1.0, opacity=1)
    assert np.array_equal(full, np.broadcast_to(INFERNO[255], picture.shape))


def test_no_evidence_leaves_the_picture_and_divides_nothing():
    picture = _picture()
    with np.errstate(all="raise"):
        for style in ({}, {"signed": True}, {"contours": True}):
            assert np.array_equal(drawing.overlay_heatmap(picture, np.zeros((3, 3)), 0.0, **style), picture)
    against = np.full((3, 3), -1.0, np.float32)
    assert np.array_equal(drawing.overlay_heatmap(picture, against, 1.0), picture)  # of unsigned maps, no evidence
    assert not np.array_equal(drawing.overlay_heatmap(picture, against, 1.0, signed=True), picture)


def test_enlarging_shifts_nothing():
    heatmap = np.zeros((3, 3), np.float32)
    heatmap[2, 0] = 1
    enlarged = drawing.enlarge_heatmap(heatmap, (9, 15))
    assert enlarged.shape == (9, 15) and enlarged[7, 2] == 1.0  # the centre of the cell (2, 0)
    overlay = drawing.overlay_heatmap(_picture(9, 15), heatmap, 1.0)
    assert np.array_equal(overlay[0, 14], _picture(9, 15)[0, 14])


def test_larger_maps_are_averaged():
    pixels = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert drawing.enlarge_heatmap(pixels, (2, 2)).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert drawing.enlarge_heatmap(pixels**2, (1, 1)) == 77.5  # of all 16, not of the four in the middle
    assert drawing.enlarge_heatmap(pixels, (2, 4)).tolist() == [[2, 3, 4, 5], [10, 11, 12, 13]]
    wide = drawing.enlarge_heatmap(pixels, (2, 8))  # averaged one way, enlarged the other
    assert wide.shape == (2, 8) and wide[0, 0] == 2 and wide[0, 1] == 2.25


def test_scale_and_words():
    positive, negative = np.array([[0.0, 2.0]]), np.array([[-5.0, 1.0]])
    assert (
        drawing.scale_maximum(positive, negative) == 2 and drawing.scale_maximum(positive, negative, signed=True) == 5
    )
    assert drawing.scale_maximum(-abs(negative)) == 0 and drawing.scale_maximum(negative, signed=True) == 5
    hundred = np.arange(101.0)
    assert drawing.scale_maximum(hundred, clip=0.1) == pytest.approx(90)
    assert drawing.scale_maximum(-hundred, signed=True, clip=0.1) == pytest.approx(90)
    assert drawing.scale_maximum(np.array([0.0] * 99 + [7]), clip=0.1) == 7  # not 0: there is evidence
    assert drawing.describe_maximum(np.zeros((2, 2))) == "zero everywhere: no positive evidence"
    assert drawing.describe_maximum(positive) == "largest raw value 2"
    assert drawing.describe_maximum(negative, signed=True) == "against -5, for 1"
    assert drawing.describe_maximum(-positive, signed=True) == "against -2, for 0"
    assert drawing.describe_maximum(np.zeros((2, 2)), signed=True) == "zero everywhere: no evidence"
    assert [drawing.format_value(value) for value in (0.123456, -2064.4, 1e6)] == ["0.123", "-2064", "1e+06"]


def test_contours_run_at_quarters_of_the_scale():
    """A ramp from 0 to 1 over 201 pixels reaches 0.25, 0.5, 0.75 at the columns 50, 100, 150."""
    ramp = np.tile(np.linspace(0, 1, 201, dtype=np.float32), (20, 1))
    for ground in (0, 255):
        picture = np.full((20, 201, 3), ground, np.uint8)
        plain = drawing.overlay_heatmap(picture, ramp, 1.0, opacity=0)
        lined = drawing.overlay_heatmap(picture, ramp, 1.0, opacity=0, contours=True)
        changed = np.flatnonzero((plain != lined).any(axis=(0, 2)))
        assert {round(column / 50) * 50 for column in changed} == {50, 100, 150}
        assert all(min(abs(column - line) for line in (50, 100, 150)) <= 3 for column in changed)
        middle = lined[10].astype(int)
        assert (middle[[50, 100, 150]] > 185).all()  # light within
        assert (middle[[48, 98, 148]] < 130).all()  # dark beside, on a light ground too
    thin = np.zeros((1, 9, 3), np.uint8)
    assert np.array_equal(drawing.overlay_heatmap(thin, ramp, 1.0, opacity=0, contours=True), thin)
    doubled = drawing.overlay_heatmap(picture, ramp, 2.0, opacity=0, contours=True)
    assert (doubled[10, 100] != 255).any() and (doubled[10, 50] == 255).all()  # 0.5 is a quarter of 2


def test_contours_of_both_signs_differ():
    ramp = np.tile(np.linspace(-1, 1, 401, dtype=np.float32), (20, 1))
    gray = np.full((20, 401, 3), 128, np.uint8)
    drawn = drawing.overlay_heatmap(gray, ramp, 1.0, opacity=0, contours=True, signed=True)[10].astype(int)
    assert (drawn[[250, 300, 350]] > 190).all() and (drawn[[150, 100, 50]] < 80).all()
    unsigned = drawing.overlay_heatmap(gray, ramp, 1.0, opacity=0, contours=True)[10]
    assert (unsigned[:240] == 128).all()


@pytest.mark.parametrize("style", [{}, {"signed": True}, {"contours": True}, {"opacity": 0.4, "colormap": "jet"}])
def test_the_layer_over_the_picture_is_the_overlay(style):
    picture, heatmap = _picture(), np.random.default_rng(1).uniform(-1, 1, (5, 7)).astype(np.float32)
    heatmap[:, :2] = 0
    layer = drawing.heatmap_layer(heatmap, (50, 70), 1.0, **style)
    assert layer.shape == (50, 70, 4) and layer.dtype == np.uint8
    alpha = layer[..., 3:] / 255
    composed = picture * (1 - alpha) + layer[..., :3] * alpha
    assert np.abs(composed - drawing.overlay_heatmap(picture, heatmap, 1.0, **style)).max() < 1.01
    if not style.get("contours"):
        assert (alpha[:, :15] == 0).all()  # where the map is 0
        assert alpha.max() == pytest.approx(style.get("opacity", 0.75) * np.abs(heatmap).max() ** 0.5, abs=0.2)


def test_overlays_are_written_at_the_pictures_own_size(tmp_path):
    picture, heatmap = _picture(123, 457), np.zeros((7, 7), np.float32)
    heatmap[3, 3] = 2.0
    for style in ({}, {"colormap": "jet"}, {"signed": True}, {"contours": True}):
        drawing.write_overlay(picture, heatmap, tmp_path / "o.png", tmp_path / "l.png", maximum=2.0, **style)
        expected = drawing.overlay_heatmap(picture, heatmap, 2.0, **style)
        assert expected.shape == (123, 457, 3) and np.array_equal(read_image(tmp_path / "o.png"), expected)
        layer = cv2.cvtColor(cv2.imread(str(tmp_path / "l.png"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
        assert np.array_equal(layer, drawing.heatmap_layer(heatmap, (123, 457), 2.0, **style))
    drawing.write_overlay(picture, heatmap, tmp_path / "o.png", tmp_path / "l.png", maximum=4.0)
    weak = cv2.imread(str(tmp_path / "l.png"), cv2.IMREAD_UNCHANGED)[..., 3]
    assert weak.max() == pytest.approx(0.75 * 255 * 0.5**0.5, abs=1) and weak[0].max() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.png", "o.png"]


def test_frames_carry_their_caption_on_a_band():
    picture, heatmap = _picture(60, 300), np.full((7, 7), 0.5, np.float32)
    before = picture.copy()
    for style in ({}, {"colormap": "jet"}, {"opacity": 0.2}, {"signed": True}):
        plain = drawing.overlay_frame(picture, heatmap, 1.0, **style)
        assert np.array_equal(plain, drawing.overlay_heatmap(picture, heatmap, 1.0, **style))
    plain = drawing.overlay_frame(picture, heatmap, 1.0)
    frame = drawing.overlay_frame(picture, heatmap, 1.0, caption="tench 93%")
    assert np.array_equal(frame[24:], plain[24:]) and np.array_equal(frame[:24, 200:], plain[:24, 200:] // 4)
    assert (frame[:24, :200] > 200).all(axis=2).sum() > 40  # white letters
    assert not np.array_equal(frame, drawing.overlay_frame(picture, heatmap, 1.0, caption="hen 93%"))
    assert drawing.overlay_frame(picture[:9], heatmap, 1.0, caption="low").shape == (9, 300, 3)
    assert np.array_equal(picture, before)
