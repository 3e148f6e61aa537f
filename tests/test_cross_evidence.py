"""Evidence of exact heads: each picture judged by a head, and compared with means, that have not seen it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from src.cross_evidence import _FOLDS, _NOVELTY_FOLDS, cross_validate_evidence
from src.datasets.folds import make_folds
from src.errors import UserError
from src.evaluation.novelty import fit_novelty
from src.imaging import read_image, write_image
from src.loading.augmentation import AugmentationSettings
from src.loading.parts import get_data_generators
from src.training.logistic import fit_head, scale_features
from tests.datasets.textures import texture
from tests.running.made import write_photos

L2 = 0.3


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """What is asked of iterators, over files of two classes: 24 to train, 8 to validate."""
    root, found = tmp_path_factory.mktemp("data"), {}
    for part, first, count in (("train", 0, 12), ("val", 12, 4)):
        write_photos(root / part, {"dark": count, "light": count}, first)
        paths = sorted(map(str, (root / part).rglob("*.png")))
        found[part] = SimpleNamespace(
            filepaths=paths,
            samples=len(paths),
            num_classes=2,
            classes=np.array([int("light" in path) for path in paths]),
            augmented=False,
            stand_ins=SimpleNamespace(reasons={}),
            load_picture=lambda place, paths=paths: read_image(paths[place]).astype(np.float32),
        )
    return found


def _answer(inputs):
    """Features: the mean colours of the four quarters."""
    halves = inputs.reshape(len(inputs), 2, 24, 2, 24, 3).mean(axis=(2, 4))
    return np.full((len(inputs), 2), 0.5, np.float32), halves.reshape(len(inputs), 12).astype(np.float32)


def _cross_validate(parts, answer=_answer, **changes):
    train = SimpleNamespace(**vars(parts["train"]) | changes)
    data_dir = Path(train.filepaths[0]).parents[2]
    return cross_validate_evidence(answer, train, parts["val"], data_dir=data_dir, l2=L2, balanced=True, seed=3)


def test_no_picture_is_judged_by_what_has_seen_it(parts):
    found = _cross_validate(parts)
    labels = np.concatenate([parts["train"].classes, parts["val"].classes])
    pictures = [parts[part].load_picture(i) for part in ("train", "val") for i in range(parts[part].samples)]
    features = _answer(np.stack(pictures))[1]
    assert found.origin == "cross-validation" and found.labels.tolist() == labels.tolist()
    folds, finer = (
        make_folds(labels, np.arange(32), count, 3, every_class=False) for count in (_FOLDS, _NOVELTY_FOLDS)
    )
    for place in (0, 13, 31):
        others = folds != folds[place]
        scaled = scale_features(features[others][None])
        # the same solution in other coordinates: scaled by the mean norm of all, not of these alone
        ratio = np.linalg.norm(features, axis=1).mean() / np.linalg.norm(features[others], axis=1).mean()
        head = scaled.unscale(fit_head(scaled.values, labels[others], 2, L2 * ratio**2, exact=True))
        expected = head.probabilities(features[place : place + 1])[0]
        np.testing.assert_allclose(found.probabilities[place], expected, atol=2e-3)
        others = finer != finer[place]
        score = fit_novelty(features[others], labels[others]).scores(features[place : place + 1])
        np.testing.assert_allclose(found.scores[place], score[0], rtol=1e-6)
    queries = features[:5]
    np.testing.assert_allclose(found.novelty.scores(queries), fit_novelty(features, labels).scores(queries))


def test_where_there_is_no_such_evidence_validation_serves(parts):
    def fail(inputs):
        raise UserError("it has gone")

    no_features = _cross_validate(parts, lambda inputs: (np.full((len(inputs), 2), 0.5), None))
    not_finite = _cross_validate(parts, lambda inputs: (np.zeros((len(inputs), 2)), np.full((len(inputs), 3), np.nan)))
    stand_in = SimpleNamespace(reasons={"a.png": "gone"})
    assert [no_features, not_finite, _cross_validate(parts, fail)] == [None] * 3
    assert _cross_validate(parts, samples=5000) is None
    assert _cross_validate(parts, stand_ins=stand_in) is None


def test_augmented_training_parts_are_judged_as_they_are(tmp_path):
    for part, first, count in (("train", 0, 12), ("val", 12, 4), ("test", 16, 1)):
        write_photos(tmp_path / part, {"dark": count, "light": count}, first)
    found = []
    for augment in (False, True):
        train, val, _ = get_data_generators(tmp_path, 48, 8, augment=AugmentationSettings(augment))
        assert train.augmented == augment
        found.append(cross_validate_evidence(_answer, train, val, data_dir=tmp_path, l2=L2, balanced=True, seed=3))
    plain, augmented = found
    assert augmented.origin == "cross-validation" and len(augmented.labels) == 32
    np.testing.assert_array_equal(augmented.probabilities, plain.probabilities)
    np.testing.assert_array_equal(augmented.scores, plain.scores)


def _rare(parts, tmp_path, copies: bool):
    """Training pictures of a third class: two, which are one picture where ``copies``."""
    folder = tmp_path / "train" / "rare"
    folder.mkdir(parents=True)
    for number in range(2):
        write_image(folder / f"{number}.png", texture(0 if copies else number, side=48))
    paths = [*parts["train"].filepaths, *map(str, sorted(folder.iterdir()))]
    changes = {
        "filepaths": paths,
        "samples": len(paths),
        "classes": np.append(parts["train"].classes, [2, 2]),
        "num_classes": 3,
        "load_picture": lambda place: read_image(paths[place]).astype(np.float32),
    }
    return _cross_validate(parts, **changes)


def test_a_rare_class_leaves_the_folds_of_the_others_small(parts, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("src.cross_evidence.fit_head", lambda *given, **options: seen.append(given) or fit_head(*given))
    found = _rare(parts, tmp_path, copies=False)
    assert len(seen) == _FOLDS and all(set(labels) == {0, 1, 2} for _, labels, *_ in seen)
    assert np.bincount(found.labels).tolist() == [16, 16, 2] and np.isfinite(found.scores).all()


def test_a_class_of_copies_is_learned_from_and_left_out(parts, tmp_path):
    found = _rare(parts, tmp_path, copies=True)
    assert np.bincount(found.labels).tolist() == [16, 16] and found.probabilities.shape == (32, 3)
    assert np.isfinite(found.probabilities).all() and np.isfinite(found.scores).all()
    assert len(found.novelty.means) == 3 and (found.probabilities[:, 2] > 0).all()


def test_pictures_that_are_all_alike_have_no_novelty(parts, capsys):
    def answer(inputs):
        light = (inputs.mean(axis=(1, 2, 3)) > 120).astype(np.float32)
        return np.zeros((len(inputs), 2)), np.stack([light, 1 - light], axis=1)

    found = _cross_validate(parts, answer)
    right = found.probabilities.argmax(axis=1) == found.labels
    assert found.novelty is None and found.scores is None and right.all()
    assert "Unlike pictures will not be told (no two pictures of a class differ)" in capsys.readouterr().err
