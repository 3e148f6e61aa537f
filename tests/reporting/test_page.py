"""What the page holds: names as text, JSON that ends nothing, a bounded size, maps as bytes."""

import base64
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

from src.heatmap_drawing import color_layer_table, heatmap_layer
from src.imaging import write_image
from src.pages.render import to_inline_json
from src.report import main
from src.reporting import gallery
from src.reporting.gallery import choose_right, choose_wrong, fill_galleries
from src.reporting.page import write_report
from src.reporting.pictures import PicturePool, encode_maps
from src.reporting.results import Answer, ModelResults, read_results
from tests.reporting.made import make_data, make_model

pytestmark = pytest.mark.large


def _model(answers: list[Answer], names: list[str]) -> ModelResults:
    return ModelResults("m", Path("m"), {"per_class": dict.fromkeys(names)}, answers)


def _answer(number: int, true: str, predicted: str, confidence: float) -> Answer:
    return Answer(f"{number}.png", true, predicted, confidence, 1 - confidence, 1.0)


def test_of_too_many_wrong_answers_every_cell_has_some(monkeypatch):
    monkeypatch.setattr(gallery, "WRONG", 4)
    answers = [_answer(n, "a", "b", 0.5 + n / 100) for n in range(9)] + [_answer(9, "b", "c", 0.95)]
    chosen = choose_wrong(_model(answers, ["a", "b", "c"]))
    assert [answer.path for answer in chosen] == ["8.png", "9.png", "7.png", "6.png"]  # the fullest cell first


def test_right_answers_are_the_least_sure_of_each_class(monkeypatch):
    monkeypatch.setattr(gallery, "RIGHT", 2)
    answers = [_answer(n, name, name, 0.9 - n / 100) for n, name in enumerate("aaabb")]
    chosen = choose_right(_model(answers, ["a", "b"]))
    assert [answer.path for answer in chosen] == ["2.png", "4.png", "1.png", "3.png"]


def test_json_cannot_end_its_script():
    hostile = {"name": "</script><script>alert(1)//<!--", "value": float("nan")}
    text = to_inline_json(hostile)
    assert "<" not in text and ">" not in text and "&" not in text
    assert json.loads(text) == {"name": hostile["name"], "value": None}


def test_a_map_is_bytes_on_the_scale_of_its_pair():
    first, second = np.array([[0.0, 1.0], [-1.0, 0.5]]), np.array([[2.0, 0.0], [0.0, 0.0]])
    one, other = encode_maps(first, second)
    assert (one["rows"], one["columns"]) == (2, 2)
    assert [*base64.b64decode(one["values"])] == [0, 128, 0, 64]  # 1/2 and 1/4 of 255, rounded to even
    assert [*base64.b64decode(other["values"])] == [255, 0, 0, 0]
    assert not one["empty"] and encode_maps(-first * 0, None) == [
        {"rows": 2, "columns": 2, "values": base64.b64encode(bytes(4)).decode(), "empty": True},
        None,
    ]


def test_fine_maps_are_averaged():
    fine = np.kron(np.arange(64).reshape(8, 8), np.ones((16, 8))).astype(np.float32)  # 128 x 64
    (found,) = encode_maps(fine)
    assert (found["rows"], found["columns"]) == (32, 32)
    expected = np.rint(np.kron(np.arange(64).reshape(8, 8), np.ones((4, 4))) * 255 / 63)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(found["values"]), np.uint8).reshape(32, 32), expected)


def test_the_table_of_colours_is_the_layer():
    table = color_layer_table()
    assert table.shape == (256, 4) and table.dtype == np.uint8
    for value in (0, 3, 100, 255):
        layer = heatmap_layer(np.full((1, 1), value / 255, np.float32), (1, 1), 1.0)
        np.testing.assert_array_equal(table[value], layer[0, 0])


def test_pictures_stay_within_their_budget(tmp_path):
    names = [f"{number}.png" for number in range(6)]
    for name in names:
        write_image(tmp_path / name, np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))
    (tmp_path / "broken.png").write_text("no picture")
    one = PicturePool(tmp_path)
    one.read(names[:1])
    assert one.take("0.png") == 0 and one.take("1.png") is None  # not read
    pool = PicturePool(tmp_path, budget=3 * len(one.texts[0]) + 10)
    pool.read([*names, "broken.png"])
    assert [pool.take(name, beside=4) for name in ("0.png", "0.png", "broken.png")] == [0, 0, None]
    assert [pool.take(name) for name in names] == [0, 1, 2, None, None, None]
    assert pool.left_out == 3 and pool.unreadable == ["broken.png"]
    assert pool.take("1.png", beside=2) == 1 and pool.take("1.png", beside=1) is None


