"""Streaming, choosing, drawing and measuring many explained pictures, with an explainer that needs no network."""

import dataclasses

import cv2
import numpy as np
import pytest

from src.errors import UserError
from src.explainers.base import Explanation, concatenate
from src.explainers.gallery import (
    ERRORS,
    Gallery,
    _evenly,
    _spread,
    choose_errors,
    choose_samples,
    correlate_maps,
)
from src.explainers.stream import ExplainedPictures, explain_pictures
from src.explainers.summary import compare_strength, measure_localisation, save_heatmaps, summarize_test_part
from src.explainers.targets import find_class
from src.heatmap_drawing import heatmap_layer, overlay_heatmap, scale_maximum
from src.imaging import ImageError, read_image, write_image

pytestmark = pytest.mark.large


class Brightness:
    """The map is the picture's red channel; the predicted class whether it is bright."""

    target_layer = "none"
    sizes: list

    def __init__(self):
        self.sizes = []

    def explain(self, inputs, class_index=None):
        self.sizes.append(len(inputs))
        bright = (inputs.mean(axis=(1, 2, 3)) > 127).astype(int)
        logits = np.stack([1.0 - bright, bright], axis=1).astype(np.float32)
        asked = bright if class_index is None else np.full(len(inputs), class_index)
        return Explanation(inputs[..., 0] / 255, logits, logits, asked, "none")


def _read(path):
    if path == "broken":
        raise ImageError(path, "broken")
    return np.full((2, 2, 3), float(path), np.float32)


def test_pictures_are_explained_in_batches_and_unreadable_ones_named():
    explainer = Brightness()
    explained = explain_pictures(explainer, _read, ["10", "200", "broken", "30", "250"], [0, 0, 1, 1, 1], batch_size=3)
    assert explainer.sizes == [2, 2]
    assert explained.paths == ["10", "200", "30", "250"] and explained.labels.tolist() == [0, 0, 1, 1]
    assert [failure.path for failure in explained.failures] == ["broken"]
    assert explained.correct.tolist() == [True, False, False, True]
    np.testing.assert_allclose(explained.explanation.heatmaps[:, 0, 0] * 255, [10, 200, 30, 250], rtol=1e-6)
    strength = compare_strength(explained)
    assert strength["correct"]["max_mean"] == pytest.approx(130 / 255)
    assert strength["wrong"]["max_mean"] == pytest.approx(115 / 255)
    with pytest.raises(UserError, match="none of the 1 pictures"):
        explain_pictures(explainer, _read, ["broken"], [0])


def test_samples_hold_right_and_wrong_of_every_class():
    labels = np.repeat([0, 1, 2], 20)
    correct = np.ones(60, bool)
    correct[:10] = False  # class 0: ten wrong; class 1: one wrong; class 2: all wrong
    correct[20] = False
    correct[40:] = False
    chosen = np.array(choose_samples(correct, labels, 6, seed=1))
    counts = [
        (int(np.sum(~correct[of])), int(np.sum(correct[of]))) for of in (chosen[labels[chosen] == c] for c in range(3))
    ]
    assert counts == [(3, 3), (1, 5), (6, 0)] and len(set(chosen)) == 18
    assert choose_samples(correct, labels, 6, seed=1) == chosen.tolist()
    assert choose_samples(correct, labels, 6, seed=2) != chosen.tolist()


def test_a_full_sheet_shows_wrong_and_right_of_every_class():
    labels = np.repeat([0, 1, 2], 10)
    correct = np.ones(30, bool)
    correct[[0, 1, 10]] = False
    samples = [0, 1, 2, 3, 10, 11, 20, 21, 22]  # wrong ones first in each class
    assert _spread(samples, labels, correct, most=9) == samples
    assert _spread(samples, labels, correct, most=6) == [0, 2, 10, 11, 20, 21]
    assert _spread(samples, labels, correct, most=2) == [0, 20]  # of three classes the first and the last


