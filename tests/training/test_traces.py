"""A training leaves nothing behind in its process: no pictures, no threads, no graphs."""

import gc
import weakref

import keras
import pytest
from tensorflow.python.framework import ops

from src.data_loader import get_data_generators
from src.networks.heads import add_head, logits_model
from src.training.fit import fit_phase
from src.training.history import TrainingHistory
from src.training.options import TrainingSettings

pytestmark = pytest.mark.large


def _train(data) -> list[weakref.ref]:
    """Train a little; returns references to what should be gone afterwards."""
    inputs = keras.Input((8, 8, 3), name="images")
    model = logits_model(keras.Model(inputs, add_head(keras.layers.Flatten()(inputs), 2)))
    train, val, _ = get_data_generators(data, 8, 8)
    options = TrainingSettings(mixup=0.2)
    fit_phase(
        model, train, val, TrainingHistory(model), phase=1, epochs=1, learning_rate=0.01, patience=1, options=options
    )
    return [weakref.ref(thing) for thing in (model, train, val)]


def _graphs() -> int:
    gc.collect()
    return sum(isinstance(thing, ops.Graph) for thing in gc.get_objects())


def test_a_training_leaves_nothing_behind(small_data):
    _train(small_data)
    before = _graphs()
    left = _train(small_data)
    assert _graphs() == before
    assert [reference() for reference in left] == [None, None, None]
