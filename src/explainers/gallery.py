"""What explained pictures leave to look at: single drawings, contact sheets, what classes look for, wrong answers."""

import re
from collections.abc import Iterator, Sequence
from itertools import count, zip_longest
from pathlib import Path

import numpy as np

from src.atomic import atomic_folder
from src.drawing import GREEN, RED, draw_contact_sheet
from src.explainers.base import Explanation
from src.explainers.stream import ExplainedPictures
from src.explainers.targets import name_contrast
from src.explanation_drawing import (
    color_bar,
    draw_class_focus,
    draw_explanation,
    explanation_of_error,
    explanation_pair,
)
from src.heatmap_drawing import NO_EVIDENCE, describe_maximum, scale_maximum, write_overlay
from src.imaging import read_image
from src.progress import track
from src.settings import random_generator

SHEET_PICTURES = 24
ERRORS_SHEET, FOCUS_SHEET = "errors_explained.png", "class_focus.png"
ERRORS = 16  # on the sheet of wrong answers
FOCUS_CLASSES, FOCUS_PICTURES = 24, 200  # on the sheet of what classes look for: rows, and pictures in each mean


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


def choose_errors(explained: ExplainedPictures, most: int = ERRORS) -> list[int]:
    """At most so many wrong answers, those of the largest losses (the least probability for the true class), the
    largest first."""
    probabilities = explained.explanation.probabilities
    wrong = np.flatnonzero(~explained.correct)
    given = probabilities[wrong, explained.labels[wrong]]
    return wrong[np.argsort(given, kind="stable")[:most]].tolist()


