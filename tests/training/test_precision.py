"""Training in bfloat16: what computes in it, how far that is from float32, nothing left behind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from src.training import fit, precision
from src.training.history import TrainingHistory
from src.training.options import TrainingSettings
from src.training.precision import compute_in_bfloat16, has_bfloat16


def _network():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 5, 3))
    x = layers.Rescaling(1 / 255, name="scaled")(inputs)
    x = layers.Conv2D(8, 3, use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    return keras.Model(inputs, layers.Dense(2, name="logits")(x))


IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 6, 5, 3)).astype(np.float32)


def _logits_and_gradients(model):
    with tf.GradientTape() as tape:
        logits = model(IMAGES, training=True)
        loss = tf.reduce_sum(tf.square(logits))
    return logits, tape.gradient(loss, model.trainable_variables)


def test_layers_compute_in_bfloat16_and_weights_stay_float32():
    model = _network()
    exact, slopes = _logits_and_gradients(model)
    config = model.get_config()
    with compute_in_bfloat16(model):
        kinds = {layer.name: layer.compute_dtype for layer in model.layers[1:]}
        half = {"conv", "bn", "pooling"}
        assert kinds == {name: "bfloat16" if name in half else "float32" for name in kinds}
        rounded, gradients = _logits_and_gradients(model)
    assert {variable.dtype for variable in model.variables if "seed" not in variable.path} == {"float32"}
    assert rounded.dtype == tf.float32 and {gradient.dtype for gradient in gradients} == {tf.float32}
    assert not np.array_equal(rounded, exact), "8 bits of a number are not 24"
    np.testing.assert_allclose(rounded, exact, atol=0.02 * np.abs(exact).max())
    for gradient, slope in zip(gradients, slopes):
        assert np.linalg.norm(gradient - slope) <= 0.05 * np.linalg.norm(slope) + 1e-4
    assert model.get_config() == config


def test_afterwards_and_after_an_error_layers_compute_as_before():
    model = _network()
    exact = model(IMAGES).numpy()
    with pytest.raises(RuntimeError), compute_in_bfloat16(model):
        assert not np.array_equal(model(IMAGES), exact)
        raise RuntimeError
    np.testing.assert_array_equal(model(IMAGES), exact)


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


def test_a_system_that_tells_nothing_of_its_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_CPU_FACTS", tmp_path / "none")
    monkeypatch.setattr(precision, "has_gpu", lambda: False)
    assert not has_bfloat16()


@pytest.mark.parametrize(
    ("wanted", "native", "half"),
    [("float32", True, False), ("bfloat16", False, True), ("auto", True, True), ("auto", False, False)],
)
def test_training_computes_in_what_the_settings_say(wanted, native, half, monkeypatch):
    monkeypatch.setattr(fit, "has_bfloat16", lambda: native)
    model, seen = _network(), []
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, np.eye(2, dtype=np.float32)[[0, 1, 0, 1]])).batch(2)

    history = TrainingHistory(model, listeners=[lambda row: seen.append(model.get_layer("conv").compute_dtype)])
    options = TrainingSettings(precision=wanted)
    fit.fit_phase(model, batches, batches, history, phase=1, epochs=1, learning_rate=0.01, patience=1, options=options)
    assert seen == ["bfloat16" if half else "float32"]
    assert model.get_layer("conv").compute_dtype == "float32"
