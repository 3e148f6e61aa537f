"""Our maps against pytorch-grad-cam and captum, by the same weights in PyTorch. requirements-parity.txt names the
packages; run by `make test-parity`."""

import sys
from collections import OrderedDict

import keras
import numpy as np
import pytest

from tests.explainers.networks import random_inputs
from tests.explainers.parity import (
    CLASS_INDEX,
    NOT_INSTALLED,
    assert_agree,
    difference,
    full_size_network,
    ours,
    sharp_network,
)

pytestmark = pytest.mark.parity
# The compiler in PyTorch's build for GPUs holds an LLVM of its own; beside TensorFlow's, the process aborts.
sys.modules.setdefault("triton", None)
torch = pytest.importorskip("torch", reason=NOT_INSTALLED)
nn = torch.nn

LAYERS = ["relu2", "conv1"]


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def _parts(layer: keras.layers.Layer) -> list[nn.Module]:
    """The same layer in PyTorch, its activation apart; the last part's output is the layer's."""
    weights = [torch.tensor(weight) for weight in layer.get_weights()]
    if isinstance(layer, keras.layers.Rescaling):
        return [Function(lambda x: x * layer.scale + layer.offset)]
    if isinstance(layer, keras.layers.Conv2D):
        kernel, bias = weights
        part = nn.Conv2d(kernel.shape[2], kernel.shape[3], tuple(kernel.shape[:2]), padding=layer.padding)
        part.weight.data, part.bias.data = kernel.permute(3, 2, 0, 1).contiguous(), bias
        return [part, nn.ReLU()] if layer.activation is keras.activations.relu else [part]
    if isinstance(layer, keras.layers.BatchNormalization):
        part = nn.BatchNorm2d(len(weights[0]), eps=layer.epsilon)
        part.weight.data, part.bias.data, part.running_mean, part.running_var = weights
        return [part]
    if isinstance(layer, keras.layers.Dense):
        part = nn.Linear(*weights[0].shape)
        part.weight.data, part.bias.data = weights[0].T.contiguous(), weights[1]
        return [part]
    kinds = {
        keras.layers.MaxPooling2D: lambda: nn.MaxPool2d(2), keras.layers.ReLU: nn.ReLU,
        keras.layers.GlobalAveragePooling2D: lambda: Function(lambda x: x.mean(dim=(2, 3))),
    }  # fmt: skip
    return [make() for kind, make in kinds.items() if isinstance(layer, kind)]  # nothing for the input and the softmax


def mirror(model: keras.Model) -> nn.Sequential:
    """The model's logits in PyTorch, (N, 3, H, W) -> (N, C); the module of a layer's name gives that layer's output."""
    modules = OrderedDict()
    for layer in model.layers:
        *first, last = _parts(layer) or [None]
        modules |= {f"{layer.name}_before": part for part in first}
        if last is not None:
            modules[layer.name] = last
    return nn.Sequential(modules).eval()


def as_torch(pictures: np.ndarray):
    return torch.tensor(np.moveaxis(pictures, -1, 1).copy())


@pytest.fixture(scope="module")
def model():
    return sharp_network()


@pytest.fixture(scope="module")
def mirrored(model):
    """The network in PyTorch, which must answer as Keras does."""
    logits = keras.Model(model.inputs, model.get_layer("logits").output)
    copy = mirror(model)
    expected = logits(random_inputs()).numpy()
    assert np.all(expected[:, CLASS_INDEX] > 0)
    assert_agree("logits, PyTorch", copy(as_torch(random_inputs())).detach().numpy(), expected)
    return copy


def theirs(name: str, network, layer: str) -> np.ndarray:
    """Raw maps of pytorch-grad-cam, before it enlarges them and scales each to 0..1."""
    package = pytest.importorskip("pytorch_grad_cam", reason=NOT_INSTALLED)
    targets = [package.utils.model_targets.ClassifierOutputTarget(CLASS_INDEX)] * len(random_inputs())
    with getattr(package, name)(model=network, target_layers=[network.get_submodule(layer)]) as explainer:
        raw, compute = [], explainer.get_cam_image
        explainer.get_cam_image = lambda *arguments: raw.append(compute(*arguments)) or raw[-1]
        explainer(input_tensor=as_torch(random_inputs()), targets=targets)
    return np.asarray(raw[0])


