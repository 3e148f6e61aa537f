"""What ``python -m src.gradcam`` does with one model and one method: the test part, pictures, videos."""

import functools
import shutil
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.atomic import atomic_file
from src.bundle import Bundle
from src.covering import cover_test_part, is_covered
from src.datasets.manifest import MARKS, MASKS, mask_path, read_fingerprint
from src.errors import UserError
from src.explainers.base import Explainer
from src.explainers.cam import LayerExplainer
from src.explainers.combined import FlipSmoothed, LayersAveraged
from src.explainers.covering import MOST
from src.explainers.covering_words import VIEWS
from src.explainers.explained_model import ExplainedModel
from src.explainers.gallery import (
    ERRORS,
    ERRORS_SHEET,
    FOCUS_SHEET,
    Gallery,
    choose_errors,
    choose_samples,
    free_name,
)
from src.explainers.registry import EXPLAINERS, create_explainer
from src.explainers.stream import ExplainedPictures, explain_again, explain_pictures
from src.explainers.summary import TrueClassMaps, save_heatmaps, save_strength, summarize_pictures, summarize_test_part
from src.explainers.targets import class_contrast, class_logit, describe_class, find_class
from src.explainers.video import explain_video, is_video_name, open_video
from src.files import finite, write_json
from src.frozen_bundle import load_frozen_bundle
from src.imaging import ImageError, resize_image
from src.inference.engine import create_engine, has_gpu
from src.loading.folder import list_pictures
from src.progress import say

# So many pictures from which on the fast engine has saved more time than it takes to make (docs/performance.md).
ENGINE_FROM = 500
# At this cost of a picture (see base.Passes) or less the runner-up is explained too.
RUNNER_UP_COST = 12
# Then so many wrong answers are explained for their true classes as well, else as many as are drawn.
TRUE_CLASS_MAPS = 300
# Of maps of single pixels this share of the values lies beyond the scale.
CLIP = 0.01
FOCUS_FROM = 4  # pictures named by the user, from which on they show what classes look for


