import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from src.errors import UserError
from src.explainers.cam import ClassActivationMap
from src.explainers.explained_model import ExplainedModel
from src.explainers.graph import build_gradient_model, find_target_layer, spatial_layers
from tests.explainers.networks import (
    add_head,
    assert_unchanged,
    nested_network,
    random_inputs,
    random_network,
    snapshot,
)

pytestmark = pytest.mark.large


def test_layers_that_can_be_explained_begin_at_the_first_convolution():
    assert spatial_layers(random_network()) == ["conv1", "pool1", "conv2", "norm2", "relu2"]


def test_last_layer_is_no_pooling():
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.Dropout(0.5)(layers.MaxPooling2D(name="pool")(x))
    x = layers.GlobalAveragePooling2D(keepdims=True, name="single_cell")(x)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(x)))
    assert find_target_layer(model) == "conv"
    assert find_target_layer(model, "pool") == "pool"


@pytest.mark.parametrize("name", ["picture", "preprocessing", "average", "logits"])
def test_a_layer_that_cannot_work_is_refused_with_those_which_can(name):
    with pytest.raises(UserError, match=f"{name} has no spatial output.*conv1, pool1, conv2, norm2, relu2"):
        build_gradient_model(random_network(), name)


@pytest.mark.parametrize("kind", ["functional", "Sequential", "nested twice"])
@pytest.mark.parametrize("name", [None, "conv1"])
def test_a_nested_backbone_is_explained_as_a_flat_one(kind, name):
    model, inputs = nested_network(kind), random_inputs()
    picture = keras.Input((12, 12, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(picture)
    x = layers.Conv2D(5, 3, activation="relu", name="conv1")(x)
    x = layers.Conv2D(6, 3, activation="relu", name="conv2")(x)
    flat = keras.Model(picture, add_head(layers.GlobalAveragePooling2D()(x), "softmax in Dense"))
    flat.set_weights([weight for weight in model.get_weights() if weight.ndim])  # not the augmentation's seed
    before = snapshot(model)
    explained, expected = (ClassActivationMap(each, target_layer=name).explain(inputs) for each in (model, flat))
    assert explained.target_layer == (name or "conv2")
    np.testing.assert_allclose(explained.heatmaps, expected.heatmaps, atol=1e-6)
    np.testing.assert_allclose(explained.logits, expected.logits, atol=1e-5)
    assert_unchanged(model, before)


def test_forms_that_cannot_be_explained_are_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    dense = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2, activation="softmax")])
    headed = keras.Sequential([keras.Input((9, 9, 3)), layers.Conv2D(2, 3), layers.GlobalAveragePooling2D()])
    within = keras.Sequential(
        [keras.Input((9, 9, 3)), layers.Conv2D(2, 3), keras.Sequential([layers.GlobalAveragePooling2D(name="end")])]
    )
    for model, reason in (
        (Subclassed(), "no graph to look into"),
        (keras.Sequential([layers.Conv2D(2, 3)]), "no graph to look into"),
        (keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)]), "no classifier"),
        (dense, "no convolutional layer"),
        (headed, "logits of .* cannot be found"),
        (within, "logits of .* cannot be found.* ends in end"),
    ):
        with pytest.raises(UserError, match=reason):
            build_gradient_model(model)


def _parts(activation="softmax") -> list[layers.Layer]:
    convolution = layers.Conv2D(4, 3, activation="relu", name="conv")
    return [layers.Rescaling(1 / 255), convolution, layers.GlobalAveragePooling2D(), layers.Dense(3, activation)]


def _chain(parts) -> keras.Model:
    inputs = tensor = keras.Input((12, 12, 3))
    for part in parts:
        tensor = part(tensor)
    return keras.Model(inputs, tensor)


def _added(parts=None, name: str | None = None) -> keras.Model:
    model = keras.Sequential(name=name)
    model.add(keras.Input((12, 12, 3)))
    for layer in parts or _parts():
        model.add(layer)
    return model


def _reloaded(model: keras.Model, folder, ending: str) -> keras.Model:
    path = folder / f"model.{ending}"
    model.save(path)
    return keras.models.load_model(path)


def _called_before(_) -> keras.Model:
    parts = _parts()
    _chain(parts[1:])  # another model of the same layers, which sees pictures 255 times as bright
    return _chain(parts)


def _new_head(_) -> keras.Model:
    """The usual recipe: the layers of another model in a Sequential, with a head of its own."""
    old = _added(_parts("relu"))
    return keras.Sequential([keras.Input((12, 12, 3)), *old.layers[:-1], layers.Dense(3, activation="softmax")])


def _nested_front(folder) -> keras.Model:
    parts = _parts()
    return _reloaded(_added([_added(parts[:3], name="front"), *parts[3:]]), folder, "keras")


# Forms of one classifier: what stands in them differs, what they compute does not.
SAME = {
    "add()": lambda _: _added(),
    "saved as .keras": lambda folder: _reloaded(_added(), folder, "keras"),
    "saved as .h5": lambda folder: _reloaded(_added(), folder, "h5"),
    "called before in another model": _called_before,
    "new head": _new_head,
    "nested and saved": _nested_front,
    "wrapped whole": lambda _: _chain([_chain(_parts())]),
    "wrapped twice and saved": lambda folder: _reloaded(_added([_chain([_added()])]), folder, "keras"),
    "softmax outside": lambda _: _chain([_added(_parts(None)), layers.Softmax()]),
    "head within": lambda _: _chain([*_parts()[:2], _chain_of_head()]),
    "nothing at the end": lambda _: _chain([*_parts(), layers.Activation("linear"), layers.Identity()]),
    "a layer as activation": lambda _: _chain(_parts(layers.Softmax())),
    "a layer in Activation": lambda _: _chain([*_parts(None), layers.Activation(layers.Softmax())]),
    "tf.nn.softmax": lambda _: _chain(_parts(tf.nn.softmax)),
    "keras.ops.softmax": lambda _: _chain(_parts(keras.ops.softmax)),
}


