"""What the benchmarks compute and print; how long anything takes is for them, not for tests."""

import hashlib
import json
import math
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_audit, bench_loader
from benchmarks.bench_explainers import compare_maps, explain_by_tutorial, measure_memory, summarise_rates
from benchmarks.bench_growth import fit_slope, make_pictures, run_measured, summarise
from benchmarks.bench_phase2 import prepare_phase2
from benchmarks.bench_precision import prepare_training
from benchmarks.bench_soak import OURS, count_files, draw_rounds, read_process, summarise_rounds
from benchmarks.bench_start import list_commands
from benchmarks.bench_two_phase import compare_paired, print_summary, summarise_runs
from benchmarks.cam_rates import measure_cams, measure_scorecam
from benchmarks.report import print_json_line, print_medians, run_in_turn
from src.datasets.sources import Picture
from src.errors import UserError
from src.explainers.cam import ClassActivationMap, gradcam_weights
from src.imaging import read_image, write_image
from src.inference.engine import create_engine
from tests.conftest import check_user_error, run_command
from tests.datasets.pictures import files_below
from tests.datasets.textures import texture
from tests.explainers.networks import random_inputs, random_network
from tests.test_architecture import COMMANDS
from tests.webapp.served import save_color_model

pytestmark = pytest.mark.large


def test_a_paired_difference_and_its_interval():
    ours, other = [True] * 8 + [False] * 2, [True] * 7 + [False] * 3
    mean, low, high = compare_paired(ours, other)
    half = 1.96 * math.sqrt((0.9**2 + 9 * 0.1**2) / 9 / 10)
    assert (mean, low, high) == pytest.approx((0.1, 0.1 - half, 0.1 + half))
    assert compare_paired(ours, ours) == (0, 0, 0)
    # the same shares right, but on other pictures: no difference, and a wide interval
    mean, low, high = compare_paired([True, False] * 10, [False, True] * 10)
    assert mean == 0 and high == -low == pytest.approx(1.96 * math.sqrt(20 / 19 / 20))


def test_runs_are_pooled_and_their_difference_is_that_of_accuracies(capsys):
    right = {"ours_s": [[True] * 5, [True] * 4 + [False]], "keras_s": [[True] * 5, [True, True] + [False] * 3]}
    result = summarise_runs({"ours_s": [50.0, 70.0], "keras_s": [800.0, 1000.0]}, right)
    assert (result["ours_s"], result["keras_s"], result["ratio"], result["test_pictures"]) == (60, 900, 15, 10)
    assert (result["ours_test_accuracy"], result["keras_test_accuracy"]) == (0.9, 0.7)
    half = 1.96 * math.sqrt((2 * 0.8**2 + 8 * 0.2**2) / 9 / 10)
    assert result["difference"] == pytest.approx(0.2)
    assert result["difference_95"] == pytest.approx([0.2 - half, 0.2 + half], abs=1e-5)
    print_summary(result)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "ours  median 60.0 s, mean 60.0 s (range 50.0 to 70.0)"
    assert lines[2] == "ratios 16.00, 14.29 (range 14.29 to 16.00)"
    assert lines[3].startswith("accuracy on 10 test pictures: ours - plain +0.2000, 95% from -0.0613 to +0.4613")


def test_the_loaders_ratios_are_to_one_worker_of_the_stock_loader():
    rates = {"Keras, bilinear, 1 worker": 50.0, "Keras, bilinear, 4 workers": 80.0, "Keras, nearest, 1 worker": 60.0}
    rates |= {"ours, bilinear, first epoch": 500.0, "ours, bilinear, later epochs": 1500.0}
    rates |= {"ours, nearest, first epoch": 540.0, "ours, nearest, later epochs": 1200.0}
    facts = bench_loader.summarise_rates(rates)
    assert (facts["ratio_first_epoch"], facts["ratio_later_epochs"], facts["keras_best_images_s"]) == (10, 30, 80)
    assert (facts["ratio_first_epoch_nearest"], facts["ratio_later_epochs_nearest"]) == (9, 20)


