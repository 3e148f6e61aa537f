import csv
import json

import numpy as np
import pytest

from src.evaluation.artefacts import Predictions, save_comparison, save_evaluation
from src.evaluation.calibration import apply_temperature
from src.evaluation.metrics import evaluate_predictions
from src.evaluation.report import format_report
from src.imaging import read_image, write_image

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 0, 1, 1, 1, 0, 2, 2])
NAMES = ["a", "b", "c"]


def _probabilities(predicted, classes=3, confidence=0.8):
    rows = np.full((len(predicted), classes), (1 - confidence) / (classes - 1))
    rows[np.arange(len(predicted)), predicted] = confidence
    return rows


def test_figures_by_hand():
    result = evaluate_predictions(LABELS, _probabilities(PREDICTED), NAMES)
    assert result.accuracy == 5 / 8 and result.n == 8
    np.testing.assert_array_equal(result.matrix, [[2, 2, 0], [1, 1, 0], [0, 0, 2]])
    assert result.per_class["a"]["precision"] == pytest.approx(2 / 3)
    assert result.per_class["a"]["recall"] == pytest.approx(1 / 2)
    assert result.per_class["a"]["f1"] == pytest.approx(4 / 7)
    assert result.per_class["b"]["precision"] == pytest.approx(1 / 3)
    assert result.per_class["b"]["support"] == 2
    assert result.macro["f1"] == pytest.approx((4 / 7 + 2 / 5 + 1) / 3)
    assert result.weighted["f1"] == pytest.approx((4 * 4 / 7 + 2 * 2 / 5 + 2 * 1) / 8)
    assert result.confused == [("a", "b", 2), ("b", "a", 1)]
    assert result.per_class["c"]["roc_auc"] == 1.0
    assert result.collapsed_class is None


def test_area_by_hand():
    # positives .9 and .4, negatives .5 and .1: three of the four pairs are in order
    scores = np.array([0.9, 0.4, 0.5, 0.1])
    result = evaluate_predictions([1, 1, 0, 0], np.stack([1 - scores, scores], axis=1), ["no", "yes"])
    assert result.per_class["yes"]["roc_auc"] == 0.75
    assert result.roc_auc == 0.75


def test_a_class_without_pictures_has_no_area():
    result = evaluate_predictions([0, 0, 1], _probabilities(np.array([0, 1, 1])), NAMES)
    assert result.per_class["c"]["roc_auc"] is None and result.roc_auc is None
    json.dumps(result.as_json(), allow_nan=False)


@pytest.mark.parametrize("first", [50, 86, 95])
def test_collapse_is_noticed_but_not_where_the_data_are_so(first):
    labels = np.array([0] * first + [1] * (100 - first))
    predicted = np.zeros(100, int)
    assert evaluate_predictions(labels, _probabilities(predicted, 2), ["a", "b"]).collapsed_class == "a"
    predicted[first : first + (100 - first) // 2] = 1  # half of the rare class is recognised
    assert evaluate_predictions(labels, _probabilities(predicted, 2), ["a", "b"]).collapsed_class is None
    alone = evaluate_predictions(np.zeros(9, int), _probabilities(np.zeros(9, int), 2), ["a", "b"])
    assert alone.collapsed_class is None  # there is nothing else that it could have missed


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="Received"):
        evaluate_predictions([0, 1], np.zeros((2, 2)), NAMES)


def _rows(path):
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def test_artefacts(tmp_path):
    paths = [str(tmp_path / f"p{i}.png") for i in range(8)]
    for path in paths:
        write_image(path, np.full((20, 30, 3), 90, np.uint8))
    probabilities = _probabilities(PREDICTED)
    probabilities[3] = [0.05, 0.9, 0.05]
    result = evaluate_predictions(LABELS, probabilities, NAMES)
    save_evaluation(tmp_path / "m", result, Predictions(paths, LABELS, probabilities), NAMES)
    rows = _rows(tmp_path / "m" / "errors.csv")
    assert [row["path"] for row in rows] == [paths[3], paths[2], paths[5]], "the surest first"
    assert rows[0]["true"] == "a" and rows[0]["predicted"] == "b" and rows[0]["confidence"] == "0.9000"
    assert json.loads((tmp_path / "m" / "metrics.json").read_text())["accuracy"] == 5 / 8
    assert read_image(tmp_path / "m" / "confusion_matrix.png").std() > 0
    assert read_image(tmp_path / "m" / "errors.png").std() > 0
    # a model without errors leaves no sheet of another one's
    right = evaluate_predictions(LABELS, _probabilities(LABELS), NAMES)
    save_evaluation(tmp_path / "m", right, Predictions(paths, LABELS, _probabilities(LABELS)), NAMES)
    assert not (tmp_path / "m" / "errors.png").exists()
    save_comparison(tmp_path, {"one": result, "two": right})
    rows = _rows(tmp_path / "comparison.csv")
    assert [row["gap"] for row in rows] == ["", ""]
    assert [(row["model"], row["accuracy"]) for row in rows] == [("one", "0.6250"), ("two", "1.0000")]
    assert "a taken for b (2)" in format_report("one", result)


