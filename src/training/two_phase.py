"""Transfer in two phases: the head over a frozen backbone, then the backbone's top layers at a small rate.

The traps are in BatchNormalization. In Keras 3 it normalises by the batch wherever ``training and layer.trainable``,
and ``fit`` passes training=True into every layer: so each BatchNormalization layer itself stays frozen in both
phases (its moving statistics belong to ImageNet's weights), and ``compile`` follows every change of ``trainable``.
"""

import math
from dataclasses import replace

import keras
import numpy as np

from src.progress import say
from src.training.fit import TrainingHistory, fit_phase
from src.training.frozen_features import FeatureBatches, extract_features, split_at
from src.training.schedule import TwoPhaseSettings


def freeze_below(base: keras.Model, first_trainable: int | None) -> int:
    """Freeze the backbone's layers below an index and all its BatchNormalization; unfreeze the others.

    Args:
        first_trainable: index in ``base.layers``; None freezes all.

    Returns:
        The number of trainable parameters left in the backbone.
    """
    for index, layer in enumerate(base.layers):
        above = first_trainable is not None and index >= first_trainable
        layer.trainable = above and not isinstance(layer, keras.layers.BatchNormalization)
    return sum(int(np.prod(weight.shape)) for weight in base.trainable_weights)


def train_two_phase(
    logits: keras.Model,
    base: keras.Model,
    train,
    val,
    settings: TwoPhaseSettings,
    *,
    first_trainable: int,
    seed: int,
    from_scratch: bool = False,
    class_weight: dict[int, float] | None = None,
) -> TrainingHistory:
    """Train both phases and leave the best epoch of both, by validation loss, in the model.

    Args:
        logits: inputs -> logits (N, C), sharing its layers with ``base``; a layer "pooling" follows ``base``.
        base: the backbone.
        train, val: iterators over pictures.
        first_trainable: index in ``base.layers``, the start of a block, from which phase 2 trains.
        from_scratch: all layers train in both phases, BatchNormalization as well, for a backbone of random weights.
    """
    history = TrainingHistory(logits)
    if from_scratch:
        say("Nothing is frozen: all layers train in both phases.")
        settings = replace(settings, views=0)
    else:
        freeze_below(base, None)
    uppers, sources = _prepare_phases(logits, base, train, val, settings, first_trainable, seed)
    common = {"patience": settings.patience, "class_weight": class_weight}
    fit_phase(
        uppers[0],
        *sources[0],
        history,
        phase=1,
        epochs=settings.phase1_epochs,
        learning_rate=settings.phase1_rate,
        **common,
    )
    if settings.phase2_epochs != 0:
        if history.best_row:
            history.restore_best()  # the patience of phase 1 has gone past its best
        if not from_scratch:
            count, name = freeze_below(base, first_trainable), base.layers[first_trainable].name
            say(f"Phase 2 trains {count:,} parameters of the backbone, from {name} on (BatchNormalization is frozen).")
        fit_phase(
            uppers[1],
            *sources[1],
            history,
            phase=2,
            epochs=settings.phase2_epochs,
            learning_rate=settings.phase2_rate,
            **common,
        )
    history.restore_best()
    for layer in base.layers:  # the bundle is an ordinary network; what was frozen is a matter of this training
        layer.trainable = True
    return history


def _prepare_phases(logits, base, train, val, settings, first_trainable, seed):
    """For each phase the model to fit and its (train, val): stored features where they fit, else the pictures."""
    plain = [logits, logits], [(train, val), (train, val)]
    if settings.views == 0:
        return plain
    cuts = {0: logits.get_layer("pooling").output} if settings.phase1_epochs != 0 else {}
    first = base.layers[first_trainable]
    if settings.phase2_epochs != 0 and not isinstance(first, keras.layers.InputLayer):  # below it nothing is computed
        cuts[1] = first.input
    pictures = settings.views * train.samples + val.samples
    fitting, room = [], settings.cache_gb
    for index, cut in cuts.items():
        size = pictures * 4 * math.prod(cut.shape[1:]) / 2**30
        if size <= room:
            fitting.append(index)
            room -= size
        else:
            say(
                f"Phase {index + 1} computes every epoch anew: its stored features would take {size:.2g} GB, more "
                f"than is left of the bound of {settings.cache_gb:g} GB (--cache-gb)."
            )
    if not fitting:
        return plain
    lower, uppers = split_at(logits, [cuts[index] for index in fitting])
    stored_train = extract_features(lower, train, settings.views, f"Features of {settings.views} views")
    stored_val = extract_features(lower, val, 1, "Features of validation")
    models, sources = plain
    for upper, index, of_train, of_val in zip(uppers, fitting, stored_train, stored_val):
        models[index] = upper
        sources[index] = (
            FeatureBatches(of_train, train.batch_size, seed=seed, shuffle=True),
            FeatureBatches(of_val, train.batch_size, seed=seed, shuffle=False),
        )
    return models, sources
