"""Features on disk: the same as computed, gone on with where they stopped, found again, bounded."""

import json
import os
import shutil

import keras
import numpy as np
import pytest
from keras import layers

from src.data_loader import get_data_generators
from src.errors import UserError
from src.inference.keras_engine import KerasEngine
from src.training.feature_store import (
    Column,
    FeatureStore,
    HalfOverflow,
    StoreKey,
    format_bytes,
    make_room,
    open_store,
)
from src.training.frozen_features import network_digest, split_at, store_key, stored_features


def _network(seed: int = 3):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((16, 16, 3), name="images")
    x = layers.Rescaling(1 / 255)(inputs)
    maps = layers.Conv2D(6, 3, 2, activation="relu", name="maps")(x)
    pooled = layers.GlobalAveragePooling2D(name="pooling")(layers.Conv2D(5, 3, name="top")(maps))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(pooled))
    return model, {"pooling": pooled, "maps": maps}


@pytest.fixture
def train(small_data):
    return get_data_generators(small_data, 16, 5, seed=5)[0]


def _key(pictures, model, tensors, **options):
    return store_key(pictures, pictures.fingerprint(), network_digest(model), tensors, **options)


def _engine(model, tensors):
    return KerasEngine(keras.Model(model.inputs[0], tensors))


def test_stored_features_give_what_the_whole_network_gives(train, tmp_path):
    model, tensors = _network()
    key = _key(train, model, tensors)
    with stored_features(tmp_path, key, train, 2, lambda: _engine(model, tensors), "test") as stored:
        assert [column.dtype for column in key.columns] == ["float32", "float16"], "maps take half the place"
        for name, tolerance in (("pooling", 1e-6), ("maps", 2e-3)):
            upper = split_at(model, tensors[name])
            assert len(stored[name].values) == stored[name].views == 2
            for view, values in enumerate(stored[name].values):
                images, labels = train.load_batch(np.arange(train.samples), view)
                np.testing.assert_allclose(upper(values.astype(np.float32)), model(images), atol=tolerance)
                np.testing.assert_array_equal(stored[name].labels, labels)
        assert (stored["maps"].values[0] != stored["maps"].values[1]).any(), "views differ"


def test_what_is_stored_is_not_computed_again(train, tmp_path):
    model, tensors = _network()
    key = _key(train, model, tensors)
    with stored_features(tmp_path, key, train, 1, lambda: _engine(model, tensors), "test") as stored:
        first = np.array(stored["pooling"].values[0])

    def fail():
        raise AssertionError("nothing is to be computed")

    with stored_features(tmp_path, key, train, 1, fail, "test") as stored:
        np.testing.assert_array_equal(stored["pooling"].values[0], first)
    counted = _Counting(_engine(model, tensors))
    with stored_features(tmp_path, key, train, 2, lambda: counted, "test") as stored:  # one view more
        np.testing.assert_array_equal(stored["pooling"].values[0], first)
    assert counted.pictures == train.samples


class _Counting:
    """An engine that counts its pictures and, where ``stop`` is given, is interrupted after so many batches."""

    name, precision = "counting", "float32"

    def __init__(self, engine, stop=None):
        self.engine, self.stop, self.batches, self.pictures = engine, stop, 0, 0

    def run(self, images):
        if self.batches == self.stop:
            raise KeyboardInterrupt
        self.batches += 1
        self.pictures += len(images)
        return self.engine.run(images)


@pytest.mark.parametrize("gone", [False, True], ids=["damaged", "gone since"])
def test_features_of_stand_ins_are_found_again_only_where_the_files_tell_of_them(small_data, tmp_path, gone):
    data = shutil.copytree(small_data, tmp_path / "data")
    broken = data / "train" / "dark" / "dark_004.png"
    model, tensors = _network()
    if not gone:
        broken.write_bytes(broken.read_bytes()[:100])
    parts = [get_data_generators(data, 16, 5, seed=5, augment=False, unreadable=0.05)[0] for _ in range(2)]
    key, _ = (_key(train, model, tensors) for train in parts)
    if gone:
        broken.unlink()
    computed = []
    for train in parts:
        counted = _Counting(_engine(model, tensors))
        with stored_features(tmp_path / "store", key, train, 1, lambda: counted, "test") as stored:  # noqa: B023
            maps = stored["pooling"].values[0]
            np.testing.assert_array_equal(maps[4], maps[5])  # the next one stood in
        computed.append(counted.pictures)
        assert list(train.stand_ins.reasons) == [str(broken)], "also where nothing is read"
    assert computed == [train.samples, train.samples if gone else 0]