def test_every_model_has_its_share_of_a_full_page(tmp_path, monkeypatch):
    data = make_data(tmp_path / "data", test=12)
    for name in ("first", "second"):
        make_model(tmp_path / "out", tmp_path / "models", name, data, dict.fromkeys(range(1, 12), 1))
    results = read_results(data, tmp_path / "models", tmp_path / "out")
    full = fill_galleries(results.models, PicturePool(data))
    assert [len(rows) for rows in full.values()] == [36, 36]
    rows = fill_galleries(results.models, PicturePool(data, budget=15_000))
    first, second = map(len, rows.values())
    assert 0 < second <= first <= second + 1 < 36
    assert all(row["true"] != row["predicted"] for found in rows.values() for row in found)  # the wrong ones first


def test_300_wrong_pictures_take_less_than_15_mb(tmp_path, monkeypatch):
    """The worst there is: noise, which JPEG cannot press, in large pictures, two maps each."""
    noise = np.random.default_rng(3).integers(0, 256, (300, 400, 3), np.uint8)
    data = tmp_path / "data"
    for name in ("cat", "dog"):
        for number in range(155):
            write_image(data / "test" / name / f"{number:03d}.jpg", np.roll(noise, number, axis=1))
    wrong = {**dict.fromkeys(range(150), 1), **dict.fromkeys(range(155, 305), 0)}
    monkeypatch.setattr("src.evaluation.artefacts._draw_top_losses", lambda *given: None)  # takes its time
    make_model(tmp_path / "out", tmp_path / "models", "m", data, wrong)
    results = read_results(data, tmp_path / "models", tmp_path / "out")
    written = write_report(results, tmp_path / "report.html", "python -m src.report")
    assert written["bytes"] == (tmp_path / "report.html").stat().st_size < 15_000_000
    assert written["pictures"] + written["left_out"] == 310 and written["pictures"] > 150


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_data(Path("data"), ("cat", '<i>&"'))
    make_model(Path("gradcam"), Path("models"), "transfer", Path("data"), {1: 1})
    return tmp_path


