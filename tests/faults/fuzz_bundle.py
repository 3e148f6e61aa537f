"""What lies in a model's folder and beside it, spoilt: bundle.json, a feature store's record, pictures.npz."""

import contextlib
import functools
import io
from pathlib import Path
from random import Random

import numpy as np

from src.bundle_facts import read_facts
from src.datasets.seen import PictureRecord, load_record
from src.errors import UserError
from src.evaluation.novelty import fit_novelty
from src.held_out import HeldOut, parse_held_out
from src.imaging import INTERPOLATIONS, MAX_PIXELS
from src.limits import Limits
from src.training.feature_store import Column, FeatureStore, StoreKey
from src.verdicts import Judge
from tests.faults.fuzz_mutations import spoil_bytes, spoil_json

BUNDLE = {
    "format": 1, "reading": 2, "class_names": ["cat", "dog", "fox"], "image_size": [32, 48],
    "interpolation": "bilinear", "target_layer": "head_bn", "temperature": 1.25,
    "sha256": {"model.keras": "ab" * 32, "network.xml": "cd" * 32, "network.bin": "ef" * 32, "pictures.npz": "01" * 32},
    "data": {"fingerprint": "ab" * 32, "counts": {"train": {"cat": 3}}}, "settings": {"seed": 42},
    "metrics": {"val_accuracy": 0.9}, "training_seconds": 12.5,
}  # fmt: skip
_KEY = StoreKey({"weights": "ab"}, (Column("features", (2, 3), "float16"),), 4)
STORE = {"rows": 8, **_KEY.as_json()}


def prepare() -> None:
    """Nothing is bounded here."""


@functools.cache
def _pictures() -> bytes:
    stream = io.BytesIO()
    record = PictureRecord(np.arange(3, dtype=np.uint64), np.arange(3072, dtype=np.uint8).reshape(3, 32, 32) // 7)
    record.save(stream)
    return stream.getvalue()


@functools.cache
def _held_out() -> bytes:
    stream, features, labels = io.BytesIO(), np.random.default_rng(0).normal(size=(12, 5)), np.arange(12) % 3
    novelty = fit_novelty(features, labels)
    answers = np.full((12, 3), 1 / 3, np.float32)
    HeldOut(labels, answers, novelty=novelty, scores=novelty.scores(features)).save(stream)
    return stream.getvalue()


def make(random: Random) -> bytes:
    """One of four files, told apart by the first byte."""
    kind = random.choice((0, 0, 0, 1, 2, 3))
    if kind >= 2:
        return bytes([kind]) + spoil_bytes(random, (_pictures if kind == 2 else _held_out)())
    return bytes([kind]) + spoil_json(random, (BUNDLE, STORE)[kind])


def check(data: bytes, folder: Path) -> bool:
    return (_check_facts, _check_store, _check_pictures, _check_held_out)[data[0]](data[1:], folder)


def _check_facts(data: bytes, folder: Path) -> bool:
    (folder / "bundle.json").write_bytes(data)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            facts = read_facts(folder)
    except UserError:
        return False
    names, size = facts["class_names"], facts["image_size"]
    assert names and len(set(names)) == len(names) and all(type(name) is str for name in names), names
    assert len(size) == 2 and all(type(side) is int and side > 0 for side in size) and size[0] * size[1] <= MAX_PIXELS
    assert facts["interpolation"] in INTERPOLATIONS and 0 < facts["temperature"] < float("inf")
    digests = facts["info"]["sha256"]
    assert type(facts["digest"]) is str and all(
        type(name) is str and type(digest) is str for name, digest in digests.items()
    )
    return True


def _check_store(data: bytes, folder: Path) -> bool:
    (folder / "features.rows").write_bytes(bytes(8 * 12))
    (folder / "store.json").write_bytes(data)
    store = FeatureStore(folder, _KEY)
    assert type(store.rows) is int and 0 <= store.rows <= 8, store.rows
    store.append({"features": np.ones((1, 2, 3))})
    store.close()
    assert (folder / "features.rows").stat().st_size == store.rows * 12
    return store.rows > 1


def _check_pictures(data: bytes, folder: Path) -> bool:
    (folder / "pictures.npz").write_bytes(data)
    try:
        record = load_record(folder / "pictures.npz")
    except UserError:
        return False
    count = len(record.digests)
    assert record.digests.shape == (count,) and record.digests.dtype == np.uint64, record.digests.dtype
    assert record.thumbnails.shape == (count, 32, 32) and record.thumbnails.dtype == np.uint8
    return True


def _check_held_out(data: bytes, folder: Path) -> bool:
    try:
        judge = Judge(parse_held_out(data, 3), 1.0, Limits())
    except ValueError:
        return False
    novelty = judge.held_out.novelty
    features = None if novelty is None else np.ones((1, novelty.means.shape[1]))
    (verdict,) = judge.judge(np.full((1, 3), 1 / 3, np.float32), features)
    assert verdict.novelty is None or verdict.novelty >= 0, verdict
    return True
