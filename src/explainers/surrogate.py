"""LIME and Kernel SHAP: what each superpixel adds to the class's logit; the arithmetic is NumPy alone.

Both ask the network about coalitions, pictures of which some segments are kept and the others removed, and fit a linear
model to the answers. "Removed" means replaced by the baseline, another picture of the same size: what the values say
holds for that replacement only (:func:`src.explainers.baselines.removed_picture`).

LIME: Ribeiro et al. 2016, "Why should I trust you?", eq. 2 with the kernel of their package.
Kernel SHAP: Lundberg and Lee 2017, "A unified approach to interpreting model predictions", theorem 2.
"""

from collections.abc import Callable
from itertools import combinations
from math import comb

import keras
import numpy as np

from src.errors import UserError
from src.explainers.base import Passes
from src.explainers.explained_model import BATCH, ExplainedModel
from src.explainers.perturbation import PerturbationExplainer
from src.settings import random_generator

Score = Callable[[np.ndarray], np.ndarray]
"""Pictures float32 (M, H, W, 3) as the network takes them -> (M,), the class's logit of each."""


class _Surrogate(PerturbationExplainer):
    """What LIME and Kernel SHAP share: superpixels, and draws that are a function of the seed.

    Args:
        samples: coalitions asked about.
        segments: about how many superpixels a picture is cut into.
        seed: of the draws, the same for every picture.
    """

    def __init__(
        self,
        model: keras.Model | ExplainedModel,
        *,
        samples: int = 300,
        segments: int = 50,
        seed: int = 0,
        **options,
    ):
        super().__init__(model, **options)
        if samples < 2 or segments < 2:
            raise UserError(f"samples and segments must be at least 2. Received: {samples}, {segments}")
        self.samples, self.segments, self.seed = samples, segments, seed

    def explain_one(self, picture: np.ndarray, removed: np.ndarray, class_index: int, score: float) -> np.ndarray:
        segments = segment_picture(picture, segments=self.segments)
        values = self.fit(lambda pictures: self.explained.score(pictures, class_index), picture, segments, removed)
        return values_to_map(values, segments)

    def fit(self, score: Score, picture: np.ndarray, segments: np.ndarray, removed: np.ndarray) -> np.ndarray:
        """One value for each segment, (K,)."""
        raise NotImplementedError


class LIME(_Surrogate):
    """Ribeiro et al. 2016 (LIME): the coefficients of a linear model of the score near the picture; see
    :func:`lime_values`. Signed, in units of the target; one value for a whole superpixel.

    It does not show what superpixels do together, and its values need not sum to anything.

    Args:
        kernel_width: how far from the whole picture coalitions still count.
        ridge: how much coefficients are shrunk.
    """

    def __init__(
        self, model: keras.Model | ExplainedModel, *, kernel_width: float = 0.25, ridge: float = 1.0, **options
    ):
        super().__init__(model, **options)
        if kernel_width <= 0 or ridge < 0:
            raise UserError(f"kernel_width must be above 0, ridge at least 0. Received: {kernel_width}, {ridge}")
        self.kernel_width, self.ridge = kernel_width, ridge

    @property
    def passes(self) -> Passes:
        return Passes(forward=1 + self.samples, at_most=True)  # equal coalitions are asked once

    def fit(self, score: Score, picture: np.ndarray, segments: np.ndarray, removed: np.ndarray) -> np.ndarray:
        settings = {"samples": self.samples, "kernel_width": self.kernel_width, "ridge": self.ridge, "seed": self.seed}
        return lime_values(score, picture, segments, removed, **settings)


class KernelSHAP(_Surrogate):
    """Lundberg and Lee 2017 (Kernel SHAP): each superpixel's Shapley value, a fair share of y(x) - y(removed), to which
    the shares sum; see :func:`kernel_shap_values`. Signed, in units of the target.

    What superpixels do together is divided among them, and no longer seen.
    """

    @property
    def passes(self) -> Passes:
        return Passes(forward=3 + self.samples, at_most=True)  # with the empty and the full coalition

    def fit(self, score: Score, picture: np.ndarray, segments: np.ndarray, removed: np.ndarray) -> np.ndarray:
        return kernel_shap_values(score, picture, segments, removed, samples=self.samples, seed=self.seed)


def segment_picture(picture: np.ndarray, *, segments: int = 50) -> np.ndarray:
    """Cut a picture into superpixels by SLIC (Achanta et al. 2012), the same ones at every call.

    Args:
        picture: (H, W, 3) RGB in any range; it is scaled by its own minimum and maximum.
        segments: how many are wanted, at least 2. SLIC makes about as many.

    Returns:
        int (H, W), labels from 0 to K - 1, each of at least one pixel.
    """
    from skimage.segmentation import slic  # here, because it loads SciPy, which the other explainers do without

    if segments < 2:
        raise UserError(f"a picture is cut into at least 2 segments. Received: {segments}")
    picture = np.asarray(picture, np.float64)
    low, high = picture.min(), picture.max()
    unit = (picture - low) / (high - low) if high > low else np.zeros_like(picture)
    labels = slic(unit, segments, compactness=10.0, sigma=1.0, start_label=0, channel_axis=-1)
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    return labels if labels.max() > 0 else _halves(labels.shape)


