"""Every network from scratch: the contract of the registry; and each one's own facts, by hand."""

import keras
import numpy as np
import pytest

from src.errors import UserError
from src.explainers.graph import find_target_layer
from src.inference.engine import create_engine
from src.networks.fast_cnn import build_fast_cnn, whiten
from src.networks.heads import logits_model
from src.networks.scratch import SCRATCH_NETWORKS, build_scratch_model
from src.settings import NETWORKS
from src.training.optimizers import create_optimizer
from src.training.options import TrainingSettings

pytestmark = pytest.mark.large

SIZE = (40, 32)  # oblong
IMAGES = np.random.default_rng(1).integers(0, 256, (6, *SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def built():
    models = {}

    def get(name, **options):
        key = (name, *sorted(options.items()))
        if key not in models:
            keras.utils.set_random_seed(1)
            models[key] = build_scratch_model(name, 3, SIZE, **{"width": 0.25} | options)
        return models[key]

    return get


def test_the_parser_knows_all():
    assert tuple(SCRATCH_NETWORKS) == NETWORKS


@pytest.mark.parametrize("name", SCRATCH_NETWORKS)
def test_contract(name, built, tmp_path):
    model = built(name)
    assert model.input_shape == (None, *SIZE, 3) and model.output_shape == (None, 3)
    assert not [layer for layer in model.layers if isinstance(layer, (keras.Model, keras.layers.Lambda))]
    probabilities = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    logits = np.asarray(logits_model(model)(IMAGES))
    np.testing.assert_allclose(probabilities, np.asarray(keras.ops.softmax(logits)), atol=1e-5)
    target = SCRATCH_NETWORKS[name].target_layer
    assert len(model.get_layer(target).output.shape) == 4
    assert find_target_layer(model)  # also without being told
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(again.predict(IMAGES, verbose=0), probabilities, atol=1e-6)
    engine = create_engine(model.inputs[0], {"probabilities": model.output}, "openvino")
    np.testing.assert_allclose(engine.run(IMAGES)["probabilities"], probabilities, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * name.startswith("resnet")) for name in SCRATCH_NETWORKS],
)
def test_learns(name, built):
    """Six pictures by heart: the loss in training falls to a fraction."""
    keras.utils.set_random_seed(1)
    model = build_scratch_model(name, 3, SIZE, width=0.25, dropout=0.0)
    if adapt := SCRATCH_NETWORKS[name].adapt:
        adapt(model, [IMAGES])
    logits, targets = logits_model(model), np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    logits.compile(keras.optimizers.Adam(3e-3), keras.losses.CategoricalCrossentropy(from_logits=True))
    losses = logits.fit(
        IMAGES, targets, batch_size=6, epochs=7 if name.startswith("resnet") else 40, verbose=0
    ).history["loss"]
    assert min(losses[-5:]) < 0.6 * losses[0]


@pytest.mark.parametrize("name", SCRATCH_NETWORKS)
def test_grayscale_sees_brightness_only(name, built):
    model = built(name, grayscale=True)
    luma = IMAGES @ np.array([0.2989, 0.587, 0.114], np.float32)
    gray = np.repeat(luma[..., None], 3, axis=-1) / np.float32(0.9999)
    np.testing.assert_allclose(model(gray), model(IMAGES), atol=1e-4)
    assert np.abs(np.asarray(built(name)(gray)) - np.asarray(built(name)(IMAGES))).max() > 1e-4
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    assert first.kernel.shape[2] == 1


@pytest.mark.parametrize("name", SCRATCH_NETWORKS)
def test_width_and_dropout_act(name, built):
    assert built(name, width=0.5).count_params() > 2 * built(name).count_params()
    rates = [layer.rate for layer in built(name, dropout=0.3).layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.3]


@pytest.mark.parametrize(
    ("name", "parameters"),
    # by hand; ResNet-18 from torchvision's 11,689,512 with 1,000 classes, without BatchNormalization's statistics
    [
        ("simple_cnn", 32 * 28 + 64 * (32 * 9 + 1) + 128 * 4097 + 10 * 129),
        ("regularized_cnn", 32 * 28 + 64 * (32 * 9 + 1) + 128 * 4097 + 10 * 129 + 4 * (32 + 64)),
        ("resnet18", 11_689_512 - 990 * 513 + 2 * 4800),
        ("resnet18_small", 11_689_512 - 990 * 513 + 2 * 4800 - 64 * 3 * (49 - 9)),
    ],
)
def test_sizes(name, parameters):
    assert build_scratch_model(name, 10, (32, 32)).count_params() == parameters


