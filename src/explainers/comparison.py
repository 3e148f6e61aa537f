"""Methods beside each other on one model and the same pictures: every measure, with intervals, beside controls."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from tqdm import tqdm

from src.explainers import faithfulness, sanity
from src.explainers.base import Explainer, Explanation, concatenate
from src.explainers.baselines import removed_picture
from src.explainers.controls import CenterBlob, RandomMap, random_map
from src.explainers.explained_model import AT_ONCE, BATCH, ExplainedModel
from src.explainers.localisation import energy_on_object, peak_on_object
from src.explainers.measures import MEASURES, NEED_MASKS
from src.explainers.scoring import Comparison, ComparisonSettings, MethodResult, conclude
from src.heatmap_drawing import enlarge_heatmap
from src.progress import track
from src.threads import map_threads

# So few runs of the network that a method is tried once before it is timed: its first call also traces it.
_CHEAP = 200
_RANDOM_MAPS = 50
# So few that further pictures cost little: a map by gradient, Ablation-CAM's 1,280 partial runs.
_FEW = 40
_CELLS = (7, 7)  # of the random control where no method has a layer's grid


def _batches(explainer: Explainer, count: int, progress: tqdm) -> Iterator[slice]:
    """Slices of ``count`` pictures, each counted when it is done: of two where a picture takes many runs."""
    size = BATCH if explainer.passes.cost <= _CHEAP else 2
    for start in range(0, count, size):
        stop = min(start + size, count)
        yield slice(start, stop)
        progress.update(round((stop - start) * explainer.passes.cost))


@dataclass(frozen=True)
class _Entry:
    """What :meth:`MethodComparison.run` measures."""

    title: str
    make: Callable[[ExplainedModel], Explainer]
    is_control: bool = False
    scattered: bool = False


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
        self._subsets = faithfulness.draw_subsets(
            grid=settings.grid, share=settings.subset_share, count=settings.subsets, seed=settings.seed
        )
        # What the score loses depends on the picture alone: computed once for all methods.
        drops = map_threads(self._drop_cells, range(len(inputs)), AT_ONCE)
        self._drops = list(track(drops, total=len(inputs), what="Pictures without random cells"))
        spread = np.linspace(0, len(inputs) - 1, min(settings.sanity_pictures, len(inputs)))
        self._checked = np.rint(spread).astype(int)  # pictures come by classes
        # Layers drawn anew may let values overflow; that says nothing of the model, and of no map.
        answers = randomised.answer(inputs[self._checked])[0] if len(self._checked) else np.zeros((0, 1))
        self._answered = np.flatnonzero(np.isfinite(answers).all(axis=1))

    def _drop_cells(self, place: int) -> np.ndarray:
        picture = self.inputs[place]
        score = self._logit(self.class_index[place])
        return faithfulness.score_drops(score, picture, self._subsets, baseline=self._removed(picture))

    def run(
        self,
        build: Mapping[str, tuple[str, Callable[[ExplainedModel], Explainer]]],
        *,
        scattered: Collection[str] = (),
    ) -> Comparison:
        """Measure these methods, and controls: a blob in the centre, and a random map.

        The random map has as many cells as the layer's grid that most methods share. Where pixels are removed, the
        methods named in ``scattered`` have a random map of single pixels beside them instead.

        Args:
            build: name -> (title, what builds the explainer for a model).
            scattered: names of the methods whose maps are made of single pixels.
        """
        entries = {name: _Entry(*entry, scattered=name in scattered) for name, entry in build.items()}
        explainers = {name: entry.make(self.explained) for name, entry in entries.items()}
        again = len(self._checked) * (1 + self.settings.noisy_copies)
        work = sum(explainer.passes.cost for explainer in explainers.values()) * (len(self.inputs) + again)
        controls = 3 if any(entry.scattered for entry in entries.values()) else 2
        work += (len(entries) + controls) * self.settings.passes * len(self.inputs)
        results: dict[str, MethodResult] = {}
        with track(total=round(work), what="Comparing", unit="runs") as progress:
            for name, entry in entries.items():
                results[name] = self._measure(entry, explainers[name], progress)
            for name, entry in self._controls(list(results.values())).items():
                results[name] = self._measure(entry, entry.make(self.explained), progress)
        has_masks = any(mask is not None for mask in self.masks)
        measures = [measure for measure in MEASURES if has_masks or measure not in NEED_MASKS]
        return conclude(results, measures, len(self.inputs), self.settings)

    def _controls(self, methods: Sequence[MethodResult]) -> dict[str, _Entry]:
        """Random maps as coarse as the methods' are, and the blob."""
        size, seed = self.inputs.shape[1:3], self.settings.seed
        grids = [method.explanation.heatmaps.shape[1:] for method in methods if not method.scattered]
        grids = [grid for grid in grids if grid != size] or [_CELLS]
        cells = max(grids, key=grids.count)
        entries = {"random": _Entry("control: random map", partial(RandomMap, cells=cells, seed=seed), True)}
        if any(method.scattered for method in methods):
            pixels = partial(RandomMap, cells=size, seed=seed)
            entries["random_pixels"] = _Entry("control: random pixels", pixels, True, True)
        return entries | {"blob": _Entry("control: blob in the centre", CenterBlob, True)}

    def _measure(self, entry: _Entry, explainer: Explainer, progress: tqdm) -> MethodResult:
        progress.set_postfix_str(entry.title, refresh=False)
        if explainer.passes.cost <= _CHEAP:
            explainer.explain(self.inputs[:1], self.class_index[:1])
        begin = time.perf_counter()
        explanation = self._explain(explainer, self.inputs, self.class_index, progress)
        seconds = (time.perf_counter() - begin) / len(self.inputs)
        heatmaps = explanation.heatmaps
        if entry.is_control and entry.scattered:  # a rival only where pixels are removed
            found = {measure: np.full(len(heatmaps), math.nan) for measure in NEED_MASKS}
        else:
            found = self._localise(explainer, heatmaps)
        values = {
            **found,
            **self._remove(heatmaps),
            "sensitivity": self._add_noise(explainer, heatmaps, progress),
            "randomisation": self._randomise(entry.make(self.randomised), heatmaps, progress),
            "seconds_per_image": np.array([seconds]),
        }
        progress.update(self.settings.passes * len(self.inputs))
        passes, signed = explainer.passes, explainer.signed
        return MethodResult(entry.title, entry.is_control, signed, passes, explanation, values, entry.scattered)

    def _explain(
        self, explainer: Explainer, inputs: np.ndarray, class_index: np.ndarray, progress: tqdm
    ) -> Explanation:
        chosen = _batches(explainer, len(inputs), progress)
        return concatenate([explainer.explain(inputs[part], class_index[part]) for part in chosen])

    def _localise(self, explainer: Explainer, heatmaps: np.ndarray) -> dict[str, np.ndarray]:
        """Pointing game and energy against masks: of ``inputs``, then of the further pictures where that is cheap."""
        pairs = list(zip(heatmaps, self.masks))
        if self.further is not None and explainer.passes.cost <= _FEW:
            inputs, masks = self.further
            pairs += zip(explainer.explain(inputs).heatmaps, masks)
        several = isinstance(explainer, RandomMap)
        found = [self._localise_one(heatmap, mask, several) for heatmap, mask in pairs]
        hits, energies = (np.array(values) for values in zip(*found))
        return {"pointing_game": hits, "energy_in_mask": energies}

    def _localise_one(self, heatmap: np.ndarray, mask: np.ndarray | None, several: bool) -> tuple[float, float]:
        """Of one map; of the random control the means over many, for one draw says little."""
        if mask is None:
            return math.nan, math.nan
        seed = self.settings.seed + 1
        drawn = [heatmap]
        if several:
            drawn = [random_map(cells=heatmap.shape, seed=seed, picture=number) for number in range(_RANDOM_MAPS)]
        enlarged = [enlarge_heatmap(one, mask.shape) for one in drawn]
        hits, energies = zip(*((peak_on_object(one, mask), energy_on_object(one, mask)) for one in enlarged))
        return float(np.mean(hits)), float(np.mean(energies))

    def _remove(self, heatmaps: np.ndarray) -> dict[str, np.ndarray]:
        """The measures that remove pixels, float64 (N,) each."""
        # Several pictures at once: while one has its pixels removed, the network answers another's.
        rows = list(map_threads(lambda place: self._remove_from(place, heatmaps[place]), range(len(heatmaps)), AT_ONCE))
        names = ("deletion_auc", "insertion_auc", "road", "mu_fidelity", "kept")
        values = dict(zip(names, np.array(rows, np.float64).T))
        kept = values.pop("kept")
        return values | {
            "average_drop": faithfulness.average_drop(self._confidence, kept),
            "average_increase": faithfulness.average_increase(self._confidence, kept),
        }

    def _remove_from(self, place: int, heatmap: np.ndarray) -> tuple[float, ...]:
        """Of one picture: areas of deletion and insertion, ROAD, mu-fidelity, the probability of the part kept."""
        picture, settings = self.inputs[place], self.settings
        gray, blurred = (self._removed(picture, kind) for kind in ("mean", "blur"))
        score = self._probability(self.class_index[place])
        options = {"steps": settings.steps, "seed": settings.seed}
        deletion = faithfulness.deletion_curve(score, picture, heatmap, baseline=gray, **options)
        insertion = faithfulness.insertion_curve(score, picture, heatmap, baseline=blurred, **options)
        road = faithfulness.road(
            score, picture, heatmap, shares=settings.shares, seed=settings.seed, value_range=settings.value_range
        )
        return (
            faithfulness.area_under(deletion),
            faithfulness.area_under(insertion),
            faithfulness.road_score(*road),
            faithfulness.mu_fidelity(heatmap, self._subsets, self._drops[place], picture.shape[:2]),
            score(faithfulness.explanation_picture(picture, heatmap, baseline=gray)[None])[0],
        )

    def _add_noise(self, explainer: Explainer, heatmaps: np.ndarray, progress: tqdm) -> np.ndarray:
        """How far maps move with noise in the picture, on the pictures that are checked."""
        settings, moved = self.settings, []
        for place in self._checked:
            noisy = sanity.noisy_copies(
                self.inputs[place],
                radius_share=settings.noise,
                count=settings.noisy_copies,
                seed=settings.seed,
                value_range=settings.value_range,
            )
            again = self._explain(explainer, noisy, np.full(len(noisy), self.class_index[place]), progress)
            moved.append(sanity.max_sensitivity(heatmaps[place], again.heatmaps))
        return np.array(moved)

    def _randomise(self, randomised: Explainer, heatmaps: np.ndarray, progress: tqdm) -> np.ndarray:
        """Likeness to the maps of the randomised network, on the same pictures; NaN where these are not finite."""
        alike = np.full(len(self._checked), math.nan)
        for part in _batches(randomised, len(self._answered), progress):
            places = self._answered[part]
            chosen = self._checked[places]
            # Not by explain(), which takes values that are not finite for an error of the user's model.
            inputs, wanted = self.randomised.check(self.inputs[chosen], self.class_index[chosen])
            others = np.asarray(randomised.compute(inputs, wanted)[0], np.float32)
            alike[places] = [sanity.map_likeness(*pair) for pair in zip(heatmaps[chosen], others)]
        return alike

    def _removed(self, picture: np.ndarray, kind: str = "mean") -> np.ndarray:
        return removed_picture(picture, kind, self.explained.black)

    def _probability(self, label: int) -> faithfulness.Score:
        return lambda pictures: self.explained.answer(pictures)[1][:, label]

    def _logit(self, label: int) -> faithfulness.Score:
        return lambda pictures: self.explained.score(pictures, int(label))