def _answers(probabilities, labels):
    """Explained pictures of which only the answers matter."""
    probabilities = np.asarray(probabilities, np.float32)
    maps = np.zeros((len(labels), 2, 2), np.float32)
    explanation = Explanation(maps, np.log(probabilities), probabilities, probabilities.argmax(axis=1))
    return ExplainedPictures([f"{i}.png" for i in range(len(labels))], np.asarray(labels), explanation, [])


def test_the_largest_losses_are_the_errors_to_look_at():
    rows = [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.6, 0.1, 0.3], [0.2, 0.5, 0.3]]
    assert choose_errors(_answers(rows, [1, 1, 1, 1])) == [2, 1, 0]  # p of the true class: 0.1, 0.2, 0.3; one is right
    assert choose_errors(_answers(rows, [0, 2, 0, 1])) == []
    many = np.linspace(0.01, 0.4, 40)
    chosen = choose_errors(_answers(np.stack([many, 1 - many], axis=1), [0] * 40))
    assert chosen == list(range(ERRORS)) and ERRORS < 40


def test_correlation_of_maps_by_hand():
    first = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert correlate_maps(first, 2 * first + 5) == pytest.approx(1) and correlate_maps(first, -first) == pytest.approx(
        -1
    )
    assert correlate_maps(first, np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(0)
    assert correlate_maps(first, np.ones((2, 2))) is None


@pytest.fixture
def explained(tmp_path):
    """Four pictures, one class called like a path; the third map is zero."""
    paths = []
    for name in ("a/x.png", "b/x.png", "c.png", "d.png"):
        paths.append(str(tmp_path / "in" / name))
        write_image(paths[-1], np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8))
    heatmaps = np.random.default_rng(1).uniform(0, 1, (4, 3, 3)).astype(np.float32)
    heatmaps[2] = 0
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]], np.float32)
    explanation = Explanation(heatmaps, probabilities, probabilities, np.array([0, 1, 0, 0]), "conv")
    return ExplainedPictures(paths, np.array([0, 0, 0, 1]), explanation, [])


def test_gallery_writes_what_its_names_say(explained, tmp_path):
    gallery = Gallery(tmp_path / "out", explained, ["../cat", "dog"], "gradcam", "inferno")
    assert gallery.title(1) == ["true: ../cat", "predicted (80.0%): dog"]
    assert gallery.title(3)[-1] == "explained (30.0%): ../cat"
    gallery.draw_samples([0, 1, 2])
    gallery.draw_samples([0, 1, 3])  # the older ones go
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png"))
    assert written == ["correct/_.._cat/x.png".replace("_.._", "_"), "correct/dog/d.png", "wrong/_cat/x.png"]
    sheet = read_image(gallery.draw_sheet([0, 1, 2]))
    assert sheet.std() > 20
    names = [path.name for path in gallery.draw_each()]
    assert names == ["x.png", "x_2.png", "c.png", "d.png"]
    assert not list((tmp_path / "out" / "correct").rglob("*_overlay.png"))


def _read_layer(path):
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


@pytest.mark.parametrize("style", [{}, {"signed": True}, {"contours": True}, {"clip": 0.5}])
def test_pictures_named_get_layers_of_their_own_size(explained, tmp_path, style):
    explained.explanation.heatmaps[3] -= 0.5
    paths = Gallery(tmp_path / "out", explained, ["cat", "dog"], "gradcam", "inferno", **style).draw_each()
    assert sorted(path.name for path in paths[0].parent.glob("d*")) == ["d.png", "d_layer.png", "d_overlay.png"]
    heatmap, signed = explained.explanation.heatmaps[3], style.get("signed", False)
    maximum = scale_maximum(heatmap, signed=signed, clip=style.get("clip", 0.0))
    drawn = {"signed": signed, "contours": style.get("contours", False)}
    overlay = overlay_heatmap(read_image(explained.paths[3]), heatmap, maximum, **drawn)
    assert overlay.shape == (40, 60, 3)
    assert np.array_equal(read_image(paths[3].with_name("d_overlay.png")), overlay)
    assert np.array_equal(
        _read_layer(paths[3].with_name("d_layer.png")), heatmap_layer(heatmap, (40, 60), maximum, **drawn)
    )
    assert _read_layer(paths[2].with_name("c_layer.png"))[..., 3].max() == 0  # the map that is zero


