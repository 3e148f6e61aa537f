"""Folds for cross-validation: stratified by class, and what belongs together on one side. NumPy only."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.datasets.disjoint import Groups
from src.datasets.manifest import FILE_NAME, load_manifest
from src.datasets.near_copies import find_near_copies
from src.datasets.seen import PictureRecord, record_pictures
from src.settings import random_generator


def group_pictures(record: PictureRecord, keys: Sequence | None = None) -> np.ndarray:
    """Number the groups of identical pictures, near-copies and equal keys, and of whatever is joined through others.

    Args:
        record: of N pictures; one that could not be read (digest 0) is a group of its own.
        keys: for each picture what else it belongs to, or None.

    Returns:
        int (N,), the groups numbered in the order of their first members.
    """
    groups = Groups(len(record.digests))
    groups.join_equal(digest or None for digest in record.digests.tolist())
    for copy in find_near_copies(record.thumbnails):
        groups.join(copy.first, copy.second)
    if keys is not None:
        groups.join_equal(keys)
    numbers = np.empty(len(record.digests), int)
    for number, members in enumerate(groups.as_lists()):
        numbers[members] = number
    return numbers


def group_files(paths: Sequence[str], data_dir: str | Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`group_pictures`, of picture files, which are read for it; with what the split in ``data_dir`` was told
    belongs together.

    Returns:
        The groups int (N,), and bool (N,), which of the files could be read.
    """
    record = record_pictures(paths)
    keys = None if data_dir is None else read_keys(data_dir, record.digests)
    return group_pictures(record, keys), record.digests != 0


def read_keys(data_dir: str | Path, digests: Sequence[int]) -> list[int | None] | None:
    """For each picture the number of its group by ``--group-by``, as ``split.json`` records it; None for one that has
    none, and in place of the list where the split has no such groups.

    Args:
        digests: the first 64 bits of each file's SHA-256.

    Raises ``UserError`` where ``split.json`` is malformed.
    """
    if not (Path(data_dir) / FILE_NAME).is_file():
        return None
    members = load_manifest(data_dir).grouped.get("members") or []
    group_of = {key: number for number, group in enumerate(members) for key in group}
    return [group_of.get(f"{digest:016x}") for digest in map(int, digests)] if group_of else None


def make_folds(
    labels: np.ndarray, groups: np.ndarray, count: int, seed: int, repeat: int = 0, *, every_class: bool = True
) -> np.ndarray | None:
    """Deal groups out to folds, the largest first and those of one size in random order: each to the fold that has the
    least of its classes, and among equals to the smallest.

    Where every picture is a group by itself, the folds' counts of a class differ by one at most; else by the size of
    its largest group at most, as long as no group is of several classes.

    Args:
        labels: int (N,), 0..C-1.
        groups: int (N,); pictures of one number stay in one fold.
        count: of folds; fewer are made where a class has fewer groups.
        seed, repeat: the order is a function of both.
        every_class: False makes fewer folds only where there are fewer groups in all, so that a rare class may be
            absent from some. It is never absent from all others: where its pictures would lie in one fold, they and
            what they are grouped with are in none, -1, and always learned from.

    Returns:
        For each picture the number of its fold, int (N,); None where a class has fewer than two groups, and of
        ``every_class`` False where all pictures are in none.
    """
    labels, (_, groups) = np.asarray(labels), np.unique(groups, return_inverse=True)
    classes, labels = np.unique(labels, return_inverse=True)
    composition = np.zeros((groups.max() + 1, len(classes)))
    np.add.at(composition, (groups, labels), 1)
    count = min(count, int((composition > 0).sum(axis=0).min()) if every_class else len(composition))
    if count < 2:
        return None
    order = random_generator(seed, repeat, 0x666F6C64).permutation(len(composition))
    order = order[np.argsort(-composition[order].sum(axis=1), kind="stable")]
    shares, dealt = composition / composition.sum(axis=0), np.zeros((count, len(classes)))
    fold_of = np.empty(len(composition), int)
    for group in order:
        crowded = (dealt * (shares[group] > 0)).sum(axis=1)
        # rounded, since sums of shares that are equal may differ in their last digit
        fold_of[group] = np.lexsort((np.round(dealt.sum(axis=1), 9), np.round(crowded, 9)))[0]
        dealt[fold_of[group]] += shares[group]
    if every_class:
        return fold_of[groups]
    for members in (composition > 0).T:
        if len(set(fold_of[members])) == 1:
            fold_of[members] = -1
    return fold_of[groups] if (fold_of >= 0).any() else None
