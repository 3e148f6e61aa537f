"""The models behind the page: each loaded when it is first asked for, its explainers kept, one picture at a time."""

import functools
import time
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from src.bundle import Bundle, load_bundle
from src.bundle_facts import find_bundle
from src.errors import UserError
from src.explainers.base import Explainer
from src.explainers.registry import EXPLAINERS
from src.explaining import CLIP, Task
from src.heatmap_drawing import heatmap_layer, scale_maximum
from src.model_choice import BUNDLE_FILE, model_name, plain_facts
from src.progress import say
from src.reporting.results import read_results
from src.webapp.judged import Judged
from src.webapp.uploads import Upload, encode_jpeg, encode_png

TASKS = 8  # pairs of model and class set against others, each with graphs of its own, that are kept
MANY = 10_000  # pictures that a model is expected to see: its engine pays
ERRORS = 60  # of the gallery, for each model


@dataclass(frozen=True)
class TestError:
    """A test picture that a model got wrong."""

    path: Path
    true: str
    predicted: str
    confidence: float


class Service:
    """Answers about single pictures. Its methods are for one thread at a time.

    Args:
        names: the models, as users name them; the first is the default.
        arguments: of the command line: models_dir, classes, preprocessing, engine; data and output, where the test
            errors come from.
    """

    def __init__(self, names: Sequence[str], arguments: Namespace):
        self.names = {model_name(name): name for name in names}
        self._arguments = arguments
        self._bundles: dict[str, Bundle] = {}
        self._states: dict[str, object] = {}
        self._judged: dict[str, Judged] = {}
        self._tasks: OrderedDict[tuple[str, int | None], Task] = OrderedDict()
        self._explainers: dict[tuple[str, int | None, str], Explainer] = {}

    # ------------------------------------------------------------------------------------------------- what there is

    def bundle(self, name: str) -> Bundle:
        """The model of that name, loaded once. Raises ``UserError`` where it is none of the service's, or damaged."""
        if name not in self.names:
            raise UserError(f"there is no model {name}; there are {', '.join(self.names)}")
        given = self.names[name]
        state = _file_state(given, self._arguments.models_dir)
        if name in self._bundles and self._states[name] != state:
            self._forget(name)
        if name not in self._bundles:
            self._states[name] = state
            self._bundles[name] = load_bundle(given, self._arguments.models_dir, **plain_facts(given, self._arguments))
        return self._bundles[name]

    def _forget(self, name: str) -> None:
        """What is known of a model that was trained anew."""
        say(f"{name} was trained anew; it is loaded again.")
        del self._bundles[name]
        self._judged.pop(name, None)
        self._tasks = OrderedDict((key, task) for key, task in self._tasks.items() if key[0] != name)
        self._explainers = {key: each for key, each in self._explainers.items() if key[0] != name}
        self.__dict__.pop("errors", None)

    @functools.cached_property
    def errors(self) -> dict[str, list[TestError]]:
        """Each model's wrong test answers, the surest first, where it was evaluated; read once."""
        try:
            results = read_results(
                Path(self._arguments.data), Path(self._arguments.models_dir), Path(self._arguments.output)
            )
        except UserError:  # nothing was evaluated: the page has no gallery
            return {}
        if not results.data.counts:  # then its files are not known to be test pictures
            return {}
        return {
            model.name: [
                TestError(results.data.folder / answer.path, answer.true, answer.predicted, answer.confidence)
                for answer in model.wrong
                if (results.data.folder / answer.path).is_file()
            ][:ERRORS]
            for model in results.models
            if model.name in self.names
        }

    # -------------------------------------------------------------------------------------------------- what is asked

    def predict(self, upload: Upload, model: str, top: int | None = None) -> dict:
        """Classes with their probabilities 0..1, the likeliest first.

        Args:
            top: at most so many; None for all.
        """
        bundle = self.bundle(model)
        start = time.perf_counter()
        explained = self._task(model, None).explained_model
        inputs = upload.prepare(bundle)[None]
        probabilities = bundle.soften(explained.answer(inputs)[1])[0]
        return {
            "model": model,
            "classes": _rank(bundle, probabilities, top),
            **self._judge(model, inputs, probabilities),
            "seconds": round(time.perf_counter() - start, 4),
        }

    def explain(
        self, upload: Upload, model: str, method: str, class_name: str | None = None, versus: str | None = None
    ) -> dict:
        """Why a class: its map as a layer to lay over the picture; and the answer.

        Args:
            class_name: the class to explain; None for the predicted one.
            versus: the class that it is set against; None for none.

        Raises ``UserError`` for an unknown model, method or class, or a method that does not fit the model.
        """
        if method not in EXPLAINERS:
            raise UserError(f"there is no method {method}; there are {', '.join(EXPLAINERS)}")
        bundle = self.bundle(model)
        start = time.perf_counter()
        asked = self._create(bundle, model, method, class_name, versus)
        explainer = self._explainer(asked, model)
        inputs = upload.prepare(bundle)[None]
        explanation = explainer.explain(inputs, asked.class_index)
        heatmap = explanation.heatmaps[0]
        bundle.check_finite(heatmap)
        clip = CLIP if EXPLAINERS[method].scattered else 0.0
        maximum = scale_maximum(heatmap, signed=explainer.signed, clip=clip)
        layer = heatmap_layer(heatmap, upload.shown.shape[:2], maximum, signed=explainer.signed)
        return {
            "model": model,
            "method": method,
            "title": EXPLAINERS[method].title,
            "classes": _rank(bundle, explanation.probabilities[0], None),
            **self._judge(model, inputs, explanation.probabilities[0]),
            "explained": bundle.class_names[int(explanation.class_index[0])],
            "versus": versus and bundle.class_names[asked.versus],
            "signed": explainer.signed,
            "class_specific": explainer.class_specific,
            "largest": maximum,
            "target_layer": explanation.target_layer,
            "passes": str(explainer.passes),
            "picture": encode_jpeg(upload.shown),
            "layer": encode_png(layer),
            "seconds": round(time.perf_counter() - start, 4),
        }

    def warm_up(self) -> None:
        """Have the default model name and explain a gray picture, so that the first visitor need not wait."""
        gray = cv2.imencode(".png", np.full((64, 64, 3), 128, np.uint8))[1].tobytes()
        default = next(iter(self.names))
        self.predict(Upload.open(gray), default)
        try:
            self.explain(Upload.open(gray), default, "gradcam")
        except UserError as error:  # a network without convolutions can be asked, though not by this method
            say(f"{default} cannot be explained by Grad-CAM: {error}.")

    def _judge(self, model: str, inputs: np.ndarray, probabilities: np.ndarray) -> dict:
        """The verdict on one picture's answer, which has been checked."""
        if model not in self._judged:
            self._judged[model] = Judged(self.bundle(model), self._arguments.engine)
        return self._judged[model].describe(inputs, probabilities)

    def _ask(self, method: str, class_name: str | None, versus: str | None) -> Namespace:
        """What ``python -m src.gradcam`` would be asked on its command line."""
        fixed = {"runner_up": False, "compare": False, "layer": None, "flips": False, "output": ""}
        asked = {"method": method, "class_name": class_name, "versus": versus}
        return Namespace(**vars(self._arguments) | fixed | asked)

    def _task(self, model: str, versus: int | None) -> Task:
        """The task whose graphs serve all methods and classes of a model, but for another class set against them."""
        key = (model, versus)
        if key not in self._tasks:
            bundle = self.bundle(model)
            against = None if versus is None else bundle.class_names[versus]
            self._tasks[key] = Task.create(bundle, self.names[model], self._ask("gradcam", None, against), MANY)
            contrasts = [kept for kept in self._tasks if kept[1] is not None]  # the others are what most ask for
            if len(contrasts) > TASKS:
                del self._tasks[contrasts[0]]
                self._explainers = {kept: each for kept, each in self._explainers.items() if kept[:2] != contrasts[0]}
        self._tasks.move_to_end(key)
        return self._tasks[key]

    def _explainer(self, asked: Task, model: str) -> Explainer:
        key = (model, asked.versus, asked.arguments.method)
        # All tasks of a model share one: what cached_property would make anew is put in its place.
        vars(asked)["explained_model"] = self._task(model, asked.versus).explained_model
        if key not in self._explainers:
            self._explainers[key] = asked.explainer(asked.arguments.method)
        return self._explainers[key]

    def _create(self, bundle: Bundle, model: str, method: str, class_name: str | None, versus: str | None) -> Task:
        """The task that is asked for. Raises ``UserError``, in the words of this interface."""
        if method == "eigencam" and (class_name or versus):
            raise UserError("Eigen-CAM has one map for all classes; ask for it without a class")
        if class_name and versus and class_name.casefold() == versus.casefold():
            raise UserError(f"the class {class_name} cannot be set against itself; name two classes")
        return Task.create(bundle, self.names[model], self._ask(method, class_name, versus), MANY)


def _rank(bundle: Bundle, probabilities: np.ndarray, top: int | None) -> list[dict]:
    """The likeliest classes. Raises ``ModelError`` for what is no number; several sigmoid units, whose answers need not
    sum to 1, are divided by their sum, as in src.predict."""
    bundle.check_finite(probabilities)
    probabilities = np.asarray(probabilities, float)
    if abs(probabilities.sum() - 1) > 1e-3 and probabilities.sum() > 0:
        probabilities = probabilities / probabilities.sum()
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [
        {"class": bundle.class_names[index], "probability": round(float(probabilities[index]), 6)} for index in order
    ]


def _file_state(given: str, models_dir: str) -> object:
    """What tells that a model's file is another one than before; None for one that is no file."""
    folder = find_bundle(given, models_dir)
    path = folder / BUNDLE_FILE if folder else Path(given)
    return (path.stat().st_mtime_ns, path.stat().st_ino) if path.is_file() else None
