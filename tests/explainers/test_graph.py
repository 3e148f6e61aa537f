import keras
import numpy as np
import pytest
from keras import layers

from src.errors import UserError
from src.explainers.cam import ClassActivationMap
from src.explainers.graph import build_gradient_model, find_target_layer, spatial_layers
from tests.explainers.networks import (
    add_head,
    assert_unchanged,
    nested_network,
    random_inputs,
    random_network,
    snapshot,
)


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
        [keras.Input((9, 9, 3)), layers.Conv2D(2, 3), keras.Sequential([layers.Flatten(), layers.Dense(2)])]
    )
    for model, reason in (
        (Subclassed(), "no graph to look into"),
        (keras.Sequential([layers.Conv2D(2, 3)]), "no graph to look into"),
        (keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3)]), "no classifier"),
        (dense, "no convolutional layer"),
        (headed, "logits of .* cannot be found"),
        (within, "nested model"),
    ):
        with pytest.raises(UserError, match=reason):
            build_gradient_model(model)
