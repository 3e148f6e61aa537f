"""The exact head's regression: the optimum it claims to be, in whatever coordinates it was found."""

import numpy as np
import pytest

from src.training.logistic import (
    STRENGTHS,
    USUAL_STRENGTH,
    choose_strength,
    fit_head,
    fit_path,
    picture_weights,
    scale_features,
)
from tests.conftest import run_command


def _features(views, counts, dimension, seed=0, apart=1.0):
    draw = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    centers = draw.normal(0, apart, (len(counts), dimension))
    return centers[labels] + draw.normal(0, 1, (views, len(labels), dimension)), labels


def _gradient(views, labels, class_count, l2, head, weights):
    """Of sum_i w_i CE_i + l2 / 2 |W|^2, by the textbook."""
    kernel, bias = l2 * head.kernel, np.zeros(class_count)
    for rows in views:
        residual = (head.probabilities(rows) - np.eye(class_count)[labels]) * (weights / len(views))[:, None]
        kernel, bias = kernel + rows.T @ residual, bias + residual.sum(axis=0)
    return kernel, bias


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("counts", [(12, 5), (9, 4, 6)])
@pytest.mark.parametrize(("views", "dimension"), [(1, 60), (3, 8)])
def test_the_gradient_of_the_penalised_loss_is_zero(counts, views, dimension, balanced):
    rows, labels = _features(views, counts, dimension)
    scaled = scale_features(rows).values
    weights = picture_weights(labels, len(counts), balanced)
    head = fit_head(scaled, labels, len(counts), 0.05, balanced=balanced, exact=True)
    kernel, bias = _gradient(scaled, labels, len(counts), 0.05, head, weights)
    assert abs(kernel).max() < 1e-5 and abs(bias).max() < 1e-5
    assert abs(head.kernel).max() > 0.1 and head.kernel.sum(axis=1) == pytest.approx(0, abs=1e-5)
    other = fit_head(scaled, labels, len(counts), 0.5, balanced=balanced, exact=True)
    assert np.linalg.norm(other.kernel) < np.linalg.norm(head.kernel)


def test_fewer_coordinates_change_nothing():
    rows, labels = _features(2, (6, 7, 5), 90)
    few = scale_features(rows)
    assert few.values.shape == (2, 18, 36)
    scale = np.linalg.norm(rows, axis=2).mean()
    np.testing.assert_allclose(few.values[0] @ few.values[1].T, rows[0] @ rows[1].T / scale**2, atol=1e-10)
    head = few.unscale(fit_head(few.values, labels, 3, 0.1, exact=True))
    plain = fit_head(rows / scale, labels, 3, 0.1, exact=True)
    np.testing.assert_allclose(head.kernel * scale, plain.kernel, atol=1e-5)
    np.testing.assert_allclose(head.logits(rows[0]), plain.logits(rows[0] / scale), atol=1e-5)
    np.testing.assert_allclose(few.project(rows[1]), few.values[1], atol=1e-10)


def test_the_scale_of_features_does_not_matter():
    rows, labels = _features(1, (8, 8), 20)
    heads = []
    for factor in (1.0, 1000.0):
        scaled = scale_features(factor * rows)
        heads.append(scaled.unscale(fit_head(scaled.values, labels, 2, 0.1, exact=True)).logits(factor * rows[0]))
    np.testing.assert_allclose(*heads, atol=1e-5)


def test_views_count_as_parts_of_one_picture():
    rows, labels = _features(1, (8, 6), 5)
    once = fit_head(rows, labels, 2, 0.3, exact=True)
    thrice = fit_head(np.repeat(rows, 3, axis=0), labels, 2, 0.3, exact=True)
    np.testing.assert_allclose(once.kernel, thrice.kernel, atol=1e-6)


def test_weights_of_pictures():
    labels = np.array([0, 0, 0, 1, 2, 2])
    assert picture_weights(labels, 3, True) == pytest.approx([2 / 3] * 3 + [2.0] + [1.0] * 2)
    assert picture_weights(labels, 3, False).tolist() == [1.0] * 6
    assert picture_weights(np.array([0, 0, 2]), 3, True) == pytest.approx([0.75, 0.75, 1.5])


def test_a_path_comes_to_the_same_as_each_strength_by_itself():
    rows, labels = _features(1, (10, 12, 8), 15)
    for l2, head in zip(STRENGTHS, fit_path(rows, labels, 3, STRENGTHS, exact=True)):
        np.testing.assert_allclose(head.kernel, fit_head(rows, labels, 3, l2, exact=True).kernel, atol=2e-4)


@pytest.mark.parametrize("present", [(1, 3), (2,)])
def test_a_class_without_a_picture_is_the_least_likely(present):
    rows, _ = _features(1, (6, 6), 4)
    labels = np.repeat(present, 12 // len(present))
    answers = fit_head(rows, labels, 4, 0.1).probabilities(rows[0])
    absent = [label for label in range(4) if label not in present]
    assert (answers[:, absent].max(axis=1) < answers[:, list(present)].min(axis=1)).mean() > 0.5
    assert np.isin(answers.argmax(axis=1), present).all() and answers[:, absent].max() < 0.1


def test_noise_asks_for_strong_regularisation_and_clear_classes_for_weak():
    noise, labels = _features(1, (30, 30), 40, apart=0.0)
    clear, _ = _features(1, (30, 30), 40, apart=3.0)
    groups = np.arange(60)
    found = [choose_strength(scale_features(rows).values, labels, groups, 2, seed=1) for rows in (noise, clear)]
    assert found == [max(STRENGTHS), min(STRENGTHS)]
    assert choose_strength(noise, labels, np.zeros(60, int), 2) == USUAL_STRENGTH


@pytest.mark.commands
def test_all_libraries_of_linear_algebra_are_limited_also_those_that_scikit_learn_loads():
    """SciPy's own was left out, whose threads made each fit three times as dear, where features were scaled first."""
    code = (
        "import numpy as np; from src.training import logistic as l; s = l.scale_features(np.eye(4)[None]);"
        "l.fit_head(s.values, np.array([0, 0, 1, 1]), 2, 0.1); from threadpoolctl import ThreadpoolController as T;"
        "known = {each['filepath'] for each in l._thread_pools().info()};"
        "print(len(known), {each['filepath'] for each in T().info()} - known)"
    )
    done = run_command("-c", code)
    count, rest = done.stdout.split(maxsplit=1)
    assert int(count) > 1 and rest.strip() == "set()", done.stderr
