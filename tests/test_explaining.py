"""The command's other ways: methods, all of them, their comparison, contrasts, layers, videos."""

import csv
import json
from argparse import Namespace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from src.comparing import choose_pictures, format_comparison, format_methods
from src.explainers.measures import MEASURES
from src.explainers.registry import EXPLAINERS
from src.imaging import read_image
from src.settings import EXPLAINERS as NAMES
from tests.test_gradcam import place, run  # noqa: F401 - a fixture

pytestmark = pytest.mark.large


def test_the_parser_knows_every_method():
    assert tuple(EXPLAINERS) == NAMES


def test_a_method_has_a_folder_of_its_own_and_says_what_it_costs(place, capsys):  # noqa: F811
    code, out, err = run(place, capsys, "--method", "occlusion", "--samples", 1, "--json")
    record = json.loads(out)
    assert code == 0 and record["method"] == "occlusion" and record["target_layer"] == ""
    assert "Occlusion: runs of the network for a picture: 101 forward" not in err  # 16 x 16 pictures, not 224
    assert "Occlusion: runs of the network for a picture: " in err
    folder = place / "gradcam/transfer/occlusion"
    assert (folder / "gradcam_samples.png").is_file() and (folder / "class_focus.png").is_file()
    with np.load(folder / "heatmaps.npz") as kept:
        assert kept["heatmaps"].shape == (12, 16, 16) and kept["heatmaps"].min() < 0
    code, out, _ = run(place, capsys, "--method", "saliency", "--samples", 1)
    assert code == 0 and "transfer: Saliency for the predicted class, 12 test pictures" in out


def test_all_methods_on_the_same_pictures(place, capsys):  # noqa: F811
    pictures = [place / f"data/test/green/{i}.png" for i in (1, 2)]
    code, out, err = run(place, capsys, "--image", *pictures, "--method", "all", "--json")
    record = json.loads(out)
    assert code == 0 and list(record["methods"]) == list(EXPLAINERS) and len(record["sheets"]) == 1
    assert read_image(record["sheets"][0]).std() > 10
    assert all(f"{entry.title}" in err for entry in EXPLAINERS.values())
    with np.load(place / "gradcam/transfer/methods/heatmaps.npz") as kept:
        assert set(kept.files) == {"paths", *EXPLAINERS} and kept["rise"].shape == (2, 16, 16)
    assert "2 pictures by 17 methods" in format_methods(record)


def test_the_comparison_is_a_table_three_times_and_a_sheet(place, capsys):  # noqa: F811
    code, out, err = run(place, capsys, "--compare", "--samples", 5, "--json")
    assert code == 0 and len(out.splitlines()) == 1
    record = json.loads(out)
    methods = record["methods"]
    assert record["n"] == 5 and set(methods) == {*EXPLAINERS, "random", "random_pixels", "blob"}
    for name, row in methods.items():
        assert set(MEASURES) <= row.keys() and row["control"] == (name not in EXPLAINERS)
        assert row["control"] or row["beats_controls"].keys() < MEASURES.keys()
    assert sorted(row["rank"] for row in methods.values() if not row["control"]) == list(range(1, 18))
    assert methods["gradcam"]["pointing_game"] == 1.0 and methods["gradcam"]["energy_in_mask"] > 0.9
    low, high, n = methods["gradcam"]["intervals"]["pointing_game"]
    assert 0.7 < low < 1 and high == pytest.approx(1) and n == 12  # with masks, and quick to explain: all there are
    folder = place / "gradcam/transfer/comparison"
    assert json.loads((folder / "table.json").read_text()) == record and record["method"] == "all"
    with open(folder / "table.csv", newline="") as stream:
        rows = {row["method"]: row for row in csv.DictReader(stream)}
    assert float(rows["gradcam"]["pointing_game"]) == 1.0 and rows["blob"]["mean_rank"] == ""
    assert all(read_image(folder / name).std() > 10 for name in ("table.png", "sheet.png"))
    assert "Score-CAM             at most 3 forward and 1 with gradient" in err
    shown = format_comparison(record)
    assert "5 test pictures" in shown and "Integrated Gradients" in shown and str(folder) in shown


def test_a_contrast_asks_why_this_class_rather_than_that(place, capsys):  # noqa: F811
    picture = place / "data/test/green/3.png"
    maps = []
    for arguments in ((), ("--versus", "red"), ("--class", "red", "--versus", "GREEN")):
        code, out, _ = run(place, capsys, "--image", picture, "--json", *arguments)
        record = json.loads(out)
        assert code == 0 and record.get("versus") == {"red": "red", "GREEN": "green"}.get(arguments and arguments[-1])
        with np.load(place / "gradcam/transfer/pictures.npz") as kept:
            maps.append(kept["heatmaps"][0])
    assert maps[0].max() > 0 and np.array_equal(maps[0], maps[1])  # nothing here speaks for red
    assert maps[2].max() == 0