def test_sides_are_measured_in_turn_and_all_samples_are_printed(capsys):
    order = []

    def side(name, values):
        values = iter(values)
        return lambda: (order.append(name), next(values))[1]

    samples = run_in_turn({"a": side("a", [3.0, 1.0, 2.0]), "b": side("b", [5.0, 5.0, 6.0])}, 3)
    assert order == ["a", "b"] * 3
    assert print_medians(samples, "pictures/s") == {"a": 2.0, "b": 5.0}
    print_json_line({"ratio": 2.0 / 3, "mode": "same"})
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == {"ratio": 0.6667, "mode": "same"}
    assert any("3, 1, 2" in line for line in lines)


def test_both_precisions_train_when_they_are_timed():
    for precision in ("float32", "bfloat16"):
        assert prepare_training("simple_cnn", 0.1, (8, 8), 2, "muon", precision)() > 0


@pytest.mark.slow
def test_phase_2_trains_with_and_without_depthwise_convolutions_when_it_is_timed(monkeypatch):
    monkeypatch.setattr("benchmarks.bench_precision.STEPS", 1)
    for unfreeze, depthwise in (("all", True), ("block15_expand_conv", False)):
        assert prepare_phase2("efficientnet_lite0", unfreeze, (32, 32), 2, depthwise)() > 0


def test_every_command_is_found():
    found = list_commands()
    assert found.keys() >= {f"src.{name}" for name in COMMANDS} | {"split_dataset", "benchmarks.bench_loader"}
    assert not {"src.settings", "src.bundle", "benchmarks.report"} & found.keys()
    assert found["src.predict"] == ["-m", "src.predict"] and found["split_dataset"][0].endswith("split_dataset.py")


@pytest.mark.parametrize("layer", ["relu2", "conv1"])
def test_the_tutorials_way_gives_our_maps_of_the_logit(layer):
    model, inputs = random_network(), random_inputs(3)
    explained = ClassActivationMap(model, target_layer=layer).explain(inputs, [2, 0, 1])
    for image, class_index, heatmap in zip(inputs, (2, 0, 1), explained.heatmaps):
        found = explain_by_tutorial(model, layer, gradcam_weights, image, class_index)
        np.testing.assert_allclose(found, heatmap, rtol=1e-4, atol=1e-7)
    assert explained.heatmaps.max() > 1e-3


def test_maps_that_differ_or_show_nothing_are_no_comparison():
    whole = np.array([[[0.0, 4.0]], [[2.0, 1.0]]])
    near = {"ours, whole graph": whole, "ours, engine": whole + 0.02, "tutorial": whole[:1]}
    assert compare_maps(near) == pytest.approx({"ours, engine": 0.005, "tutorial": 0.0})
    with pytest.raises(UserError, match="the maps of tutorial differ by 0.02"):
        compare_maps(near | {"tutorial": whole[:1] - 0.08})
    with pytest.raises(UserError, match="all maps are zero"):
        compare_maps(dict.fromkeys(near, np.zeros((2, 1, 2))))


def test_an_engine_pays_once_its_gain_has_made_up_for_its_start():
    rates = {"Keras, tf.function": 50.0, "Keras, predict_on_batch": 40.0, "ours, whole graph": 50.0, "tutorial": 2.0}
    facts = summarise_rates(rates | {"ours, engine": 100.0}, whole_seconds=1.0, fast_seconds=5.0)
    assert facts["engine_pays_from_pictures"] == pytest.approx(400)  # 4 s by 20 - 10 ms
    assert (facts["ratio_engine_to_forward"], facts["ratio_whole_graph_to_tutorial"]) == (2, 25)
    facts = summarise_rates(rates | {"ours, engine": 50.0}, whole_seconds=1.0, fast_seconds=5.0)
    assert facts["engine_pays_from_pictures"] is None


