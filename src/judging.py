"""What ``python -m src.evaluate`` finds out of a model's verdicts, on test pictures and on those of no known class."""

from collections.abc import Sequence

import numpy as np

from src.bundle import Bundle
from src.errors import UserError
from src.evaluation.conformal import fit_sets
from src.evaluation.trust import COVERAGES, Answered, Trust, measure_trust
from src.imaging import ImageError, read_in_batches
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


def rate_unknown(
    bundle: Bundle, judge: Judge, paths: Sequence[str], batch_size: int
) -> tuple[np.ndarray | None, list[ImageError]]:
    """Novelties float64 (M,) of those pictures that can be read, None without a score; and the others, which are named.

    Raises ``UserError`` where none can be read.
    """
    if judge.known_up_to is None:
        return None, []
    rated, unread = [], []
    with track(total=len(paths), what=f"  {bundle.name} on unknown pictures") as progress:
        for places, inputs, failures in read_in_batches(paths, bundle.read, batch_size):
            for failure in failures:
                say(f"not read: {failure.path}: {failure.reason}")
            unread += failures
            if places:
                rated.append(judge.rate(bundle.answer_with_features(inputs)[1]))
            progress.update(len(places) + len(failures))
    if not rated:
        raise UserError("none of the --unknown pictures can be read")
    return None if any(each is None for each in rated) else np.concatenate(rated), unread
