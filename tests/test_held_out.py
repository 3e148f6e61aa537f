"""What a bundle keeps of held-out pictures: asked for as it should be, written, read again, refused where spoilt."""

import dataclasses
import hashlib
import io
import zipfile

import numpy as np
import pytest

from src.errors import UserError
from src.evaluation.novelty import fit_novelty
from src.held_out import FILE_NAME, HeldOut, _sample_evenly, ask_held_out, load_held_out, parse_held_out
from src.loading.parts import get_data_generator, get_data_generators
from tests.test_ensemble import _member


def _held_out(count: int = 12) -> HeldOut:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(count, 6)), np.arange(count) % 3
    novelty = fit_novelty(features, labels)
    probabilities = rng.dirichlet([1, 1, 1], count).astype(np.float32)
    return HeldOut(labels, probabilities, "cross-validation", novelty, novelty.scores(features))


def _saved(folder, held_out: HeldOut) -> bytes:
    held_out.save(folder / FILE_NAME)
    return (folder / FILE_NAME).read_bytes()


def _packed(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_what_is_written_is_read_again(tmp_path):
    whole = _held_out()
    for held_out in (whole, dataclasses.replace(whole, novelty=None, scores=None, origin="validation")):
        found = parse_held_out(_saved(tmp_path, held_out), 3)
        np.testing.assert_array_equal(found.labels, held_out.labels)
        np.testing.assert_array_equal(found.probabilities, held_out.probabilities)
        assert found.origin == held_out.origin and (found.novelty is None) == (held_out.novelty is None)
    found = parse_held_out(_saved(tmp_path, whole), 3)
    queries = np.random.default_rng(1).normal(size=(4, 6))
    np.testing.assert_array_equal(found.novelty.scores(queries), whole.novelty.scores(queries))
    np.testing.assert_array_equal(found.scores, whole.scores)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"labels": np.zeros(11, np.int64)}, "an array"),
        ({"labels": np.full(12, 3)}, "classes are not the model's"),
        ({"labels": np.zeros(12, np.int32)}, "an array"),
        ({"probabilities": np.full((12, 3), np.nan, np.float32)}, "not finite"),
        ({"probabilities": np.full((12, 3), 2, np.float32)}, "probabilities are none"),
        ({"probabilities": np.full((12, 4), 0.25, np.float32)}, "an array"),
        ({"origin": np.array("elsewhere")}, "origin"),
        ({"origin": np.array(3)}, "origin"),
        ({"scores": np.zeros(3)}, "an array"),
        ({"scores": -np.ones(12)}, "distances are none"),
        ({"scale": np.float64(0)}, "distances are none"),
        ({"scale": np.float64(np.inf)}, "not finite"),
        ({"scale": np.float64(1e308)}, "distances are none"),
        ({"directions": np.full((2, 6), 0.5, np.float32)}, "distances are none"),
        ({"means": np.full((3, 6), 3e38, np.float32)}, "distances are none"),
        ({"means": np.zeros((4, 6), np.float32)}, "distances are none"),
        ({"means": np.float32(1)}, "no record|an array"),
        ({"directions": np.zeros((2, 5), np.float32)}, "an array"),
        ({"directions": np.float32(1)}, "no record|an array"),
        ({"labels": np.array([{}], object)}, "no record"),
    ],
)
def test_a_strangers_record_is_checked(tmp_path, change, words):
    with np.load(io.BytesIO(_saved(tmp_path, _held_out()))) as stored:
        arrays = dict(stored)
    with pytest.raises(ValueError, match=words):
        parse_held_out(_packed(**arrays | change), 3)