@pytest.mark.parametrize("stop", [0, 1, 3, 6, 9])
def test_an_interrupted_extraction_goes_on_where_it_stopped(train, tmp_path, stop):
    model, tensors = _network()
    key = _key(train, model, tensors)
    engine = _engine(model, tensors)
    with stored_features(tmp_path / "whole", key, train, 2, lambda: engine, "test") as stored:
        whole = {name: [np.array(values) for values in features.values] for name, features in stored.items()}
    broken = _Counting(engine, stop)
    with (
        pytest.raises(KeyboardInterrupt),
        stored_features(tmp_path / "parts", key, train, 2, lambda: broken, "test"),
    ):
        pass
    rest = _Counting(engine)
    with stored_features(tmp_path / "parts", key, train, 2, lambda: rest, "test") as stored:
        for name, features in stored.items():
            for values, expected in zip(features.values, whole[name]):
                # a batch may hold other pictures than before, which moves the last bit of a sum
                np.testing.assert_allclose(values, expected, rtol=1e-3 if name == "maps" else 1e-5)
    assert broken.pictures + rest.pictures == 2 * train.samples


def test_the_key_covers_all_that_features_depend_on(small_data, tmp_path):
    model, tensors = _network()
    other_weights, _ = _network(4)
    again, tensors_again = _network()

    def name(size=16, model=model, tensors=tensors, half=True, **options):
        pictures = get_data_generators(options.pop("data", small_data), size, 5, **{"seed": 5, **options})[0]
        return _key(pictures, model, tensors, half=half).folder_name

    reference = name()
    assert reference == name(), "a function of its arguments"
    assert [layer.name for layer in again.layers] != [layer.name for layer in model.layers]
    assert reference == name(model=again, tensors=tensors_again), "Keras' own names are nothing"
    assert name(augment=False) == name(augment=False, seed=6), "the seed is nothing where nothing is drawn"
    changed = tmp_path / "changed"
    shutil.copytree(small_data, changed)
    assert name(data=changed) == reference, "where the pictures lie is nothing"
    picture = next((changed / "train").rglob("*.png"))
    picture.write_bytes(next((changed / "val").rglob("*.png")).read_bytes())
    others = [
        name(data=changed),
        name(seed=6),
        name(augment=False),
        name(interpolation="bicubic"),
        name(model=other_weights),
        name(tensors={"maps": tensors["maps"]}),
        name(half=False),
    ]
    assert len({reference, *others}) == 8


COLUMNS = Column("a", (2,), "float32"), Column("b", (3,), "float16")
KEY = StoreKey({"test": 1}, COLUMNS, 4)


@pytest.mark.parametrize("kinds", [("relu", "relu"), ("relu", "tanh")])
def test_names_count_for_nothing_and_all_else_counts(kinds):
    """The second network is built later in the process: Keras numbers its automatic names on."""

    def build(kind):
        inputs = keras.Input((8, 8, 3))
        inner_inputs = keras.Input((8, 8, 3))
        inner = keras.Model(inner_inputs, layers.Activation(kind, name=kind)(layers.Activation("relu")(inner_inputs)))
        return keras.Model(inputs, {"maps": layers.Activation(kind)(inner(inputs[..., ::-1]))})

    one, other = (network_digest(build(kind)) for kind in kinds)
    assert (one == other) == (kinds[0] == kinds[1])


def _rows(start, count):
    a = np.arange(start, start + count, dtype=np.float32)[:, None]
    return {"a": a + [0, 0.5], "b": a * [1, 2, 3]}


def test_rows_in_order_and_by_view(tmp_path):
    with open_store(tmp_path, KEY, 1) as store:
        for start, count in ((0, 3), (3, 3), (6, 2)):
            store.append(_rows(start, count))
        store.checkpoint()
        np.testing.assert_array_equal(store.view("a", 1), _rows(4, 4)["a"])
        np.testing.assert_array_equal(store.view("b", 0), _rows(0, 4)["b"])
    assert KEY.size(2) == sum(path.stat().st_size for path in tmp_path.rglob("*.rows"))


def test_a_store_that_nothing_was_written_to_goes(tmp_path):
    with open_store(tmp_path, KEY, 1), open_store(tmp_path, KEY, 1):
        pass
    with pytest.raises(UserError), open_store(tmp_path, KEY, 1) as first:
        with open_store(tmp_path, KEY, 1):
            pass
        assert first.folder.is_dir(), "another one that ends takes nothing away"
        raise UserError("no picture can be read")
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_wrote_beyond_the_record_is_cut_off(tmp_path):
    with open_store(tmp_path, KEY, 1) as store:
        store.append(_rows(0, 3))
    with open(store.folder / "a.rows", "ab") as stream:
        stream.write(b"half a r")
    with open_store(tmp_path, KEY, 1) as store:
        assert store.rows == 3
        store.append(_rows(3, 1))
        store.checkpoint()
        np.testing.assert_array_equal(store.view("a", 0), _rows(0, 4)["a"])


