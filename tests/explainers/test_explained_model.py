"""What every explainer asks of a model: checks, classes, contrasts, half precision, batches."""

import keras
import numpy as np
import pytest

from src.errors import UserError
from src.explainers import base
from src.explainers.cam import first_component
from src.explainers.explained_model import ExplainedModel
from src.explainers.registry import create_explainer
from src.explainers.surrogate import kernel_shap_values, segment_picture
from src.explainers.targets import class_contrast
from tests.explainers.networks import linear_network, random_inputs, random_network


@pytest.fixture(scope="module")
def explained():
    return ExplainedModel(random_network())


@pytest.mark.parametrize(
    "inputs, class_index, reason",
    [
        (random_inputs(2), [0, 1, 2], "one for each of 2 pictures"),
        (random_inputs(2), 1.7, "numbered 0 to 2"),
        (random_inputs(2), [0, -1], "numbered 0 to 2"),
        (random_inputs(2)[:0], None, "no picture"),
        (np.where(np.arange(432).reshape(1, 12, 12, 3) == 5, np.nan, 1.0), None, "picture's values are not finite"),
    ],
)
def test_what_cannot_be_explained_is_refused_by_a_sentence(explained, inputs, class_index, reason):
    with pytest.raises(UserError, match=reason):
        explained.check(inputs, class_index)


def test_a_contrast_with_the_predicted_class_asks_about_the_runner_up():
    model, inputs = random_network(), random_inputs(6)
    answers = ExplainedModel(model).answer(inputs)[0]
    best = int(answers[0].argmax())
    for method in ("gradcam", "occlusion"):
        explainer = create_explainer(method, model, target=class_contrast(best))
        chosen = explainer.explain(inputs).class_index
        others = np.delete(answers, best, axis=1).argmax(axis=1)
        others = others + (others >= best)
        expected = np.where(answers.argmax(axis=1) == best, others, answers.argmax(axis=1))
        assert chosen.tolist() == expected.tolist() and best not in chosen
        with pytest.raises(UserError, match="against itself"):
            explainer.explain(inputs, best)
    with pytest.raises(UserError, match="numbered 0 to 2"):
        create_explainer("gradcam", model, target=class_contrast(3))


def test_gradients_in_half_precision_are_not_rounded_to_nothing():
    """Weights of 0.002 after a factor of 1e-5: their product is below the smallest number of half precision."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inputs = keras.Input((4, 4, 3))
        head = keras.layers.Dense(2, use_bias=False, name="logits")
        model = keras.Model(inputs, head(keras.layers.Flatten()(keras.layers.Rescaling(1e-5)(inputs))))
    finally:
        keras.config.set_dtype_policy("float32")
    head.set_weights([np.full((48, 2), 2e-3) * np.array([[1.0, -1.0]])])
    assert ExplainedModel(model).gradient_scale == 1024
    found = create_explainer("saliency", model).explain(random_inputs(1, side=4), 0).heatmaps
    np.testing.assert_allclose(found, 2e-8, rtol=0.05)
    assert ExplainedModel(linear_network()[0]).gradient_scale == 1


def test_many_pictures_go_in_batches(monkeypatch, explained):
    monkeypatch.setattr(base, "BATCH", 3)
    inputs, sizes = random_inputs(7), []
    explainer = create_explainer("gradcam", explained)
    compute = explainer.compute
    explainer.compute = lambda inputs, wanted: sizes.append(len(inputs)) or compute(inputs, wanted)
    together = explainer.explain(inputs, [0, 1, 2, 0, 1, 2, 0])
    assert sizes == [3, 3, 1] and together.class_index.tolist() == [0, 1, 2, 0, 1, 2, 0]
    np.testing.assert_allclose(together.heatmaps[4], explainer.explain(inputs[4:5], 1).heatmaps[0], rtol=1e-5)


def test_first_component_of_more_cells_than_channels():
    activations = np.random.default_rng(1).normal(0.3, 1, (2, 9, 8, 5)).astype(np.float32)
    for one, expected in zip(first_component(activations), activations):
        projected = expected.reshape(72, 5) @ np.linalg.svd(expected.reshape(72, 5))[2][0]
        projected = (projected * np.sign(projected.sum())).reshape(9, 8)
        np.testing.assert_allclose(one, np.maximum(projected, 0), atol=1e-4)


def test_a_picture_in_which_superpixels_are_one_is_cut_in_two():
    flat = np.full((20, 34, 3), 9.0, np.float32)
    labels = segment_picture(flat, segments=2)
    assert set(np.unique(labels)) == {0, 1}
    values = kernel_shap_values(lambda b: b[:, 0, 0, 0] + 2 * b[:, -1, -1, 0], flat, labels, flat * 0, samples=4)
    np.testing.assert_allclose(sorted(values), [9, 18])


def test_no_layer_is_no_layer(explained):
    assert create_explainer("saliency", explained, target_layer=None).target_layer == ""
