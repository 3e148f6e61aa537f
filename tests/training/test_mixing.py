"""MixUp, CutMix, label smoothing and weights: by hand, and that each acts and nothing else moves."""

import numpy as np
import pytest

from src.settings import random_generator
from src.training.mixing import MixedBatches, mix, smooth
from src.training.options import TrainingSettings

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 255, (8, 12, 16, 3)).astype(np.float32)
TARGETS = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2, 3]]


class _Batches:
    """A dataset of one batch, as the iterators are."""

    def __init__(self):
        self.epoch, self.seen = 0, []

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return IMAGES, TARGETS

    def set_epoch(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self):
        self.seen.append("begin")

    def on_epoch_end(self):
        self.epoch += 1
        self.seen.append("end")


def test_smooth_by_hand():
    np.testing.assert_allclose(smooth(TARGETS[:1], 0.2), [[0.85, 0.05, 0.05, 0.05]], atol=1e-7)
    assert smooth(TARGETS, 0.0) is TARGETS


def test_nothing_to_mix():
    images, targets = mix(IMAGES, TARGETS, random_generator(1))
    assert images is IMAGES and targets is TARGETS


def test_mixup_is_the_same_blend_of_pictures_and_labels():
    before = IMAGES.copy()
    images, targets = mix(IMAGES, TARGETS, random_generator(1), mixup=0.4)
    np.testing.assert_array_equal(IMAGES, before)
    draw = random_generator(1)
    others, shares = draw.permutation(8), draw.beta(0.4, 0.4, 8).astype(np.float32)
    for i in range(8):
        expected = shares[i] * IMAGES[i] + (1 - shares[i]) * IMAGES[others[i]]
        np.testing.assert_allclose(images[i], expected, atol=1e-3)
        np.testing.assert_allclose(targets[i], shares[i] * TARGETS[i] + (1 - shares[i]) * TARGETS[others[i]], atol=1e-6)


def test_mixup_of_features():
    features, targets = mix(IMAGES[:, 0, 0], TARGETS, random_generator(1), mixup=1.0)
    assert features.shape == (8, 3) and targets.shape == (8, 4)


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_pastes_one_rectangle_and_counts_its_area(seed):
    images, targets = mix(IMAGES, TARGETS, random_generator(seed), cutmix=1.0)
    others = random_generator(seed).permutation(8)
    moved = np.argwhere(others != np.arange(8))[0, 0]
    pasted = (images[moved] != IMAGES[moved]).any(axis=-1)
    rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
    assert pasted.sum() == len(rows) * len(columns), "one rectangle"
    np.testing.assert_array_equal(images[moved][pasted], IMAGES[others[moved]][pasted])
    share = pasted.mean()
    expected = (1 - share) * TARGETS[moved] + share * TARGETS[others[moved]]
    np.testing.assert_allclose(targets[moved], expected, atol=1e-6)


def test_cutmix_areas_are_about_those_of_beta():
    """Beta(1, 1) is uniform: the mean area before the edges cut it off is a half, after it about a third."""
    areas = []
    for seed in range(300):
        _, targets = mix(IMAGES, np.eye(8, dtype=np.float32), random_generator(seed), cutmix=1.0)
        areas.append(1 - targets.max(axis=1).min() if targets.min(axis=1).max() == 0 else 0)
    assert 0.05 < np.mean(areas) < 0.5


def test_a_coin_chooses_between_the_two():
    kinds = []
    for seed in range(40):
        images, _ = mix(IMAGES, TARGETS, random_generator(seed), mixup=1.0, cutmix=1.0)
        same = (images == IMAGES).all(axis=-1)
        kinds.append(bool(same.any()))
    assert 8 < sum(kinds) < 40  # CutMix leaves pixels as they were, MixUp none


def test_batches_are_a_function_of_seed_epoch_and_index():
    options = TrainingSettings(mixup=0.5)
    first, again = (MixedBatches(_Batches(), options, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first[0][0], again[0][0])
    assert (first[0][0] != first[1][0]).any()
    assert (first[0][0] != MixedBatches(_Batches(), options, seed=4)[0][0]).any()
    again.set_epoch(1)
    assert (first[0][0] != again[0][0]).any()
    first.on_epoch_begin(), first.on_epoch_end()
    np.testing.assert_array_equal(first[1][0], again[1][0])
    assert first.batches.seen == ["begin", "end"] and len(first) == 2


def test_weights_follow_the_shares():
    weights = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    batches = MixedBatches(_Batches(), TrainingSettings(label_smoothing=0.1), seed=0, class_weight=weights)
    _, targets, found = batches[0]
    np.testing.assert_allclose(found, [1, 2, 3, 4, 1, 2, 3, 4])  # smoothing counts for nothing here
    np.testing.assert_allclose(targets, smooth(TARGETS, 0.1))
    assert len(MixedBatches(_Batches(), TrainingSettings(label_smoothing=0.1), seed=0)[0]) == 2
    mixed = MixedBatches(_Batches(), TrainingSettings(mixup=1.0), seed=0, class_weight=weights)[0]
    np.testing.assert_allclose(mixed[2], mixed[1] @ [1, 2, 3, 4], rtol=1e-6)