@dataclass(frozen=True)
class Task:
    """One model with what is asked of it.

    Attributes:
        name: as the user named the model.
        class_index: the class to explain; None for each picture's predicted one.
        versus: the class that it is set against; None for none.
        arguments: of the command line.
        pictures: how many there are about to be.
    """

    bundle: Bundle
    name: str
    class_index: int | None
    versus: int | None
    arguments: Namespace
    pictures: int

    @classmethod
    def create(cls, bundle: Bundle, name: str, arguments: Namespace, pictures: int) -> "Task":
        """Look the classes up; raises ``UserError`` for unknown ones and for a class against itself."""
        asked, versus = (
            None if wanted is None else find_class(wanted, bundle.class_names)
            for wanted in (arguments.class_name, arguments.versus)
        )
        if asked is not None and asked == versus:
            raise UserError(f"--class and --versus are both {bundle.class_names[asked]}; name two classes")
        if arguments.method == "eigencam" and (asked is not None or versus is not None or arguments.runner_up):
            raise UserError("Eigen-CAM has one map for all classes; leave out --class, --versus and --runner-up")
        return cls(bundle, name, asked, versus, arguments, pictures)

    @property
    def folder(self) -> Path:
        """Where pictures go: gradcam/<model>, and for methods but Grad-CAM a folder of their own in it."""
        folder, method = Path(self.arguments.output) / self.bundle.name, self.arguments.method
        return folder if method in ("gradcam", "all") or self.arguments.compare else folder / method

    @functools.cached_property
    def explained_model(self) -> ExplainedModel:
        return ExplainedModel(
            self.bundle.model,
            target=class_logit if self.versus is None else class_contrast(self.versus),
            engine=self._make_engine,
            black=self.black,
            soften=self.bundle.soften,
        )

    def _make_engine(self, inputs, outputs: dict):
        arguments, count = self.arguments, self.pictures
        several = arguments.compare or arguments.method == "all"
        if "probabilities" in outputs and (several or EXPLAINERS[arguments.method].many_passes):
            count *= 100  # answers are asked for hundreds of times for each picture, activations once
        elif "probabilities" in outputs and is_covered(self):
            count = len(VIEWS) * min(count, MOST)
        return make_engine(inputs, outputs, bundle=self.bundle, name=self.name, arguments=arguments, count=count)

    @property
    def black(self) -> np.ndarray:
        """What a black pixel is to the model, (3,)."""
        return self.bundle.preprocess(np.zeros((1, 1, 3), np.float32))[0, 0]

    @property
    def value_range(self) -> tuple[float, float]:
        """Least and largest value that the model's inputs can have."""
        ends = [self.bundle.preprocess(np.full((1, 1, 3), value, np.float32)) for value in (0, 255)]
        return float(np.min(ends)), float(np.max(ends))

    def explainer(self, method: str, model: ExplainedModel | None = None) -> Explainer:
        """The method for this model as it is asked for: with its layers, smoothed or not."""
        model, entry, layers = model or self.explained_model, EXPLAINERS[method], self.arguments.layer or []
        if not entry.by_layer:
            if layers and self.arguments.method == method:
                raise UserError(f"{entry.title} looks at the picture itself and takes no layer; leave out --layer")
            explainer = create_explainer(method, model)
        else:
            chosen = layers or [None if entry.after_activation else self.bundle.target_layer or None]
            each = [create_explainer(method, model, target_layer=layer) for layer in chosen]
            explainer = each[0] if len(each) == 1 else LayersAveraged(each)
            engines = [one.uses_engine for one in each if isinstance(one, LayerExplainer)]
            if model is self.explained_model and self.arguments.engine == "openvino" and not all(engines):
                raise UserError(
                    f"in {self.name} something leads past the layer {explainer.target_layer}, so that an engine's "
                    "activations alone are not enough; leave out --engine"
                )
        return FlipSmoothed(explainer) if self.arguments.flips else explainer

    def explains_runner_up(self, explainer: Explainer) -> bool:
        """Whether the class that came next is drawn too: as it was asked for, else where that takes little."""
        if self.arguments.runner_up is not None:
            return self.arguments.runner_up
        told = self.versus is None and explainer.class_specific and explainer.comparable
        return told and explainer.passes.cost <= RUNNER_UP_COST

    def title(self, method: str) -> str:
        """The method's name, with what was done to its maps."""
        return EXPLAINERS[method].title + (" (mean with the mirrored picture's)" if self.arguments.flips else "")

    def describe_target(self) -> str:
        """What is explained, in words."""
        asked = (self.class_index, self.versus)
        return describe_class(*(None if index is None else self.bundle.class_names[index] for index in asked))


def make_engine(inputs, outputs: dict, *, bundle: Bundle, name: str, arguments: Namespace, count: int):
    """What computes frozen networks ``count`` times: the network saved in the bundle for OpenVINO, or an engine made
    now where that pays, or None for TensorFlow; see ``explainers.explained_model.EngineFactory``."""
    if arguments.engine == "keras" or (arguments.engine == "auto" and has_gpu()):
        return None
    if bundle.info:
        frozen = load_frozen_bundle(name, arguments.models_dir)
        same = frozen and frozen.info["sha256"] == bundle.info["sha256"]  # no training has replaced it meanwhile
        if same and outputs.keys() <= set(frozen.engine.output_names):
            return frozen.engine
    if arguments.engine == "auto" and count < ENGINE_FROM:
        return None
    return create_engine(inputs, outputs, arguments.engine)


def describe(task: Task) -> dict:
    """The head of each JSON record."""
    arguments, names = task.arguments, task.bundle.class_names
    every = arguments.compare or arguments.method == "all"
    versus = {} if task.versus is None else {"versus": names[task.versus]}
    return {
        "model": task.bundle.name,
        "method": "all" if every else arguments.method,
        "title": "all methods" if every else task.title(arguments.method),
        "explained_class": None if task.class_index is None else names[task.class_index],
        "flips": arguments.flips,
        "temperature": task.bundle.temperature,
        "network": task.bundle.digest,
        **versus,
    }


def list_test_part(task: Task) -> tuple[list[str], list[int]]:
    """Paths of the test pictures and their classes, in the order of the model's."""
    folder, names = Path(task.arguments.data) / "test", task.bundle.class_names
    found = [list_pictures(folder / name) for name in names]
    paths = [str(folder / name / path) for name, inside in zip(names, found) for path in inside]
    return paths, [label for label, inside in enumerate(found) for _ in inside]


