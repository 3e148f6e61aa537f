"""Our maps against tf-keras-vis, lime and shap: equal where the equations are, and different where docs/explainers.md
says so. requirements-parity.txt names the packages; run by `make test-parity`."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from src.explainers import surrogate
from src.explainers.baselines import removed_picture
from src.settings import random_generator
from tests.explainers.networks import random_inputs
from tests.explainers.parity import (
    CLASS_INDEX,
    NOT_INSTALLED,
    assert_agree,
    difference,
    ours,
    sharp_network,
    without_softmax,
)

pytestmark = pytest.mark.parity

LAYERS = ["relu2", "conv1"]
RAW = {"seek_penultimate_conv_layer": False, "expand_cam": False, "normalize_cam": False}


@pytest.fixture(scope="module")
def model():
    return sharp_network()


def of_class(outputs):
    return outputs[:, CLASS_INDEX]


def theirs(name: str, model: keras.Model, layer: str) -> np.ndarray:
    """Raw maps of tf-keras-vis at the layer's resolution."""
    modules = {
        "Gradcam": "gradcam",
        "GradcamPlusPlus": "gradcam_plus_plus",
        "Layercam": "layercam",
        "Scorecam": "scorecam",
    }
    module = pytest.importorskip(f"tf_keras_vis.{modules[name]}")
    visualizer = getattr(module, name)(without_softmax(model), clone=False)
    return np.asarray(visualizer(of_class, random_inputs(), penultimate_layer=layer, **RAW))


