"""What the values of compared methods amount to: means with intervals, which controls they beat, ranks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from src.explainers.base import Explanation, Passes
from src.explainers.measures import MEASURES, NOT_JUDGED, REMOVING, SHARES
from src.intervals import Interval, are_hits, mean_interval, paired_interval, paired_share_interval, share_interval
from src.ranking import Compared, Score, mean_ranks, rank_scores

# Of fewer pictures it cannot be said whether a method beats a control.
LEAST = 5


@dataclass(frozen=True)
class ComparisonSettings:
    """How the measures are taken.

    Attributes:
        steps: of deletion and insertion, each a forward pass.
        shares: of the pixels that ROAD removes.
        subsets, grid, subset_share: of mu-fidelity: how many, of cells grid x grid, with which share of them.
        sanity_pictures: how many of the pictures, evenly spread over them, serve for sensitivity and randomisation.
        noisy_copies, noise: of sensitivity: how many, with noise up to that share of the inputs' range. The value is
            the largest change among the copies; of one, the default, that copy's.
        value_range: least and largest value of the inputs.
        seed: of all draws.
    """

    steps: int = 16
    shares: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    subsets: int = 128
    grid: int = 7
    subset_share: float = 0.2
    sanity_pictures: int = 4
    noisy_copies: int = 1
    noise: float = 0.02
    value_range: tuple[float, float] = (0.0, 255.0)
    seed: int = 42

    @property
    def passes(self) -> int:
        """Forward passes that the measures take for each picture and method, without the maps themselves."""
        return 2 * (self.steps + 1) + 2 * len(self.shares) + 1


@dataclass(frozen=True)
class MethodResult:
    """What one method, or control, came to.

    Attributes:
        explanation: of all pictures.
        values: measure -> one value for each picture it was taken on; NaN where not defined.
        passes: of one picture.
        scattered: whether its maps are made of single pixels.
    """

    title: str
    is_control: bool
    signed: bool
    passes: Passes
    explanation: Explanation
    values: dict[str, np.ndarray] = field(default_factory=dict)
    scattered: bool = False


@dataclass(frozen=True)
class Comparison:
    """Results by name, methods in the order of their mean rank, controls last.

    Attributes:
        scores: name -> measure -> mean, 95% interval, whether it beats the controls.
        ranks: method -> its mean rank over all measures that have a better way; NaN without any.
    """

    results: dict[str, MethodResult]
    measures: list[str]
    count: int
    settings: ComparisonSettings
    scores: dict[str, dict[str, Score]]
    ranks: dict[str, float]

    def beats_controls(self, name: str, measure: str) -> bool | None:
        """Whether the method's mean is better than each control's, by 95% intervals of the paired differences.

        None where it cannot be said (fewer than :data:`LEAST` common values, no interval) or is not asked.
        """
        return self.scores[name][measure].beats_controls

    def rows(self) -> list[Compared]:
        """As the table of methods takes them."""
        return _rows(self.results, self.measures, self.scores)


def conclude(
    results: Mapping[str, MethodResult], measures: Sequence[str], count: int, settings: ComparisonSettings
) -> Comparison:
    """Scores and ranks of measured methods and controls."""
    scores = {name: {measure: _score(results, name, measure) for measure in measures} for name in results}
    ranks = mean_ranks(rank_scores(_rows(results, measures, scores), [MEASURES[measure] for measure in measures]))
    by_name = {name: float(rank) for (name, result), rank in zip(results.items(), ranks) if not result.is_control}
    order = sorted(by_name, key=lambda name: np.nan_to_num(by_name[name], nan=np.inf))
    order += [name for name in results if name not in by_name]
    return Comparison({name: results[name] for name in order}, list(measures), count, settings, scores, by_name)


def _rows(results: Mapping[str, MethodResult], measures: Sequence[str], scores: Mapping) -> list[Compared]:
    return [
        Compared(result.title, [scores[name][measure] for measure in measures], result.is_control)
        for name, result in results.items()
    ]


def _score(results: Mapping[str, MethodResult], name: str, measure: str) -> Score:
    values = results[name].values[measure]
    hits = measure in SHARES and are_hits(values)
    found = share_interval(values) if hits else mean_interval(values)
    number = None if measure == "seconds_per_image" else found.n  # one time for all pictures
    return Score(found.mean, found.low, found.high, _beats_controls(results, name, measure), number)


def _beats_controls(results: Mapping[str, MethodResult], name: str, measure: str) -> bool | None:
    result = results[name]
    if measure in NOT_JUDGED or result.is_control:
        return None
    sign = 1 if MEASURES[measure].higher_is_better else -1
    # Scattered pixels destroy texture everywhere at once, and gain by that alone: their equal does so too.
    random = "random_pixels" if result.scattered and measure in REMOVING else "random"
    beaten = []
    for control in (random, "blob"):
        found = _difference(measure, result.values[measure], results[control].values[measure])
        known = found.n >= LEAST and math.isfinite(found.low) and math.isfinite(found.high)
        beaten.append(min(sign * found.low, sign * found.high) > 0 if known else None)
    return False if False in beaten else None if None in beaten else True


def _difference(measure: str, values: np.ndarray, others: np.ndarray) -> Interval:
    count = min(len(values), len(others))  # both begin with the same pictures
    paired = paired_share_interval if measure in SHARES and are_hits(values) else paired_interval
    return paired(values[:count], others[:count])
