"""Methods beside each other on one model and the same pictures: every measure, with intervals, beside two controls."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from src.explainers import faithfulness, sanity
from src.explainers.base import Explainer, Explanation, Passes, concatenate
from src.explainers.baselines import removed_picture
from src.explainers.controls import CenterBlob, RandomMap, random_map
from src.explainers.explained_model import BATCH, ExplainedModel
from src.explainers.localisation import energy_on_object, peak_on_object
from src.heatmap_drawing import enlarge_heatmap
from src.intervals import Interval, bootstrap_interval, paired_interval, share_interval
from src.plotting import Compared, Measure, Score, rank_scores
from src.progress import track

# In the order of the table. What needs masks is left out where there are none.
MEASURES: dict[str, Measure] = {
    "pointing_game": Measure("pointing game", True, "{:.2f}"),
    "energy_in_mask": Measure("energy in mask", True, "{:.2f}"),
    "insertion_auc": Measure("insertion AUC", True, "{:.2f}"),
    "deletion_auc": Measure("deletion AUC", False, "{:.2f}"),
    "average_drop": Measure("average drop", False, "{:.2f}"),
    "average_increase": Measure("average increase", True, "{:.2f}"),
    "road": Measure("ROAD", True, "{:.3f}"),
    "mu_fidelity": Measure("mu-fidelity", True, "{:.2f}"),
    "sensitivity": Measure("sensitivity to noise", False, "{:.2f}"),
    "randomisation": Measure("likeness, layers randomised", False, "{:.2f}"),
    "seconds_per_image": Measure("seconds a picture", None, "{:.3g}"),
}
NEED_MASKS = ("pointing_game", "energy_in_mask")
SHARES = ("pointing_game", "average_increase")  # hits and misses: Wilson's interval
# A blob moves under no noise, and stays whatever the layers are: here the controls are no rivals.
NOT_JUDGED = ("sensitivity", "randomisation", "seconds_per_image")
# So few runs of the network that a method is tried once before it is timed: its first call also traces it.
_CHEAP = 200
_RANDOM_MAPS = 50
# So few that further pictures cost little: a map by gradient, Ablation-CAM's 1,280 partial runs.
_FEW = 80


def _cost(passes: Passes) -> float:
    """What a picture takes, roughly, in forward passes: a gradient as long as four on a CPU with an engine."""
    return passes.forward + 4 * passes.backward + passes.partial / 20


@dataclass(frozen=True)
class ComparisonSettings:
    """How the measures are taken.

    Attributes:
        steps: of deletion and insertion, each a forward pass.
        shares: of the pixels that ROAD removes.
        subsets, grid, subset_share: of mu-fidelity: how many, of cells grid x grid, with which share of them.
        sanity_pictures: how many of the pictures serve for sensitivity and randomisation.
        noisy_copies, noise: of sensitivity: how many, with noise up to that share of the inputs' range.
        value_range: least and largest value of the inputs.
        seed: of all draws.
    """

    steps: int = 20
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


@dataclass
class MethodResult:
    """What one method, or control, came to.

    Attributes:
        explanation: of all pictures.
        values: measure -> one value for each picture it was taken on; NaN where not defined.
        passes: of one picture.
    """

    title: str
    is_control: bool
    signed: bool
    passes: Passes
    explanation: Explanation
    values: dict[str, np.ndarray] = field(default_factory=dict)

    def interval(self, measure: str, seed: int) -> Interval:
        """Mean and 95% interval: Wilson's for hits and misses, else the bootstrap's."""
        values = self.values[measure]
        if measure in SHARES and np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
            return share_interval(values)
        return bootstrap_interval(values, seed=seed)


@dataclass(frozen=True)
class Comparison:
    """Results by name, methods in the order of their mean rank, controls last."""

    results: dict[str, MethodResult]
    measures: list[str]
    count: int
    settings: ComparisonSettings

    def beats_controls(self, name: str, measure: str) -> bool | None:
        """Whether the method's mean is better than each control's, by 95% intervals of the paired differences."""
        if measure in NOT_JUDGED or self.results[name].is_control:
            return None
        sign = 1 if MEASURES[measure].higher_is_better else -1
        for control in (result for result in self.results.values() if result.is_control):
            values, others = self.results[name].values[measure], control.values[measure]
            count = min(len(values), len(others))  # both begin with the same pictures
            found = paired_interval(values[:count], others[:count], seed=self.settings.seed)
            if not min(sign * found.low, sign * found.high) > 0:
                return False
        return True

    def rows(self) -> list[Compared]:
        """As the table of methods takes them."""
        return [self._row(name) for name in self.results]

    def _row(self, name: str) -> Compared:
        result, scores = self.results[name], []
        for measure in self.measures:
            found = result.interval(measure, self.settings.seed)
            known = math.isfinite(found.mean)
            scores.append(
                Score(found.mean, found.low, found.high, self.beats_controls(name, measure)) if known else None
            )
        return Compared(result.title, scores, result.is_control)

    def mean_ranks(self) -> dict[str, float]:
        """Of the methods, over all measures that have a better way; see :func:`src.plotting.rank_scores`."""
        ranks = rank_scores(self.rows(), [MEASURES[measure] for measure in self.measures])
        return {
            name: float(np.nanmean(row))
            for (name, result), row in zip(self.results.items(), ranks)
            if not result.is_control
        }


def sort_by_rank(comparison: Comparison) -> Comparison:
    """The same with its methods in the order of their mean rank, controls last."""
    ranks = comparison.mean_ranks()
    names = sorted(comparison.results, key=lambda name: ranks.get(name, math.inf))
    return Comparison(
        {name: comparison.results[name] for name in names}, comparison.measures, comparison.count, comparison.settings
    )


class MethodComparison:
    """Measures methods on the same pictures, one after the other.

    Args:
        explained: the model.
        inputs: float32 (N, H, W, 3), the pictures as the model takes them.
        masks: for each picture its object's mask, bool (H, W), or None; all None leaves out what needs masks.
        randomised: the same model with layers drawn anew, for the sanity check.
        settings: how the measures are taken.
        further: more pictures, none of them among ``inputs``, and a mask for each. The pointing game and the energy of
            methods that take few runs, and of the controls, are measured on these too: 16 pictures say little.
    """

    def __init__(
        self,
        explained: ExplainedModel,
        inputs: np.ndarray,
        masks: Sequence[np.ndarray | None],
        randomised: ExplainedModel,
        settings: ComparisonSettings,
        further: tuple[np.ndarray, Sequence[np.ndarray]] | None = None,
    ):
        self.further = further
        self.explained, self.inputs, self.masks = explained, inputs, list(masks)
        self.randomised, self.settings = randomised, settings
        logits, probabilities = explained.answer(inputs)
        self.class_index = logits.argmax(axis=1)
        self._confidence = probabilities[np.arange(len(inputs)), self.class_index]
        self._gray = [removed_picture(picture, "mean", explained.black) for picture in inputs]
        self._blurred = [removed_picture(picture, "blur", explained.black) for picture in inputs]
        self._subsets = faithfulness.draw_subsets(
            grid=settings.grid, share=settings.subset_share, count=settings.subsets, seed=settings.seed
        )
        # What the score loses depends on the picture alone: computed once for all methods.
        self._drops = [
            faithfulness.score_drops(self._logit(label), picture, self._subsets, baseline=gray)
            for picture, label, gray in track(
                list(zip(inputs, self.class_index, self._gray)), what="Pictures without random cells"
            )
        ]

    def run(self, build: Mapping[str, tuple[str, Callable[[ExplainedModel], Explainer]]]) -> Comparison:
        """Measure these methods and the controls.

        Args:
            build: name -> (title, what builds the explainer for a model).
        """
        everything = {name: (*entry, False) for name, entry in build.items()}
        everything |= {
            "random": ("control: random map", lambda model: RandomMap(model, seed=self.settings.seed), True),
            "blob": ("control: blob in the centre", CenterBlob, True),
        }
        explainers = {name: make(self.explained) for name, (_, make, _) in everything.items()}
        again = min(self.settings.sanity_pictures, len(self.inputs)) * (1 + self.settings.noisy_copies)
        costs = {name: _cost(explainer.passes) for name, explainer in explainers.items()}
        work = sum(costs.values()) * (len(self.inputs) + again)
        work += len(everything) * self.settings.passes * len(self.inputs)
        results = {}
        with track(total=round(work), what="Comparing", unit="runs") as progress:
            for name, (title, make, is_control) in everything.items():
                progress.set_postfix_str(title)
                self._advance = lambda count, cost=costs[name]: progress.update(round(count * cost))
                results[name] = self._measure(title, explainers[name], make, is_control)
                progress.update(self.settings.passes * len(self.inputs))
        has_masks = any(mask is not None for mask in self.masks)
        measures = [measure for measure in MEASURES if has_masks or measure not in NEED_MASKS]
        return sort_by_rank(Comparison(results, measures, len(self.inputs), self.settings))

    def _measure(
        self, title: str, explainer: Explainer, make: Callable[[ExplainedModel], Explainer], is_control: bool
    ) -> MethodResult:
        if _cost(explainer.passes) <= _CHEAP:
            explainer.explain(self.inputs[:1], self.class_index[:1])
        begin = time.perf_counter()
        explanation = self._explain(explainer, self.inputs, self.class_index)
        seconds = (time.perf_counter() - begin) / len(self.inputs)
        result = MethodResult(title, is_control, explainer.signed, explainer.passes, explanation)
        result.values = {
            **self._localise(explainer, explanation.heatmaps),
            **self._remove(explanation.heatmaps),
            **self._check_sanity(explainer, make(self.randomised), explanation.heatmaps),
            "seconds_per_image": np.array([seconds]),
        }
        return result

    def _explain(self, explainer: Explainer, inputs: np.ndarray, class_index: np.ndarray) -> Explanation:
        """In one batch, or a few pictures at a time where each takes many runs, so that progress is seen."""
        size = len(inputs) if _cost(explainer.passes) <= _CHEAP else 2
        parts = []
        for start in range(0, len(inputs), size):
            chosen = slice(start, start + size)
            parts.append(explainer.explain(inputs[chosen], class_index[chosen]))
            self._advance(len(parts[-1]))
        return concatenate(parts)

    def _localise(self, explainer: Explainer, heatmaps: np.ndarray) -> dict[str, np.ndarray]:
        """Pointing game and energy against masks: of ``inputs``, then of the further pictures where that is cheap."""
        pairs = list(zip(heatmaps, self.masks))
        if self.further is not None and _cost(explainer.passes) <= _FEW:
            inputs, masks = self.further
            for start in range(0, len(inputs), BATCH):
                pairs += zip(explainer.explain(inputs[start : start + BATCH]).heatmaps, masks[start : start + BATCH])
        several = isinstance(explainer, RandomMap)
        found = [self._localise_one(heatmap, mask, several) for heatmap, mask in pairs]
        hits, energies = (np.array(values) for values in zip(*found))
        return {"pointing_game": hits, "energy_in_mask": energies}

    def _localise_one(self, heatmap: np.ndarray, mask: np.ndarray | None, several: bool) -> tuple[float, float]:
        """Of one map; of the random control the means over many, for one draw says little."""
        if mask is None:
            return math.nan, math.nan
        seed = self.settings.seed + 1
        drawn = [random_map(seed=seed, picture=number) for number in range(_RANDOM_MAPS)] if several else [heatmap]
        enlarged = [enlarge_heatmap(one, mask.shape) for one in drawn]
        hits, energies = zip(*((peak_on_object(one, mask), energy_on_object(one, mask)) for one in enlarged))
        return float(np.mean(hits)), float(np.mean(energies))

    def _remove(self, heatmaps: np.ndarray) -> dict[str, np.ndarray]:
        """The measures that remove pixels, float64 (N,) each."""
        names = ("deletion_auc", "insertion_auc", "road", "mu_fidelity")
        values: dict[str, list[float]] = {name: [] for name in names}
        kept, settings, size = [], self.settings, self.inputs.shape[1:3]
        for picture, heatmap, label, gray, blurred, drops in zip(
            self.inputs, heatmaps, self.class_index, self._gray, self._blurred, self._drops
        ):
            score, options = self._probability(label), {"steps": settings.steps, "seed": settings.seed}
            deletion = faithfulness.deletion_curve(score, picture, heatmap, baseline=gray, **options)
            insertion = faithfulness.insertion_curve(score, picture, heatmap, baseline=blurred, **options)
            values["deletion_auc"].append(faithfulness.area_under(deletion))
            values["insertion_auc"].append(faithfulness.area_under(insertion))
            road = faithfulness.road(
                score, picture, heatmap, shares=settings.shares, seed=settings.seed, value_range=settings.value_range
            )
            values["road"].append(faithfulness.road_score(*road))
            values["mu_fidelity"].append(faithfulness.mu_fidelity(heatmap, self._subsets, drops, size))
            kept.append(score(faithfulness.explanation_picture(picture, heatmap, baseline=gray)[None])[0])
        return {name: np.array(column) for name, column in values.items()} | {
            "average_drop": faithfulness.average_drop(self._confidence, kept),
            "average_increase": faithfulness.average_increase(self._confidence, kept),
        }

    def _check_sanity(self, explainer: Explainer, randomised: Explainer, heatmaps: np.ndarray) -> dict[str, np.ndarray]:
        """Sensitivity to noise, and likeness to the maps of the randomised network, on the first few pictures."""
        settings, count = self.settings, min(self.settings.sanity_pictures, len(self.inputs))
        moved = []
        for picture, label, heatmap in zip(self.inputs[:count], self.class_index, heatmaps):
            noisy = sanity.noisy_copies(
                picture,
                radius_share=settings.noise,
                count=settings.noisy_copies,
                seed=settings.seed,
                value_range=settings.value_range,
            )
            again = self._explain(explainer, noisy, np.full(len(noisy), label))
            moved.append(sanity.max_sensitivity(heatmap, again.heatmaps))
        others = self._explain(randomised, self.inputs[:count], self.class_index[:count]).heatmaps
        alike = [sanity.map_similarity(*pair) for pair in zip(heatmaps, others)]
        return {"sensitivity": np.array(moved), "randomisation": np.array(alike)}

    def _probability(self, label: int) -> faithfulness.Score:
        return lambda pictures: self.explained.answer(pictures)[1][:, label]

    def _logit(self, label: int) -> faithfulness.Score:
        return lambda pictures: self.explained.score(pictures, int(label))