def find_masks(task: Task, paths: Sequence[str], kind: str = MASKS) -> list[Path | None]:
    """Where the mask of each test picture's object, or of its planted mark (MARKS), would lie."""
    data = Path(task.arguments.data)
    return [mask_path(data, Path(path).relative_to(data), kind) for path in paths]


def explain_test_part(task: Task) -> tuple[dict, list]:
    """Explain the test part, write what there is to look at; returns the JSON record and the unreadable pictures."""
    explainer, arguments, class_names = prepare(task), task.arguments, list(task.bundle.class_names)
    paths, labels = list_test_part(task)
    explained = explain_paths(task, explainer, paths, labels)
    folder, own_classes = task.folder, task.class_index is None and task.versus is None
    true = explain_true_classes(task, explainer, explained) if own_classes else None
    save_heatmaps(folder / "heatmaps.npz", explained, class_names, true)
    masks, marks = (find_masks(task, explained.paths, kind) for kind in (MASKS, MARKS))
    summary = summarize_test_part(explained, masks, task.bundle.image_size, class_names, task.class_index, marks)
    save_strength(folder / "activation_strength.csv", summary["activation_strength"])
    chosen = choose_samples(explained.correct, explained.labels, arguments.samples or 8, arguments.seed)
    samples = explained.select(chosen)
    gallery = open_gallery(task, explainer, samples, runner_up=True)
    gallery.draw_samples(range(len(chosen)))
    sheet = gallery.draw_sheet(range(len(chosen)))
    if task.bundle.name == "transfer" and arguments.method == "gradcam":
        with atomic_file(Path(arguments.output) / "gradcam_sample.png") as temporary:
            shutil.copyfile(sheet, temporary)
    wrong = None
    if own_classes:
        open_gallery(task, explainer, explained).draw_class_focus()
        wrong = draw_errors(task, explainer, explained, true)
    else:  # such sheets of an earlier run do not belong to these maps
        for name in (ERRORS_SHEET, FOCUS_SHEET):
            (folder / name).unlink(missing_ok=True)
    record = describe(task) | summary | {"errors_sheet": str(wrong) if wrong else None, "output": str(folder)}
    record |= {"data": read_fingerprint(arguments.data), "command": arguments.command}
    write_json(folder / "explained.json", finite(record))
    return record | {"covering": cover_test_part(task, explained)}, explained.failures


def explain_true_classes(task: Task, explainer: Explainer, explained: ExplainedPictures) -> TrueClassMaps | None:
    """Wrong answers explained for their true classes, more of them than are drawn where that takes little; None where
    no answer is wrong, or where the method has one map for all classes."""
    most = TRUE_CLASS_MAPS if explainer.passes.cost <= RUNNER_UP_COST else ERRORS
    indices = choose_errors(explained, most) if explainer.class_specific else []
    if not indices:
        return None
    say(f"{len(indices)} wrong answers once more, for their true classes.")
    wrong = explained.select(indices)
    again = explain_again(explainer, task.bundle.read, wrong, wrong.labels, task.arguments.batch_size)
    return TrueClassMaps(np.asarray(indices), again)


def draw_errors(
    task: Task, explainer: Explainer, explained: ExplainedPictures, true: TrueClassMaps | None
) -> Path | None:
    """Draw why wrong answers were given: their maps for the predicted class beside those for the true one.

    Returns the sheet's path; None where no answer is wrong, or where the method has one map for all classes.
    """
    if not explainer.class_specific:
        return None
    drawn = true.select(ERRORS) if true else None
    gallery = open_gallery(task, explainer, explained.select(drawn.index if drawn else []))
    return gallery.draw_errors(drawn.explanation if drawn else None, int((~explained.correct).sum()))


