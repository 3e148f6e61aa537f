"""The façade on real pictures, and the command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src import data_loader
from src.errors import UserError
from src.imaging import load_image, read_image, write_image

ROOT = Path(__file__).resolve().parent.parent
KAGGLE = Path(os.environ.get("IMAGE_DATASETS", ROOT.parent / "shared" / "datasets")) / "kaggle_dogs_vs_cats" / "train"


def fill(folder, count=3):
    """Small pictures of two classes in each part: cats dark, dogs light."""
    rng = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        for name, level in (("cat", 0), ("dog", 150)):
            for index in range(count):
                image = rng.integers(level, level + 100, (40, 50, 3)).astype(np.uint8)
                write_image(folder / part / name / f"{index}.png", image)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("data"))


def test_three_iterators(data):
    train, val, test = data_loader.get_data_generators(data, 32, batch_size=4, seed=1)
    assert [train.shuffle, val.shuffle, test.shuffle] == [True, False, False]
    assert train.class_indices == test.class_indices == {"cat": 0, "dog": 1}
    images, labels = train[0]
    assert images.shape == (4, 32, 32, 3) and images.dtype == np.float32 and labels.shape == (4, 2)
    np.testing.assert_array_equal(labels.argmax(axis=1), images.mean(axis=(1, 2, 3)) > 125)
    images, labels = test[0]
    expected = load_image(test.filepaths[0], (32, 32), "bilinear")
    np.testing.assert_array_equal(images[0], expected)  # 0..255, not augmented
    test.on_epoch_end()
    np.testing.assert_array_equal(test[0][0], images)


def test_arguments_change_what_they_name(data):
    def first(**options):
        return data_loader.get_data_generators(data, **({"img_size": (30, 20), "batch_size": 6} | options))[0][0]

    reference, labels = first()
    assert reference.shape == (6, 30, 20, 3)
    np.testing.assert_array_equal(first(workers=1)[0], first(workers=3)[0])
    for options in ({"augment": False}, {"seed": 7}, {"interpolation": "nearest"}):
        assert (first(**options)[0] != reference).any(), options
    for options in ({"memory_gb": 0}, {"memory_gb": 1e-5}):
        np.testing.assert_array_equal(first(**options)[0], reference)
    np.testing.assert_array_equal(first(class_mode="sparse")[1], labels.argmax(axis=1))
    images, labels = first(class_names=["dog", "cat"])
    np.testing.assert_array_equal(labels.argmax(axis=1), images.mean(axis=(1, 2, 3)) < 125)


def test_one_part_needs_no_other(tmp_path):
    fill(tmp_path)
    (tmp_path / "train").rename(tmp_path / "elsewhere")
    test = data_loader.get_data_generator(tmp_path, "test", 32, class_names=["dog", "cat"])
    assert test.n == 6 and test.class_indices == {"dog": 0, "cat": 1}
    with pytest.raises(UserError, match="no folder train"):
        data_loader.get_data_generators(tmp_path, 32)


def test_command_counts_and_draws(data, tmp_path, capsys):
    options = ["--data", str(data), "--image-size", "48x64", "--batch-size", "4", "--output", str(tmp_path)]
    assert data_loader.main(options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["class", "train", "val", "test", "total"]
    assert lines[2].split() == ["cat", "3", "3", "3", "9"] and lines[5].split() == ["total", "6", "6", "6", "18"]
    sheet = read_image(tmp_path / "data" / "augmentation.png")
    assert sheet.shape[1] > 7 * 200 and sheet.std() > 20

    assert data_loader.main([*options, "--json", "--seed", "3"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["class_names"] == ["cat", "dog"] and result["counts"]["val"] == {"cat": 3, "dog": 3}
    assert (read_image(result["augmentation"]) != sheet).any()


def test_command_draws_the_augmentation_that_is_asked_for(data, tmp_path, capsys, monkeypatch):
    captions, options = [], ["--data", str(data), "--image-size", "48", "--output", str(tmp_path), "--no-flip"]

    def keep(images, texts, *arguments, **keywords):
        captions[:] = [text for text in texts if text.startswith("epoch")]

    monkeypatch.setattr("src.loading.preview.draw_contact_sheet", keep)
    still = ["--rotation", "0", "--shift", "0", "--zoom", "0"]
    for words, pattern in (
        (["--no-augment"], r"as it is"),
        (still, r"as it is"),
        ([*still, "--crop-padding", "9"], r"cut at [+-]\d, [+-]\d"),
        ([*still, "--rand-augment", "2"], r"[a-z ]+, [a-z ]+"),
        ([*still, "--erasing", "1"], r"noise \d+ x \d+"),
        ([*still[2:], "--rotation", "40"], r"[+-]\d+°"),
    ):
        assert data_loader.main([*options, *words]) == 0
        assert len(captions) == 24
        for text in captions:
            assert re.fullmatch(rf"epoch \d\n({pattern})", text), (words, text)
    assert data_loader.main([*options, "--crop-padding", "48"]) == 2
    assert "smaller side, 48 pixels" in capsys.readouterr().err


def test_command_says_what_to_do(tmp_path, capsys):
    assert data_loader.main(["--data", str(tmp_path / "none")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: there is no data folder")
    assert "python split_dataset.py --source YOUR_FOLDER" in captured.err


def test_help_does_not_load_tensorflow():
    code = "import sys; from src import data_loader\ntry: data_loader.main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit('tensorflow' in sys.modules or 'cv2' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert answer.returncode == 0 and "examples:" in answer.stdout and "(default: 224)" in answer.stdout


def test_unknown_names_are_no_attributes():
    with pytest.raises(AttributeError, match="get_everything"):
        data_loader.get_everything  # noqa: B018


@pytest.mark.skipif(not KAGGLE.is_dir(), reason=f"the real pictures are not at {KAGGLE}")
def test_real_pictures(tmp_path):
    for part, numbers in (("train", slice(0, 12)), ("val", slice(12, 16)), ("test", slice(16, 20))):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for path in sorted(KAGGLE.glob(f"{name}.*.jpg"))[numbers]:
                (tmp_path / part / name / path.name).symlink_to(path.resolve())
    train, val, _ = data_loader.get_data_generators(tmp_path, batch_size=8)
    batches = [train[i] for i in range(len(train))]
    assert sum(len(images) for images, _ in batches) == 24
    images = np.concatenate([images for images, _ in batches])
    assert images.min() >= 0 and 200 < images.max() < 255.01 and 40 < images.std() < 100
    assert val[0][0].shape == (8, 224, 224, 3)