def test_resnet18_keeps_its_resolutions():
    small, large = (build_scratch_model(name, 2, (64, 64), width=0.1) for name in ("resnet18_small", "resnet18"))
    sides = {name: [m.get_layer(f"stage{i}_block2_out").output.shape[1] for i in (1, 2, 3, 4)]
             for name, m in (("small", small), ("large", large))}  # fmt: skip
    assert sides == {"small": [64, 32, 16, 8], "large": [16, 8, 4, 2]}


def test_whitening_decorrelates_patches():
    images = np.random.default_rng(0).normal(128, 40, (8, 32, 32, 1)) + np.random.default_rng(1).normal(
        0, 15, (8, 32, 32, 3)
    )
    images = images.astype(np.float32)
    model = build_fast_cnn(2, (32, 32), width=0.1)
    whiten(model, [images[:3], images[3:]])
    outputs = np.asarray(keras.Model(model.inputs, model.get_layer("whitening").output)(images)).reshape(-1, 24)
    second_moments = outputs[:, :12].T @ outputs[:, :12] / len(outputs)
    np.testing.assert_allclose(second_moments, np.diag(np.diag(second_moments)), atol=1e-3)
    values = np.diag(second_moments)
    assert (values < 1.0).all() and values[0] == pytest.approx(
        1, abs=0.01
    )  # the constant added counts for the smallest
    np.testing.assert_allclose(outputs[:, 12:], -outputs[:, :12], atol=1e-5)
    assert not model.get_layer("whitening").trainable_variables


def test_fast_cnn_starts_as_the_identity():
    kernel = build_fast_cnn(2, (32, 32), width=0.5).get_layer("block2_2_conv").kernel.numpy()
    images = np.random.default_rng(0).normal(size=(1, 5, 5, 64)).astype(np.float32)
    np.testing.assert_allclose(keras.ops.conv(images, kernel, padding="same"), images, atol=1e-6)


def test_fast_cnn_keeps_the_length_of_its_filters():
    model = build_fast_cnn(2, (32, 32), width=0.25)
    model.compile(create_optimizer(TrainingSettings(optimizer="muon"), 0.5, 2, 2), "categorical_crossentropy")
    images = np.random.default_rng(0).uniform(0, 255, (16, 32, 32, 3)).astype(np.float32)
    before = model.get_layer("block2_2_conv").kernel.numpy()
    model.fit(images, np.eye(2, dtype=np.float32)[[0, 1] * 8], batch_size=8, verbose=0)
    for block in (1, 2, 3):
        kernel = model.get_layer(f"block{block}_2_conv").kernel.numpy()
        np.testing.assert_allclose(np.sqrt((kernel**2).sum(axis=(0, 1, 2))), 1, rtol=1e-5)
    assert np.abs(model.get_layer("block2_2_conv").kernel.numpy() - before).max() > 0.01, "nothing moved"


@pytest.mark.parametrize("name", [name for name in SCRATCH_NETWORKS if not name.startswith("resnet")])
def test_pictures_that_are_too_small(name):
    with pytest.raises(UserError, match="image-size"):
        build_scratch_model(name, 2, (1, 1))


def test_unknown_name():
    with pytest.raises(UserError, match="simple_cnn"):
        build_scratch_model("vgg", 2, (32, 32))


def test_regularized_cnn_begins_as_in_pytorch():
    """Uniform within 1 / sqrt(fan in), kernels and biases; Keras' own begin killed it."""
    model = build_scratch_model("regularized_cnn", 10, (32, 32))
    for layer, fan_in in (("conv1", 27), ("conv2", 288), ("dense", 4096), ("logits", 128)):
        kernel, bias = model.get_layer(layer).get_weights()
        bound = fan_in**-0.5
        assert np.abs(kernel).max() <= bound and np.abs(bias).max() <= bound
        assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.1) and bias.std() > 0.3 * bound
