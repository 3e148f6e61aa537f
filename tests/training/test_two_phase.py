"""The two phases on a small flat network: what must not move does not, stored features change nothing."""

import math

import keras
import numpy as np
import pytest
from keras import layers

from src.data_loader import get_data_generators
from src.errors import UserError
from src.loading.sample import PlainSample
from src.networks.heads import add_head, logits_model
from src.training.checkpoint import Checkpoint
from src.training.feature_store import FeatureStore, HalfOverflow
from src.training.frozen_features import FeatureBatches, Features
from src.training.history import TrainingHistory
from src.training.options import TrainingSettings
from src.training.schedule import TwoPhaseSettings
from src.training.two_phase import freeze_below, train_two_phase

pytestmark = pytest.mark.large


def _network():
    """Two residual blocks with BatchNormalization over a stem, as backbones are."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((16, 16, 3), name="images")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(6, 3, 2, name="stem")(x)
    for name in ("block1", "block2"):
        y = layers.Conv2D(6, 3, padding="same", name=f"{name}_conv")(x)
        y = layers.BatchNormalization(name=f"{name}_bn")(y)
        x = layers.Add(name=f"{name}_add")([x, layers.ReLU(name=f"{name}_relu")(y)])
    base = keras.Model(inputs, x)
    y = layers.GlobalAveragePooling2D(name="pooling")(x)
    y = layers.Dropout(0.2, name="dropout")(layers.Dense(8, activation="relu", name="dense")(y))
    return keras.Model(inputs, add_head(y, 2)), base


def _start(base) -> int:
    return [layer.name for layer in base.layers].index("block2_conv")


@pytest.fixture
def generators(small_data):
    return get_data_generators(small_data, 16, 8, seed=5)


def _by_layer(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def _history(generators, *, checkpoint=None, features_dir=None, options=None, clean=None, **changes):
    """Train both phases of a new network over stored features, by default two epochs and one."""
    model, base = _network()
    settings = {"phase1_epochs": 2, "phase2_epochs": 1, "phase1_rate": 1e-2, "phase2_rate": 1e-2, "patience": 9}
    return train_two_phase(
        logits_model(model),
        base,
        *generators[:2],
        TwoPhaseSettings(**settings | changes),
        first_trainable=_start(base),
        seed=5,
        checkpoint=checkpoint,
        features_dir=features_dir,
        options=options,
        clean=clean,
    )


def test_only_what_should_moves(generators):
    model, base = _network()
    before = _by_layer(model)
    schedule = TwoPhaseSettings(phase1_epochs=2, phase2_epochs=3, phase1_rate=1e-2, phase2_rate=1e-2, patience=9)
    history = train_two_phase(
        logits_model(model), base, *generators[:2], schedule, first_trainable=_start(base), seed=5
    )
    after = _by_layer(model)
    moved = {name for name in before if any((a != b).any() for a, b in zip(before[name], after[name]))}
    assert moved <= {"block2_conv", "dense", "logits"}, "BatchNormalization and lower layers must stay as they were"
    assert {"dense", "logits"} <= moved
    assert ("block2_conv" in moved) == (history.best_row["phase"] == 2)
    assert [row["phase"] for row in history.rows] == [1, 1, 2, 2, 2]
    assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4, 5]
    assert [row["learning_rate"] for row in history.rows] == pytest.approx([1e-2] * 5)
    assert history.views == dict.fromkeys((1, 2), schedule.views_of(24, True))
    assert all(layer.trainable for layer in model.layers)


def test_the_best_epoch_of_both_phases_is_kept(generators):
    model, base = _network()
    # a rate this high in phase 2 ruins what phase 1 has learnt
    schedule = TwoPhaseSettings(phase1_epochs=4, phase2_epochs=1, phase1_rate=3e-2, phase2_rate=30.0, patience=9)
    logits = logits_model(model)
    history = train_two_phase(logits, base, *generators[:2], schedule, first_trainable=_start(base), seed=5)
    best = min(history.rows, key=lambda row: row["val_loss"])
    assert history.best_row == best and best["phase"] == 1
    logits.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    loss, accuracy = logits.evaluate(generators[1], verbose=0)
    assert loss == pytest.approx(best["val_loss"], rel=1e-4)
    assert accuracy == pytest.approx(best["val_accuracy"])


@pytest.mark.parametrize("augment", [False, True])
def test_training_on_stored_features_equals_plain_training_on_the_same_views(small_data, augment):
    """No dropout at work, all pictures in one batch, so that their order is nothing: losses agree epoch by epoch."""
    histories = []
    for views in (0, 3):
        model, base = _network()
        model.get_layer("dropout").rate = 0.0
        train, val, _ = get_data_generators(small_data, 16, 100, augment=augment, seed=5)
        # Plain training shows a new view in each of the 3 epochs of its one phase, stored features those of 0, 1, 2.
        for phases in ({"phase1_epochs": 3, "phase2_epochs": 0}, {"phase1_epochs": 0, "phase2_epochs": 3}):
            schedule = TwoPhaseSettings(**phases, phase1_rate=1e-2, phase2_rate=1e-3, views=views)
            train.set_epoch(0)
            histories.append(
                train_two_phase(logits_model(model), base, train, val, schedule, first_trainable=_start(base), seed=5)
            )
    for plain, stored in zip(histories[:2], histories[2:]):
        assert len({row["loss"] for row in plain.rows}) == len(plain.rows) == 3
        for plain_row, stored_row in zip(plain.rows, stored.rows, strict=True):
            for key in ("loss", "val_loss"):
                assert stored_row[key] == pytest.approx(plain_row[key], rel=1e-3)


@pytest.mark.large
@pytest.mark.parametrize(
    ("views", "auto", "stop_in"),
    [
        (2, False, (1, 2)),
        pytest.param(2, False, (2, 3), marks=pytest.mark.slow),
        pytest.param(0, False, (2, 1), marks=pytest.mark.slow),
        (0, True, (2, 2)),
    ],
)
def test_an_interrupted_training_goes_on_to_the_same_end(small_data, tmp_path, monkeypatch, views, auto, stop_in):
    """With ``auto`` phase 1 ends early, by its patience, after three epochs."""
    schedule = TwoPhaseSettings(
        phase1_epochs="auto" if auto else 3,
        phase2_epochs=3,
        patience=2 if auto else 9,
        phase1_rate=1e-2,
        phase2_rate=1e-3,
        views=views,
    )
    options = TrainingSettings(optimizer="sgd", schedule="constant" if auto else "cosine", mixup=0.3, ema=0.5)
    add = TrainingHistory.add

    def add_scripted(history, row):
        row["val_loss"] = 1.0 + 0.1 * row["epoch"] * (row["phase"] == 1) if auto else row["val_loss"]
        return add(history, row)

    def train(checkpoint=None):
        model, base = _network()
        pictures = get_data_generators(small_data, 16, 8, seed=5)[:2]
        start, logits = _start(base), logits_model(model)
        passed = {"first_trainable": start, "seed": 5, "options": options, "checkpoint": checkpoint}
        return train_two_phase(logits, base, *pictures, schedule, **passed), model

    monkeypatch.setattr(TrainingHistory, "add", add_scripted)
    whole, expected = train()
    checkpoint = Checkpoint(tmp_path / "state.npz", {"rate": 1})
    with monkeypatch.context() as patch:

        def interrupt(history, row):
            phase, epoch = stop_in
            if (row["phase"], row["epoch"]) == (phase, epoch + 3 * (phase - 1)):
                raise KeyboardInterrupt
            return add_scripted(history, row)

        patch.setattr(TrainingHistory, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(checkpoint)
    trained = []
    monkeypatch.setattr(
        TrainingHistory, "add", lambda history, row: (trained.append(row), add_scripted(history, row))[1]
    )
    continued, model = train(checkpoint)
    done = (stop_in[0] - 1) * 3 + stop_in[1] - 1
    assert len(trained) == 6 - done and len(continued.rows) == 6
    for row, other in zip(whole.rows, continued.rows, strict=True):
        for key in row.keys() - {"seconds"}:
            assert row[key] == pytest.approx(other[key], rel=1e-4, abs=1e-6), key
    for weights, others in zip(expected.get_weights(), model.get_weights()):
        np.testing.assert_allclose(weights, others, rtol=1e-3, atol=1e-5)


def test_states_are_not_written_more_often_than_asked(generators, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(Checkpoint, "save", lambda checkpoint, phase, epoch, *_, **__: saved.append((phase, epoch)))
    done = [(1, math.inf), (2, math.inf)]
    for seconds, expected in ((0.0, [(1, 1), (1, 2), *done]), (1e6, done)):
        _history(generators, checkpoint=Checkpoint(tmp_path / "state.npz", {}, seconds), phase1_epochs=3)
        assert saved == expected
        saved.clear()


def test_features_that_were_stored_before_are_said(generators, tmp_path):
    settings = {"features_dir": tmp_path, "phase1_epochs": 1, "phase2_epochs": 0}
    found = [_history(generators, **settings).features_found for _ in range(2)]
    assert found == [0.0, 1.0]


@pytest.mark.parametrize("first", ["images", "stem", "block1_conv", "block2_conv"])
def test_every_block_can_be_the_first_that_trains(generators, first):
    model, base = _network()
    start = [layer.name for layer in base.layers].index(first)
    before = _by_layer(model)
    schedule = TwoPhaseSettings(phase1_epochs=0, phase2_epochs=1, phase2_rate=1e-2)
    train_two_phase(logits_model(model), base, *generators[:2], schedule, first_trainable=start, seed=5)
    moved = {name for name, weights in _by_layer(model).items() if (weights[0] != before[name][0]).any()}
    frozen = {layer.name for layer in base.layers[:start]}
    trained = {"stem", "block1_conv", "block2_conv"} - frozen
    assert moved & {"stem", "block1_conv", "block2_conv", "block1_bn", "block2_bn"} == trained


@pytest.mark.parametrize(("depthwise", "trained"), [(True, {"top", "depthwise"}), (False, {"top"})])
def test_depthwise_convolutions_stay_as_they_are_if_asked(depthwise, trained):
    inputs = x = keras.Input((8, 8, 3))
    for layer in (
        keras.layers.Conv2D(4, 1, name="below"),
        keras.layers.DepthwiseConv2D(3, name="depthwise"),
        keras.layers.BatchNormalization(name="bn"),
        keras.layers.Conv2D(2, 1, name="top"),
    ):
        x = layer(x)
    base = keras.Model(inputs, x)
    count = freeze_below(base, 2, depthwise=depthwise)
    assert {layer.name for layer in base.layers if layer.trainable and layer.weights} == trained
    assert count == (4 * 2 + 2) + (9 * 4 + 4) * depthwise


@pytest.mark.parametrize("trained", [True, False])
def test_the_setting_leaves_depthwise_convolutions_as_they_are(generators, capsys, trained):
    inputs = keras.Input((16, 16, 3))
    x = layers.DepthwiseConv2D(3, name="depthwise")(layers.Rescaling(1 / 255)(inputs))
    base = keras.Model(inputs, layers.Conv2D(4, 1, name="top")(x))
    y = layers.GlobalAveragePooling2D(name="pooling")(base.output)
    model = keras.Model(inputs, add_head(y, 2))
    before = _by_layer(model)
    schedule = TwoPhaseSettings(phase1_epochs=0, phase2_epochs=1, phase2_rate=1e-2, train_depthwise=trained)
    train_two_phase(logits_model(model), base, *generators[:2], schedule, first_trainable=1, seed=5)
    after = _by_layer(model)
    moved = {name for name in before if (before[name][0] != after[name][0]).any()}
    assert moved == {"top", "logits", *(["depthwise"] if trained else [])}
    assert ("depthwise convolutions are frozen" in capsys.readouterr().err) != trained


def test_from_scratch_nothing_is_frozen(generators, capsys):
    model, base = _network()
    before = _by_layer(model)
    schedule = TwoPhaseSettings(phase1_epochs=1, phase2_epochs=0, phase1_rate=1e-2)
    history = train_two_phase(
        logits_model(model), base, *generators[:2], schedule, first_trainable=_start(base), seed=5, from_scratch=True
    )
    assert history.views == {1: 0}
    after = _by_layer(model)
    assert all((a != b).any() for name in before for a, b in zip(before[name], after[name]))
    assert "Nothing is frozen" in capsys.readouterr().err


def test_no_room_for_features_means_the_plain_way(generators, capsys):
    model, base = _network()
    schedule = TwoPhaseSettings(phase1_epochs=1, phase2_epochs=1, cache_gb=0.0)
    history = train_two_phase(
        logits_model(model), base, *generators[:2], schedule, first_trainable=_start(base), seed=5
    )
    assert len(history.rows) == 2 and history.views == {1: 0, 2: 0}
    assert capsys.readouterr().err.count("computes every epoch anew") == 2


def test_feature_batches_are_a_function_of_seed_and_epoch():
    values = list(np.arange(2 * 10, dtype=np.float32).reshape(2, 10, 1))
    labels = np.eye(10, dtype=np.float32)

    def epochs(seed):
        batches = FeatureBatches(Features(values, labels), 4, seed=seed, shuffle=True)
        result = []
        for _ in range(3):
            batches.on_epoch_begin()
            result.append([batches[i] for i in range(len(batches))])
        return result

    assert FeatureBatches(Features(values, labels), 4, seed=1, shuffle=False)[0][0][0, 0] == 0
    first, again, other = epochs(1), epochs(1), epochs(2)
    for a, b in zip(first, again):
        for (x, y), (u, v) in zip(a, b):
            np.testing.assert_array_equal(x, u)
            np.testing.assert_array_equal(y, v)
    assert any((a[0][0] != b[0][0]).any() for a, b in zip(first, other))
    for view, epoch in zip((0, 1, 0), first):
        seen = np.concatenate([x for x, _ in epoch])[:, 0]
        np.testing.assert_array_equal(np.sort(seen), values[view][:, 0])
        for x, y in epoch:
            np.testing.assert_array_equal(x[:, 0] % 10, y.argmax(axis=1))


def test_auto_takes_more_views_of_fewer_pictures_and_one_patience_for_costly_epochs():
    auto = TwoPhaseSettings()
    assert [auto.views_of(n, True) for n in (1, 100, 500, 700, 1000, 25_000)] == [4, 4, 4, 2, 2, 1]
    assert [auto.views_of(n, False) for n in (1, 25_000)] == [1, 1]
    assert TwoPhaseSettings(views=0).views_of(10, True) == TwoPhaseSettings(views=0).views_of(10, False) == 0
    assert TwoPhaseSettings(views=8).views_of(25_000, True) == 8
    assert (auto.patience_of(1), auto.patience_of(2)) == (3, 1)
    assert TwoPhaseSettings(phase2_epochs=5).patience_of(2) == 3
    assert TwoPhaseSettings(patience=7).patience_of(2) == 7


def _train(generators, folder=None, **settings):
    model, base = _network()
    settings = {"phase1_epochs": 1, "phase2_epochs": 1, "engine": "keras", **settings}
    history = train_two_phase(
        logits_model(model), base, *generators[:2], TwoPhaseSettings(**settings),
        first_trainable=_start(base), seed=5, features_dir=folder,
    )  # fmt: skip
    return history.columns()["val_loss"]


def test_a_second_training_finds_what_the_first_has_computed(generators, tmp_path, monkeypatch):
    keras.utils.clear_session()  # automatic names are part of the key, and count from the start in each process
    first = _train(generators, tmp_path)

    def fail(*arguments):
        raise AssertionError("nothing is to be computed")

    monkeypatch.setattr("src.training.two_phase.create_engine", fail)
    keras.utils.clear_session()
    assert _train(generators, tmp_path) == pytest.approx(first)


def test_values_beyond_float16_are_stored_as_float32(generators, monkeypatch, capsys):
    expected = _train(generators)
    convert, refused = FeatureStore._converted, []

    def refuse(values, column):
        if column.dtype == "float16":
            refused.append(column.name)
            raise HalfOverflow(column.name)
        return convert(values, column)

    monkeypatch.setattr(FeatureStore, "_converted", staticmethod(refuse))
    assert _train(generators) == pytest.approx(expected, rel=1e-3)
    assert refused == ["below_block2_conv"] and "stored as float32" in capsys.readouterr().err


def test_where_nothing_can_be_stored_every_epoch_computes_anew(generators, tmp_path, capsys):
    (tmp_path / "features").write_text("a file where the folder should be")
    assert len(_train(generators, tmp_path / "features")) == 2
    assert "Every epoch computes anew, since nothing can be stored" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        {"label_smoothing": 0.2},
        {"mixup": 0.5},
        {"optimizer": "sgd", "schedule": "linear", "clip_norm": 0.01, "ema": 0.5},
    ],
)
def test_training_options_act_on_stored_features(generators, options):
    plain = _history(generators, phase2_epochs=0)
    changed = _history(generators, options=TrainingSettings(**options), phase2_epochs=0)
    assert [row["val_loss"] for row in changed.rows] != pytest.approx([row["val_loss"] for row in plain.rows], rel=1e-4)


def test_cutmix_needs_the_pictures(generators):
    with pytest.raises(UserError, match="--views 0"):
        _history(generators, options=TrainingSettings(cutmix=1.0))
    assert len(_history(generators, options=TrainingSettings(cutmix=1.0), views=0).rows) == 3


def test_clean_figures_over_stored_features_are_those_of_the_pictures(generators):
    clean = PlainSample(generators[0], 10, seed=1)
    history = _history(generators, clean=clean)
    history.model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    loss, accuracy = history.model.evaluate(clean, verbose=0)
    assert loss == pytest.approx(history.best_row["clean_loss"], rel=1e-2)  # maps are stored with three digits
    assert accuracy == pytest.approx(history.best_row["clean_accuracy"])
    assert all("clean_accuracy" in row for row in history.rows)


def test_balanced_sampling_of_stored_features():
    labels = np.eye(2, dtype=np.float32)[[0] * 9 + [1] * 3]
    features = Features([np.arange(12, dtype=np.float32)[:, None]], labels)
    batches = FeatureBatches(features, 4, seed=1, shuffle=True, sampling="balanced")
    drawn = np.concatenate([batches[index][1] for index in range(3)])
    assert drawn.sum(axis=0).tolist() == [6, 6]
    plain = FeatureBatches(features, 4, seed=1, shuffle=True)
    assert np.concatenate([plain[index][1] for index in range(3)]).sum(axis=0).tolist() == [9, 3]


def test_a_network_from_scratch_trains_its_depthwise_convolutions():
    schedule = TwoPhaseSettings(train_depthwise=False)
    schedule.verify(TrainingSettings())
    with pytest.raises(UserError, match="--no-train-depthwise"):
        schedule.verify(TrainingSettings(), from_scratch=True)
