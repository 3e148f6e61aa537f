"""One interface for every explainer: a Keras model, inputs and a target in; raw float32 maps out."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Explanation:
    """Maps of N pictures with the answers that they explain.

    Attributes:
        heatmaps: float32 (N, h, w), raw: neither normalised nor enlarged, at the target layer's own resolution.
        logits: float32 (N, C); one sigmoid unit z stands as (-z, z).
        probabilities: float32 (N, C), the model's own; one sigmoid unit p stands as (1 - p, p).
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


def concatenate(parts: Sequence[Explanation]) -> Explanation:
    """The explanations of several batches, in their order, as one."""
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Explanation)
        if field.name != "target_layer"
    }
    return Explanation(**arrays, target_layer=parts[0].target_layer)


class Explainer(Protocol):
    """What the registry builds. Building may take seconds; explaining then costs little more than the network."""

    target_layer: str

    def explain(self, inputs: np.ndarray, class_index: int | Sequence[int] | None = None) -> Explanation:
        """Explain one batch.

        Args:
            inputs: (N, H, W, 3) as the model takes them.
            class_index: the class to explain, one for all or one each; None for the predicted ones.

        Raises:
            UserError: no such class, inputs that do not fit, or a model whose values are not finite.
        """
        ...