def test_tables_of_all_answers_and_of_losses(tmp_path):
    paths = [str(tmp_path / f"p{i}.png") for i in range(8)]
    for number, path in enumerate(paths):
        write_image(path, np.full((20, 30, 3), 30 * number, np.uint8))
    probabilities = _probabilities(PREDICTED)
    probabilities[6] = [0.3, 0.3, 0.4]  # right, and a larger loss than any other right answer
    result = evaluate_predictions(LABELS, probabilities, NAMES)
    predictions = Predictions(paths, LABELS, probabilities)
    np.testing.assert_array_equal(predictions.right, LABELS == PREDICTED)
    save_evaluation(tmp_path / "m", result, predictions, NAMES)
    rows = _rows(tmp_path / "m" / "predictions.csv")
    assert [row["path"] for row in rows] == paths, "all pictures, in their order"
    assert rows[2] == {"path": paths[2], "true": "a", "predicted": "b", "confidence": "0.8000",
                       "probability_of_true": "0.1000", "loss": "2.3026"}  # fmt: skip
    assert [row["loss"] for row in _rows(tmp_path / "m" / "errors.csv")] == ["2.3026"] * 3
    sheet = read_image(tmp_path / "m" / "top_losses.png")
    shades = [int(sheet[14 + 24 + 60, 14 + 112 + column * 238, 0]) for column in range(4)]
    assert shades == [60, 90, 150, 180], "the three wrong ones by path, then the unsure right one"
    red = (sheet.astype(int) - (192, 57, 43) == 0).all(axis=2)
    assert red.any() and not red[:, 14 + 3 * 238 : 14 + 4 * 238].any()
    for name in ("reliability", "coverage", "per_class"):
        assert read_image(tmp_path / "m" / f"{name}.png").std() > 5


def test_confidences_before_and_after_and_coverage():
    probabilities = _probabilities(PREDICTED)
    after = apply_temperature(probabilities, 3.0)
    result = evaluate_predictions(LABELS, after, NAMES, before=probabilities, flips=True)
    record = result.as_json()
    assert record["calibration"]["ece_before"] == pytest.approx(0.8 - 5 / 8)
    # (0.8 / 0.1) ** (1 / 3) = 2 against 1 and 1: one half
    assert record["calibration"]["ece"] == pytest.approx(5 / 8 - 0.5, abs=1e-6)
    assert record["calibration"]["nll"] == pytest.approx(-(5 * np.log(0.5) + 3 * np.log(0.25)) / 8, abs=1e-6)
    assert record["test_time_flips"] is True and record["gap"] is None
    # all are equally sure, so that none can be refused alone
    assert {(row["n"], row["accuracy"]) for row in record["selective"]["at"]} == {(8, 5 / 8)}
    assert [row["asked"] for row in record["selective"]["at"]] == [1.0, 0.95, 0.9, 0.8, 0.5]
    plain = evaluate_predictions(LABELS, probabilities, NAMES)
    assert plain.as_json()["calibration"]["ece_before"] == plain.calibration.ece
    assert plain.as_json()["test_time_flips"] is False
    assert "before the temperature 0.1750" in format_report("x", result)
    assert "before the temperature" not in format_report("x", plain)


def test_the_gap_is_training_less_test(tmp_path):
    result = evaluate_predictions(LABELS, _probabilities(PREDICTED), NAMES, train=(9, 10))
    record = result.as_json()["gap"]
    assert record["train_accuracy"] == 0.9 and record["train_n"] == 10 and record["gap"] == pytest.approx(0.9 - 5 / 8)
    low, high = record["gap_interval"]
    assert low < 0 < 0.275 < high, "of so few pictures nothing can be told"
    assert "training part, asked the same way: 0.9000, n = 10; gap +0.2750" in format_report("x", result)
    turned = evaluate_predictions(LABELS, _probabilities(PREDICTED), NAMES, train=(1, 10))
    save_comparison(tmp_path, {"x": turned})
    (row,) = _rows(tmp_path / "comparison.csv")
    assert (row["train_accuracy"], row["gap"]) == ("0.1", "-0.525"), "a number, not a quoted text"
    assert float(row["gap_low"]) < -0.525 < float(row["gap_high"])