def test_layers_and_flips_change_the_map(place, capsys):  # noqa: F811
    picture, maps = place / "data/test/red/3.png", []
    for arguments in ((), ("--layer", "colours", "features"), ("--flips",)):
        code, out, err = run(place, capsys, "--image", picture, *arguments)
        assert code == 0
        with np.load(place / "gradcam/transfer/pictures.npz") as kept:
            maps.append(kept["heatmaps"][0])
            assert str(kept["target_layer"]) == ("colours+features" if "colours" in arguments else "features")
    assert maps[1].max() == pytest.approx(1) != pytest.approx(maps[0].max())
    np.testing.assert_allclose(maps[2], maps[0], rtol=1e-5)  # this network sees no direction
    assert "2 with gradient" in err


def test_a_picture_has_layers_of_its_own_size_and_its_runner_up(place, capsys):  # noqa: F811
    picture, sizes = place / "data/test/red/4.png", set()
    for arguments in (("--no-runner-up",), ("--runner-up",), ("--contours",), ("--colormap", "jet")):
        code, _, _ = run(place, capsys, "--image", picture, *arguments)
        figure, overlay, layer = (
            cv2.imread(str(place / f"gradcam/transfer/pictures/4{suffix}.png"), cv2.IMREAD_UNCHANGED)
            for suffix in ("", "_overlay", "_layer")
        )
        assert code == 0 and overlay.shape == (32, 32, 3) and layer.shape == (32, 32, 4)
        sizes.add(figure.tobytes())
    assert len(sizes) == 4


def test_a_video_among_pictures(place, capsys, tmp_path):  # noqa: F811
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (40, 40))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for number in range(7):
        frame = np.zeros((40, 40, 3), np.uint8)
        frame[5:20, 4 * number : 4 * number + 12, 2] = 220  # red; OpenCV takes BGR
        writer.write(frame)
    writer.release()
    code, out, _ = run(place, capsys, "--image", path, place / "data/test/green/1.png", "--json")
    record = json.loads(out)
    assert code == 0 and len(record["pictures"]) == 1
    assert record["videos"][0] | {"path": "", "saved": ""} == {
        "path": "", "saved": "", "frames": 7, "frames_per_second": 5.0, "most_often": "red", "share_of_frames": 1.0,
    }  # fmt: skip
    assert (place / "gradcam/transfer/videos/clip.mp4").stat().st_size > 500
    code, out, _ = run(place, capsys, "--image", path)
    assert code == 0 and "red in 100% of 7 frames" in out


def test_pictures_of_all_classes_alike_by_the_seed(place):  # noqa: F811
    def choose(count, seed=1):
        arguments = Namespace(data=place / "data", seed=seed)
        return choose_pictures(
            SimpleNamespace(arguments=arguments, bundle=SimpleNamespace(class_names=["green", "red"])), count
        )

    paths, labels = choose(5)
    assert labels == [0, 0, 0, 1, 1] and len(set(paths)) == 5 and all("red" in path for path in paths[3:])
    assert choose(5) == (paths, labels) and choose(5, seed=2)[0] != paths and len(choose(99)[0]) == 12
    assert set(choose(4)[0]) < set(paths)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (["--compare", "--class", "red"], "leave out --class"),
        (["--compare", "--image", "x.png"], "leave out --image"),
        (["--compare", "--method", "rise"], "leave out --method"),
        (["--versus", "red", "--runner-up"], "leave out --runner-up"),
        (["--class", "red", "--versus", "red"], "--class and --versus are both red"),
        (["--versus", "blue"], "no class blue"),
        (["--method", "eigencam", "--class", "red"], "one map for all classes"),
        (["--method", "all", "--runner-up"], "leave out --runner-up"),
        (["--image", "x.png", "--samples", "3"], "leave out --samples"),
        (["--method", "rise", "--layer", "features"], "takes no layer; leave out --layer"),
        (["--layer", "features", "nobody"], "there is no layer nobody"),
    ],
)
def test_errors_are_one_sentence(place, capsys, arguments, reason):  # noqa: F811
    code, out, err = run(place, capsys, *arguments)
    assert code == 2 and out == "" and reason in err and "Traceback" not in err
