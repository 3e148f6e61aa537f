"""What ``python -m src.evaluate`` finds out of a model's verdicts, on test pictures and on those of no known class."""

from collections.abc import Sequence

import numpy as np

from src.bundle import Bundle
from src.evaluation.conformal import fit_sets
from src.evaluation.trust import COVERAGES, Answered, Trust, measure_trust
from src.imaging import read_in_batches
from src.progress import say, track
from src.verdicts import Judge


def measure_verdicts(
    judge: Judge,
    labels: np.ndarray,
    probabilities: np.ndarray,
    novelties: np.ndarray | None,
    unknown: np.ndarray | None,
) -> Trust:
    """Figures of a model's verdicts on test pictures.

    Args:
        labels, probabilities: int (N,) and (N, C), at the temperature; classes in any order.
        novelties: of :meth:`~src.verdicts.Judge.rate`.
        unknown: the same of pictures of no known class; None for none.
    """
    sure = judge.are_sure(probabilities, novelties)
    softened, truth = judge.softened, judge.held_out.labels
    return measure_trust(
        judge.as_json(),
        {asked: fit_sets(softened, truth, asked) for asked in COVERAGES},
        Answered(labels, probabilities, novelties, sure),
        None if judge.known_up_to is None else judge.held_out.scores / judge.known_up_to,
        unknown,
    )


def rate_unknown(bundle: Bundle, judge: Judge, paths: Sequence[str], batch_size: int) -> np.ndarray | None:
    """Novelties float64 (M,) of those pictures that can be read, the others being named; None without a score."""
    if judge.known_up_to is None:
        return None
    rated = []
    with track(total=len(paths), what=f"  {bundle.name} on unknown pictures") as progress:
        for places, inputs, failures in read_in_batches(paths, bundle.read, batch_size):
            for failure in failures:
                say(f"not read: {failure.path}: {failure.reason}")
            if places:
                rated.append(judge.rate(bundle.answer_with_features(inputs)[1]))
            progress.update(len(places) + len(failures))
    return np.concatenate(rated) if rated and all(each is not None for each in rated) else None
