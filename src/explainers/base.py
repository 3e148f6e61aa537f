"""One interface for every explainer: a Keras model, inputs and a target in; raw float32 maps out."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import keras
import numpy as np
import tensorflow as tf

from src.errors import UserError
from src.explainers.explained_model import BATCH, ExplainedModel


@dataclass(frozen=True)
class Explanation:
    """Maps of N pictures with the answers that they explain.

    Attributes:
        heatmaps: float32 (N, h, w), raw: neither normalised nor enlarged, at the target layer's own resolution, or at
            that of the inputs for methods without a layer.
        logits: float32 (N, C); one sigmoid unit z stands as (-z, z).
        probabilities: float32 (N, C), the model's own, softened if the :class:`ExplainedModel` says so; one sigmoid
            unit p stands as (1 - p, p).
        class_index: int (N,), the class that each map is about.
        target_layer: the layer whose activations were weighed; "" for methods without one.
    """

    heatmaps: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    class_index: np.ndarray
    target_layer: str = ""

    def __len__(self) -> int:
        return len(self.heatmaps)

    @property
    def predicted(self) -> np.ndarray:
        """int (N,): the class of the greatest logit."""
        return self.logits.argmax(axis=1)

    @property
    def runner_up(self) -> np.ndarray:
        """int (N,): the class of the greatest logit but the explained one's."""
        others = self.logits.copy()
        others[np.arange(len(others)), self.class_index] = -np.inf
        return others.argmax(axis=1)

    def select(self, indices: np.ndarray) -> "Explanation":
        """Some of the pictures, in the order of ``indices`` int (n,)."""
        return replace(self, **{name: getattr(self, name)[indices] for name in _ARRAYS})


_ARRAYS = [field.name for field in fields(Explanation) if field.name != "target_layer"]


def concatenate(parts: Sequence[Explanation]) -> Explanation:
    """The explanations of several batches, in their order, as one."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    return Explanation(**arrays, target_layer=parts[0].target_layer)


@dataclass(frozen=True)
class Passes:
    """What one picture costs: runs of the network.

    Attributes:
        forward: runs without a gradient.
        backward: runs forward and back.
        partial: runs of the part after the target layer alone.
        at_most: whether a picture may take fewer.
    """

    forward: int = 0
    backward: int = 0
    partial: int = 0
    at_most: bool = False

    def __str__(self) -> str:
        parts = [
            f"{count:,} {name}"
            for count, name in (
                (self.forward, "forward"),
                (self.backward, "with gradient"),
                (self.partial, "of the layers after the target layer"),
            )
            if count
        ]
        return ("at most " if self.at_most else "") + (" and ".join(parts) or "none")

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(
            self.forward + other.forward,
            self.backward + other.backward,
            self.partial + other.partial,
            self.at_most or other.at_most,
        )

    @property
    def cost(self) -> float:
        """Roughly as many forward passes: one with gradient takes as long as four on a CPU with an engine."""
        return self.forward + 4 * self.backward + self.partial / 80

    def __mul__(self, factor: int) -> "Passes":
        return Passes(self.forward * factor, self.backward * factor, self.partial * factor, self.at_most)


class Explainer:
    """What the registry builds. A method implements :meth:`compute_maps`, or :meth:`compute` where its maps and the
    answers come out of one pass.

    Args:
        model: a Keras classifier, or the same as an :class:`ExplainedModel`, which several explainers can share.
        options: those of :class:`ExplainedModel`, where a Keras model is given.

    Attributes:
        signed: whether negative values of a map mean something: evidence against the class.
        class_specific: whether the map depends on the class that is asked about.
        comparable: whether the strengths of one picture's maps for two classes can be compared.
        target_layer: the layer whose activations are weighed; "" without one.
    """

    signed = False
    class_specific = True
    comparable = True
    target_layer = ""

    def __init__(self, model: keras.Model | ExplainedModel, **options):
        if isinstance(model, ExplainedModel) and options:
            raise TypeError(f"{', '.join(options)} belong to the ExplainedModel that is given")
        self.explained = model if isinstance(model, ExplainedModel) else ExplainedModel(model, **options)

    @property
    def passes(self) -> Passes:
        """What one picture costs."""
        raise NotImplementedError

    def explain(self, inputs: np.ndarray, class_index: int | Sequence[int] | None = None) -> Explanation:
        """Explain pictures, :data:`BATCH` at a time.

        Args:
            inputs: (N, H, W, 3) as the model takes them; unchanged.
            class_index: the class to explain, one for all or one each; None for the predicted ones.

        Raises:
            UserError: no such class, inputs that do not fit, or a model whose values are not finite.
        """
        inputs, wanted = self.explained.check(inputs, class_index)
        batches = (slice(start, start + BATCH) for start in range(0, len(inputs), BATCH))
        return concatenate([self._explain_batch(inputs[batch], wanted[batch]) for batch in batches])

    def _explain_batch(self, inputs: np.ndarray, wanted: np.ndarray) -> Explanation:
        results = (np.asarray(result) for result in self.compute(inputs, wanted))
        heatmaps, logits, probabilities, explained = results
        if not (np.isfinite(heatmaps).all() and np.isfinite(logits).all()):
            raise UserError("the model's values are not finite (NaN or infinite); its training went astray, train anew")
        shown = self.explained.soften(probabilities)
        return Explanation(heatmaps.astype(np.float32, copy=False), logits, shown, explained, self.target_layer)

    def compute(self, inputs: np.ndarray, wanted: np.ndarray) -> tuple:
        """Heatmaps (N, h, w), logits, probabilities and class_index of checked inputs.

        Args:
            wanted: int32 (N,), -1 where the predicted class is to be explained.
        """
        logits, probabilities = self.explained.answer(inputs)
        if not np.isfinite(logits).all():
            return np.zeros((len(inputs), 1, 1), np.float32), logits, probabilities, wanted  # refused by explain()
        class_index = self.explained.choose_classes(tf.constant(logits), tf.constant(wanted)).numpy()
        return self.compute_maps(inputs, class_index, logits), logits, probabilities, class_index

    def compute_maps(self, inputs: np.ndarray, class_index: np.ndarray, logits: np.ndarray) -> np.ndarray | tf.Tensor:
        """Raw maps (N, h, w) of these classes.

        Args:
            logits: float32 (N, C), the model's for these inputs.
        """
        raise NotImplementedError