def test_the_command_writes_one_file_that_asks_for_nothing(made, capsys):
    assert main(["--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["report"] == "gradcam/report.html" and record["models"] == ["transfer"] and record["left_out"] == 0
    text = Path("gradcam/report.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', text) + re.findall(r"url\(([^)]*)\)", text)
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "@import" not in text and "default-src 'none'" in text
    assert "<i>&" not in text and "&lt;i&gt;&amp;&#34;" in text
    assert "python -m src.baseline_cnn --epochs 2" in text and "abc" in text


def test_a_picture_that_cannot_be_read_is_a_note(made):
    Path("data/test/cat/cat_1.png").write_text("no picture")
    assert main([]) == 0
    assert "1 pictures could not be read" in Path("gradcam/report.html").read_text(encoding="utf-8")


def _without(path: str, *names: str) -> None:
    values = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({name: value for name, value in values.items() if name not in names}))


def test_results_of_an_earlier_version(made, capsys):
    _without("models/transfer/bundle.json", "command", "metrics", "versions", "training_seconds")
    _without("gradcam/transfer/metrics.json", "data", "seen_in_training", "members", "gap", "temperature", "command")
    assert main([]) == 0, capsys.readouterr().err
    _without("gradcam/transfer/explained.json", "activation_strength")
    assert main([]) == 0 and "activation_strength is missing" in capsys.readouterr().err
    _without("gradcam/transfer/metrics.json", "calibration")
    assert main([]) == 2 and "calibration is missing" in capsys.readouterr().err


def test_the_reproduction_names_what_was_typed(made):
    assert main(["--json"]) == 0
    text = html.unescape(Path("gradcam/report.html").read_text(encoding="utf-8"))
    commands = text.split('aria-label="Commands">')[1].split("</pre>")[0].splitlines()
    training, evaluation = "python -m src.baseline_cnn --epochs 2", "python -m src.evaluate --model transfer"
    assert commands == [training, evaluation, "python -m src.gradcam --flips", "python -m src.report"]


def test_errors_are_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2 and "python -m src.evaluate" in capsys.readouterr().err
    make_data(Path("data"), ("cat", "dog"))
    make_model(Path("gradcam"), Path("models"), "m", Path("data"), {})
    Path("gradcam/report.html").mkdir()
    assert main([]) == 2 and "error:" in capsys.readouterr().err
    assert [path.name for path in Path("gradcam").iterdir() if path.name.startswith(".")] == []


def test_verdicts_with_what_was_asked_and_what_came_of_it(tmp_path):
    data = make_data(tmp_path / "data")
    make_model(tmp_path / "out", tmp_path / "models", "trusted", data, {0: 1}, trusted=True)
    make_model(tmp_path / "out", tmp_path / "models", "other", data, {})
    results = read_results(data, tmp_path / "models", tmp_path / "out")
    write_report(results, tmp_path / "report.html", "python -m src.report")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("Unlike pictures, unsure answers") == 1, "of the other model nothing is known"
    assert "The thresholds are of 40 pictures of the validation part, which the network was not trained on" in page
    assert "So few can keep" not in page
    metrics = json.loads((tmp_path / "out" / "trusted" / "metrics.json").read_text())
    metrics["trust"]["thresholds"] |= {"n": 12, "origin": "cross-validation"}
    (tmp_path / "out" / "trusted" / "metrics.json").write_text(json.dumps(metrics))
    write_report(
        read_results(data, tmp_path / "models", tmp_path / "out"), tmp_path / "few.html", "python -m src.report"
    )
    few = (tmp_path / "few.html").read_text(encoding="utf-8")
    assert "are of 12 pictures of the parts train and val, each judged by a head of the same kind that had not" in few
    assert "So few can keep 92.3% of the pictures" in few
    rows = re.findall(r'<tr><th scope="row">(test pictures that count as known|sure answers that are right)</th>'
                      r'<td class="number">([^<]+)</td><td class="number">([^<]+)</td>', page)  # fmt: skip
    assert rows == [
        ("test pictures that count as known", "0.95", "0.944"),
        ("sure answers that are right", "0.95", "1.000"),
    ]
    assert "novelty 1.50, unlike" in page and page.count(", unlike") == 1
    assert re.search(r"trusted: novelty of 40 held-out, 18 test, 12 unknown pictures", page)


DAMAGED_VERDICTS = [
    {"least_like": [[18, 1.5]]},
    {"least_like": [[0]]},
    {"histogram": {"edges": [0, 1], "test": [1, 2]}},
    {"sure": None},
    {"known": {"count": 1, "n": 2, "share": 0.5, "interval": [0.1]}},
    {"right_of_sure": {"count": 1, "n": 2, "share": 0.5, "interval": []}},
    {"unknown": {"auroc": 0.5, "refused": {"count": 1, "n": 2, "share": 0.5, "interval": []}}},
    {"histogram": {"edges": [0.0], "test": []}},
    {"histogram": {"edges": [0.0, 1.0, 0.5], "test": [1, 1]}},
    {"histogram": {"edges": [0.0, 1.0], "test": [-5]}},
    {"histogram": {"edges": [0.0, 1.0], "test": [10**400]}},
    {"least_like": [[0.5, 1.5]]},
    {"sets": [{"asked": 0.9, "coverage": 2, "interval": [0, 1], "mean_size": 1, "singletons": 1, "n": 18}]},
]


def test_damaged_verdicts_are_left_out_with_their_model(tmp_path):
    data = make_data(tmp_path / "data")
    make_model(tmp_path / "out", tmp_path / "models", "good", data, {}, maps=False)
    make_model(tmp_path / "out", tmp_path / "models", "bad", data, {}, maps=False, trusted=True)
    path = tmp_path / "out" / "bad" / "metrics.json"
    assert [model.name for model in read_results(data, tmp_path / "models", tmp_path / "out").models] == ["bad", "good"]
    metrics = json.loads(path.read_text())
    for change in DAMAGED_VERDICTS:
        path.write_text(json.dumps(metrics | {"trust": metrics["trust"] | change}))
        results = read_results(data, tmp_path / "models", tmp_path / "out")
        assert [model.name for model in results.models] == ["good"], change
        assert any("bad" in note for note in results.notes), change
