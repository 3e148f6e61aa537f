"""Near-copies: pictures that show the same shot, resized, re-encoded, slightly cropped, mirrored, brighter or darker.

Each picture is kept as a small gray thumbnail, from which all else follows:

1. candidates are the nearest neighbours by the thumbnail's 8 x 8 pixels, with mean and contrast taken out, and by its
   mirror image's (``src/neighbours.py``), so that the time grows as n log n;
2. a candidate is placed on the other picture, as a part of 90 to 100% of each side, where their normalised correlation
   is highest;
3. what decides is the correlation of the fine structure there, that is of the thumbnails less their blurred selves:
   pictures of one kind of scene agree in what is light above and dark below, and not in this. Where it nearly suffices,
   the place is first refined to an affine map (ECC: Evangelidis and Psarakis 2008, of OpenCV).

Figures of other ways, perceptual hashes among them, stand in docs/data.md.
"""

import functools
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from src.datasets.disjoint import Groups
from src.imaging import read_image
from src.neighbours import find_neighbours
from src.progress import say, track
from src.threads import map_threads

SIDE = 32  # pixels of a thumbnail
THRESHOLD = 0.75  # least correlation of fine structure between near-copies
_WORTH_ALIGNING = 0.5  # what alignment may bring up to the threshold
# Between these two hardly any pair lies where pictures can be told apart: 0.000 for each of 2,000 dogs and cats, 0.008
# in Tiny ImageNet, 0.019 in CIFAR-10; 2.7 among handwritten digits, which are no copies for it.
_MOST_DOUBTFUL, _FEW_DOUBTFUL, _ALIKE_THRESHOLD = 0.2, 20, 0.98
_READ_SIDE = 3 * SIDE  # a large JPEG may be decoded at a part of its size, with so many pixels at least
_LEAST_CONTRAST = 2.0  # gray levels (standard deviation): below, noise would be compared with noise
_VECTOR_SIDE, _NEIGHBOURS, _LEAST_ALIKE = 8, 6, 0.6
_COARSE_SIDE, _LEAST_COARSE = 24, 0.82
_PARTS_SHOWN = (1.0, 0.95, 0.9)  # of a side, in a cropped copy
_BLUR = SIDE / 16
_LEAST_OVERLAP = 0.4
_PAIRS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class NearCopy:
    """Two pictures, by their places, and how alike they are.

    Attributes:
        first, second: places in what was searched; ``first < second`` where both are of one list.
        similarity: correlation of the fine structure after alignment, THRESHOLD to 1.
        mirrored: whether one is the other's mirror image.
    """

    first: int
    second: int
    similarity: float
    mirrored: bool


def read_thumbnail(path: str | os.PathLike) -> np.ndarray:
    """The thumbnail of a picture's file. Raises ``ImageError``."""
    return make_thumbnail(read_image(path, needed=(_READ_SIDE, _READ_SIDE)))


