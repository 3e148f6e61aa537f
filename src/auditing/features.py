"""What a frozen network sees in the pictures: features, their neighbours, and what lies far from all."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from src.auditing.findings import Finding
from src.datasets.near_copies import NearCopy
from src.datasets.sources import Picture
from src.imaging import load_image, read_in_batches
from src.inference.engine import create_engine
from src.neighbours import find_neighbours
from src.networks.efficientnet_lite import EFFICIENTNET_LITE0
from src.progress import track

_BATCH = 32
# A pair is of one scene where the nearest picture is this near, and so much nearer than the sixth (as in the ratio test
# of Lowe 2004): in a set of pictures that are all alike none stands out.
_LEAST_COSINE, _MOST_RATIO, _COMPARED_WITH = 0.75, 0.45, 6
_NEIGHBOURS = 10
_OUTLIER = 4.5  # robust standard deviations beyond the median


def compute_features(pictures: Sequence[Picture]) -> np.ndarray:
    """Features float32 (N, 1280) of sound pictures: EfficientNet-Lite0 with its ImageNet weights, averaged over places.

    A picture that has become unreadable since gets zeros.
    """
    backbone = EFFICIENTNET_LITE0
    size = (backbone.image_size, backbone.image_size)
    model = backbone.build((*size, 3))
    backbone.load_weights(model, "imagenet")
    pooled = keras.layers.GlobalAveragePooling2D()(model.output)
    engine = create_engine(model.inputs[0], {"features": pooled})
    features = np.zeros((len(pictures), pooled.shape[-1]), np.float32)
    paths = [picture.path for picture in pictures]
    with track(total=len(paths), what="Looking at pictures") as progress:
        for places, images, failures in read_in_batches(
            paths, lambda path: load_image(path, size, backbone.interpolation), _BATCH
        ):
            if places:
                features[places] = engine.run(images.astype(np.float32))["features"]
            progress.update(len(places) + len(failures))
    return features


class Neighbourhood:
    """The nearest neighbours of every picture by the cosine of their features.

    Attributes:
        places, cosines: (N, K), the nearest first, without the picture itself.
    """

    def __init__(self, features: np.ndarray):
        unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
        places, cosines = find_neighbours(unit, unit, _NEIGHBOURS + 1)
        own = places == np.arange(len(unit))[:, None]
        own[~own.any(axis=1), -1] = True  # it may be missing among equals
        shape = len(unit), places.shape[1] - 1
        self.places, self.cosines = places[~own].reshape(shape), np.clip(cosines[~own].reshape(shape), -1, 1)


def find_scenes(neighbourhood: Neighbourhood, known: Sequence[NearCopy]) -> list[NearCopy]:
    """Pairs of pictures that are much nearer to each other than to the rest, beyond those that are known as copies."""
    if neighbourhood.places.shape[1] < _COMPARED_WITH:
        return []
    already = {frozenset((copy.first, copy.second)) for copy in known}
    nearest, far = neighbourhood.cosines[:, 0], neighbourhood.cosines[:, _COMPARED_WITH - 1]
    pairs: dict[tuple[int, int], NearCopy] = {}
    for place in np.flatnonzero((nearest >= _LEAST_COSINE) & (1 - nearest <= _MOST_RATIO * (1 - far))):
        other = int(neighbourhood.places[place, 0])
        if frozenset((int(place), other)) not in already:
            key = (min(int(place), other), max(int(place), other))
            pairs[key] = NearCopy(*key, float(nearest[place]), False)
    return [pairs[key] for key in sorted(pairs)]


def find_outliers(pictures: Sequence[Picture], neighbourhood: Neighbourhood) -> Iterator[Finding]:
    """Pictures whose neighbours are far, beyond what the spread of all (median, absolute deviations) lets expect."""
    if neighbourhood.places.shape[1] < _NEIGHBOURS:
        return
    distances = 1 - neighbourhood.cosines.mean(axis=1)
    median = float(np.median(distances))
    deviation = 1.4826 * float(np.median(np.abs(distances - median)))
    for place in np.flatnonzero(distances > median + _OUTLIER * max(deviation, 1e-6)):
        away = (distances[place] - median) / max(deviation, 1e-6)
        reason = f"its {_NEIGHBOURS} most similar pictures are {away:.1f} deviations farther than usual"
        yield Finding(pictures[place].relative, "outlier", float(min(1.0, distances[place])), reason)
