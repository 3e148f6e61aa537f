"""Does the hottest region of a map decide, or the rest of the picture? Both are covered in turn; no mask is needed.

For a picture whose predicted class is c, and the hottest quarter R of its map for c, the network is asked again with R
covered, with all but R covered, and, as a control, with a region of the same size and shape elsewhere covered or left
alone. Each time it counts whether the answer is still c, and how far the probability of c has moved. What is covered is
filled from its surroundings (ROAD's imputation, Rong et al. 2022), which hides the shape of the cover;
docs/explainers.md has what other fillings come to.

The region is where the map says that the evidence lies. Whether that is the thing itself, only eyes or masks can tell:
where it is, and the rest decides, the background does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import cv2
import numpy as np

from src.errors import UserError
from src.explainers.baselines import removed_picture
from src.explainers.covering_words import CATEGORIES, VIEWS
from src.explainers.explained_model import AT_ONCE
from src.explainers.imputation import noisy_linear_imputation
from src.heatmap_drawing import enlarge_heatmap
from src.imaging import read_in_batches
from src.progress import track
from src.settings import random_generator
from src.threads import map_threads

SHARE = 0.25  # of the picture: the hottest region
MOST = 300  # pictures
_GRAIN = 14  # cells of a side at most: maps of single pixels are averaged, so that their region holds together
_BATCH = 16  # pictures, of each of which all views are in memory


@dataclass(frozen=True)
class Covering:
    """What became of n pictures' predicted classes.

    Attributes:
        index: int (n,), which of the explained pictures they are.
        class_index: int (n,), the predicted classes.
        before: float32 (n,), their probabilities on the whole pictures.
        area: float64 (n,), the hottest region's share 0..1 of the picture; a control region has the same.
        probability: view -> float32 (n,), of the class predicted before.
        answer: view -> int (n,), the class predicted then.
        without_region: how many pictures more were looked at whose maps have no hottest region.
    """

    index: np.ndarray
    class_index: np.ndarray
    before: np.ndarray
    area: np.ndarray
    probability: dict[str, np.ndarray]
    answer: dict[str, np.ndarray]
    without_region: int = 0

    def changed(self, view: str) -> np.ndarray:
        """bool (n,): whether the answer is another than before."""
        return self.answer[view] != self.class_index

    def moved(self, view: str) -> np.ndarray:
        """float64 (n,) in -1..1: the probability then less that before."""
        return self.probability[view].astype(np.float64) - self.before

    @property
    def categories(self) -> list[str]:
        """One of ``CATEGORIES`` for each picture."""
        kept = zip(~self.changed("region_covered"), ~self.changed("region_alone"))
        return [CATEGORIES[bool(covered), bool(alone)] for covered, alone in kept]


def hottest_region(heatmap: np.ndarray, size: tuple[int, int], share: float = SHARE) -> np.ndarray | None:
    """The pixels of the largest positive values, ``share`` of the picture, connected or not: bool ``size``.

    The map is enlarged bilinearly, so that the region's border is as smooth as the map's grain. Where fewer pixels are
    positive, these.

    Args:
        heatmap: (h, w), raw.
        size: (height, width).
        share: above 0, below 1.

    Returns:
        None where nothing is positive, or where so many pixels share the largest values that none is the hottest.
    """
    grain = tuple(min(side, _GRAIN) for side in heatmap.shape)
    if grain != heatmap.shape:
        heatmap = cv2.resize(np.asarray(heatmap, np.float32), grain[::-1], interpolation=cv2.INTER_AREA)
    values = enlarge_heatmap(heatmap, size)
    count = max(1, round(share * values.size))
    region = (values >= np.partition(values, -count, axis=None)[-count]) & (values > 0)
    return region if 0 < region.sum() <= (count + values.size) // 2 else None


def move_region(region: np.ndarray, seed: int, picture: int) -> np.ndarray:
    """The control: a region of the same size and shape elsewhere, bool (H, W), a function of the seed and the picture.

    It is moved by a uniform random step in both directions; what leaves the picture comes in on the other side.
    """
    draw = random_generator(seed, 5, picture)
    return np.roll(region, [int(draw.integers(side)) for side in region.shape], axis=(0, 1))


def cover(
    picture: np.ndarray, region: np.ndarray, *, value_range: tuple[float, float] = (0.0, 255.0), seed: int = 0
) -> np.ndarray:
    """The picture float32 (H, W, 3) with ``region`` bool (H, W), not all of it, filled from the other pixels."""
    return noisy_linear_imputation(picture, region, seed=seed, value_range=value_range)


def make_views(
    picture: np.ndarray, region: np.ndarray, control: np.ndarray, value_range: tuple[float, float], seed: int
) -> np.ndarray:
    """The picture as in ``VIEWS``, float32 (5, H, W, 3)."""
    covered = (region, ~region, control, ~control)
    views = [cover(picture, each, value_range=value_range, seed=seed) for each in covered]
    return np.stack([*views, removed_picture(picture, "mean")])


def choose_covered(predicted: np.ndarray, most: int = MOST, seed: int = 42) -> np.ndarray:
    """Up to ``most`` pictures, int (n,) rising: of every predicted class as many, as far as there are, drawn by the
    seed."""
    drawn = (
        random_generator(seed, 6, int(label)).permutation(np.flatnonzero(predicted == label))
        for label in np.unique(predicted)
    )
    by_turns = [
        index for turn in zip_longest(*(each.tolist() for each in drawn)) for index in turn if index is not None
    ]
    return np.sort(np.asarray(by_turns[:most], np.int64))


def measure_covering(
    answer: Callable[[np.ndarray], np.ndarray],
    read: Callable[[str], np.ndarray],
    paths: Sequence[str],
    heatmaps: np.ndarray,
    probabilities: np.ndarray,
    index: np.ndarray,
    *,
    share: float = SHARE,
    value_range: tuple[float, float] = (0.0, 255.0),
    seed: int = 42,
) -> Covering:
    """Ask for the covered pictures: five runs of the network each.

    Args:
        answer: inputs (M, H, W, 3) to probabilities (M, C), at the temperature that ``probabilities`` have.
        read: path to one input (H, W, 3).
        paths, heatmaps, probabilities: of all N explained pictures: raw maps (N, h, w) for their predicted classes.
        index: int (n,), which of them to cover.
        share: of the picture that is the hottest region.
        value_range: (lowest, highest) of the inputs.
        seed: of the control's places and of the imputation's noise.

    Raises:
        UserError: a picture cannot be read any more.
    """
    kept, answers, areas = [], [], []
    with track(total=len(index), what="Covering") as progress:
        for places, inputs, failures in read_in_batches([paths[i] for i in index], read, _BATCH):
            if failures:
                raise UserError(f"{failures[0]}; it could be read before: leave the pictures alone meanwhile")
            size = inputs.shape[1:3]
            found = [(place, hottest_region(heatmaps[index[place]], size, share)) for place in places]
            work = [(inputs[row], region, place) for row, (place, region) in enumerate(found) if region is not None]

            def make(item):
                picture, region, place = item
                control = move_region(region, seed, int(index[place]))
                return make_views(picture, region, control, value_range, seed)

            if work:
                views = np.concatenate(list(map_threads(make, work, AT_ONCE)))
                answers.append(answer(views).reshape(len(work), len(VIEWS), -1))
                areas += [region.mean() for _, region, _ in work]
                kept += [int(index[place]) for _, _, place in work]
            progress.update(len(places))
    chosen = np.asarray(kept, np.int64)
    class_index = probabilities[chosen].argmax(axis=1)
    each = np.concatenate(answers) if answers else np.empty((0, len(VIEWS), probabilities.shape[1]), np.float32)
    rows = np.arange(len(chosen))
    return Covering(
        chosen,
        class_index,
        probabilities[chosen, class_index],
        np.asarray(areas, np.float64),
        {view: each[rows, place, class_index] for place, view in enumerate(VIEWS)},
        {view: each[:, place].argmax(axis=1) for place, view in enumerate(VIEWS)},
        len(index) - len(chosen),
    )
