"""Unlike pictures, left-out classes and the coverage of sets, on real photographs."""

import tarfile
from types import SimpleNamespace

import numpy as np
import pytest

from src.auditing.features import compute_features
from src.evaluation.conformal import fit_sets, measure_sets, predict_sets
from src.evaluation.novelty import acceptance_threshold, auroc, fit_novelty
from src.imaging import write_image

pytestmark = pytest.mark.slow
_TRAINED = 30  # pictures of each class of Tiny ImageNet


def _features(paths) -> np.ndarray:
    return compute_features([SimpleNamespace(path=str(path)) for path in paths])


def _unpack(archive, folder, wanted) -> list:
    """The members of a tar that ``wanted`` takes, sorted."""
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isfile() and wanted(member.name)]
        tar.extractall(folder, members, filter="data")
    return sorted(folder / member.name for member in members)


@pytest.fixture(scope="module")
def tiny(real_pictures, tmp_path_factory):
    """Features and classes of Tiny ImageNet: 30 training pictures and the 50 test pictures of each of 50 classes."""
    paths = _unpack(real_pictures / "tiny_imagenet_50.tar.xz", tmp_path_factory.mktemp("tiny"), lambda name: True)
    found = {}
    for part, most in (("train", _TRAINED), ("test", 50)):
        by_class: dict[str, list] = {}
        for path in paths:
            if path.parts[-3] == part:
                by_class.setdefault(path.parent.name, []).append(path)
        chosen = [(label, path) for label, name in enumerate(sorted(by_class)) for path in by_class[name][:most]]
        found[part] = _features([path for _, path in chosen]), np.array([label for label, _ in chosen])
    return found


def _textures(folder) -> list:
    """Crops of brick, grass and gravel, and noise."""
    from skimage import data

    rng = np.random.default_rng(0)
    for number in range(60):
        kind = ("brick", "grass", "gravel", "noise")[number % 4]
        top, left = rng.integers(0, 512 - 224, 2)
        gray = rng.integers(0, 256, (512, 512), np.uint8) if kind == "noise" else getattr(data, kind)()
        crop = np.repeat(gray[top : top + 224, left : left + 224, None], 3, axis=2)
        write_image(folder / f"{kind}_{number}.png", crop)
    return sorted(folder.iterdir())


def test_dogs_and_cats_are_told_from_textures_and_from_other_pictures(real_pictures, tmp_path):
    """140 photographs to learn from, 30 to find the threshold by, 200 to be kept; three draws."""
    pets = sorted((real_pictures / "kaggle_dogs_vs_cats" / "train").glob("*.jpg"))[::3]
    labels = np.array([path.name.startswith("dog") for path in pets]).astype(int)
    small = ("airplane", "automobile", "bird", "deer", "frog", "horse", "ship", "truck")
    archive = real_pictures / "cifar10_images.tar.xz"
    cifar = _unpack(archive, tmp_path, lambda name: "/test/" in name and name.split("/")[2] in small)[::40]
    features, others = _features(pets), [_features(cifar), _features(_textures(tmp_path / "textures"))]
    assert len(others[0]) == 200 and len(others[1]) == 60
    kept, refused = [], []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(pets))
        trained, held_out, tested = order[:140], order[140:170], order[170:370]
        novelty = fit_novelty(features[trained], labels[trained])
        threshold, known = acceptance_threshold(novelty.scores(features[held_out])), novelty.scores(features[tested])
        kept.append((known <= threshold).mean())
        for unknown in map(novelty.scores, others):
            assert auroc(known, unknown) >= 0.99
            refused.append((unknown > threshold).mean())  # by the largest score of 30, which varies
    assert np.mean(kept) >= 0.93 and np.mean(refused) >= 0.9


def test_a_class_that_was_left_out_is_told(tiny):
    """Three classes of 20 pictures each, a fourth that was left out; 30 draws."""
    (features, labels), (tested, truth) = tiny["train"], tiny["test"]
    areas, kept = [], []
    for seed in range(30):
        *known, left_out = np.random.default_rng(seed).choice(50, 4, replace=False)
        places = np.concatenate([np.flatnonzero(labels == label) for label in known]).reshape(3, _TRAINED)
        novelty = fit_novelty(features[places[:, :20].ravel()], labels[places[:, :20].ravel()])
        threshold = acceptance_threshold(novelty.scores(features[places[:, 20:].ravel()]))
        scores = novelty.scores(tested[np.isin(truth, known)])
        areas.append(auroc(scores, novelty.scores(tested[truth == left_out])))
        kept.append((scores <= threshold).mean())
    assert np.mean(areas) >= 0.85 and np.mean(kept) >= 0.94


def test_sets_hold_the_true_class_as_often_as_was_asked(tiny):
    """A linear classifier of 50 classes, by 500 held-out pictures, on 2,000 others."""
    from sklearn.linear_model import LogisticRegression

    (features, labels), (tested, truth) = tiny["train"], tiny["test"]
    answers = LogisticRegression(max_iter=60).fit(features, labels).predict_proba(tested)
    order = np.random.default_rng(0).permutation(len(truth))
    held_out, others = order[:500], order[500:]
    for asked in (0.9, 0.95):
        threshold = fit_sets(answers[held_out], truth[held_out], asked)
        found = measure_sets(predict_sets(answers[others], threshold), truth[others])
        assert found.n == 2000 and found.covered / found.n == pytest.approx(asked, abs=0.02)
        assert found.mean_size < 8
