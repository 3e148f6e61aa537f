import csv
import json

import numpy as np
import pytest

from src.evaluation.artefacts import Predictions, format_report, save_comparison, save_evaluation
from src.evaluation.metrics import evaluate_predictions
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
    assert [(row["model"], row["accuracy"]) for row in rows] == [("one", "0.6250"), ("two", "1.0000")]
    assert "a taken for b (2)" in format_report("one", result)