def test_every_method_is_set_beside_the_same_forward_pass(capsys):
    model, images = random_network(), random_inputs(6)
    calls = []
    engine = partial(create_engine, name="openvino")
    layers = {"gradcam": "conv1", "eigencam": None}
    found = measure_cams(model, layers, images, 4, 3, lambda: calls.append(len(images)), engine)
    assert list(found) == ["gradcam", "eigencam"] and len(calls) == 4  # once to warm up, then three rounds
    for facts in found.values():
        ratios = [facts[f"ratio_{kind}_to_forward"] for kind in ("whole_graph", "engine")]
        rates = [facts[f"{kind}_images_s"] for kind in ("whole_graph", "engine")]
        assert min(rates) > 0 and ratios[0] / ratios[1] == pytest.approx(rates[0] / rates[1])
    assert "gradcam, engine" in capsys.readouterr().out


def test_score_cam_in_figures():
    facts = measure_scorecam(random_network(), None, random_inputs(2), partial(create_engine, name="openvino"))
    assert facts["channels"] == 6 and 1 <= facts["passes"] <= facts["passes_all"] <= 6
    assert facts["largest_difference"] == 0  # six channels are one batch: nothing can be left out
    assert facts["ratio_to_one_by_one"] == pytest.approx(facts["seconds_one_by_one"] / facts["seconds"])


def test_memory_is_read_of_every_picture_on_the_commands_path(monkeypatch):
    monkeypatch.setattr("benchmarks.bench_explainers.FIRST", 5)
    peaks = iter([7, 9])
    monkeypatch.setattr("benchmarks.bench_explainers._peak_megabytes", lambda: next(peaks))
    read = []

    def picture(path):
        read.append(path)
        return random_inputs(1)[0]

    explainer = ClassActivationMap(random_network())
    assert measure_memory(explainer, picture, ["a", "b", "c"], 11, batch_size=4) == (7, 9)
    assert sorted(read) == sorted("abcabcabcab")


def test_variants_of_few_pictures_all_differ(tmp_path, small_data):
    pictures = make_pictures(small_data, tmp_path, 120)
    assert [path.parent.name for path in pictures[:4]] == ["dark", "light", "dark", "light"]
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in pictures}) == 120
    assert len({read_image(path).tobytes() for path in pictures}) == 120
    assert all(read_image(path).shape == (16, 16, 3) for path in pictures)
    times = [path.stat().st_mtime_ns for path in pictures]
    assert make_pictures(small_data, tmp_path, 100) == pictures[:100]
    assert [path.stat().st_mtime_ns for path in pictures] == times, "what is there stays"
    with pytest.raises(UserError, match="too few pictures of dark"):
        make_pictures(small_data, tmp_path, 2 * 24 * 64 + 1)


def test_growth_by_its_formulas():
    assert fit_slope([1, 2, 4], [5, 7, 11]) == pytest.approx(2)
    assert fit_slope([0, 1, 2], [0, 3, 0]) == pytest.approx(0)
    counts = (500, 2500, 10000)
    facts = summarise([(n, 3e-3 * n**1.5, 0.1 * n, 200 + 0.04 * n) for n in counts])
    assert (facts["exponent"], facts["cpu_exponent"]) == pytest.approx((1.5, 1))
    assert facts["cpu_ms_per_further_picture"] == pytest.approx([100, 100])
    assert (facts["mb_per_1000"], facts["mb_per_1000_at_last"]) == pytest.approx((40, 40))
    # with a start of 5 s: the exponent is below 1, the further picture costs what it costs
    facts = summarise([(n, 5 + 2e-3 * n, 1.0, 300.0) for n in counts])
    assert facts["exponent"] < 0.6 and facts["ms_per_further_picture"] == pytest.approx([2, 2])
    rest = [facts[name] for name in ("cpu_exponent", "mb_per_1000", "mb_per_1000_at_last")]
    assert rest == pytest.approx([0, 0, 0], abs=1e-9)


def test_the_peak_memory_is_that_of_the_process():
    peaks = [run_measured("-c", f"len(b'x' * {size})")[-1] for size in (1, 200_000_000)]
    assert 190 < peaks[1] - peaks[0] < 210
    with pytest.raises(UserError, match="exit code 1: ValueError: no"):
        run_measured("-c", "raise ValueError('no')")