def _chain_of_head() -> keras.Model:
    inputs = keras.Input((10, 10, 4))
    return keras.Model(inputs, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(inputs)))


@pytest.fixture(scope="module")
def plain():
    """The classifier in its plainest form, and its explanation."""
    keras.utils.set_random_seed(6)
    model = _chain(_parts())
    return model, ClassActivationMap(model).explain(random_inputs(2), 1)


@pytest.mark.parametrize("form", SAME)
def test_every_form_of_one_classifier_has_one_explanation(form, plain, tmp_path):
    model = SAME[form](tmp_path)
    model.set_weights(plain[0].get_weights())
    before = snapshot(model)
    found = ClassActivationMap(model).explain(random_inputs(2), 1)
    assert found.target_layer == "conv" and found.heatmaps.max() > 0
    np.testing.assert_allclose(found.heatmaps, plain[1].heatmaps, atol=1e-6)
    np.testing.assert_allclose(found.logits, plain[1].logits, atol=1e-5)
    np.testing.assert_allclose(found.probabilities, model.predict(random_inputs(2), verbose=0), atol=1e-6)
    assert_unchanged(model, before)


def test_the_logits_are_those_of_this_model_and_not_of_another_with_its_layers():
    shared = [layers.Conv2D(4, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(3, name="logits")]
    _chain([*shared, layers.Softmax()])
    model = _chain([layers.Rescaling(1 / 255), *shared, layers.Softmax()])
    explained = ExplainedModel(model)
    logits, probabilities = explained.answer(random_inputs(2))
    np.testing.assert_allclose(tf.nn.softmax(logits), model.predict(random_inputs(2), verbose=0), atol=1e-6)
    np.testing.assert_allclose(tf.nn.softmax(logits), probabilities, atol=1e-6)


def test_a_hidden_layer_called_logits_is_not_the_answer():
    parts = [*_parts()[:3], layers.Dense(8, name="logits"), layers.Dense(3, "softmax")]
    logits, _ = ExplainedModel(_chain(parts)).answer(random_inputs(2))
    assert logits.shape == (2, 3)
    logits, probabilities = ExplainedModel(_chain([*_parts(None), layers.Softmax(name="logits")])).answer(
        random_inputs(2)
    )
    np.testing.assert_allclose(tf.nn.softmax(logits), probabilities, atol=1e-6)
    assert not np.allclose(logits, probabilities, atol=1e-3)


@pytest.mark.parametrize("activation", ["sigmoid", tf.nn.sigmoid, keras.ops.sigmoid])
def test_a_sigmoid_is_known_however_it_is_given(activation):
    model = _chain([*_parts()[:3], layers.Dense(1, activation)])
    logits, probabilities = ExplainedModel(model).answer(random_inputs(2))
    np.testing.assert_allclose(tf.nn.sigmoid(logits), probabilities, atol=1e-6)
    np.testing.assert_allclose(probabilities[:, 1:], model.predict(random_inputs(2), verbose=0), atol=1e-6)


@pytest.mark.parametrize("activation", [functools.partial(keras.ops.softmax, axis=-1), "log_softmax", "relu"])
def test_an_unknown_activation_is_refused_not_taken_for_linear(activation):
    with pytest.raises(UserError, match="logits of .* cannot be found.*Dense, activation (partial|log_softmax|relu)"):
        ExplainedModel(_chain(_parts(activation)))


def test_names_that_keras_would_give_are_not_in_the_way():
    """Neighbours named as new models would be, as in a file written by another process."""
    for number in range(3, 8):
        inner = keras.Input((10, 10, 4))
        neighbour = keras.Model(inner, layers.Activation("relu")(inner), name=f"functional_{number}")
        keras.utils.clear_session()
        model = _chain([_added(_parts()[:2], name="front"), neighbour, *_parts()[2:]])
        assert build_gradient_model(model, "conv").target_layer == "conv"


def test_a_nested_model_stands_for_its_last_layer():
    model = nested_network("nested twice")
    assert find_target_layer(model, "wrapper") == find_target_layer(model, "backbone") == "conv2"
    with pytest.raises(UserError, match="augmentation has no spatial output"):
        find_target_layer(model, "augmentation")
    assert find_target_layer(_chain([_chain(_parts())])) == "conv"


def test_inputs_are_no_layers_to_explain():
    inner = keras.Input((10, 10, 4), name="inner_input")
    branch = keras.Model(inner, layers.Conv2D(2, 3, name="second")(inner))
    model = _chain([*_parts()[:2], branch, *_parts()[2:]])
    assert spatial_layers(model) == ["conv", "second"]


def test_channels_first_are_refused():
    inputs = keras.Input((3, 12, 12))
    x = layers.GlobalAveragePooling2D("channels_first")(layers.ZeroPadding2D(data_format="channels_first")(inputs))
    with pytest.raises(UserError, match="zero_padding2d.* channels first"):
        ExplainedModel(keras.Model(inputs, layers.Dense(2)(x)))


def test_a_layer_that_is_called_twice_is_explained_where_it_is_called_last():
    again = layers.Conv2D(3, 3, padding="same", activation="relu", name="again")
    model = _chain([again, again, layers.GlobalAveragePooling2D(), layers.Dense(2, name="logits")])
    activations, logits, _ = build_gradient_model(model, "again")(random_inputs(2))
    expected = model.get_layer("logits")(activations.numpy().mean(axis=(1, 2)))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