# ------------------------------------------------------------------------------------------------ pytorch-grad-cam


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "method, name, tolerance",
    [
        ("gradcam", "GradCAM", 1e-5),
        ("hirescam", "HiResCAM", 1e-5),
        ("layercam", "LayerCAM", 1e-5),
        ("gradcam++", "GradCAMPlusPlus", 1e-4),  # it adds 1e-6 to the denominator
        ("xgradcam", "XGradCAM", 1e-5),
        ("ablationcam", "AblationCAM", 1e-4),
    ],
)
def test_class_activation_maps(model, mirrored, method, name, tolerance, layer):
    found = ours(method, model, target_layer=layer)
    expected = np.maximum(theirs(name, mirrored, layer), 0)
    assert_agree(f"{method} at {layer}, pytorch-grad-cam", found, expected, tolerance)


def test_scorecam_where_no_mask_is_enlarged():
    """It enlarges with the corners aligned (align_corners), ours with the cells' centres: so at full size."""
    network = full_size_network()
    activations = keras.Model(network.inputs, network.get_layer("conv1").output)(random_inputs()).numpy()
    assert np.all(np.ptp(activations, axis=(1, 2)) > 0)  # a flat channel gets a weight there, and none here
    found = ours("scorecam", network, target_layer="conv1", removal="black", tolerance=0)
    assert_agree("Score-CAM, pytorch-grad-cam", found, np.maximum(theirs("ScoreCAM", mirror(network), "conv1"), 0))


@pytest.mark.parametrize("layer", LAYERS)
def test_eigencam_of_pytorch_grad_cam_is_centred_and_of_any_sign(model, mirrored, layer):
    activations = keras.Model(model.inputs, model.get_layer(layer).output)(random_inputs()).numpy()
    maps = {}
    for centred in (True, False):
        matrices = activations.reshape(len(activations), -1, activations.shape[-1]).astype(np.float64)
        matrices = matrices - matrices.mean(axis=1, keepdims=True) * centred
        first = np.linalg.svd(matrices, full_matrices=False)[2][:, 0]
        maps[centred] = np.einsum("nck,nk->nc", matrices, first).reshape(activations.shape[:-1])
    centred = theirs("EigenCAM", mirrored, layer)
    assert_agree(f"Eigen-CAM at {layer}, pytorch-grad-cam, |centred|", np.abs(centred), np.abs(maps[True]))
    signs = np.where(maps[False].sum(axis=(1, 2), keepdims=True) < 0, -1, 1)
    found = ours("eigencam", model, target_layer=layer)
    assert_agree(f"Eigen-CAM at {layer}, the paper's SVD in NumPy", found, np.maximum(signs * maps[False], 0))
    assert difference(found, np.abs(centred)) > 1e-2


# ------------------------------------------------------------------------------------------------ captum


def attribute(name: str, network, *before, channels=lambda values: values.sum(axis=1), **options) -> np.ndarray:
    """Maps (N, H, W) of captum's method ``name``, its colours put together by ``channels``."""
    attr = pytest.importorskip("captum.attr", reason=NOT_INSTALLED)
    inputs = as_torch(random_inputs()).requires_grad_()
    values = getattr(attr, name)(network, *before).attribute(inputs, target=CLASS_INDEX, **options)
    return channels(values.detach().numpy())


def strongest(values: np.ndarray) -> np.ndarray:
    return np.abs(values).max(axis=1)


def test_saliency(model, mirrored):
    assert_agree("Saliency, captum", ours("saliency", model), attribute("Saliency", mirrored, channels=strongest))


def test_gradient_times_input(model, mirrored):
    assert_agree("Gradient x input, captum", ours("gradient_x_input", model), attribute("InputXGradient", mirrored))


@pytest.mark.parametrize("steps", [8, 32])
def test_integrated_gradients_of_one_rule(model, mirrored, steps):
    expected = attribute("IntegratedGradients", mirrored, n_steps=steps, method="gausslegendre")
    found = ours("integrated_gradients", model, steps=steps, baseline="black")
    assert_agree(f"Integrated Gradients, captum, {steps} steps", found, expected)


def test_guided_gradcam(model, mirrored):
    """Captum enlarges the map to the nearest cell unless told otherwise."""
    layer = mirrored.get_submodule("relu2")
    expected = attribute("GuidedGradCam", mirrored, layer, channels=strongest, interpolate_mode="bilinear")
    assert_agree("Guided Grad-CAM, captum", ours("guided_gradcam", model, target_layer="relu2"), expected)


def test_occlusion(model, mirrored):
    means = random_inputs().mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    expected = attribute(
        "Occlusion", mirrored, channels=lambda values: values[:, 0], sliding_window_shapes=(3, 3, 3), strides=(3, 1, 1),
        baselines=as_torch(np.broadcast_to(means, random_inputs().shape)),
    )  # fmt: skip
    found = ours("occlusion", model, window=0.25, stride=1 / 3, removal="mean")
    assert_agree("Occlusion, captum", found, expected, 1e-4)
