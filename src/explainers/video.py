"""A video explained frame by frame; read, drawn and written in batches, so that its length costs no memory."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from src.atomic import atomic_file
from src.errors import UserError
from src.explainers.base import Explainer, Explanation
from src.explainers.targets import name_contrast
from src.heatmap_drawing import overlay_frame, scale_maximum
from src.imaging import ImageError
from src.progress import say, track

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
        frames: how many.
        frames_per_second: of both videos.
        class_counts: int (C,), how many frames were predicted to be of each class.
    """

    path: Path
    frames: int
    frames_per_second: float
    class_counts: np.ndarray


def explain_video(
    explainer: Explainer,
    prepare: Callable[[np.ndarray], np.ndarray],
    source: str | Path,
    target: str | Path,
    class_names: Sequence[str],
    *,
    class_index: int | None = None,
    versus: int | None = None,
    batch_size: int = 32,
    colormap: str = "inferno",
    clip: float = 0.0,
) -> ExplainedVideo:
    """Write the video with the maps over it and each frame's answer at the top; no sound.

    The scale is one for the whole video so far: it ends at the largest value that any frame has had.

    Args:
        prepare: RGB uint8 (H, W, 3) -> one input (h, w, 3).
        source: a video that OpenCV reads.
        target: the MP4 that is written whole or not at all.
        class_index: the class to explain; None for each frame's predicted one.
        versus: the class that the explainer's target sets it against, for the line at the top.
        clip: share of each frame's values beyond the scale; see :func:`src.heatmap_drawing.scale_maximum`.

    Raises:
        ImageError: the video cannot be read.
        UserError: none can be written here, or not all of it.
    """
    capture = open_video(source)
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    promised = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
    counts, greatest, writer = np.zeros(len(class_names), np.int64), 0.0, None
    try:
        with atomic_file(target) as temporary, track(total=promised, what="Explaining", unit="frames") as progress:
            while frames := _read_frames(capture, batch_size):
                explained = explainer.explain(np.stack([prepare(frame) for frame in frames]), class_index)
                writer = writer or _open_writer(temporary, rate, frames[0].shape)
                for index, frame in enumerate(frames):
                    heatmap = explained.heatmaps[index]
                    greatest = max(greatest, scale_maximum(heatmap, signed=explainer.signed, clip=clip))
                    drawn = overlay_frame(
                        frame,
                        heatmap,
                        greatest,
                        caption=_describe(explained, index, class_names, versus),
                        colormap=colormap,
                        signed=explainer.signed,
                    )
                    writer.write(np.ascontiguousarray(drawn[..., ::-1]))
                counts += np.bincount(explained.predicted, minlength=len(class_names))
                progress.update(len(frames))
            if writer is None:
                raise ImageError(source, "not a video that can be read")
            writer.release()
            _check_written(temporary, target, int(counts.sum()))
    finally:
        capture.release()
        if writer is not None:
            writer.release()
    if promised > counts.sum():
        say(f"{source}: {counts.sum():,} of {promised:,} frames could be read")
    return ExplainedVideo(Path(target), int(counts.sum()), rate, counts)


def open_video(path: str | Path) -> cv2.VideoCapture:
    """Open a video, without the decoder's own messages. Raises ``ImageError`` where there is none."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read when the first video is opened
    capture = cv2.VideoCapture(str(path)) if Path(path).is_file() else None
    if capture is None or not capture.isOpened():
        raise ImageError(path, "not a video that can be read" if capture else "there is no such file")
    return capture


def _check_written(temporary: Path, target: str | Path, frames: int) -> None:
    """The encoder tells nobody of a full disk: read how much is there."""
    written = open_video(temporary) if temporary.stat().st_size else None
    count = int(written.get(cv2.CAP_PROP_FRAME_COUNT)) if written else 0
    if written:
        written.release()
    if count < frames:
        raise UserError(f"{target} could not be written whole ({count:,} of {frames:,} frames); is the disk full?")


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
        raise UserError(
            f"no video can be written to {path.parent}: is there room on the disk, and is OpenCV that of opencv-python?"
        )
    return writer


def _describe(explained: Explanation, index: int, class_names: Sequence[str], versus: int | None) -> str:
    asked, predicted = int(explained.class_index[index]), int(explained.predicted[index])
    text = f"{explained.probabilities[index, predicted]:.0%} {class_names[predicted]}"
    if asked == predicted and versus is None:
        return text
    return f"{text}; shown: {name_contrast(class_names[asked], None if versus is None else class_names[versus])}"
