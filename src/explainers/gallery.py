"""What explained pictures leave to look at: single drawings and one contact sheet."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from src.drawing import GREEN, RED, describe_maximum, draw_contact_sheet, draw_explanation, explanation_pair
from src.explainers.stream import ExplainedPictures
from src.files import atomic_folder
from src.imaging import read_image
from src.progress import track
from src.settings import random_generator

SHEET_PICTURES = 24
TITLES = {"gradcam": "Grad-CAM"}


def choose_samples(correct: np.ndarray, labels: np.ndarray, per_class: int, seed: int) -> list[int]:
    """Pictures to draw: of every class up to ``per_class``, half of them wrong ones where there are as many.

    Drawn at random as a function of the seed and the class; in the order of class, wrong ones first.

    Args:
        correct: bool (N,).
        labels: int (N,), the true classes.
    """
    chosen = []
    for label in np.unique(labels):
        rng = random_generator(seed, int(label))
        right, wrong = (
            rng.permutation(np.flatnonzero((labels == label) & (correct == is_right))) for is_right in (1, 0)
        )
        wrong_count = min(len(wrong), max(per_class // 2, per_class - len(right)))
        chosen += [*wrong[:wrong_count].tolist(), *right[: per_class - wrong_count].tolist()]
    return chosen


class Gallery:
    """Draws explained pictures of one model into one folder.

    Args:
        folder: gradcam/<model>.
        method: the explainer's name, for titles.
        class_names: in the order of the model's outputs.
        colormap: a name that matplotlib knows.
    """

    def __init__(
        self, folder: Path, explained: ExplainedPictures, class_names: Sequence[str], method: str, colormap: str
    ):
        self.folder, self.explained, self.class_names = Path(folder), explained, class_names
        self.method, self.colormap = TITLES.get(method, method), colormap

    def title(self, index: int) -> list[str]:
        """The lines over a drawing: true and predicted class with confidence, and the explained class if another."""
        explanation, label = self.explained.explanation, self.explained.labels[index]
        predicted, asked = int(explanation.predicted[index]), int(explanation.class_index[index])
        lines = [f"true: {self.class_names[label]}"] if label >= 0 else []
        # The confidence first: it must survive when a long name is cut.
        lines.append(f"predicted ({explanation.probabilities[index, predicted]:.1%}): {self.class_names[predicted]}")
        if asked != predicted:
            lines.append(f"explained ({explanation.probabilities[index, asked]:.1%}): {self.class_names[asked]}")
        return lines

    def draw_samples(self, indices: Sequence[int]) -> None:
        """Write ``correct/<class>/<picture>.png`` and ``wrong/<class>/<picture>.png`` in the place of older ones."""
        with atomic_folder(self.folder / "correct") as correct, atomic_folder(self.folder / "wrong") as wrong:
            for index in track(indices, what="Drawing"):
                place = correct if self.explained.correct[index] else wrong
                class_name = _file_name(self.class_names[self.explained.labels[index]])
                self._draw(index, place / class_name)

    def draw_each(self) -> list[Path]:
        """Write ``pictures/<picture>.png`` for every picture; returns the paths."""
        taken: set[Path] = set()
        return [
            self._draw(index, self.folder / "pictures", taken)
            for index in track(range(len(self.explained.paths)), what="Drawing")
        ]

    def _draw(self, index: int, folder: Path, taken: set[Path] | None = None) -> Path:
        stem = _file_name(Path(self.explained.paths[index]).stem)
        path, number = folder / f"{stem}.png", 1
        while path in taken if taken is not None else path.exists():  # x.jpg beside x.png, or of another folder
            number += 1
            path = folder / f"{stem}_{number}.png"
        if taken is not None:
            taken.add(path)
        draw_explanation(
            read_image(self.explained.paths[index]),
            self.explained.explanation.heatmaps[index],
            path,
            title="\n".join(self.title(index)),
            method=self.method,
            colormap=self.colormap,
        )
        return path

    def draw_sheet(self, indices: Sequence[int], name: str = "gradcam_samples.png") -> Path:
        """Write a contact sheet of picture and overlay in pairs, wrong ones in red; returns its path."""
        shown = _spread(indices, self.explained.labels, self.explained.correct)
        heatmaps = self.explained.explanation.heatmaps
        reference = max(float(heatmaps[shown].max()), 0.0)
        judged = bool((self.explained.labels[shown] >= 0).all())  # pictures of unknown class are neither
        path = self.folder / name
        left_out = f", {len(shown)} of {len(indices)} shown" if len(shown) < len(indices) else ""
        draw_contact_sheet(
            [
                explanation_pair(read_image(self.explained.paths[i]), heatmaps[i], reference, self.colormap)
                for i in shown
            ],
            ["\n".join([*self.title(i), describe_maximum(heatmaps[i])]) for i in shown],
            path,
            columns=2 if len(shown) == 4 else min(3, len(shown)),
            title=f"{self.folder.name}: {self.method} of the layer {self.explained.explanation.target_layer}{left_out}"
            f"{'; green: right, red: wrong' if judged else ''}\n"
            "each map on its own scale; the bar below it: its largest value beside the largest here",
            caption_colors=[GREEN if self.explained.correct[i] else RED for i in shown] if judged else None,
            cell=None,
            scale=(1.0, self.colormap, "share of its largest value"),
        )
        return path


def _spread(indices: Sequence[int], labels: np.ndarray, correct: np.ndarray, most: int = SHEET_PICTURES) -> list[int]:
    """At most ``most`` of the samples, in their order, by turns: of each class a wrong one, of each a right one ...

    Of more classes than ``most`` every k-th is taken.
    """
    turns: dict[int, list[int]] = {}
    for label in dict.fromkeys(labels[list(indices)].tolist()):
        of_class = [index for index in indices if labels[index] == label]
        wrong, right = ([index for index in of_class if bool(correct[index]) is is_right] for is_right in (False, True))
        turns[label] = [index for pair in zip_longest(wrong, right) for index in pair if index is not None]
    classes = list(turns)
    classes = [classes[i] for i in np.linspace(0, len(classes) - 1, min(len(classes), most)).astype(int)]
    by_turns = [index for turn in zip_longest(*(turns[label] for label in classes)) for index in turn]
    chosen = set([index for index in by_turns if index is not None][:most])
    return [index for index in indices if index in chosen]


def _file_name(text: str) -> str:
    """A class or a picture as a part of a path: no separators, not hidden, not "..", of bearable length."""
    return re.sub(r"[^\w .,()+-]", "_", text.encode("utf-8", "replace").decode()).strip(" .")[:100] or "_"
