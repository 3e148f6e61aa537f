"""A training's course for TensorBoard: figures after each epoch, and at the end pictures of what is still wrong."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from src.bundle import load_bundle
from src.errors import UserError, shorten_error
from src.evaluating import predict_part
from src.evaluation.artefacts import save_evaluation
from src.evaluation.metrics import evaluate_predictions
from src.imaging import ImageError, read_image
from src.progress import say

# Row of the history -> chart: TensorBoard draws what has a common first part side by side.
_CHARTS = {
    "loss": "loss/training",
    "clean_loss": "loss/training pictures as they are",
    "val_loss": "loss/validation",
    "accuracy": "accuracy/training",
    "clean_accuracy": "accuracy/training pictures as they are",
    "val_accuracy": "accuracy/validation",
    "learning_rate": "learning rate",
    "seconds": "seconds an epoch",
}
_PICTURES = {"confusion_matrix.png": "validation/confusion matrix", "errors.png": "validation/wrong, the surest first"}


class TensorBoardLog:
    """Writes into one folder, which ``tensorboard --logdir`` shows; as a listener it takes each row of the history.

    Args:
        folder: None to write nothing.

    Raises ``UserError`` where it cannot be written to.
    """

    def __init__(self, folder: str | Path | None):
        self._writer = None
        if folder:
            try:
                os.makedirs(folder, exist_ok=True)
                self._writer = tf.summary.create_file_writer(str(folder))
                self._writer.flush()
            except (OSError, tf.errors.OpError) as error:
                raise UserError(
                    f"--tensorboard {folder}: no logs can be written there; choose another folder"
                ) from error

    def __call__(self, row: dict) -> None:
        if not self._writer:
            return
        with self._writing(row["epoch"]):
            for name, chart in _CHARTS.items():
                if name in row:
                    tf.summary.scalar(chart, row[name])

    def add_pictures(self, bundle_folder: str | Path, data_dir: str | Path, batch_size: int, epoch: int) -> None:
        """The kept network's confusion matrix and wrong answers on the validation part, as images of that epoch."""
        if not self._writer:
            return
        bundle = load_bundle(bundle_folder)
        class_names = list(bundle.class_names)
        try:
            answers = predict_part(bundle, class_names, "val", data=data_dir, batch_size=batch_size)
        except ImageError as error:  # which the training has passed over
            say(f"TensorBoard gets no pictures of the validation part: {error}.")
            return
        evaluation = evaluate_predictions(answers.labels, answers.probabilities, class_names)
        with tempfile.TemporaryDirectory() as scratch, self._writing(epoch):
            folder = Path(scratch) / f"{bundle.name}, validation"
            save_evaluation(folder, evaluation, answers, class_names)
            for file_name, chart in _PICTURES.items():
                if (folder / file_name).is_file():
                    tf.summary.image(chart, np.asarray(read_image(folder / file_name))[None])

    @contextlib.contextmanager
    def _writing(self, epoch: int) -> Iterator[None]:
        """Let summaries go to the log; one that cannot be written ends the log, and not the training."""
        try:
            with self._writer.as_default(epoch):
                yield
            self._writer.flush()
        except (OSError, tf.errors.OpError) as error:
            say(f"TensorBoard's log ends here, since it cannot be written ({shorten_error(error)}).")
            self._writer = None
