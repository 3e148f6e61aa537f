"""What every explainer in the registry must satisfy, on every form of classifier and every registered network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from src.errors import UserError
from src.explainers.explained_model import ExplainedModel
from src.explainers.localisation import peak_position
from src.explainers.registry import EXPLAINERS, create_explainer
from src.explainers.targets import class_contrast, class_logit
from src.networks.baseline import build_baseline_model
from src.networks.registry import BACKBONES, build_transfer_model
from tests.explainers.networks import (
    add_head,
    assert_unchanged,
    nested_network,
    random_inputs,
    random_network,
    snapshot,
)
from tests.explainers.test_graph import SAME

# As few runs of the network as show the point.
SMALL = {
    "smoothgrad": {"samples": 3},
    "integrated_gradients": {"steps": 3},
    "occlusion": {"window": 0.5},
    "rise": {"samples": 12, "cells": 3},
    "lime": {"samples": 60, "segments": 12},
    "kernel_shap": {"samples": 40, "segments": 6},
}
# What finds an object of 6 pixels among 26.
FINER = {
    "occlusion": {"window": 0.25},
    "rise": {"samples": 300, "cells": 6},
    "lime": {"samples": 200, "segments": 30},
    "kernel_shap": {"samples": 200, "segments": 30},
}
FEW = {"samples": 40, "segments": 30}  # fewer samples than there are coalitions
# Of each method: options, and others with which the map must be another.
PARAMETERS = [
    ("gradcam", {}, {"target_layer": "conv1"}),
    ("scorecam", {}, {"removal": "black"}),
    ("smoothgrad", {"samples": 3}, {"samples": 4}),
    ("smoothgrad", {"noise": 0.1}, {"noise": 0.3}),
    ("smoothgrad", {"seed": 0}, {"seed": 1}),
    ("integrated_gradients", {"steps": 3}, {"steps": 4}),
    ("integrated_gradients", {}, {"baseline": "mean"}),
    ("guided_gradcam", {}, {"target_layer": "conv1"}),
    ("occlusion", {}, {"window": 0.4}),
    ("occlusion", {"window": 0.5}, {"window": 0.5, "stride": 1.0}),
    ("occlusion", {}, {"removal": "black"}),
    ("rise", SMALL["rise"], SMALL["rise"] | {"samples": 13}),
    ("rise", SMALL["rise"], SMALL["rise"] | {"cells": 4}),
    ("rise", SMALL["rise"], SMALL["rise"] | {"kept": 0.3}),
    ("rise", SMALL["rise"], SMALL["rise"] | {"seed": 1}),
    ("rise", SMALL["rise"], SMALL["rise"] | {"removal": "blur"}),
    *(
        (method, FEW, FEW | other)
        for method in ("lime", "kernel_shap")
        for other in ({"samples": 30}, {"segments": 15}, {"seed": 1}, {"removal": "black"})
    ),
    ("lime", FEW, FEW | {"kernel_width": 0.5}),
    ("lime", FEW, FEW | {"ridge": 0.0}),
]


def build(method: str, model, **options):
    return create_explainer(method, model, **SMALL.get(method, {}) | options)


@pytest.fixture(scope="module")
def shared():
    """One network for all methods, traced once."""
    return ExplainedModel(random_network("softmax in Dense"))


@pytest.mark.parametrize("method", EXPLAINERS)
class TestContract:
    def test_batch_equals_one_by_one_and_the_model_stays(self, method):
        model, inputs = random_network("softmax in Dense"), random_inputs(3)
        model.get_layer("conv1").trainable = False
        before, pixels = snapshot(model), inputs.copy()
        explainer = build(method, model)
        together = explainer.explain(inputs)
        alone = [explainer.explain(inputs[i : i + 1]) for i in range(3)]
        assert together.heatmaps.dtype == np.float32 and together.heatmaps.ndim == 3 and len(together) == 3
        assert np.abs(together.heatmaps).max() > 0 and (explainer.signed or together.heatmaps.min() >= 0)
        np.testing.assert_allclose(
            together.heatmaps, np.concatenate([one.heatmaps for one in alone]), rtol=1e-3, atol=1e-5
        )
        assert np.array_equal(together.class_index, together.predicted)
        np.testing.assert_allclose(together.probabilities, model.predict(inputs, verbose=0), atol=1e-6)
        assert_unchanged(model, before)
        assert np.array_equal(inputs, pixels)

    def test_the_class_matters_for_all_or_for_each(self, method, shared):
        inputs, explainer = random_inputs(3), build(method, shared)
        of_class = [explainer.explain(inputs, index).heatmaps for index in range(3)]
        assert explainer.class_specific != np.allclose(of_class[0], of_class[1])
        mixed = explainer.explain(inputs, [2, 0, 1])
        assert mixed.class_index.tolist() == [2, 0, 1]
        expected = np.stack([of_class[2][0], of_class[0][1], of_class[1][2]])
        np.testing.assert_allclose(mixed.heatmaps, expected, rtol=1e-3, atol=1e-5)

    def test_another_network_has_another_map(self, method, shared):
        inputs = random_inputs(2)
        other = build(method, random_network("softmax in Dense", seed=9)).explain(inputs, 0).heatmaps
        assert not np.allclose(build(method, shared).explain(inputs, 0).heatmaps, other, rtol=0.05)

    def test_the_target_matters(self, method, shared):
        inputs, options = random_inputs(2), {}
        explainer = build(method, shared)
        if not explainer.class_specific:
            return
        against = build(method, random_network("softmax in Dense"), target=class_contrast(2), **options)
        assert not np.allclose(explainer.explain(inputs, 0).heatmaps, against.explain(inputs, 0).heatmaps, rtol=0.01)

    def test_the_object_moves_and_the_map_with_it(self, method):
        """A bright square on even ground, in a network without borders that matter: 8 pixels down, 8 to the right."""
        explainer = build(method, _spot_finder(), **FINER.get(method, {}))
        peaks = []
        for row, column in ((6, 6), (14, 14)):
            picture = np.full((1, 26, 26, 3), 40, np.float32)
            picture[0, row : row + 6, column : column + 6] = 220
            heatmap = explainer.explain(picture, 1).heatmaps[0]
            scale = 26 / heatmap.shape[0]
            peaks.append([(place + 0.5) * scale for place in peak_position(heatmap)])
        moved = np.subtract(peaks[1], peaks[0])
        assert np.all(np.abs(moved - 8) <= 4), (peaks, moved)

    def test_errors_are_sentences_and_leave_the_model(self, method):
        model = random_network()
        before = snapshot(model)
        explainer = build(method, model)
        with pytest.raises(UserError, match=r"numbered 0 to 2.*7"):
            explainer.explain(random_inputs(), 7)
        with pytest.raises(UserError, match="Received"):
            explainer.explain(random_inputs(side=13))
        with pytest.raises(UserError, match="not finite"):
            explainer.explain(random_inputs() * np.nan)
        with pytest.raises(UserError, match="no layer nonsense" if EXPLAINERS[method].by_layer else "takes no layer"):
            build(method, model, target_layer="nonsense")
        assert_unchanged(model, before)


@pytest.mark.parametrize("method, options, others", PARAMETERS)
def test_every_parameter_changes_the_answer(method, options, others, shared):
    inputs = random_inputs(1)
    one, other = (create_explainer(method, shared, **kinds).explain(inputs, 0).heatmaps for kinds in (options, others))
    assert one.shape != other.shape or not np.allclose(one, other, rtol=1e-4, atol=0)


FORMS = {
    "sigmoid unit": lambda: random_network("sigmoid unit"),
    "bare logits": lambda: random_network("bare logits"),
    "nested": lambda: nested_network("functional"),
    "Sequential": lambda: nested_network("Sequential"),
    "nested twice": lambda: nested_network("nested twice"),
    "mixed precision": lambda: _mixed_precision(),
    "layers that cannot be copied": lambda: _uncopied(),
}
# Of the forms of tests/explainers/test_graph.py those that differ in what their layers remember.
REMEMBERING = ("add()", "saved as .keras", "nested and saved", "called before in another model", "wrapped whole")


@pytest.mark.large
@pytest.mark.parametrize("form", [*FORMS, *REMEMBERING])
def test_every_method_explains_every_form_of_classifier(form, tmp_path):
    keras.utils.set_random_seed(1)
    model, inputs = FORMS[form]() if form in FORMS else SAME[form](tmp_path), random_inputs(2)
    before, explained = snapshot(model), ExplainedModel(model)
    for method in EXPLAINERS:
        explainer = build(method, explained)
        maps = np.concatenate([explainer.explain(inputs, index).heatmaps for index in (0, 1)])
        assert np.isfinite(maps).all() and np.abs(maps).max() > 0, method
    assert_unchanged(model, before)


@pytest.mark.large
@pytest.mark.parametrize(
    "name",
    ["baseline", *(pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES)],  # those take minutes
)
def test_every_method_explains_every_registered_network(name):
    keras.utils.set_random_seed(2)
    if name == "baseline":
        model = build_baseline_model(3, (64, 64))
    else:
        model, _, _ = build_transfer_model(BACKBONES[name], 3, (64, 64), weights="none")
    before, explained, inputs = snapshot(model), ExplainedModel(model), random_inputs(2, side=64)
    for method, entry in EXPLAINERS.items():
        layer = {"target_layer": BACKBONES[name].target_layer or None} if entry.by_layer and name != "baseline" else {}
        explainer = build(method, explained, **layer)
        # All classes, since weights at random may hold no positive evidence for one.
        maps = np.concatenate([explainer.explain(inputs, index).heatmaps for index in range(3)])
        assert np.isfinite(maps).all() and np.abs(maps).max() > 0, method
    assert_unchanged(model, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["VGG16", "InceptionV3", "Xception", "NASNetMobile", "MobileNetV3Small", "ConvNeXtTiny", "ResNet50V2"]
)
def test_networks_of_keras_outside_the_registry(name):
    """Whole, with the softmax of their own: Grad-CAM is that of a tape on the twin that ends in logits."""
    keras.utils.set_random_seed(2)
    build_network = getattr(keras.applications, name)
    options = {"weights": None, "classes": 3, "input_shape": (96, 96, 3)}
    model, twin = build_network(**options), build_network(**options, classifier_activation=None)
    twin.set_weights(model.get_weights())
    before, inputs = snapshot(model), random_inputs(2, side=96)
    explainer = create_explainer("gradcam", ExplainedModel(model))
    place = [layer.name for layer in model.layers].index(explainer.target_layer)
    both = keras.Model(twin.inputs, [twin.layers[place].output, twin.outputs[0]])
    for index in range(3):
        with tf.GradientTape() as tape:
            activations, logits = both(inputs, training=False)
            score = logits[:, index]
        weights = tf.reduce_mean(tape.gradient(score, activations), axis=(1, 2), keepdims=True)
        expected = tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1)).numpy()
        found = explainer.explain(inputs, index).heatmaps
        scale = np.abs(weights.numpy()).max() * np.abs(activations.numpy()).max()
        np.testing.assert_allclose(found, expected, atol=1e-4 * scale)
    assert_unchanged(model, before)


def test_unknown_method_is_named_with_those_there_are():
    with pytest.raises(UserError, match="there are gradcam"):
        create_explainer("grad-cam", random_network())


def test_a_contrast_is_the_difference_of_the_maps_of_a_linear_method(shared):
    """Gradient x input is linear in the target, so that what speaks for both classes falls away."""
    inputs, model = random_inputs(2), random_network("softmax in Dense")
    maps = [create_explainer("gradient_x_input", shared).explain(inputs, index).heatmaps for index in (0, 2)]
    contrast = create_explainer("gradient_x_input", model, target=class_contrast(2)).explain(inputs, 0).heatmaps
    np.testing.assert_allclose(contrast, maps[0] - maps[1], rtol=1e-3, atol=1e-4)
    with pytest.raises(UserError, match="from 0"):
        class_contrast(-1)
    assert class_logit(np.array([[1.0, 5.0]]), np.array([1])).numpy() == 5


def _spot_finder() -> keras.Model:
    """Looks for what is brighter than its surroundings, in two channels; class 1 is "there is such a thing"."""
    inputs = keras.Input((26, 26, 3))
    x = layers.Conv2D(2, 3, name="conv", use_bias=True)(inputs / 255.0)
    x = layers.AveragePooling2D(2)(layers.ReLU(name="relu")(x))
    x = layers.Conv2D(2, 1, activation="relu", name="last")(x)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(x)))
    bright, dull = np.full((3, 3, 3), 1 / 27), np.full((3, 3, 3), 0.2 / 27)
    model.get_layer("conv").set_weights([np.stack([bright, dull], axis=-1), np.array([-0.3, 0.0])])
    model.get_layer("last").set_weights([np.array([[[[1.0, 0.1], [0.1, 0.2]]]]), np.zeros(2)])
    model.get_layer("logits").set_weights([np.array([[-1.0, 2.0], [0.0, 0.1]]), np.array([0.1, 0.0])])
    return model


def _uncopied() -> keras.Model:
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(5, 3, activation="relu", name="conv")(layers.Lambda(lambda z: z / 255)(inputs))
    return keras.Model(inputs, add_head(layers.GlobalAveragePooling2D()(x), "softmax in Dense"))


def _mixed_precision() -> keras.Model:
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        return random_network("softmax in Dense")
    finally:
        keras.config.set_dtype_policy(policy)