def test_what_is_no_record_is_refused(tmp_path):
    whole = _saved(tmp_path, _held_out())
    for content in (b"", b"no archive", whole[: len(whole) // 2], _packed(labels=np.zeros(3, np.int64))):
        with pytest.raises(ValueError, match="no record"):
            parse_held_out(content, 3)
    with pytest.raises(ValueError, match="an array"):
        parse_held_out(whole, 4)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("labels", b"no array")
        for name in ("probabilities", "origin"):
            archive.writestr(f"{name}.npy", _packed(x=np.zeros(1))[40:])
    with pytest.raises(ValueError, match="no record"):
        parse_held_out(stream.getvalue(), 3)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", bytes(2**28 + 1))
    with pytest.raises(ValueError, match="too much memory"):
        parse_held_out(stream.getvalue(), 3)


def test_it_is_used_only_as_it_was_saved(tmp_path, capsys):
    content = _saved(tmp_path, _held_out())
    digest = {FILE_NAME: hashlib.sha256(content).hexdigest()}
    bundle = _member("m", 8, "light", "dark", "none", folder=tmp_path, info={"sha256": digest})
    assert len(load_held_out(bundle).labels) == 12 and capsys.readouterr().err == ""
    for without in ({"folder": None}, {"info": {"sha256": {}}}, {"info": {}}):
        assert load_held_out(dataclasses.replace(bundle, **without)) is None
    assert capsys.readouterr().err == "", "nothing is said of a bundle that has none"
    other = dataclasses.replace(bundle, class_names=("light", "dark"))
    assert load_held_out(other) is None and "an array of it" in capsys.readouterr().err
    (tmp_path / FILE_NAME).write_bytes(content[:-1] + b"x")
    assert load_held_out(bundle) is None and "cut off or changed" in capsys.readouterr().err
    (tmp_path / FILE_NAME).unlink()
    assert load_held_out(bundle) is None and capsys.readouterr().err == "", "it was taken out"


# ---------------------------------------------------------------------------------------------------- asked at saving


def _answer(inputs):
    """Probabilities by brightness; as features the mean colour of the four quarters of the picture."""
    light = inputs.mean(axis=(1, 2, 3)) / 255
    quarters = inputs.reshape(len(inputs), 2, 12, 2, 12, 3).mean(axis=(2, 4)).reshape(len(inputs), 12)
    return np.stack([1 - light, light], axis=1).astype(np.float32), quarters


def _plain(data, part):
    iterator = get_data_generator(data, part, 24, 100, shuffle=False, class_mode="sparse")
    return iterator[0][0], iterator.classes


def test_the_validation_part_is_compared_with_training_pictures_as_they_are(small_data):
    train, val, _ = get_data_generators(small_data, 24, 5)  # augmented and shuffled, as for training
    found = ask_held_out(_answer, val, train)
    images, labels = _plain(small_data, "val")
    probabilities, features = _answer(images)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.probabilities, probabilities, rtol=1e-6)
    trained, classes = _plain(small_data, "train")
    expected = fit_novelty(_answer(trained)[1], classes)
    np.testing.assert_allclose(found.scores, expected.scores(features), rtol=1e-4)
    assert found.origin == "validation" and found.scores.std() > 0 and train.epoch == 0
    assert ask_held_out(_answer, val).novelty is None
    assert ask_held_out(lambda inputs: (_answer(inputs)[0], None), val, train).scores is None


def test_what_goes_wrong_does_not_cost_the_training(small_data, capsys):
    train, val, _ = get_data_generators(small_data, 24, 5)

    def fail(inputs):
        raise UserError("the picture has gone")

    assert ask_held_out(fail, val, train) is None and "the picture has gone" in capsys.readouterr().err
    assert ask_held_out(lambda inputs: (np.full((len(inputs), 2), np.nan), None), val) is None
    same = ask_held_out(lambda inputs: (_answer(inputs)[0], np.ones((len(inputs), 4))), val, train)
    assert same.novelty is None and same.scores is None
    assert "Unlike pictures will not be told" in capsys.readouterr().err
    for options in ({"augment": True}, {"shuffle": True}):
        with pytest.raises(ValueError, match="as they are, in their order"):
            ask_held_out(_answer, get_data_generator(small_data, "val", 24, 5, **options))


@pytest.mark.parametrize(
    "counts, expected", [([5, 3], [5, 3]), ([700, 40], [200, 40]), ([100] * 50, [20] * 50), ([9] * 1000, [2] * 1000)]
)
def test_of_many_training_pictures_some_of_each_class_serve(counts, expected):
    classes = np.repeat(np.arange(len(counts)), counts)
    chosen = _sample_evenly(classes)
    assert np.bincount(classes[chosen]).tolist() == expected
    assert len(set(chosen.tolist())) == len(chosen) and chosen[0] == 0 and chosen[-1] == len(classes) - 1