def test_layers_take_no_other_pictures_name(explained, tmp_path):
    """d_overlay.png is a picture's drawing, so that the layers of d.png need another name."""
    other = tmp_path / "in" / "d_overlay.png"
    write_image(other, read_image(explained.paths[0]))
    explained.paths[0] = str(other)
    paths = Gallery(tmp_path / "out", explained, ["cat", "dog"], "gradcam", "inferno").draw_each()
    assert [path.name for path in paths] == ["d_overlay.png", "x.png", "c.png", "d_2.png"]
    assert len(list(paths[0].parent.iterdir())) == 12


def test_a_runner_up_is_drawn_on_the_same_scale(explained, tmp_path):
    first = explained.explanation
    second = dataclasses.replace(first, heatmaps=4 * first.heatmaps, class_index=1 - first.class_index)
    options = (explained, ["cat", "dog"], "gradcam", "inferno")
    alone = Gallery(tmp_path / "one", *options).draw_each()
    both = Gallery(tmp_path / "two", *options, runner_up=second).draw_each()
    assert not np.array_equal(read_image(alone[0]), read_image(both[0]))
    picture, maximum = read_image(explained.paths[0]), scale_maximum(second.heatmaps[0])
    overlay = overlay_heatmap(picture, first.heatmaps[0], maximum)
    assert np.array_equal(read_image(both[0].with_name("x_overlay.png")), overlay)
    with pytest.raises(ValueError, match="another class"):
        Gallery(tmp_path, *options, runner_up=first)
    with pytest.raises(ValueError, match="same pictures"):
        Gallery(tmp_path, *options, runner_up=concatenate([second, second]))


def test_sheets_show_their_options(explained, tmp_path):
    explained.explanation.heatmaps[0] -= 0.5
    options = (explained, ["cat", "dog"], "Grad-CAM")
    drawn = [
        read_image(Gallery(tmp_path / "out", *options, colormap, **style).draw_sheet([0, 1, 2]))
        for colormap, style in (
            ("inferno", {}), ("jet", {}), ("inferno", {"signed": True}), ("inferno", {"contours": True}),
            ("inferno", {"clip": 0.3}),
        )
    ]  # fmt: skip
    assert all(other.shape != drawn[0].shape or not np.array_equal(other, drawn[0]) for other in drawn[1:])
    gallery = Gallery(tmp_path / "out", *options, "inferno")
    assert gallery._heading() == "out: Grad-CAM of the layer conv"
    layerless = dataclasses.replace(explained, explanation=dataclasses.replace(explained.explanation, target_layer=""))
    assert Gallery(tmp_path / "out", layerless, [], "saliency", "inferno")._heading() == "out: saliency"