def make_thumbnail(image: np.ndarray) -> np.ndarray:
    """RGB uint8 (H, W, 3) as gray uint8 (32, 32), its aspect ratio given up."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    shrinks = min(gray.shape) >= SIDE
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def find_near_copies(thumbnails: Sequence[np.ndarray], what: str = "Looking for near-copies") -> list[NearCopy]:
    """Pairs of near-copies among many pictures, in the order of their places.

    Of a group of many copies not every pair is found, but enough to hold it together. Pictures of hardly any contrast
    are no one's copies here; nor are those of a set that is all alike, as digits are: there only what is all but equal
    counts, and a line says so.

    Args:
        thumbnails: uint8 (32, 32) each.
        what: the name of this work, for the progress.
    """
    thumbnails = _stack(thumbnails)
    first_of: dict[bytes, int] = {}  # equal ones would be all of each other's nearest neighbours
    equal = []
    for place in np.flatnonzero(_has_contrast(thumbnails)).tolist():
        first = first_of.setdefault(thumbnails[place].tobytes(), place)
        if first != place:
            equal.append(NearCopy(first, place, 1.0, False))
    places = np.array(list(first_of.values()), int)
    different = thumbnails[places]
    pairs = {(min(a, b), max(a, b), mirrored) for a, b, mirrored in _candidates(different, different) if a != b}
    likely = _verify_pairs(different, different, sorted(pairs), what)
    threshold = _choose_threshold(likely, pairs)
    copies = [copy for copy in likely if copy.similarity >= threshold]
    copies += _join_large_groups(different, copies, threshold)
    copies = [replace(copy, first=int(places[copy.first]), second=int(places[copy.second])) for copy in copies]
    return sorted(equal + copies, key=lambda copy: (copy.first, copy.second))


def find_near_copies_of(
    thumbnails: Sequence[np.ndarray], of: Sequence[np.ndarray], what: str = "Looking for near-copies"
) -> list[NearCopy]:
    """For pictures of one list those of another that they are near-copies of: ``first`` is a place in ``thumbnails``,
    ``second`` one in ``of``."""
    thumbnails, of = _stack(thumbnails), _stack(of)
    pairs = sorted(set(_candidates(thumbnails, of)))
    likely = _verify_pairs(thumbnails, of, pairs, what)
    threshold = _choose_threshold(likely, pairs)
    return [copy for copy in likely if copy.similarity >= threshold]


def compare_thumbnails(first: np.ndarray, second: np.ndarray) -> float:
    """How alike the fine structure of two thumbnails is once they are aligned, -1 to 1; -1 where they do not align."""
    return float(_compare_pairs(first[None], second[None])[0])


def _choose_threshold(likely: Sequence[NearCopy], pairs: Collection[tuple[int, int, bool]]) -> float:
    """What counts as a near-copy among pictures of this kind: of the pairs looked at, and those that are likely."""
    doubtful = sum(copy.similarity < THRESHOLD for copy in likely)
    if doubtful <= max(_FEW_DOUBTFUL, _MOST_DOUBTFUL * len({first for first, _, _ in pairs})):
        return THRESHOLD
    say("These pictures are so much alike that near-copies cannot be told: only what is all but equal counts.")
    return _ALIKE_THRESHOLD


def _join_large_groups(thumbnails: np.ndarray, copies: Sequence[NearCopy], threshold: float) -> list[NearCopy]:
    """Further pairs, between groups so large that all the neighbours of a member may be of its own group: some members
    of each are compared once more, with one of every other group and with all that are alone."""
    found: list[NearCopy] = []
    groups = Groups(len(thumbnails))
    for copy in copies:
        groups.join(copy.first, copy.second)
    while True:
        members = groups.as_lists()
        large = [group for group in members if len(group) > _NEIGHBOURS]
        asked = np.array([group[place] for group in large for place in (0, len(group) // 2, -1)], int)
        heads = np.array([group[0] for group in members], int)
        head_of = {index: group[0] for group in members for index in group}
        pairs = {
            (int(asked[a]), int(heads[b]), mirrored)
            for a, b, mirrored in _candidates(thumbnails[asked], thumbnails[heads])
            if head_of[int(asked[a])] != int(heads[b])
        }
        likely = _verify_pairs(thumbnails, thumbnails, sorted(pairs), "Joining copies")
        joined = [copy for copy in likely if copy.similarity >= threshold]
        if not joined:
            return found
        for copy in joined:
            groups.join(copy.first, copy.second)
            first, second = sorted((copy.first, copy.second))
            found.append(replace(copy, first=first, second=second))


def _stack(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(thumbnails) if len(thumbnails) else np.empty((0, SIDE, SIDE), np.uint8)


def _has_contrast(thumbnails: np.ndarray) -> np.ndarray:
    chunks = range(0, len(thumbnails), 4096)  # the deviations are computed in float64
    parts = [thumbnails[start : start + 4096].std(axis=(1, 2)) >= _LEAST_CONTRAST for start in chunks]
    return np.concatenate(parts) if parts else np.zeros(0, bool)


def _candidates(thumbnails: np.ndarray, of: np.ndarray) -> Iterator[tuple[int, int, bool]]:
    """(place in ``thumbnails``, place in ``of``, whether mirrored) of pairs worth a closer look."""
    known, asked = (np.flatnonzero(_has_contrast(each)) for each in (of, thumbnails))
    if not len(known) or not len(asked):
        return
    vectors = _vectors(of[known])
    for mirrored in (False, True):
        queries = thumbnails[asked][:, :, ::-1] if mirrored else thumbnails[asked]
        places, products = find_neighbours(vectors, _vectors(queries), _NEIGHBOURS + 1)
        for row, column in np.argwhere(products >= _LEAST_ALIKE):
            yield int(asked[row]), int(known[places[row, column]]), mirrored


def _vectors(thumbnails: np.ndarray) -> np.ndarray:
    """float32 (N, 64): brightness and contrast taken out, of length 1."""
    factor = SIDE // _VECTOR_SIDE
    small = thumbnails.reshape(len(thumbnails), _VECTOR_SIDE, factor, _VECTOR_SIDE, factor).mean(axis=(2, 4))
    vectors = small.reshape(len(small), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _verify_pairs(
    thumbnails: np.ndarray, of: np.ndarray, pairs: Sequence[tuple[int, int, bool]], what: str
) -> list[NearCopy]:
    """The pairs whose similarity is worth a thought, by their places."""
    chunks = [pairs[start : start + _PAIRS_AT_ONCE] for start in range(0, len(pairs), _PAIRS_AT_ONCE)]

    def verify(chunk: Sequence[tuple[int, int, bool]]) -> np.ndarray:
        firsts, seconds, mirrored = (np.array(column) for column in zip(*chunk))
        asked = thumbnails[firsts]
        asked[mirrored] = asked[mirrored][:, :, ::-1]
        return _compare_pairs(asked, of[seconds])

    best: dict[tuple[int, int], NearCopy] = {}
    with track(total=len(pairs), what=what, unit="pairs") as progress:
        for chunk, similarities in zip(chunks, map_threads(verify, chunks)):
            progress.update(len(chunk))
            for (first, second, mirrored), similarity in zip(chunk, similarities.tolist()):
                known = best.get((first, second))  # a symmetric picture is a copy both ways
                if similarity >= _WORTH_ALIGNING and (known is None or similarity > known.similarity):
                    best[first, second] = NearCopy(first, second, similarity, mirrored)
    return [best[key] for key in sorted(best)]


def _compare_pairs(firsts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """:func:`compare_thumbnails` of many pairs, uint8 (P, 32, 32) each: float (P,)."""
    coarse = [_reduce(each) for each in (firsts, seconds)]
    places = [(firsts, seconds, _place_parts(*coarse)), (seconds, firsts, _place_parts(*coarse[::-1]))]
    swapped = places[1][2][0] > places[0][2][0]
    similarities = np.full(len(firsts), -1.0)
    for number, (wholes, parts, (correlations, windows)) in enumerate(places):
        for pair in np.flatnonzero((swapped == bool(number)) & (correlations >= _LEAST_COARSE)):
            similarities[pair] = _compare_placed(wholes[pair], parts[pair], _WINDOWS[windows[pair]])
    return similarities


def _reduce(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 (P, 32, 32) to float32 (P, 24, 24)."""
    return np.stack(
        [cv2.resize(each, (_COARSE_SIDE, _COARSE_SIDE), interpolation=cv2.INTER_AREA) for each in thumbnails]
    ).astype(np.float32)