class Gallery:
    """Draws explained pictures of one model into one folder.

    Args:
        folder: gradcam/<model>.
        method: the explainer's title.
        class_names: in the order of the model's outputs.
        colormap: a name that matplotlib knows, for unsigned maps.
        signed: whether negative values speak against the class; see src/heatmap_drawing.py.
        contours: draw iso-lines too.
        clip: share of each map's values beyond its scale; see :func:`src.heatmap_drawing.scale_maximum`.
        runner_up: explanation of the same pictures, each for another class, drawn beside the first one.
        versus: the class that the explained one is set against, where there is one.
        comparable: whether the strengths of one picture's maps for two classes can be compared.
        name: the model's; that of the folder, if not given.

    Raises:
        ValueError: a runner-up of other pictures, or of the same class.
    """

    def __init__(
        self,
        folder: Path,
        explained: ExplainedPictures,
        class_names: Sequence[str],
        method: str,
        colormap: str,
        *,
        signed: bool = False,
        contours: bool = False,
        clip: float = 0.0,
        runner_up: Explanation | None = None,
        versus: str | None = None,
        comparable: bool = True,
        name: str | None = None,
    ):
        self.folder, self.explained, self.class_names = Path(folder), explained, class_names
        self.name = name or self.folder.name
        self.method, self.colormap, self.signed = method, colormap, signed
        self.contours, self.clip, self.runner_up, self.versus = contours, clip, runner_up, versus
        self.comparable = comparable
        if runner_up is not None:
            first, second = explained.explanation.class_index, runner_up.class_index
            if len(first) != len(second) or np.any(first == second):
                raise ValueError("the runner-up must explain another class of each of the same pictures")

    def title(self, index: int) -> list[str]:
        """The lines over a drawing: true and predicted class with confidence, and the explained class if another."""
        explanation, label = self.explained.explanation, self.explained.labels[index]
        predicted, asked = int(explanation.predicted[index]), int(explanation.class_index[index])
        lines = [f"true: {self.class_names[label]}"] if label >= 0 else []
        # The confidence first: it must survive when a long name is cut.
        lines.append(f"predicted ({explanation.probabilities[index, predicted]:.1%}): {self.class_names[predicted]}")
        if asked != predicted or self.versus:
            about = name_contrast(self.class_names[asked], self.versus)
            lines.append(f"explained ({explanation.probabilities[index, asked]:.1%}): {about}")
        return lines

    def draw_samples(self, indices: Sequence[int]) -> None:
        """Write ``correct/<class>/<picture>.png`` and ``wrong/<class>/<picture>.png`` in the place of older ones."""
        with atomic_folder(self.folder / "correct") as correct, atomic_folder(self.folder / "wrong") as wrong:
            for index in track(indices, what="Drawing"):
                place = correct if self.explained.correct[index] else wrong
                class_name = _file_name(self.class_names[self.explained.labels[index]])
                self._draw(index, place / class_name)

    def draw_each(self) -> list[Path]:
        """Write for every picture ``pictures/<picture>.png``, and at the picture's own size ``<picture>_overlay.png``
        and, the map alone with transparency, ``<picture>_layer.png``; returns the paths of the first ones."""
        taken: set[Path] = set()
        return [
            self._draw(index, self.folder / "pictures", taken)
            for index in track(range(len(self.explained.paths)), what="Drawing")
        ]

    def _draw(self, index: int, folder: Path, taken: set[Path] | None = None) -> Path:
        """Draw one picture under a name that is free; where names are ``taken``, as they are given, its layers too."""
        suffixes = ("", "_overlay", "_layer") if taken is not None else ("",)
        path = free_name(folder, self.explained.paths[index], ".png", taken, suffixes)
        paths = [path.with_name(f"{path.stem}{suffix}.png") for suffix in suffixes]
        image, heatmap = read_image(self.explained.paths[index]), self.explained.explanation.heatmaps[index]
        style = {"colormap": self.colormap, "signed": self.signed, "contours": self.contours}
        second = self._runner_up(index)
        draw_explanation(
            image,
            heatmap,
            paths[0],
            title="\n".join(self.title(index)),
            method=self.method,
            clip=self.clip,
            answer=self._name(self.explained.explanation, index),
            runner_up=second,
            **style,
        )
        if taken is not None:
            taken.update(paths)
            shown = [heatmap] if second is None else [heatmap, second[0]]
            maximum = scale_maximum(*shown, signed=self.signed, clip=self.clip)  # as in the figure
            write_overlay(image, heatmap, *paths[1:], maximum=maximum, **style)
        return paths[0]

    def _name(self, explanation: Explanation, index: int) -> tuple[str, float]:
        """Name and probability of the class that a map is about."""
        asked = int(explanation.class_index[index])
        return self.class_names[asked], float(explanation.probabilities[index, asked])

    def _runner_up(self, index: int) -> tuple[np.ndarray, str, float] | None:
        if self.runner_up is None:
            return None
        return self.runner_up.heatmaps[index], *self._name(self.runner_up, index)

    def draw_sheet(self, indices: Sequence[int], name: str = "gradcam_samples.png") -> Path:
        """Write a contact sheet of picture and overlay in pairs, wrong ones in red; returns its path."""
        shown = _spread(indices, self.explained.labels, self.explained.correct)
        heatmaps = self.explained.explanation.heatmaps
        style = {"signed": self.signed, "contours": self.contours, "clip": self.clip}
        reference = max(scale_maximum(heatmaps[i], signed=self.signed, clip=self.clip) for i in shown)
        judged = bool((self.explained.labels[shown] >= 0).all())  # pictures of unknown class are neither
        path = self.folder / name
        left_out = f", {len(shown)} of {len(indices)} shown" if len(shown) < len(indices) else ""
        draw_contact_sheet(
            [
                explanation_pair(read_image(self.explained.paths[i]), heatmaps[i], reference, self.colormap, **style)
                for i in shown
            ],
            ["\n".join([*self.title(i), describe_maximum(heatmaps[i], self.signed)]) for i in shown],
            path,
            columns=2 if len(shown) == 4 else min(3, len(shown)),
            title=f"{self._heading()}{left_out}{'; green: right, red: wrong' if judged else ''}\n"
            "each map on its own scale; the bar below it: its largest value beside the largest here",
            caption_colors=[GREEN if self.explained.correct[i] else RED for i in shown] if judged else None,
            cell=None,
            bar=color_bar(
                1.0, self.colormap, "share of its scale" if self.clip else "share of its largest value", **style
            ),
        )
        return path

    def draw_errors(self, true: Explanation | None, wrong: int, name: str = ERRORS_SHEET) -> Path | None:
        """Write a sheet of wrong answers: the picture, what spoke for the predicted class, what for the true one.

        Args:
            true: the gallery's pictures explained for their true classes; None where no answer is wrong.
            wrong: how many wrong answers there are, shown or not.

        Returns:
            The path; None where no answer is wrong, and no older file of that name any more.
        """
        path = self.folder / name
        if true is None:
            path.unlink(missing_ok=True)
            return None
        style = {"signed": self.signed, "contours": self.contours, "clip": self.clip}
        tiles, captions = [], []
        for index, picture in enumerate(self.explained.paths):
            maps = self.explained.explanation.heatmaps[index], true.heatmaps[index]
            image, one_scale = read_image(picture), self.comparable
            tiles.append(explanation_of_error(image, *maps, self.colormap, one_scale=one_scale, **style))
            (named, sure), (right, given) = self._name(self.explained.explanation, index), self._name(true, index)
            found = self._compare_maps({named: maps[0], right: maps[1]})
            captions.append(f"predicted ({sure:.1%}): {named}\ntrue ({given:.1%}): {right}\n{found}")
        scale = "one scale" if self.comparable else "its own scale each"
        draw_contact_sheet(
            tiles,
            captions,
            path,
            columns=min(2, len(tiles)),
            title=f"{self._heading()}: {len(tiles)} of {wrong} wrong answers, the largest losses first\n"
            f"picture, map for the predicted class, map for the true class, these two on {scale}",
            cell=None,
            bar=color_bar(
                1.0, self.colormap, "share of the scale" if self.clip else "share of the scale's largest value", **style
            ),
        )
        return path

    def _compare_maps(self, maps: dict[str, np.ndarray]) -> str:
        """Of a picture's maps for two classes: which have no evidence, else how far they agree."""
        empty = [name for name, values in maps.items() if not scale_maximum(values, signed=self.signed) > 0]
        if empty:
            return f"{NO_EVIDENCE if not self.signed else 'no evidence'} for {' or '.join(empty)}"
        agreement = correlate_maps(*maps.values())
        return "a map is the same everywhere" if agreement is None else f"correlation of the two maps {agreement:.2f}"

    def _heading(self) -> str:
        layer = self.explained.explanation.target_layer
        return f"{self.name}: {self.method}{f' of the layer {layer}' if layer else ''}"

    def draw_class_focus(self, name: str = FOCUS_SHEET) -> Path | None:
        """Write what the explained classes look for, of the pictures that were predicted rightly or whose class is not
        known: mean picture, mean map, crops around the strongest peaks. Of more than 24 classes every k-th, of each up
        to 200 pictures.

        Returns:
            The path; None where there is no such picture, and no older file of that name any more.
        """
        asked = self.explained.explanation.class_index
        labels = self.explained.labels
        right = (labels < 0) | (self.explained.correct & (asked == labels))
        chosen = [
            _evenly(np.flatnonzero(right & (asked == label)), FOCUS_PICTURES)
            for label in _evenly(np.unique(asked[right]), FOCUS_CLASSES)
        ]
        path = self.folder / name
        if not chosen:
            path.unlink(missing_ok=True)
            return None
        with track(total=sum(map(len, chosen)), what="Reading") as progress:

            def read(indices: np.ndarray) -> Iterator[np.ndarray]:
                for index in indices:
                    yield read_image(self.explained.paths[index], needed=(512, 512))
                    progress.update(1)

            draw_class_focus(
                (
                    (self.class_names[asked[indices[0]]], read(indices), self.explained.explanation.heatmaps[indices])
                    for indices in chosen
                ),
                path,
                title=f"{self._heading()}: what classes look for",
                colormap=self.colormap,
                signed=self.signed,
                clip=self.clip,
            )
        return path


