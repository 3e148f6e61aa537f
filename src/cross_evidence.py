"""Evidence of an exact head by cross-validation, in the place of a validation part that is small.

Of 30 validation pictures hardly a threshold can be told. A head over a frozen backbone is fitted in a fraction of a
second, so that each picture of train and val is judged by a head, and compared with class means, that have not seen
it. That holds of the network that is saved as far as its backbone is the pre-trained one, and its head one more of the
same kind. Heads are fitted to the pictures as they are, also where the network's own was fitted to augmented views of
them: a fair stand-in, though not the same.
"""

from pathlib import Path

import numpy as np

from src.datasets.folds import group_files, make_folds
from src.errors import UserError
from src.evaluation.novelty import fit_novelty, held_out_scores
from src.held_out import Answer, HeldOut, look_at
from src.progress import say
from src.training.logistic import fit_head, scale_features

_MOST = 2000  # pictures; more have validation parts that serve
# With fewer folds the means are of fewer pictures, and the threshold lies too high (docs/few_pictures.md).
_FOLDS, _NOVELTY_FOLDS = 10, 20


def cross_validate_evidence(
    answer: Answer, train, val, *, data_dir: str | Path, l2: float, balanced: bool, seed: int
) -> HeldOut | None:
    """What heads that have not seen them say of the pictures of train and val.

    Args:
        answer: by the network that is saved, whose features are the frozen backbone's.
        train, val: iterators over pictures, which are taken as they are, not augmented.
        data_dir: folder of the split, which may have been told what belongs together.
        l2, balanced: as the network's own head was fitted.
        seed: of the folds.

    Returns:
        None where there is no such evidence to be had: there are many pictures, every class has hardly more than copies
        of one, a picture has gone meanwhile. The pictures of a class that has no others than copies of one are left
        out.
    """
    if train.samples + val.samples > _MOST or train.stand_ins.reasons or val.stand_ins.reasons:
        return None
    try:
        features = [look_at(answer, part, np.arange(part.samples))[1] for part in (train, val)]
    except UserError:  # which is said when validation pictures are asked instead
        return None
    if features[0] is None or not all(np.isfinite(each).all() for each in features):
        return None
    features, labels = np.concatenate(features), np.concatenate([train.classes, val.classes]).astype(np.int64)
    groups, _ = group_files([*train.filepaths, *val.filepaths], data_dir)
    # One rare class must not make all folds few and large.
    dealt = [make_folds(labels, groups, count, seed, every_class=False) for count in (_FOLDS, _NOVELTY_FOLDS)]
    if dealt[0] is None or dealt[1] is None:
        return None
    judged = (dealt[0] >= 0) & (dealt[1] >= 0)
    probabilities = _cross_validate(features, labels, dealt[0], train.num_classes, l2, balanced)[judged]
    try:
        novelty, scores = fit_novelty(features, labels), held_out_scores(features, labels, dealt[1])[judged]
    except ValueError as error:
        say(f"Unlike pictures will not be told ({error}).")
        novelty = scores = None
    return HeldOut(labels[judged], probabilities, "cross-validation", novelty, scores)


def _cross_validate(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, class_count: int, l2: float, balanced: bool
) -> np.ndarray:
    """Probabilities float32 (N, C), NaN of those that are in no fold."""
    values = scale_features(features[None]).values
    probabilities = np.full((len(labels), class_count), np.nan, np.float32)
    for fold in np.unique(folds[folds >= 0]):
        held = folds == fold
        head = fit_head(values[:, ~held], labels[~held], class_count, l2, balanced=balanced)
        probabilities[held] = head.probabilities(values[0][held])
    return probabilities
