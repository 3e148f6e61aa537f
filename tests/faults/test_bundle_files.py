"""A bundle any of whose files is cut off, changed, missing or half-copied: one sentence, or no harm; and a stranger's,
whose digests are right."""

import hashlib
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from src.bundle import load_bundle, load_pictures, save_bundle
from src.errors import UserError
from src.evaluation.novelty import fit_novelty
from src.frozen_bundle import load_frozen_bundle
from src.held_out import HeldOut
from src.imaging import write_image
from src.networks.baseline import BASELINE_TARGET_LAYER, build_baseline_model
from src.verdicts import create_judge
from tests.conftest import check_user_error, run_command

pytestmark = pytest.mark.large

NAMES = ["cat", "dog", "fox"]
CHECKED = ["model.keras", "network.xml", "network.bin", "pictures.npz", "held_out.npz"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    write_image(folder / "cat.png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    keras.utils.set_random_seed(0)
    return save_bundle(
        "own", folder, build_baseline_model(3, (32, 32)), class_names=NAMES, image_size=(32, 32),
        interpolation="bilinear", target_layer=BASELINE_TARGET_LAYER, info={}, pictures=[str(folder / "cat.png")],
        evidence=lambda answer: _evidence(),
    )  # fmt: skip


def _evidence() -> HeldOut:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(30, 128)), np.arange(30) % 3
    novelty = fit_novelty(features, labels)
    answers = rng.dirichlet([1] * 3, 30).astype(np.float32)
    return HeldOut(labels, answers, novelty=novelty, scores=novelty.scores(features))


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "own"))


def _damage(path: Path, how: str, seed: int) -> None:
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    place = int(rng.integers(len(content)))
    if how == "missing":
        path.unlink()
        return
    if how == "cut off":
        content = content[:place]
    elif how == "half-copied":  # the size is right, the rest not yet written
        content[place:] = bytes(len(content) - place)
    else:
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def _adopt(folder: Path) -> None:
    """The digests of the files as they are, as one who made the bundle would record them."""
    path = folder / "bundle.json"
    info = json.loads(path.read_text())
    info["sha256"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in info["sha256"]}
    path.write_text(json.dumps(info))


def _use(folder: Path) -> dict[str, object]:
    """What each way of loading gave: None or an object, or the sentence of its refusal."""
    given = {}
    ways = (load_bundle, lambda place: load_pictures(load_bundle(place)), load_frozen_bundle, _required, _judge)
    for name, load in zip(("keras", "pictures", "openvino", "required", "judge"), ways):
        try:
            given[name] = load(folder)
        except UserError as error:
            assert "\n" not in str(error)
            given[name] = str(error)
    return given


def _required(folder: Path) -> object:
    return load_frozen_bundle(folder, required=True)


def _judge(folder: Path) -> object:
    """Its verdicts on two pictures, or None where there are none to be had."""
    judge = create_judge(load_frozen_bundle(folder) or load_bundle(folder))
    found = judge and judge.judge(np.full((2, 3), 1 / 3), np.ones((2, 128)))
    assert found is None or all(type(verdict.classes) is tuple for verdict in found)
    return found


@pytest.mark.parametrize("how", ["cut off", "half-copied", "changed", "missing"])
@pytest.mark.parametrize("name", CHECKED)
def test_a_damaged_file_is_told_by_its_digest(folder, name, how):
    _damage(folder / name, how, seed=len(name))
    given = _use(folder)
    if name == "model.keras":
        assert "missing, cut off or changed" in given["keras"]
    elif name == "pictures.npz":
        assert given["pictures"] is None if how == "missing" else "cut off or changed" in given["pictures"]
    elif name == "held_out.npz":
        assert given["judge"] is None and given["keras"].class_names == tuple(NAMES)
    else:
        assert given["openvino"] is None and f"{name} cannot be read or was changed" in given["required"]
        assert given["keras"].class_names == tuple(NAMES)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_description_is_one_sentence_or_harmless(folder, seed):
    _damage(folder / "bundle.json", ("cut off", "half-copied", "changed")[seed % 3], seed)
    given = _use(folder)
    if seed % 3 < 2:
        assert "bundle.json" in given["keras"] and "bundle.json" in given["required"]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", [*CHECKED[:3], "held_out.npz"])
def test_a_strangers_damaged_network_is_one_sentence_or_harmless(folder, name, seed):
    _damage(folder / name, ("cut off", "half-copied", "changed", "changed")[seed % 4], seed)
    _adopt(folder)
    given = _use(folder)
    if name == "model.keras" and seed % 4 == 0:
        assert "model.keras is not a Keras model that can be loaded safely" in given["keras"]


def test_a_strangers_network_goes_through_the_same_checks(folder):
    """With the digests that its maker recorded, as commands answer to it."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Lambda(lambda x: x * 2, name="evil")(inputs)
    outputs = keras.layers.Dense(3, name="logits")(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(inputs, outputs).save(folder / "model.keras")
    nested = b"<output>" + b'<user_data name="a">' * 50_000 + b"</user_data>" * 50_000
    graph = folder / "network.xml"
    graph.write_bytes(graph.read_bytes().replace(b"<output>", nested, 1))
    _adopt(folder)
    picture = folder.parent / "a.png"
    write_image(picture, np.zeros((32, 32, 3), np.uint8))
    command = ["-m", "src.predict", picture, "--model", folder, "--engine"]
    check_user_error(run_command(*command, "keras"), "model.keras is refused: its layer 'evil' is a Lambda")
    check_user_error(run_command(*command, "openvino"), "holds <user_data> within <output>")
    check_user_error(run_command(*command, "auto"), "model.keras is refused: its layer 'evil' is a Lambda")