def test_a_soak_by_its_formulas():
    rounds = [{"grows": 10 + 2 * number, "stays": 5} for number in range(12)]
    summary = summarise_rounds(rounds)  # a third, four rounds, warm it up
    assert summary["grows"] == {"first": 18, "last": 32, "slope": pytest.approx(2)}
    assert summary["stays"] == {"first": 5, "last": 5, "slope": pytest.approx(0)}
    assert summarise_rounds(rounds * 4)["grows"]["first"] == 20  # never more than five


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux has /proc")
def test_a_soak_counts_threads_open_files_and_memory(tmp_path):
    before, ended = read_process("self"), threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    kept = np.ones(50_000_000 // 8)
    with open(tmp_path / "open", "w"), open(tmp_path / ".hidden", "w"):
        after = read_process("self")
    ended.set()
    thread.join()
    assert after["threads"] == before["threads"] + 1 and after["open_files"] == before["open_files"] + 2
    assert after["rss_mb"] - before["rss_mb"] == pytest.approx(kept.nbytes / 1e6, abs=5)
    assert count_files(tmp_path) == (2, 1)


def test_the_curves_of_a_soak_are_drawn(tmp_path):
    with pytest.raises(KeyError):
        draw_rounds([{}], tmp_path / "none.png")
    names = [f"{each}: {figure}" for each in (OURS, "the app") for figure in ("rss_mb", "threads", "open_files")]
    names += [f"{OURS}: {name}" for name in ("Functional", "FuncGraph", "objects")]
    names += [f"files in {name}" for name in ("tmp", "models", "gradcam")]
    draw_rounds([dict.fromkeys(names, 1.0), dict.fromkeys(names, 2.0)], tmp_path / "soak.png")
    assert read_image(tmp_path / "soak.png").shape == (760, 1300, 3)


@pytest.mark.slow
def test_nothing_piles_up_where_pictures_are_predicted(tmp_path):
    words = ("--minutes", 0.01, "--steps", "predict", "--picture", tmp_path / "soak.png")
    result = run_command("-m", "benchmarks.bench_soak", *words, timeout=900)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout.splitlines()[-1])["figures"]
    for name in ("open_files", "FuncGraph", "CompiledModel"):
        assert figures[f"{OURS}: {name}"]["slope"] == 0, name


@pytest.mark.slow
def test_a_benchmark_without_its_data_or_reference_says_so(tmp_path, small_data):
    check_user_error(run_command("-m", "benchmarks.bench_loader", "--data", tmp_path), "train")
    check_user_error(run_command("-m", "benchmarks.bench_growth", "--data", tmp_path), "train")
    check_user_error(run_command("-m", "benchmarks.bench_two_phase", "--data", tmp_path), "train")
    check_user_error(run_command("-m", "benchmarks.bench_soak", "--data", tmp_path), "train")
    check_user_error(run_command("-m", "benchmarks.bench_start", "--data", tmp_path), "fewer than two")
    check_user_error(
        run_command("-m", "benchmarks.bench_start", "--data", small_data, "--models-dir", tmp_path), "no model in"
    )
    check_user_error(run_command("-m", "benchmarks.bench_explainers", "--data", tmp_path), "picture")
    arguments = ("--data", small_data, "--skip-reference", "--store", tmp_path / "none.json")
    check_user_error(run_command("-m", "benchmarks.bench_two_phase", *arguments), "leave out --skip-reference")


@pytest.mark.slow
@pytest.mark.commands
def test_the_app_is_measured_on_loopback(tmp_path, small_data):
    save_color_model(tmp_path, class_names=("dark", "light", "none"))
    words = ("-m", "benchmarks.bench_app", "--data", small_data, "--models-dir", tmp_path, "--requests", 6)
    result = run_command(*words, "--visitors", 3)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found.keys() == {"predict_1", "predict_3", "explain_1", "explain_3"}
    for figures in found.values():
        assert 0 < figures["median_s"] <= figures["p95_s"] <= figures["longest_s"] and figures["answers_per_s"] > 0
    check_user_error(run_command(*words, "--requests", 5000), "at most")
    check_user_error(run_command("-m", "benchmarks.bench_app", "--data", tmp_path), "holds no pictures")


