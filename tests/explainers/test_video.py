"""Videos frame by frame."""

import cv2
import numpy as np
import pytest

from src.errors import UserError
from src.explainers.registry import create_explainer
from src.explainers.video import explain_video, is_video_name
from tests.explainers.networks import random_network


@pytest.fixture
def clip(tmp_path):
    """Forty frames of 66 x 48 at 10 a second, gray from dark to light."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (66, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for number in range(40):
        writer.write(np.full((48, 66, 3), 5 * number, np.uint8))
    writer.release()
    return path


def _prepare(frame):
    return cv2.resize(frame, (12, 12)).astype(np.float32)


def test_every_frame_is_explained_and_drawn(clip, tmp_path):
    explainer, target = (
        create_explainer("gradcam", random_network(), target_layer="conv1"),
        tmp_path / "out" / "clip.mp4",
    )
    seen = []

    def prepare(frame):
        seen.append(float(frame.mean()))
        return _prepare(frame)

    found = explain_video(explainer, prepare, clip, target, ["a", "b", "c"], batch_size=16)
    assert len(found.explanation) == 40 and found.frames_per_second == 10 and found.path == target
    np.testing.assert_allclose(seen, np.arange(40) * 5, atol=3)
    written = cv2.VideoCapture(str(target))
    assert written.get(cv2.CAP_PROP_FRAME_COUNT) == 40
    assert (written.get(cv2.CAP_PROP_FRAME_WIDTH), written.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (66, 48)
    assert [path.name for path in target.parent.iterdir()] == ["clip.mp4"]
    other = explain_video(explainer, _prepare, clip, tmp_path / "other.mp4", ["a", "b", "c"], class_index=2)
    assert other.explanation.class_index.tolist() == [2] * 40


def test_what_is_no_video_leaves_nothing(tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="not a video"):
        explainer = create_explainer("gradcam", random_network())
        explain_video(explainer, _prepare, tmp_path / "no.mp4", tmp_path / "out" / "no.mp4", ["a", "b", "c"])
    assert not list((tmp_path / "out").iterdir())
    assert is_video_name("A.MP4") and not is_video_name("a.jpg")
