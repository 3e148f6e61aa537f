"""What TensorBoard will show, read back by its own reader."""

import pytest
import tensorflow as tf

from src.baseline_cnn import BaselineSettings, train_baseline
from src.tensorboard_log import TensorBoardLog

pytestmark = pytest.mark.large


@pytest.fixture
def read():
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read_folder(folder):
        events = event_accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0})
        events.Reload()
        return {tag: events.Tensors(tag) for tag in events.Tags()["tensors"]}

    return read_folder


def test_a_training_leaves_figures_and_pictures(small_data, tmp_path, read):
    settings = BaselineSettings(data=str(small_data), models_dir=str(tmp_path), image_size=24, epochs=2)
    _, best = train_baseline(settings, tensorboard=str(tmp_path / "logs"))
    found = read(tmp_path / "logs")
    losses = found["loss/validation"]
    assert [event.step for event in losses] == [1, 2]
    value = float(tf.make_ndarray(losses[best["epoch"] - 1].tensor_proto))
    assert value == pytest.approx(best["val_loss"], rel=1e-5)
    assert {"loss/training", "accuracy/training pictures as they are", "learning rate"} <= found.keys()
    assert 0 < best["val_accuracy"] < 1, "nothing is wrong, or all is: another seed would show more"
    for tag in ("validation/confusion matrix", "validation/wrong, the surest first"):
        picture = found[tag][0]
        assert picture.step == best["epoch"]
        width, height, encoded = picture.tensor_proto.string_val
        assert int(width) > 100 and int(height) > 100 and encoded.startswith(b"\x89PNG")


def test_a_log_that_cannot_be_written_ends_the_log_and_nothing_else(tmp_path, capsys, monkeypatch):
    log = TensorBoardLog(tmp_path / "logs")
    log({"epoch": 1, "loss": 1.0})

    def fail(*arguments, **keywords):
        raise tf.errors.ResourceExhaustedError(None, None, "Failed to flush 8 events")

    monkeypatch.setattr(tf.summary, "scalar", fail)
    for epoch in (2, 3):
        log({"epoch": epoch, "loss": 1.0})
    assert capsys.readouterr().err.count("log ends here, since it cannot be written (Failed to flush 8 events)") == 1
    log.add_pictures("no bundle", "no data", 1, 1)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = TensorBoardLog(None)
    log({"epoch": 1, "loss": 1.0})
    log.add_pictures("no bundle", "no data", 1, 1)
    assert not list(tmp_path.iterdir())