def _list_windows() -> list[tuple[int, int, int, int]]:
    """(height, width, top, left) in the reduced thumbnail of the parts that a cropped copy may show; both sides of a
    copy are cropped by about as much."""
    sides = [(high, wide) for high in _PARTS_SHOWN for wide in _PARTS_SHOWN if abs(high - wide) < 0.08]
    sizes = [(round(_COARSE_SIDE * high), round(_COARSE_SIDE * wide)) for high, wide in sides]
    return [
        (height, width, top, left)
        for height, width in sizes
        for top in range(_COARSE_SIDE - height + 1)
        for left in range(_COARSE_SIDE - width + 1)
    ]


_WINDOWS = _list_windows()


def _place_parts(wholes: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pair, float32 (P, 24, 24) each, the best normalised correlation of the part with a window of the whole,
    and the place of that window in ``_WINDOWS``."""
    correlations = np.empty((len(_WINDOWS), len(parts)), np.float32)
    shrunk: dict[tuple[int, int], np.ndarray] = {}
    for number, (height, width, top, left) in enumerate(_WINDOWS):
        if (height, width) not in shrunk:
            resized = _shrinking(height) @ parts @ _shrinking(width).T
            shrunk[height, width] = _normalize(resized)
        window = _normalize(wholes[:, top : top + height, left : left + width])
        correlations[number] = np.einsum("pk,pk->p", window, shrunk[height, width])
    best = correlations.argmax(axis=0)
    return correlations[best, np.arange(len(parts))], best


@functools.cache
def _shrinking(side: int) -> np.ndarray:
    """The matrix that averages 24 pixels in a row to ``side``."""
    return cv2.resize(np.eye(_COARSE_SIDE, dtype=np.float32), (_COARSE_SIDE, side), interpolation=cv2.INTER_AREA)


def _normalize(images: np.ndarray) -> np.ndarray:
    """float32 (P, h, w) as (P, h x w), of mean 0 and length 1."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.sqrt(np.einsum("pk,pk->p", flat, flat))[:, None], 1e-6)


def _compare_placed(whole: np.ndarray, part: np.ndarray, window: tuple[int, int, int, int]) -> float:
    """Correlation of fine structure, the part lying in a window of the whole; where that is not yet enough, ECC moves
    it to its exact place."""
    height, width, top, left = (value / _COARSE_SIDE for value in window)
    # where a pixel of the part lies in the whole
    to_whole = np.array([[width, 0, left * SIDE], [0, height, top * SIDE]], np.float32)
    similarity = _correlate_detail(whole, part, to_whole)
    if not _WORTH_ALIGNING <= similarity < THRESHOLD:
        return similarity
    try:
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-4)
        _, to_whole = cv2.findTransformECC(part, whole, to_whole, cv2.MOTION_AFFINE, criteria, None, 3)
    except cv2.error:  # it does not converge
        return similarity
    return max(similarity, _correlate_detail(whole, part, to_whole))


def _correlate_detail(whole: np.ndarray, part: np.ndarray, to_whole: np.ndarray) -> float:
    """Correlation of what is finer than ``_BLUR`` in the part and in the same place of the whole; -1 where they
    overlap too little, or where there is nothing so fine."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(whole.astype(np.float32), to_whole, (SIDE, SIDE), flags=flags)
    inside = cv2.warpAffine(
        np.ones((SIDE, SIDE), np.uint8), to_whole, (SIDE, SIDE), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    inside = cv2.erode(inside, np.ones((5, 5), np.uint8), borderValue=0) > 0  # the blur reaches beyond the edge
    if inside.mean() < _LEAST_OVERLAP:
        return -1.0
    details = [each - cv2.GaussianBlur(each, (0, 0), _BLUR) for each in (seen, part.astype(np.float32))]
    first, second = (detail[inside] - detail[inside].mean() for detail in details)
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm > 1e-3 else -1.0
