"""Engines against Keras: every registered backbone, any number of pictures, and where one does not serve."""

import keras
import numpy as np
import pytest
from keras import layers

from src.errors import UserError
from src.inference.engine import TOLERANCE, check_agreement, create_engine, precision_of
from src.inference.frozen_graph import freeze
from src.inference.keras_engine import KerasEngine, in_precision
from src.inference.openvino_engine import OpenVINOEngine
from src.networks.registry import BACKBONES, build_transfer_model


def _network():
    """Maps, a vector and logits as outputs, named out of alphabetical order."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((12, 10, 3), name="images")
    normalization = layers.Normalization(name="normalization")
    scaled = normalization(inputs[..., ::-1])
    normalization.set_weights([np.full(3, 110.0), np.full(3, 500.0), np.array(1)])
    normalization.finalize_state()
    maps = layers.Conv2D(4, 3, activation="relu", name="maps")(scaled)
    vector = layers.GlobalAveragePooling2D(name="vector")(maps)
    logits = layers.Dense(3, name="logits")(layers.Dropout(0.5)(vector))
    return inputs, {"vector": vector, "logits": logits, "maps": maps}


def _images(count, *shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize("engine", ["keras", "openvino"])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_any_number_of_pictures_gives_what_keras_gives(engine, count):
    inputs, outputs = _network()
    model = keras.Model(inputs, outputs)
    images = _images(count, 12, 10, 3)
    before = images.copy()
    chosen = create_engine(inputs, outputs, engine)
    assert (chosen.name, chosen.precision) == (engine, "float32")
    computed = chosen.run(images)
    assert set(computed) == set(outputs)
    for name, values in model(images, training=False).items():
        assert computed[name].dtype == np.float32
        np.testing.assert_allclose(computed[name], values, atol=1e-5)
    np.testing.assert_array_equal(images, before)
    kept = {name: values.copy() for name, values in computed.items()}
    chosen.run(_images(count, 12, 10, 3, seed=1))
    for name, values in kept.items():
        np.testing.assert_array_equal(computed[name], values, err_msg="results belong to the caller")


def test_each_picture_stands_at_its_place():
    inputs, outputs = _network()
    engine = create_engine(inputs, outputs, "openvino")
    images = _images(9, 12, 10, 3)
    together = engine.run(images)
    for index in range(len(images)):
        for name, values in engine.run(images[index : index + 1]).items():
            np.testing.assert_allclose(together[name][index], values[0], atol=1e-6)


@pytest.mark.large
@pytest.mark.parametrize("name", BACKBONES)
def test_auto_takes_openvino_for_every_backbone_on_a_cpu(name, capsys):
    keras.utils.set_random_seed(1)
    model, base, _ = build_transfer_model(BACKBONES[name], 3, (64, 64), weights="none")
    outputs = {"features": base.output, "logits": model.get_layer("logits").output}
    engine = create_engine(model.inputs[0], outputs)
    assert engine.name == "openvino", capsys.readouterr().err
    images = _images(2, 64, 64, 3)
    for key, values in keras.Model(model.inputs[0], outputs)(images, training=False).items():
        difference = np.abs(engine.run(images)[key] - values).max()
        assert difference <= TOLERANCE * np.abs(values).max()


def test_an_engine_keeps_the_weights_it_was_made_with():
    inputs, outputs = _network()
    model = keras.Model(inputs, outputs)
    engine, images = create_engine(inputs, outputs, "openvino"), _images(1, 12, 10, 3)
    before = engine.run(images)["logits"]
    model.set_weights([weight * 2 for weight in model.get_weights()])
    np.testing.assert_array_equal(engine.run(images)["logits"], before)


def test_what_is_saved_is_what_was_made(tmp_path):
    inputs, outputs = _network()
    engine, images = create_engine(inputs, outputs, "openvino"), _images(3, 12, 10, 3)
    engine.save(tmp_path / "network.xml")
    assert {path.name for path in tmp_path.iterdir()} == {"network.xml", "network.bin"}
    again = OpenVINOEngine.from_bytes(*((tmp_path / f"network.{kind}").read_bytes() for kind in ("xml", "bin")))
    assert again.image_size == (12, 10)
    for name, values in engine.run(images).items():
        np.testing.assert_allclose(again.run(images)[name], values, atol=1e-6)


def test_what_is_no_network_is_one_sentence():
    with pytest.raises(UserError, match="is not a network that OpenVINO reads"):
        OpenVINOEngine.from_bytes(b"no graph", b"")


def test_what_openvino_cannot_compute_is_one_sentence():
    engine = create_engine(*_network(), "openvino")
    with pytest.raises(UserError, match="OpenVINO could not compute"):
        engine.run(_images(3, 13, 10, 3))
    assert engine.run(_images(3, 12, 10, 3)), "and goes on"


def test_an_engine_that_differs_is_not_taken(monkeypatch, capsys):
    inputs, outputs = _network()
    model = keras.Model(inputs, outputs)
    engine = OpenVINOEngine.from_graph(freeze(model))
    check_agreement(engine, model)
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda images: {k: v + (k == "maps") * 1e-2 for k, v in run(images).items()})
    with pytest.raises(ValueError, match="its maps differs from Keras' by 0.01"):
        check_agreement(engine, model)
    monkeypatch.setattr(engine, "run", lambda images: {k: v * np.nan for k, v in run(images).items()})
    with pytest.raises(ValueError, match="nan"):
        check_agreement(engine, model)
    monkeypatch.setattr(OpenVINOEngine, "from_graph", lambda graph: engine)
    assert create_engine(inputs, outputs).name == "keras"
    assert "using Keras" in capsys.readouterr().err


def test_without_openvino_keras_serves(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "src.inference.openvino_engine", None)
    assert create_engine(*_network()).name == "keras"
    assert "using Keras" in capsys.readouterr().err
    with pytest.raises(UserError, match="OpenVINO does not serve here"):
        create_engine(*_network(), "openvino")


def test_one_picture_and_many_by_the_same_engine():
    """One is computed by all cores together, many several at a time, and from then on one as well."""
    inputs, outputs = _network()
    engine, images = create_engine(inputs, outputs, "keras"), _images(9, 12, 10, 3)
    expected = engine.run(images)["logits"]
    engine = OpenVINOEngine.from_graph(freeze(keras.Model(inputs, outputs)))
    for count in (1, 2, 9, 1):
        np.testing.assert_allclose(engine.run(images[:count])["logits"], expected[:count], atol=1e-5)


def test_an_error_amid_a_batch_leaves_the_engine_usable(monkeypatch):
    inputs, outputs = _network()
    engine, images = create_engine(inputs, outputs, "openvino"), _images(9, 12, 10, 3)
    expected = engine.run(images)["logits"]
    monkeypatch.setattr("src.inference.openvino_engine._CHUNK", 1)
    with pytest.raises(UserError, match="--engine keras"):
        engine.run([*images[:5], np.zeros((2, 2, 7)), *images[5:]])
    np.testing.assert_allclose(engine.run(images)["logits"], expected, atol=1e-6)


def test_on_a_gpu_mixed_precision_is_compared_and_else_left(monkeypatch, capsys):
    monkeypatch.setattr("src.inference.engine.has_gpu", lambda: True)
    engine = create_engine(*_network())
    assert (engine.name, engine.precision) == ("keras", "mixed_float16") == ("keras", precision_of("auto"))
    monkeypatch.setattr("src.inference.engine.HALF_TOLERANCE", 0.0)
    engine = create_engine(*_network())
    assert (engine.name, engine.precision) == ("keras", "float32")
    assert "using Keras as it is" in capsys.readouterr().err


def test_mixed_precision_is_near_and_leaves_the_model_alone():
    inputs, outputs = _network()
    model = keras.Model(inputs, outputs)
    config = model.get_config()
    copy = in_precision(model, "mixed_float16")
    assert {layer.compute_dtype for layer in copy.layers if layer.weights} == {"float16"}
    assert {layer.variable_dtype for layer in copy.layers if layer.weights} == {"float32"}
    engine, images = KerasEngine(model, gpu=True), _images(3, 12, 10, 3)
    assert engine.precision == "mixed_float16"
    for name, values in model(images, training=False).items():
        np.testing.assert_allclose(engine.run(images)[name], values, atol=5e-3 * float(np.abs(values).max()))
    assert model.get_config() == config
