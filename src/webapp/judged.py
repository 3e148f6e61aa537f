"""Whether a picture is like those that a model was trained on, and its answer sure, for the page and its JSON."""

from collections.abc import Sequence

import numpy as np

from src.bundle import Bundle
from src.bundle_facts import Classifier
from src.frozen_bundle import load_frozen_bundle
from src.verdicts import Verdict, create_judge


class Judged:
    """One model's verdicts, by the form of its network that answers soonest.

    Args:
        engine: as of ``settings.ENGINES``.
    """

    def __init__(self, bundle: Bundle, engine: str):
        self._judge, self._names = create_judge(bundle), bundle.class_names
        self._classifier: Classifier | None = None
        if self._judge is not None and self._judge.known_up_to is not None:
            frozen = None if engine == "keras" else load_frozen_bundle(bundle.folder)
            self._classifier = frozen or bundle

    def describe(self, inputs: np.ndarray, probabilities: np.ndarray) -> dict:
        """known, novelty and sure as of :class:`~src.verdicts.Verdict`, and ``possible``, names of classes; None where
        nothing can be said.

        Args:
            inputs: (1, H, W, 3), of one picture.
            probabilities: (C,), the answer that is shown.
        """
        verdict = Verdict()
        if self._judge is not None:
            features = None if self._classifier is None else self._classifier.answer_with_features(inputs)[1]
            (verdict,) = self._judge.judge(np.asarray(probabilities)[None], features)
        return {
            "known": verdict.known,
            "novelty": None if verdict.novelty is None else round(verdict.novelty, 4),
            "sure": verdict.sure,
            "possible": None if verdict.classes is None else _name(verdict.classes, self._names),
        }


def _name(places: Sequence[int], names: Sequence[str]) -> list[str]:
    return [names[place] for place in places]