# ------------------------------------------------------------------------------------------------ faults of data


@pytest.fixture
def pictures(tmp_path):
    for number in range(40):
        write_image(tmp_path / "real" / f"{number}.jpg", texture(number, 128))
    return [
        Picture(str(tmp_path / "real" / f"{n}.jpg"), f"{n}.jpg", "cat" if n % 2 else "dog", None) for n in range(40)
    ]


def plant_faults(pictures, folder, seed=3):
    return bench_audit.plant(pictures, folder, np.random.default_rng(seed), flips=0.1, copies=12, broken=2)


def test_faults_are_planted_as_they_are_told(pictures, tmp_path):
    planted = plant_faults(pictures, tmp_path / "a")
    assert len(planted["flipped"]) == 4 and len(planted["copies"]) == 12 and len(planted["untouched"]) == 24
    assert (
        sorted(planted["broken"].values()) == sorted(list(bench_audit.BREAKING) * 2) and len(bench_audit.BREAKING) == 10
    )
    assert sorted(planted["kinds"].values()) == sorted(list(bench_audit.ALTERATIONS) * 2)
    classes = {picture.path: picture.class_name for picture in pictures}
    for name in [*planted["flipped"], *planted["untouched"], *planted["copies"].values()]:
        original = str((tmp_path / "a" / name).resolve())
        assert (name.split("/")[0] != classes[original]) == (name in planted["flipped"])
    again = plant_faults(pictures, tmp_path / "b")
    assert again == planted and files_below(tmp_path / "a") == files_below(tmp_path / "b")
    assert plant_faults(pictures, tmp_path / "c", seed=4) != planted


def test_what_is_found_is_judged_by_hand():
    planted = {
        "flipped": ["cat/1", "cat/2"], "untouched": ["cat/5", "cat/6"],
        "copies": {"cat/copy": "cat/3", "dog/copy": "dog/4"},
        "kinds": {"cat/copy": "crop", "dog/copy": "mirror"}, "broken": {"cat/b0": "empty", "cat/b1": "zeros"},
    }  # fmt: skip
    rows = [
        ("cat/1", "label_error", ""), ("cat/5", "label_error", ""), ("cat/copy", "near_copy", "cat/3"),
        ("dog/copy", "near_copy", "dog/9"), ("cat/6", "near_copy", "cat/7"), ("cat/b0", "empty", ""),
        ("cat/5", "damaged", ""), ("cat/b1", "dark", ""),
    ]  # fmt: skip
    result = bench_audit.judge([dict(zip(("file", "kind", "other"), row)) for row in rows], planted)
    assert result["labels"] == {"recall": 0.5, "precision": 0.5, "planted": 2, "named": 2}
    assert result["near_duplicates"] == {
        "recall": 0.5, "false_positive_rate": 0.5, "planted": 2, "by_kind": {"crop": 1.0, "mirror": 0.0},
    }  # fmt: skip
    assert result["corrupt"] == {"found": 1, "planted": 2, "false": 1, "missed": {"zeros": 1}}


def test_bench_audit_refuses_what_it_cannot_measure(tmp_path, capsys):
    assert bench_audit.main(["--data", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err


@pytest.mark.slow
def test_planted_faults_are_found_in_real_pictures(real_pictures, capsys):
    """The figures that the audit was made for."""
    data = str(real_pictures / "kaggle_dogs_vs_cats" / "train")
    assert bench_audit.main(["--data", data]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["labels"]["recall"] >= 0.9 and result["labels"]["precision"] >= 0.8
    assert result["near_duplicates"]["recall"] >= 0.95 and result["near_duplicates"]["false_positive_rate"] <= 0.01
    assert result["corrupt"]["found"] == result["corrupt"]["planted"] == 50 and result["corrupt"]["false"] == 0
