"""Transfer in two phases: the head over a frozen backbone, then the backbone's top layers at a small rate.

The traps are in BatchNormalization. In Keras 3 it normalises by the batch wherever ``training and layer.trainable``,
and ``fit`` passes training=True into every layer: so each BatchNormalization layer itself stays frozen in both
phases (its moving statistics belong to ImageNet's weights), and ``compile`` follows every change of ``trainable``.
"""

import contextlib
import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np

from src.errors import Circumstance, explain_os_error
from src.inference.engine import create_engine, precision_of
from src.progress import say
from src.training.checkpoint import Checkpoint
from src.training.exact_head import check_head, solve_phase
from src.training.feature_store import HalfOverflow, format_bytes, make_room
from src.training.fit import fit_phase
from src.training.frozen_features import FeatureBatches, network_digest, split_at, store_key, stored_features
from src.training.history import TrainingHistory
from src.training.options import TrainingSettings
from src.training.schedule import TwoPhaseSettings


def freeze_below(base: keras.Model, first_trainable: int | None, *, depthwise: bool = True) -> int:
    """Freeze the backbone's layers below an index and all its BatchNormalization; unfreeze the others.

    Args:
        first_trainable: index in ``base.layers``; None freezes all.
        depthwise: whether depthwise convolutions are among the others.

    Returns:
        The number of trainable parameters left in the backbone.
    """
    frozen = (keras.layers.BatchNormalization, *(() if depthwise else (keras.layers.DepthwiseConv2D,)))
    for index, layer in enumerate(base.layers):
        above = first_trainable is not None and index >= first_trainable
        layer.trainable = above and not isinstance(layer, frozen)
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
    options: TrainingSettings | None = None,
    class_weight: dict[int, float] | None = None,
    features_dir: Path | None = None,
    clean=None,
    listeners: Sequence[Callable[[dict], None]] = (),
    checkpoint: Checkpoint | None = None,
) -> TrainingHistory:
    """Train both phases and leave the best epoch of both on validation in the model.

    Args:
        logits: inputs -> logits (N, C), sharing its layers with ``base``; a layer "pooling" follows ``base``.
        base: the backbone.
        train, val: iterators over pictures.
        first_trainable: index in ``base.layers``, the start of a block, from which phase 2 trains.
        from_scratch: all layers train in both phases, BatchNormalization as well, for a backbone of random weights.
        options: optimiser, schedule (of each phase by itself) and all else. MixUp mixes the stored features where those
            are trained on.
        features_dir: where stored features last beyond this training, for the next; None removes them at the end.
        clean: a ``PlainSample`` of ``train`` to be judged after each epoch.
        listeners: of the history.
        checkpoint: keeps the state after epochs of both phases; where it holds one, training goes on from there.

    Raises:
        UserError: the settings contradict each other, as CutMix and stored features do.
    """
    settings.verify(options or TrainingSettings(), from_scratch=from_scratch)
    history = TrainingHistory(logits, listeners=listeners)
    settings = replace(settings, views=settings.views_of(train.samples, train.augmented))
    if from_scratch:
        say("Nothing is frozen: all layers train in both phases.")
        settings = replace(settings, views=0)
    else:
        freeze_below(base, None)
    if settings.exact:
        check_head(logits)
    with contextlib.ExitStack() as open_stores:
        cuts = _choose_cuts(logits, base, settings, first_trainable)
        parts = {"train": train, "val": val} | ({"clean": clean} if clean else {})
        phases = dict.fromkeys((1, 2), (logits, parts))
        history.views = dict.fromkeys(settings.phases, 0)
        if cuts:
            temporary = tempfile.TemporaryDirectory(prefix="features-", ignore_cleanup_errors=True)
            root = features_dir or Path(open_stores.enter_context(temporary))
            stored = _store_features(logits, cuts, parts, settings, seed, root, open_stores)
            _verify_stored(stored, settings)
            phases |= stored
            history.views |= dict.fromkeys(stored, settings.views)
            features = [batches.features for _, batches_of in stored.values() for batches in batches_of.values()]
            if features:
                rows = sum(part.views * len(part.labels) for part in features)
                history.features_found = sum(part.found for part in features) / rows
        fitting = {"options": options, "class_weight": class_weight, "seed": seed, "checkpoint": checkpoint}
        if checkpoint:  # whether features have room may have changed since
            views = [history.views[phase] for phase in settings.phases]
            checkpoint.identity["views for whose features there is room"] = views
        _fit_phases(history, base, phases, settings, None if from_scratch else first_trainable, fitting, train)
        phases.clear()  # on some systems files cannot be removed while they are mapped
    for layer in base.layers:  # the bundle is an ordinary network; what was frozen is a matter of this training
        layer.trainable = True
    return history


