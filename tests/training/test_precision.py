"""Training in bfloat16: what computes in it, how far that is from float32, nothing left behind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from src.networks.heads import logits_model
from src.networks.scratch import SCRATCH_NETWORKS, build_scratch_model
from src.training import fit, precision
from src.training.history import TrainingHistory
from src.training.options import TrainingSettings
from src.training.precision import compute_in_bfloat16, has_bfloat16, resolve_precision

pytestmark = pytest.mark.large


def _network():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 5, 3))
    x = layers.Rescaling(1 / 255, name="scaled")(inputs)
    x = layers.Conv2D(8, 2, use_bias=False, name="whitening")(x)
    x = layers.Conv2D(8, 3, use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    return keras.Model(inputs, layers.Dense(2, name="logits")(x))


IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 6, 5, 3)).astype(np.float32)
LABELS = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]


def _logits_and_gradients(model):
    with tf.GradientTape() as tape:
        logits = model(IMAGES, training=True)
        loss = tf.reduce_sum(tf.square(logits))
    return logits, tape.gradient(loss, model.trainable_variables)


def test_layers_compute_in_bfloat16_near_what_float32_gives():
    model = _network()
    exact, slopes = _logits_and_gradients(model)
    config = model.get_config()
    with compute_in_bfloat16(model):
        kinds = {layer.name: layer.compute_dtype for layer in model.layers[1:]}
        half = {"conv", "bn", "pooling"}
        assert kinds == {name: "bfloat16" if name in half else "float32" for name in kinds}
        rounded, gradients = _logits_and_gradients(model)
    assert not np.array_equal(rounded, exact), "8 bits of a number are not 24"
    np.testing.assert_allclose(rounded, exact, atol=0.02 * np.abs(exact).max())
    for gradient, slope in zip(gradients, slopes):
        assert np.linalg.norm(gradient - slope) <= 0.3 * np.linalg.norm(slope)
    assert model.get_config() == config


def test_afterwards_and_after_an_error_layers_compute_as_before():
    model = _network()
    exact = model(IMAGES).numpy()
    with pytest.raises(RuntimeError), compute_in_bfloat16(model):
        assert not np.array_equal(model(IMAGES), exact)
        raise RuntimeError
    np.testing.assert_array_equal(model(IMAGES), exact)


def test_policies_that_someone_else_chose_and_models_without_convolutions_stay(capsys):
    model = _network()
    model.get_layer("conv").dtype_policy = keras.DTypePolicy("float64")
    with compute_in_bfloat16(model):
        assert model.get_layer("conv").compute_dtype == "float64"
    capsys.readouterr()
    inputs = keras.Input((4,))
    head = keras.Model(inputs, layers.Dense(3, name="logits")(layers.Dense(5, name="dense")(inputs)))
    with compute_in_bfloat16(head):
        assert head.get_layer("dense").compute_dtype == "float32"
    assert not capsys.readouterr().err, "nothing changes, nothing is said"


@pytest.mark.parametrize("name", SCRATCH_NETWORKS)
def test_every_network_takes_a_step_in_bfloat16(name):
    model = logits_model(build_scratch_model(name, 2, (32, 32), width=0.1))
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    policies = [layer.dtype_policy.name for layer in model.layers]
    before = [weight.numpy() for weight in model.trainable_variables]
    with compute_in_bfloat16(model):
        assert any(layer.compute_dtype == "bfloat16" for layer in model.layers)
        model.train_on_batch(images, LABELS)
    assert [layer.dtype_policy.name for layer in model.layers] == policies
    after = [weight.numpy() for weight in model.trainable_variables]
    assert all(np.isfinite(weight).all() for weight in after)
    assert any((a != b).any() for a, b in zip(after, before))


@pytest.mark.parametrize(
    ("flags", "found"),
    [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16 amx_tile", True), ("fpu avx2 avx512f avx512_bf16x", False)],
)
def test_a_cpu_with_bfloat16_is_known_by_its_flags(flags, found, tmp_path, monkeypatch):
    facts = tmp_path / "cpuinfo"
    facts.write_text(f"processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: {flags}\n\n")
    monkeypatch.setattr(precision, "_CPU_FACTS", facts)
    monkeypatch.setattr(precision, "has_gpu", lambda: False)
    assert has_bfloat16() is found
    assert resolve_precision("auto") == ("bfloat16" if found else "float32")
    assert [resolve_precision(asked) for asked in ("float32", "bfloat16")] == ["float32", "bfloat16"]


def test_a_system_that_tells_nothing_of_its_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_CPU_FACTS", tmp_path / "none")
    monkeypatch.setattr(precision, "has_gpu", lambda: False)
    assert not has_bfloat16()


@pytest.mark.parametrize(
    ("details", "found"),
    [({"compute_capability": (8, 0)}, True), ({"compute_capability": (7, 5)}, False), ({}, False)],
)
def test_a_gpu_with_bfloat16_is_known_by_its_generation(details, found, monkeypatch):
    monkeypatch.setattr(precision, "has_gpu", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["first", "second"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", {"first": details}.get)
    assert has_bfloat16() is found


def _train(asked):
    model = _network()
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(2)
    history = TrainingHistory(model)
    options = TrainingSettings(precision=asked, optimizer="sgd")
    fit.fit_phase(model, batches, batches, history, phase=1, epochs=2, learning_rate=0.01, patience=1, options=options)
    return model


def test_training_computes_in_what_the_settings_say(monkeypatch, capsys):
    weights = {}
    for native in (True, False):
        monkeypatch.setattr(precision, "has_bfloat16", lambda native=native: native)
        for asked in ("float32", "bfloat16", "auto"):
            model = _train(asked)
            weights[asked, native] = model.get_layer("conv").kernel.numpy()
            said = capsys.readouterr().err
            assert ("Layers compute in bfloat16" in said) == (asked == "bfloat16" or (asked == "auto" and native))
            assert ("not known to have it" in said) == (asked == "bfloat16" and not native)
    exact, rounded = weights["float32", True], weights["bfloat16", True]
    assert not np.array_equal(exact, rounded)
    np.testing.assert_array_equal(weights["auto", True], rounded)
    np.testing.assert_array_equal(weights["auto", False], exact)


def test_a_trained_model_is_judged_in_float32():
    model = _train("bfloat16")
    found = model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)["loss"]
    expected = keras.losses.CategoricalCrossentropy(from_logits=True)(LABELS, model(IMAGES))
    assert found == pytest.approx(float(expected), rel=1e-6)
