"""A video explained frame by frame; read, drawn and written in batches, so that its length costs no memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from src.errors import UserError
from src.explainers.base import Explainer, Explanation
from src.explainers.stream import ExplanationStore
from src.files import atomic_file
from src.heatmap_drawing import overlay_frame, scale_maximum
from src.progress import track

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
_LONGER_SIDE = 1280  # of the frames that are written


def is_video_name(name: str) -> bool:
    """Whether a file is taken for a video, by the end of its name."""
    return name.lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class ExplainedVideo:
    """What became of a video.

    Attributes:
        path: the video written, MP4.
        explanation: of its N frames.
        frames_per_second: of both videos.
    """

    path: Path
    explanation: Explanation
    frames_per_second: float


def explain_video(
    explainer: Explainer,
    prepare: Callable[[np.ndarray], np.ndarray],
    source: str | Path,
    target: str | Path,
    class_names: Sequence[str],
    *,
    class_index: int | None = None,
    batch_size: int = 32,
    colormap: str = "inferno",
) -> ExplainedVideo:
    """Write the video with the maps over it and each frame's answer at the top; no sound.

    The scale is one for the whole video so far: it ends at the largest value that any frame has had.

    Args:
        prepare: RGB uint8 (H, W, 3) -> one input (h, w, 3).
        source: a video that OpenCV reads.
        target: the MP4 that is written whole or not at all.
        class_index: the class to explain; None for each frame's predicted one.

    Raises:
        UserError: the video cannot be read, or none can be written here.
    """
    capture = cv2.VideoCapture(str(source))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    parts, greatest, writer = ExplanationStore(), 0.0, None
    try:
        with atomic_file(target) as temporary, track(total=max(count, 0), what="Explaining", unit="frames") as progress:
            while frames := _read_frames(capture, batch_size):
                explained = explainer.explain(np.stack([prepare(frame) for frame in frames]), class_index)
                writer = writer or _open_writer(temporary, rate, frames[0].shape)
                for index, frame in enumerate(frames):
                    greatest = max(greatest, scale_maximum(explained.heatmaps[index], signed=explainer.signed))
                    drawn = overlay_frame(
                        frame,
                        explained.heatmaps[index],
                        greatest,
                        caption=_describe(explained, index, class_names),
                        colormap=colormap,
                        signed=explainer.signed,
                    )
                    writer.write(np.ascontiguousarray(drawn[..., ::-1]))
                parts.add(explained)
                progress.update(len(frames))
            if writer is None:
                raise UserError(f"{source} is not a video that can be read")
            writer.release()
    finally:
        capture.release()
        if writer is not None:
            writer.release()
    return ExplainedVideo(Path(target), parts.join(), rate)


def _read_frames(capture: cv2.VideoCapture, most: int) -> list[np.ndarray]:
    """The next frames, RGB uint8 (H, W, 3), even sides (what encoders need), not larger than is written."""
    frames = []
    while len(frames) < most:
        found, frame = capture.read()
        if not found:
            break
        factor = min(1.0, _LONGER_SIDE / max(frame.shape[:2]))
        width, height = (max(2, int(side * factor) // 2 * 2) for side in (frame.shape[1], frame.shape[0]))
        if (height, width) != frame.shape[:2]:
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        frames.append(np.ascontiguousarray(frame[..., ::-1]))
    return frames


def _open_writer(path: Path, rate: float, shape: tuple[int, ...]) -> cv2.VideoWriter:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), rate, (shape[1], shape[0]))
    if not writer.isOpened():
        raise UserError("this OpenCV cannot write MP4 videos; install opencv-python from the package index")
    return writer


def _describe(explained: Explanation, index: int, class_names: Sequence[str]) -> str:
    asked, predicted = int(explained.class_index[index]), int(explained.predicted[index])
    text = f"{explained.probabilities[index, predicted]:.0%} {class_names[predicted]}"
    return text if asked == predicted else f"{text}; shown: {class_names[asked]}"