def _halves(size: tuple[int, int]) -> np.ndarray:
    """Two halves across the longer side: what is left for a picture in which SLIC sees one thing."""
    place = np.indices(size)[int(size[1] > size[0])]
    return (place >= max(size) // 2).astype(np.int64)


def lime_values(
    score: Score,
    picture: np.ndarray,
    segments: np.ndarray,
    baseline: np.ndarray,
    *,
    samples: int = 300,
    kernel_width: float = 0.25,
    ridge: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Coefficients of LIME's linear model of the logit near the picture.

    Minimises sum_i pi_i (f_i - b - z_i . beta)^2 + ridge |beta|^2 over beta and b; the intercept b is not shrunk.
    z_i in {0, 1}^K says which segments are kept: all of them first, then draws, a fair coin for each segment.
    pi_i = exp(-d_i^2 / (2 kernel_width^2)) with the cosine distance from the whole picture, d_i = 1 - sqrt(|z_i| / K).

    Args:
        score: the class's logit; see :data:`Score`.
        picture: (H, W, 3) as the network takes it.
        segments: as of :func:`segment_picture`.
        baseline: (H, W, 3), as of :func:`src.explainers.baselines.removed_picture`.
        samples: coalitions drawn, the whole picture included, at least 2. Equal ones are computed once.
        kernel_width: greater than 0; about 0.3 is the distance with half of the segments removed.
        ridge: at least 0.
        seed: of the draws.

    Returns:
        float64 (K,), in logits: by how much the linear model's answer rises where the segment is kept.

    Raises:
        UserError: a value out of its bounds; a kernel so narrow that no draw counts; a logit that is not finite.
    """
    picture, segments, baseline = _as_arrays(picture, segments, baseline)
    if samples < 2 or kernel_width <= 0 or ridge < 0:
        received = f"{samples}, {kernel_width}, {ridge}"
        raise UserError(
            "LIME takes at least 2 samples, a kernel width above 0 and a ridge of at least 0. Received: " + received
        )
    drawn = random_generator(seed).integers(0, 2, (samples, segments.max() + 1)).astype(bool)
    drawn[0] = True
    coalitions, counts = np.unique(drawn, axis=0, return_counts=True)
    distances = 1 - np.sqrt(coalitions.mean(axis=1))
    nearness = np.exp(-(distances**2) / (2 * kernel_width**2))
    if nearness[distances > 0].max(initial=0) < 0.01:
        raise UserError(f"LIME's kernel of width {kernel_width} leaves every drawn picture out; make it wider")
    answers = score_coalitions(score, picture, segments, baseline, coalitions)
    weights = counts * nearness
    # Centred by their weighted means, both sides are free of the intercept.
    inputs = coalitions - np.average(coalitions, axis=0, weights=weights)
    answers = answers - np.average(answers, weights=weights)
    root = np.sqrt(weights)
    rows = np.vstack([root[:, None] * inputs, np.sqrt(ridge) * np.eye(inputs.shape[1])])
    wanted = np.concatenate([root * answers, np.zeros(inputs.shape[1])])
    return np.linalg.lstsq(rows, wanted, rcond=None)[0]


def kernel_shap_values(
    score: Score,
    picture: np.ndarray,
    segments: np.ndarray,
    baseline: np.ndarray,
    *,
    samples: int = 300,
    seed: int = 0,
) -> np.ndarray:
    """Shapley values of the segments, estimated by Kernel SHAP; exact where all coalitions fit into ``samples``.

    Minimises sum_i w_i (f_i - f(baseline) - z_i . phi)^2 over phi with sum phi = f(picture) - f(baseline); the weights
    are those of :func:`shapley_coalitions`. The sum is held by construction, whatever ``samples`` is.

    Args:
        samples: coalitions besides the empty and the full one, at least 2. With 2^K - 2 of them, K the number of
            segments, all are asked. With fewer than K the least of the possible answers is given (least squares).
        seed: of the draws.
        score, picture, segments, baseline: as for :func:`lime_values`.

    Returns:
        float64 (K,), in logits.

    Raises:
        UserError: too few samples, or a logit that is not finite.
    """
    picture, segments, baseline = _as_arrays(picture, segments, baseline)
    count = int(segments.max()) + 1
    coalitions, weights = shapley_coalitions(count, samples, seed)
    ends = np.stack([np.zeros(count, bool), np.ones(count, bool)])
    answers = score_coalitions(score, picture, segments, baseline, np.concatenate([ends, coalitions]))
    gains, total = answers[2:] - answers[0], answers[1] - answers[0]
    # phi = total / K + deviation with deviations that sum to 0, as those of least norm do: each row sums to 0.
    share = coalitions.sum(axis=1) / count
    root = np.sqrt(weights)
    rows = root[:, None] * (coalitions - share[:, None])
    deviation = np.linalg.lstsq(rows, root * (gains - share * total), rcond=None)[0] if len(rows) else np.zeros(count)
    return total / count + deviation


def shapley_coalitions(count: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coalitions of ``count`` segments for Kernel SHAP, neither empty nor full, with their weights.

    All coalitions of size s together weigh (K - 1) / (s (K - s)), which is theorem 2's kernel times their number. From
    the outermost sizes inwards (1 and K - 1, 2 and K - 2 ...) all coalitions of a size are taken as long as its share
    of the samples left pays for them. For the sizes within, coalitions are drawn in pairs, each with its complement,
    until the samples are used; one drawn again counts again, but is asked once. So does the package shap.

    Returns:
        bool (M, K), all different, M <= samples, and float64 (M,), which sum to 1 (to 0 where count is 1).
    """
    if samples < 2:
        raise UserError(f"Kernel SHAP takes at least 2 samples. Received: {samples}")
    sizes = np.arange(1, count // 2 + 1)  # each stands for its complement's size too
    share = np.where(2 * sizes < count, 2.0, 1.0) * (count - 1) / (sizes * (count - sizes))
    share /= share.sum()
    coalitions, weights, left = [np.zeros((0, count), bool)], [np.zeros(0)], samples
    for place, size in enumerate(sizes):
        number = comb(count, int(size)) * (2 if 2 * size < count else 1)
        rest = share[place:].sum()
        if left * share[place] / rest < number * (1 - 1e-8):
            drawn, times = _draw_pairs(sizes[place:], share[place:] / rest, count, left // 2, seed)
            coalitions.append(drawn)
            weights.append(rest * times / times.sum())
            break
        members = np.array(list(combinations(range(count), int(size))))
        chosen = np.zeros((len(members), count), bool)
        np.put_along_axis(chosen, members, True, axis=1)
        coalitions += [chosen, ~chosen] if 2 * size < count else [chosen]
        weights.append(np.full(number, share[place] / number))
        left -= number
    return np.concatenate(coalitions), np.concatenate(weights)


def _draw_pairs(sizes: np.ndarray, chances: np.ndarray, count: int, pairs: int, seed: int):
    """At most ``pairs`` different pairs of coalitions of these sizes, and how often each coalition was drawn."""
    rng = random_generator(seed)
    size = rng.choice(sizes, 4 * pairs, p=chances)
    drawn = rng.random((len(size), count), np.float32).argsort(axis=1) < size[:, None]
    drawn ^= ~drawn[:, :1]  # of a pair the one with the first segment
    first = np.sort(np.unique(drawn, axis=0, return_index=True)[1])
    if len(first) > pairs:
        drawn = drawn[: first[pairs]]
    drawn, times = np.unique(drawn, axis=0, return_counts=True)
    return np.concatenate([drawn, ~drawn]), np.concatenate([times, times])


def score_coalitions(
    score: Score, picture: np.ndarray, segments: np.ndarray, baseline: np.ndarray, coalitions: np.ndarray
) -> np.ndarray:
    """The class's logit of each coalition, float64 (M,); pictures are made 32 at a time.

    Args:
        coalitions: bool (M, K), True where a segment is kept.
    """
    answers = np.empty(len(coalitions))
    labels = np.repeat(segments[..., None], picture.shape[-1], axis=-1)  # a third of np.where's time with (H, W, 1)
    for start in range(0, len(coalitions), BATCH):
        kept = np.take(coalitions[start : start + BATCH], labels, axis=1)
        answer = np.asarray(score(np.where(kept, picture, baseline)))
        if answer.shape != kept.shape[:1]:
            raise ValueError(f"one score for each of {len(kept)} pictures was expected. Received: {answer.shape}")
        answers[start : start + BATCH] = answer
    if not np.isfinite(answers).all():
        raise UserError("the model's values are not finite (NaN or infinite); its training went astray, train anew")
    return answers


def values_to_map(values: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Each pixel gets its segment's value: float32 (H, W), negative where a segment speaks against the class."""
    return np.asarray(values, np.float32)[segments]


def _as_arrays(picture, segments, baseline) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    picture, baseline = np.asarray(picture, np.float32), np.asarray(baseline, np.float32)
    segments = np.asarray(segments)
    if picture.shape != baseline.shape or picture.shape[:2] != segments.shape:
        shapes = f"{picture.shape}, {baseline.shape}, {segments.shape}"
        raise ValueError(f"picture and baseline (H, W, 3) and segments (H, W) must be of one size. Received: {shapes}")
    return picture, segments, baseline