def activations_and_gradients(model: keras.Model, layer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations and gradients (N, h, w, K) and logits (N, C), without any of our explainers."""
    both = keras.Model(model.inputs, [model.get_layer(layer).output, model.get_layer("logits").output])
    with tf.GradientTape() as tape:
        activations, logits = both(tf.constant(random_inputs()))
        score = tf.reduce_sum(logits[:, CLASS_INDEX])
    return activations.numpy(), tape.gradient(score, activations).numpy(), logits.numpy()


# ------------------------------------------------------------------------------------------------ tf-keras-vis


@pytest.mark.parametrize("layer", LAYERS)
def test_gradcam(model, layer):
    assert_agree("Grad-CAM, tf-keras-vis", ours("gradcam", model, target_layer=layer), theirs("Gradcam", model, layer))


@pytest.mark.parametrize("layer", LAYERS)
def test_layercam(model, layer):
    found = ours("layercam", model, target_layer=layer)
    assert_agree("LayerCAM, tf-keras-vis", found, theirs("Layercam", model, layer))


@pytest.mark.parametrize("layer", LAYERS)
def test_gradcam_plus_plus_of_tf_keras_vis_scales_alpha_to_one_and_multiplies_by_exp(layer):
    """It divides a channel's alphas by their sum, as the authors' code does and eq. 19 does not, and keeps exp(y)."""
    model = sharp_network()
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel / 10, bias / 10])  # or exp(y) is beyond float32
    activations, gradients, logits = activations_and_gradients(model, layer)
    denominators = 2 * gradients**2 + activations.sum(axis=(1, 2), keepdims=True) * gradients**3
    alphas = np.divide(gradients**2, denominators, out=np.zeros_like(gradients), where=denominators != 0)
    sums = alphas.sum(axis=(1, 2), keepdims=True)
    scaled = np.divide(alphas, sums, out=np.zeros_like(alphas), where=sums != 0)
    exponential = np.exp(logits[:, CLASS_INDEX]).reshape(-1, 1, 1, 1)
    maps = [
        np.maximum((activations * (chosen * np.maximum(gradients, 0)).sum(axis=(1, 2), keepdims=True)).sum(axis=-1), 0)
        for chosen in (exponential * scaled, alphas)
    ]
    assert_agree("Grad-CAM++, tf-keras-vis, its own formula", maps[0], theirs("GradcamPlusPlus", model, layer), 1e-4)
    found = ours("gradcam++", model, target_layer=layer)
    assert_agree("Grad-CAM++, eq. 19 in NumPy", found, maps[1], 1e-4)
    # No factor for each picture makes them one.
    ratios = [difference(f / f.max(), m / m.max()) for f, m in zip(found, maps[0])]
    assert max(ratios) > 1e-3


def test_scorecam_of_tf_keras_vis_weighs_by_probabilities_and_takes_no_softmax_over_channels(model):
    """Its weights are softmax over classes of the masked picture's outputs: nearly equal where the network is sure."""
    map_of_theirs = theirs("Scorecam", model, "relu2")
    activations, _, _ = activations_and_gradients(model, "relu2")
    found = ours("scorecam", model, target_layer="relu2", removal="black", tolerance=0)
    assert np.all(map_of_theirs <= activations.sum(axis=-1) * (1 + 1e-5))  # weights of 0..1 each ...
    assert np.all(found <= activations.max(axis=-1) * (1 + 1e-5))  # ... where ours sum to 1
    assert difference(found / found.max(), map_of_theirs / map_of_theirs.max()) > 1e-3


def test_saliency(model):
    module = pytest.importorskip("tf_keras_vis.saliency", reason=NOT_INSTALLED)
    expected = module.Saliency(without_softmax(model), clone=False)(of_class, random_inputs(), normalize_map=False)
    assert_agree("Saliency, tf-keras-vis", ours("saliency", model), expected)


def test_smoothgrad_with_the_same_noise(model, monkeypatch):
    """Its default takes |g| of each copy, which noise cannot cancel; the paper and ours take |mean g|."""
    module = pytest.importorskip("tf_keras_vis.saliency", reason=NOT_INSTALLED)
    inputs = random_inputs()
    noises = [random_generator(2, sample).standard_normal(inputs.shape[1:], np.float32) for sample in range(12)]
    monkeypatch.setattr(np.random, "normal", lambda mean, sigma, shape: np.asarray(sigma) * np.stack(noises)[:, None])
    explain = module.Saliency(without_softmax(model), clone=False)
    options = {"smooth_samples": 12, "smooth_noise": 0.15, "normalize_map": False}
    means = explain(of_class, inputs, gradient_modifier=None, keepdims=True, **options)
    found = ours("smoothgrad", model, samples=12, noise=0.15, seed=2)
    assert_agree("SmoothGrad, tf-keras-vis without its |g|", found, np.abs(means).max(axis=-1))
    assert difference(found, explain(of_class, inputs, **options)) > 1e-2


# ------------------------------------------------------------------------------------------------ lime and shap


@pytest.fixture(scope="module")
def segmented(model):
    """A score of the network, a picture, 12 x 12 in 9 squares, and its mean colour in place of what is removed."""
    picture = random_inputs()[0]
    squares = np.repeat(np.repeat(np.arange(9).reshape(3, 3), 4, axis=0), 4, axis=1)
    logits = without_softmax(model)
    return (
        lambda batch: logits(np.asarray(batch, np.float32)).numpy()[:, CLASS_INDEX],
        picture, squares, removed_picture(picture),
    )  # fmt: skip


def test_lime_with_the_same_draws(segmented, monkeypatch):
    lime_image = pytest.importorskip("lime.lime_image", reason=NOT_INSTALLED)
    score, picture, segments, baseline = segmented
    explainer = lime_image.LimeImageExplainer(kernel_width=0.3, feature_selection="none", random_state=4)
    drawn, data_labels = [], explainer.data_labels

    def keep(*arguments, **options):
        result = data_labels(*arguments, **options)
        drawn.append(result[0])
        return result

    explainer.data_labels = keep
    explained = explainer.explain_instance(
        picture, lambda batch: score(batch)[:, None], labels=(0,), top_labels=None, hide_color=baseline,
        num_samples=80, segmentation_fn=lambda image: segments,
    )  # fmt: skip
    expected = np.zeros(9)
    for segment, value in explained.local_exp[0]:
        expected[segment] = value
    draws = SimpleNamespace(integers=lambda low, high, shape: drawn[0].reshape(shape))
    monkeypatch.setattr(surrogate, "random_generator", lambda seed: draws)
    found = surrogate.lime_values(*segmented, samples=80, kernel_width=0.3, ridge=1.0)
    assert_agree("LIME, lime", found, expected)


def explain_with_shap(segmented, samples: int, **options):
    """Its values, and the explainer that keeps its coalitions and weights."""
    shap = pytest.importorskip("shap", reason=NOT_INSTALLED)
    score, picture, segments, baseline = segmented

    def ask(masks):
        return score(np.where(masks.astype(bool)[:, segments][..., None], picture, baseline))

    explainer = shap.KernelExplainer(ask, np.zeros((1, 9)))
    values = explainer.shap_values(np.ones((1, 9)), nsamples=samples, silent=True, **options)[0]
    return values, explainer


def test_kernel_shap_of_all_coalitions(segmented):
    expected, _ = explain_with_shap(segmented, 510, l1_reg=False)
    assert_agree("Kernel SHAP, shap, all coalitions", surrogate.kernel_shap_values(*segmented, samples=510), expected)


@pytest.mark.parametrize("samples", [60, 200])
def test_kernel_shap_of_the_same_draws(segmented, monkeypatch, samples):
    expected, explainer = explain_with_shap(segmented, samples, l1_reg=False)
    chosen = explainer.maskMatrix.astype(bool), explainer.kernelWeights
    ours_of_sizes = surrogate.shapley_coalitions(9, samples, 0)
    for size in range(1, 9):  # the outermost weigh the same, whatever was drawn
        weights = [weights[coalitions.sum(axis=1) == size] for coalitions, weights in (chosen, ours_of_sizes)]
        if size in (1, 8):
            np.testing.assert_allclose(*weights, rtol=1e-6)
    monkeypatch.setattr(surrogate, "shapley_coalitions", lambda *_: chosen)
    found = surrogate.kernel_shap_values(*segmented, samples=samples)
    assert_agree(f"Kernel SHAP, shap, {samples} coalitions", found, expected)