def free_name(
    folder: Path, source: str | Path, ending: str, taken: set[Path] | None = None, suffixes: Sequence[str] = ("",)
) -> Path:
    """A path in ``folder`` called after ``source``, numbered where there is such a thing: x.jpg beside x.png, or of
    another folder.

    Args:
        ending: of the path, with its dot.
        taken: paths that are; None for those that exist.
        suffixes: what else is written under that name, each before the ending; all must be free.
    """
    stem = _file_name(Path(source).stem)
    for number in count(1):
        path = folder / (f"{stem}{ending}" if number == 1 else f"{stem}_{number}{ending}")
        names = [path.with_name(f"{path.stem}{suffix}{ending}") for suffix in suffixes]
        if not any(name in taken or name.resolve() in taken if taken is not None else name.exists() for name in names):
            return path
    raise AssertionError("there is always a number")


def correlate_maps(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's correlation of two maps of one size; None where one is the same everywhere."""
    if not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return None
    return float(np.corrcoef(np.ravel(first), np.ravel(second))[0, 1])


def _evenly(values: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the values, evenly spread from the first to the last."""
    return values[np.linspace(0, len(values) - 1, min(len(values), most)).astype(int)]


def _spread(indices: Sequence[int], labels: np.ndarray, correct: np.ndarray, most: int = SHEET_PICTURES) -> list[int]:
    """At most ``most`` of the samples, in their order, by turns: of each class a wrong one, of each a right one ...

    Of more classes than ``most`` every k-th is taken.
    """
    turns: dict[int, list[int]] = {}
    for label in dict.fromkeys(labels[list(indices)].tolist()):
        of_class = [index for index in indices if labels[index] == label]
        wrong, right = ([index for index in of_class if bool(correct[index]) is is_right] for is_right in (False, True))
        turns[label] = [index for pair in zip_longest(wrong, right) for index in pair if index is not None]
    classes = _evenly(np.asarray(list(turns)), most).tolist()
    by_turns = [index for turn in zip_longest(*(turns[label] for label in classes)) for index in turn]
    chosen = set([index for index in by_turns if index is not None][:most])
    return [index for index in indices if index in chosen]


def _file_name(text: str) -> str:
    """A class or a picture as a part of a path: no separators, not hidden, not "..", of bearable length."""
    plain = re.sub(r"[^\w .,()+-]", "_", text.encode("utf-8", "replace").decode()).strip(" .")
    return plain[:100].encode()[:200].decode(errors="ignore") or "_"  # a file system counts bytes, up to 255
