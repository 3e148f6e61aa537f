"""Maps from an engine's activations equal those of the whole graph; where it cannot serve it is left aside."""

import keras
import numpy as np
import pytest

from src.explainers.cam import CAM_METHODS, ClassActivationMap
from src.inference.engine import create_engine
from src.inference.keras_engine import KerasEngine
from src.inference.openvino_engine import OpenVINOEngine
from src.networks.registry import BACKBONES, build_transfer_model
from tests.explainers.networks import (
    HAND_INPUT,
    assert_unchanged,
    hand_weighted,
    nested_network,
    random_inputs,
    random_network,
    residual_network,
    snapshot,
)

pytestmark = pytest.mark.large


class CountingEngine(KerasEngine):
    """Keras in the place of a faster engine, made at once; knows how often it ran."""

    name = "counting"

    def __init__(self, inputs, outputs):
        super().__init__(keras.Model(inputs, outputs))
        self.runs = 0

    def run(self, images):
        self.runs += 1
        return super().run(images)


def explain_both_ways(model, inputs, class_index=None, **options):
    """Explanations by the whole graph and by an engine that must have run."""
    made = []

    def make(*tensors):
        made.append(CountingEngine(*tensors))
        return made[0]

    whole = ClassActivationMap(model, **options).explain(inputs, class_index)
    by_engine = ClassActivationMap(model, engine=make, **options).explain(inputs, class_index)
    assert [engine.runs for engine in made] == [1]
    return whole, by_engine


def assert_agree(explained, expected):
    assert np.array_equal(explained.class_index, expected.class_index)
    for name in ("heatmaps", "logits", "probabilities"):
        wanted = getattr(expected, name)
        scale = np.abs(wanted).max()
        assert scale > 0, f"{name} of zeros agree with anything"
        np.testing.assert_allclose(getattr(explained, name), wanted, rtol=1e-4, atol=1e-5 * scale, err_msg=name)


HEADS = ("logits", "softmax in Dense", "Activation layer", "bare logits", "keras.ops", "sigmoid unit")


@pytest.mark.parametrize("head", HEADS)
def test_every_form_of_head(head):
    model = random_network(head)
    before = snapshot(model)
    expected, explained = explain_both_ways(model, random_inputs())
    assert_agree(explained, expected)
    assert_unchanged(model, before)


@pytest.mark.parametrize("method", CAM_METHODS)
@pytest.mark.parametrize("layer", ["conv1", "pool1", "norm2"])
def test_every_layer_method_and_class(layer, method):
    options = {"target_layer": layer, "weight_rule": CAM_METHODS[method]}
    expected, explained = explain_both_ways(random_network(), random_inputs(), [2, 0, 1, 0], **options)
    assert_agree(explained, expected)


@pytest.mark.parametrize("kind", ["functional", "Sequential", "nested twice"])
@pytest.mark.parametrize("layer", [None, "conv1"])
def test_nested_backbones(kind, layer):
    expected, explained = explain_both_ways(nested_network(kind), random_inputs(), target_layer=layer)
    assert_agree(explained, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_every_registered_network(name):
    keras.utils.set_random_seed(2)
    model, _, _ = build_transfer_model(BACKBONES[name], 3, (64, 64), weights="none")
    layer = BACKBONES[name].target_layer or None
    # All classes, since weights at random may hold no positive evidence for one.
    expected, explained = explain_both_ways(model, random_inputs(3, side=64), [0, 1, 2], target_layer=layer)
    assert_agree(explained, expected)


def test_openvino_and_what_it_saves(tmp_path):
    """A saved engine may have more outputs; it is used as it is."""
    model, inputs = random_network(), random_inputs(5)
    expected = ClassActivationMap(model).explain(inputs)
    outputs = {"probabilities": model.output, "relu2": model.get_layer("relu2").output}
    engine = create_engine(model.inputs[0], outputs, "openvino")
    assert_agree(ClassActivationMap(model, engine=lambda *tensors: engine).explain(inputs), expected)
    engine.save(tmp_path / "network.xml")
    again = OpenVINOEngine.from_bytes(*((tmp_path / f"network.{kind}").read_bytes() for kind in ("xml", "bin")))
    assert_agree(ClassActivationMap(model, engine=lambda *tensors: again).explain(inputs), expected)
    made = ClassActivationMap(model, engine=lambda *tensors: create_engine(*tensors, "openvino"))
    assert_agree(made.explain(inputs), expected)


def test_the_engine_is_what_computes():
    class Doubled(CountingEngine):
        def run(self, images):
            return {name: 2 * values for name, values in super().run(images).items()}

    model = hand_weighted()
    explained = ClassActivationMap(model, target_layer="conv", engine=Doubled).explain(HAND_INPUT)
    np.testing.assert_allclose(explained.heatmaps, 2 * HAND_INPUT[..., 0] / 4, rtol=1e-6)
    np.testing.assert_allclose(explained.logits, [[5.0, -10.0]], rtol=1e-6)


@pytest.mark.parametrize("make", [lambda *tensors: None, lambda *tensors: create_engine(*tensors, "keras")])
def test_no_engine_and_keras_again_are_the_whole_graph(make):
    model, inputs = random_network(), random_inputs()
    explainer = ClassActivationMap(model, engine=make)
    assert not explainer.uses_engine
    assert_agree(explainer.explain(inputs), ClassActivationMap(model).explain(inputs))


@pytest.mark.parametrize("form", ["flat", "a nested branch", "all nested"])
def test_within_a_residual_block_the_engine_is_left_aside(form):
    model, inputs = residual_network(form), random_inputs()
    expected = ClassActivationMap(residual_network(), target_layer="within").explain(inputs)
    engines = []
    explainer = ClassActivationMap(model, target_layer="within", engine=lambda *tensors: engines.append(tensors))
    assert_agree(explainer.explain(inputs), expected)
    assert not engines and not explainer.uses_engine
    for layer in ("before", "after"):
        if layer in {layer.name for layer in model.layers}:
            assert_agree(*reversed(explain_both_ways(model, inputs, target_layer=layer)))


@pytest.mark.parametrize("change", [lambda value: np.flip(value, axis=-1), np.negative, lambda value: value * 1.001])
@pytest.mark.parametrize("layer, used", [("conv1", 1), ("norm2", 1), ("logits", 2)])
def test_what_is_learnt_later_is_explained_rightly(layer, used, change):
    """Below the target layer the engine's weights are then old ones, above it those of the model count."""
    model, inputs, made = random_network(), random_inputs(), []
    gamma = model.get_layer("norm2").gamma
    gamma.assign(np.linspace(0.5, 1.5, gamma.shape[0]))  # at first all are one: a change of order would change nothing

    def make(*tensors):
        made.append(CountingEngine(*tensors))
        # as OpenVINO does, keeps the weights of its making
        made[0]._model = keras.models.clone_model(made[0]._model)
        made[0]._model.set_weights(keras.Model(*tensors).get_weights())
        return made[0]

    explainer = ClassActivationMap(model, target_layer="relu2", engine=make)
    before = explainer.explain(inputs)
    first, *others = model.get_layer(layer).get_weights()  # a kernel, or a normalization's gamma
    model.get_layer(layer).set_weights([change(first), *others])
    explained = explainer.explain(inputs)
    assert (explained.logits != before.logits).any()
    assert_agree(explained, ClassActivationMap(model, target_layer="relu2").explain(inputs))
    assert made[0].runs == used