def test_class_focus_shows_what_was_predicted_rightly(explained, tmp_path):
    """Of the four only 0 (cat) and 2 (cat, zero) are right and explained for their class: one row, one crop."""
    for index, gray in enumerate((20, 90, 60, 120)):
        write_image(explained.paths[index], np.full((40, 60, 3), gray, np.uint8))
    gallery = Gallery(tmp_path / "out", explained, ["cat", "dog"], "gradcam", "inferno")
    drawn = read_image(gallery.draw_class_focus())
    grays = {gray: int((drawn == gray).all(axis=2).sum()) // (128 * 128) for gray in (20, 40, 60, 90, 120)}
    assert grays == {20: 1, 40: 1, 60: 0, 90: 0, 120: 0}  # the crop of picture 0, and the mean of 0 and 2
    for style in ({"signed": True}, {"clip": 0.5}):
        other = Gallery(tmp_path / "out", explained, ["cat", "dog"], "gradcam", "inferno", **style)
        assert not np.array_equal(read_image(other.draw_class_focus("other.png")), drawn)
    unknown = dataclasses.replace(explained, labels=np.full(4, -1))  # then all count for their explained class
    drawn = read_image(Gallery(tmp_path / "out", unknown, ["cat", "dog"], "gradcam", "inferno").draw_class_focus())
    assert int((drawn == 90).all(axis=2).sum()) >= 128 * 128
    none = dataclasses.replace(explained, labels=1 - explained.explanation.predicted)
    gallery = Gallery(tmp_path / "out", none, ["cat", "dog"], "gradcam", "inferno")
    assert gallery.draw_class_focus() is None and not (tmp_path / "out" / "class_focus.png").exists()


def test_many_are_thinned_out_evenly():
    assert _evenly(np.arange(10), 3).tolist() == [0, 4, 9] and _evenly(np.arange(3), 9).tolist() == [0, 1, 2]
    assert _evenly(np.arange(0), 3).tolist() == []


def test_raw_maps_are_kept(explained, tmp_path):
    save_heatmaps(tmp_path / "heatmaps.npz", explained, ["cat", "dog"])
    with np.load(tmp_path / "heatmaps.npz") as kept:
        assert np.array_equal(kept["heatmaps"], explained.explanation.heatmaps)
        assert kept["paths"].tolist() == explained.paths and kept["predicted"].tolist() == [0, 1, 0, 1]


def test_localisation_against_masks_of_another_size(tmp_path):
    """A map of 3 x 3 with its peak in the middle left; masks of 30 x 60 on the left half and on the right half."""
    heatmap = np.zeros((3, 3), np.float32)
    heatmap[1, 0] = 1.0
    explanation = Explanation(np.stack([heatmap, heatmap, 0 * heatmap, heatmap]), *[np.eye(4, 2)] * 2, np.zeros(4, int))
    explained = ExplainedPictures(list("abcd"), np.zeros(4, int), explanation, [])
    left = np.zeros((30, 60), np.uint8)
    left[:, :30] = 255
    cv2.imwrite(str(tmp_path / "left.png"), left)
    cv2.imwrite(str(tmp_path / "right.png"), 255 - left)
    masks = [tmp_path / "left.png", tmp_path / "right.png", tmp_path / "left.png", tmp_path / "missing.png"]
    measured = measure_localisation(explained, masks, (12, 12))
    assert measured["n_masks"] == 3 and measured["mask_area"] == pytest.approx(0.5)
    assert measured["pointing_game"] == pytest.approx(1 / 3)  # the zero map is a miss
    # Columns of the enlarged map: 1, 1, .875, .625, .375, .125, 0 ...: all on the left half.
    assert measured["energy_in_mask"] == pytest.approx(1 / 3)
    assert measured["blob_energy_in_mask"] == pytest.approx(0.5, abs=1e-6)
    none = measure_localisation(explained, [None] * 4, (12, 12))
    assert none["n_masks"] == 0 and none["pointing_game"] is None


def test_n_is_that_of_the_figures_beside_it(explained, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((4, 4), 255, np.uint8))
    (tmp_path / "cut.png").write_bytes(b"no mask")
    masks = [tmp_path / "mask.png", tmp_path / "cut.png", None, tmp_path / "mask.png"]
    summary = summarize_test_part(explained, masks, (6, 6), ["cat", "dog"], None)
    assert (summary["n"], summary["n_masks"], summary["n_pictures"]) == (2, 2, 4)
    assert summary["pointing_game"] == 1.0 and "mask not read" in capsys.readouterr().err
    summary = summarize_test_part(explained, [None] * 4, (6, 6), ["cat", "dog"], 1)
    assert (summary["n"], summary["n_masks"], summary["explained_class"]) == (4, 0, "dog")


def test_classes_are_found_by_name():
    names = ["tench", "Great White Shark", "hen", "hen"]
    assert find_class("great white shark", names) == 1 and find_class("hen", names) == 2
    with pytest.raises(UserError, match="near it are tench"):
        find_class("tensch", names)
    with pytest.raises(UserError, match="near it are Great White Shark"):
        find_class("shark", names)
    with pytest.raises(UserError, match="there are tench, Great"):
        find_class("zzzzzz", names)