@pytest.mark.parametrize("damage", ["no record", '"many"', "1e999", "-4", "short rows"])
def test_a_damaged_store_counts_only_what_is_there(tmp_path, damage):
    with open_store(tmp_path, KEY, 1) as store:
        store.append(_rows(0, 4))
    record, rows = store.folder / "store.json", store.folder / "b.rows"
    if damage == "no record":
        record.unlink()
    elif damage == "short rows":
        rows.write_bytes(rows.read_bytes()[:-1])
    else:
        record.write_text(f'{{"rows": {damage}}}')
    with open_store(tmp_path, KEY, 1) as store:
        assert store.rows == (3 if damage == "short rows" else 0)
        store.append(_rows(store.rows, 4 - store.rows))
        store.checkpoint()
        np.testing.assert_array_equal(store.view("b", 0), _rows(0, 4)["b"])


def test_values_beyond_float16_are_refused(tmp_path):
    with open_store(tmp_path, KEY, 1) as store, pytest.raises(HalfOverflow, match="b has values"):
        store.append({"a": np.zeros((1, 2)), "b": np.full((1, 3), 7e4)})


@pytest.mark.parametrize("column", ["a", "b"])
def test_what_is_no_number_is_never_stored(tmp_path, column):
    values = {"a": np.zeros((1, 2)), "b": np.zeros((1, 3))}
    values[column][0, 1] = np.nan
    with open_store(tmp_path, KEY, 1) as store, pytest.raises(UserError, match="NaN or infinity"):
        store.append(values)
    assert store.rows == 0


def test_a_second_process_reads_what_is_there(tmp_path):
    with open_store(tmp_path, KEY, 1) as first:
        first.append(_rows(0, 4))
        first.checkpoint()
        with open_store(tmp_path, KEY, 1) as second:
            assert first.folder == second.folder
            np.testing.assert_array_equal(second.view("a", 0), _rows(0, 4)["a"])
        with open_store(tmp_path, KEY, 2) as third:
            assert first.folder != third.folder and third.rows == 0
        first.append(_rows(4, 4))
        first.checkpoint()
        np.testing.assert_array_equal(first.view("a", 1), _rows(4, 4)["a"])


def test_a_second_process_gets_a_store_of_its_own(tmp_path):
    with open_store(tmp_path, KEY, 1) as first, open_store(tmp_path, KEY, 1) as second:
        assert first.folder != second.folder
        second.append(_rows(0, 4))
        first.append(_rows(0, 4))
    assert not second.folder.exists()
    assert json.loads((first.folder / "store.json").read_text())["rows"] == 4


def _fill(root, number, size):
    folder = root / f"store{number}"
    folder.mkdir(parents=True)
    (folder / "a.rows").write_bytes(bytes(size))
    os.utime(folder, (number, number))


def test_room_is_made_by_removing_what_was_used_longest_ago(tmp_path):
    for number in (1, 2, 3):
        _fill(tmp_path, number, 1000)
    assert make_room(tmp_path, {"new": 500, "store2": 1500}, 3100) == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store2", "store3"]


def test_more_than_the_bound_or_the_disk_is_refused_and_nothing_removed(tmp_path):
    _fill(tmp_path, 1, 1000)
    assert "3 MB, more than the bound of 2 MB" in make_room(tmp_path, {"new": 3_000_000}, 2_000_000)
    assert "the disk has" in make_room(tmp_path / "not yet", {"new": 2**60}, 2**61)
    assert (tmp_path / "store1").is_dir()


def test_a_store_that_a_process_has_open_is_not_removed(tmp_path):
    _fill(tmp_path, 1, 1000)
    with open_store(tmp_path, KEY, 1) as store:
        store.append(_rows(0, 4))
        store.checkpoint()
        os.utime(store.folder, (0, 0))
        assert make_room(tmp_path, {"new": 10}, 20) == ""
        assert [path.name for path in tmp_path.iterdir()] == [store.folder.name]
        np.testing.assert_array_equal(store.view("a", 0), _rows(0, 4)["a"])


def test_opening_a_store_is_a_use(tmp_path):
    with open_store(tmp_path, KEY, 1) as store:
        store.append(_rows(0, 4))
    os.utime(store.folder, (0, 0))
    with open_store(tmp_path, KEY, 1):
        pass
    assert store.folder.stat().st_mtime > 1e9


def test_a_full_disk_leaves_what_was_recorded(tmp_path, monkeypatch):
    with open_store(tmp_path, KEY, 1) as store:
        store.append(_rows(0, 2))

    def fail(self):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError), open_store(tmp_path, KEY, 1) as store:
        store.append(_rows(2, 1))
        monkeypatch.setattr(FeatureStore, "checkpoint", fail)
    monkeypatch.undo()
    with open_store(tmp_path, KEY, 1) as store:
        assert store.rows == 2


def test_format_bytes():
    assert [format_bytes(n) for n in (350e6, 2.1e9)] == ["350 MB", "2.1 GB"]