def _fit_phases(
    history: TrainingHistory,
    base,
    phases: dict,
    settings: TwoPhaseSettings,
    first_trainable: int | None,
    fitting: dict,
    train,
) -> None:
    """Fit one phase after the other, the second from the best epoch of the first; leaves the best of both.

    Args:
        phases: for each phase the model to fit and its parts of the pictures.
        first_trainable: where phase 2 unfreezes the backbone; None where nothing is frozen.
        fitting: further arguments of ``fit_phase``.
        train: the iterator over training pictures.
    """

    def fit(phase: int, epochs: int | str, rate: float) -> None:
        model, parts = phases[phase]
        fit_phase(
            model,
            parts["train"],
            parts["val"],
            history,
            phase=phase,
            epochs=epochs,
            learning_rate=rate,
            patience=settings.patience_of(phase),
            clean=parts.get("clean"),
            **fitting,
        )

    if settings.exact:
        _solve(history, phases[1][1], train, settings, fitting)
    else:
        fit(1, settings.phase1_epochs, settings.phase1_rate)
    if 2 in settings.phases:
        if history.best_row:
            history.restore_best()  # the patience of phase 1 has gone past its best
        if first_trainable is not None:
            count = freeze_below(base, first_trainable, depthwise=settings.train_depthwise)
            upper = base.layers[first_trainable:]
            depthwise = any(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in upper)
            frozen = "BatchNormalization is"
            if depthwise and not settings.train_depthwise:
                frozen = "BatchNormalization and depthwise convolutions are"
            say(f"Phase 2 trains {count:,} parameters of the backbone, from {upper[0].name} on ({frozen} frozen).")
        fit(2, settings.phase2_epochs, settings.phase2_rate)
    history.restore_best()


def _solve(history: TrainingHistory, parts: dict, train, settings: TwoPhaseSettings, fitting: dict) -> None:
    """Phase 1 of an exact head, unless there is a state of phase 2, which holds what it came to."""
    options, checkpoint = fitting["options"] or TrainingSettings(), fitting["checkpoint"]
    if 2 in settings.phases and checkpoint and checkpoint.is_past(1):
        return
    history.select = options.select
    balanced = options.balance != "none"
    solving = {"data_dir": Path(train.directory).parent, "l2": settings.l2, "balanced": balanced}
    solve_phase(history, parts, train.filepaths, seed=fitting["seed"], **solving)


def _verify_stored(stored: dict, settings: TwoPhaseSettings) -> None:
    """Raise ``Circumstance`` where an exact head lacks its features."""
    if settings.exact and 1 not in stored:
        raise Circumstance(
            "--phase1-epochs exact needs room for what the frozen layers compute, and there is none (see above); free "
            "some disk space, or allow more with --cache-gb"
        )


def _choose_cuts(logits, base, settings: TwoPhaseSettings, first_trainable: int) -> dict[int, tuple[str, object]]:
    """For each phase that stored features can serve the name and tensor below what it trains."""
    cuts = {}
    if settings.views and 1 in settings.phases:
        cuts[1] = "pooling", logits.get_layer("pooling").output
    first = base.layers[first_trainable]
    if settings.views and 2 in settings.phases and not isinstance(first, keras.layers.InputLayer):
        cuts[2] = f"below_{first.name}", first.input
    return cuts


def _store_features(logits, cuts, parts: dict, settings: TwoPhaseSettings, seed: int, root: Path, open_stores) -> dict:
    """For each phase whose features have room the model to fit and the parts' features."""
    views_of = {part: settings.views if part == "train" else 1 for part in parts}
    fingerprints = {part: parts[part].fingerprint() for part in ("train", "val")}
    if "clean" in parts:
        fingerprints["clean"] = parts["clean"].fingerprint(fingerprints["train"])
    cuts, half, stored = dict(cuts), True, None
    while cuts and stored is None:
        tensors = dict(cuts.values())
        lower = keras.Model(logits.inputs[0], tensors, name="frozen")
        network = f"{network_digest(lower)} {settings.engine} {precision_of(settings.engine)}"
        keys = {
            part: store_key(pictures, fingerprints[part], network, tensors, half=half)
            for part, pictures in parts.items()
        }
        sizes = {key.folder_name: key.size(views_of[part]) for part, key in keys.items()}
        if refusal := make_room(root, sizes, int(settings.cache_gb * 1e9)):
            phase = max(cuts)
            say(f"Phase {phase} computes every epoch anew, since {refusal} to store what its frozen layers compute.")
            del cuts[phase]
            continue
        views = f"{settings.views} view{'s' if settings.views > 1 else ''}"
        say(
            f"The frozen layers compute once, {views} of each training picture: {format_bytes(sum(sizes.values()))} "
            f"in {root}."
        )
        engine = functools.cache(partial(create_engine, logits.inputs[0], tensors, settings.engine))
        try:
            with contextlib.ExitStack() as attempt:
                stored = {
                    part: attempt.enter_context(
                        stored_features(root, keys[part], pictures, views_of[part], engine, f"Features of {part}")
                    )
                    for part, pictures in parts.items()
                }
                open_stores.push(attempt.pop_all())
        except HalfOverflow as error:
            half = False
            say(f"{error}: stored as float32, at twice the size.")
        except OSError as error:
            say(f"Every epoch computes anew, since nothing can be stored in {root} ({explain_os_error(error)}).")
            cuts.clear()
        engine.cache_clear()  # the network in the engine's form is done with
    if len(cuts) == len(settings.phases):
        for part in ("train", "val"):
            parts[part].forget_pictures()
    return {
        phase: (
            split_at(logits, tensor),
            {
                part: FeatureBatches(
                    stored[part][name],
                    parts["train"].batch_size,
                    seed=seed,
                    shuffle=part == "train",
                    sampling=parts["train"].sampling,
                )
                for part in parts
            },
        )
        for phase, (name, tensor) in cuts.items()
    }