def explain_single_pictures(task: Task, paths: list[str]) -> tuple[dict, list]:
    """Explain and draw the pictures and videos named; returns the JSON record and the unreadable pictures."""
    videos, pictures = ([path for path in paths if is_video_name(path) is wanted] for wanted in (True, False))
    videos, failures = check_videos(videos)
    if not videos and not pictures:
        raise UserError(f"none of the {len(paths)} videos could be read; the first: {failures[0]}")
    explainer, record = prepare(task), describe(task)
    if pictures:
        explained = explain_paths(task, explainer, pictures, [-1] * len(pictures))
        gallery = open_gallery(task, explainer, explained, runner_up=True)
        saved = gallery.draw_each()
        sheet = gallery.draw_sheet(range(len(saved)), "pictures.png")
        if len(saved) >= FOCUS_FROM and task.versus is None:
            gallery.draw_class_focus("pictures_focus.png")
        save_heatmaps(task.folder / "pictures.npz", explained, task.bundle.class_names)
        record |= summarize_pictures(explained, saved, task.bundle.class_names) | {"sheet": str(sheet)}
        failures += explained.failures
    if videos:
        taken: set[Path] = set()
        record["videos"] = [_explain_video(task, explainer, path, taken) for path in videos]
    return record, failures


def check_videos(paths: Sequence[str]) -> tuple[list[str], list[ImageError]]:
    """Videos that can be opened, and the errors of the others: before hours of work, not after them."""
    good, failures = [], []
    for path in paths:
        try:
            open_video(path).release()
            good.append(path)
        except ImageError as error:
            failures.append(error)
    return good, failures


def _explain_video(task: Task, explainer: Explainer, path: str, taken: set[Path]) -> dict:
    """Explain one video; ``taken`` are the results so far, and gets this one."""
    target = free_name(task.folder / "videos", path, ".mp4", taken | {Path(path).resolve()})
    taken.add(target.resolve())
    bundle, arguments = task.bundle, task.arguments
    explained = explain_video(
        explainer,
        lambda frame: bundle.preprocess(resize_image(frame, bundle.image_size, bundle.interpolation)),
        path,
        target,
        bundle.class_names,
        class_index=task.class_index,
        versus=task.versus,
        batch_size=arguments.batch_size,
        colormap=arguments.colormap,
        clip=CLIP if EXPLAINERS[arguments.method].scattered else 0.0,
    )
    most = int(explained.class_counts.argmax())
    return {
        "path": path,
        "saved": str(explained.path),
        "frames": explained.frames,
        "frames_per_second": explained.frames_per_second,
        "most_often": bundle.class_names[most],
        "share_of_frames": float(explained.class_counts[most] / explained.frames),
    }


def prepare(task: Task, method: str | None = None) -> Explainer:
    """The explainer, after a line that says what it looks at and what a picture costs."""
    method = method or task.arguments.method
    explainer = task.explainer(method)
    layer = f" of the layer {explainer.target_layer}" if explainer.target_layer else ""
    again = (
        ", and again for the runner-up"
        if method == task.arguments.method and task.explains_runner_up(explainer)
        else ""
    )
    say(f"{task.title(method)}{layer}: runs of the network for a picture: {explainer.passes}{again}")
    return explainer


def explain_paths(task: Task, explainer: Explainer, paths: Sequence[str], labels: Sequence[int]) -> ExplainedPictures:
    """Explain these pictures for the class that is asked for."""
    return explain_pictures(
        explainer,
        task.bundle.read,
        paths,
        labels,
        class_index=task.class_index,
        batch_size=task.arguments.batch_size,
    )


def open_gallery(task: Task, explainer: Explainer, explained: ExplainedPictures, *, runner_up: bool = False) -> Gallery:
    """A gallery of these pictures, with the class that came next where that is wanted and cheap."""
    arguments, second = task.arguments, None
    if runner_up and task.explains_runner_up(explainer):
        second = explain_again(
            explainer, task.bundle.read, explained, explained.explanation.runner_up, arguments.batch_size
        )
    entry = EXPLAINERS[arguments.method]
    return Gallery(
        task.folder,
        explained,
        task.bundle.class_names,
        task.title(arguments.method),
        arguments.colormap,
        signed=explainer.signed,
        contours=arguments.contours and not entry.scattered,
        clip=CLIP if entry.scattered else 0.0,
        runner_up=second,
        name=task.bundle.name,
        versus=None if task.versus is None else task.bundle.class_names[task.versus],
        comparable=explainer.comparable,
    )
