"""Two models on the same pictures: which is better, and whether that may be chance."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from src.files import write_csv
from src.intervals import Interval, paired_share_interval


@dataclass(frozen=True)
class PairedComparison:
    """Model ``first`` against model ``second``.

    Attributes:
        both_right, only_first, only_second, both_wrong: numbers of pictures.
        difference: accuracy of the first less that of the second, with its 95% interval (Newcombe, paired).
        p_value: of McNemar's exact test (Psychometrika 1947, by the binomial distribution): the chance of so uneven
            a share-out of the pictures that only one gets right, or a more uneven one, if both were equally good. It
            holds for one comparison: of twenty pairs of equals, one is below 0.05 by chance.
    """

    first: str
    second: str
    both_right: int
    only_first: int
    only_second: int
    both_wrong: int
    difference: Interval
    p_value: float

    def as_json(self) -> dict:
        """Plain Python values; the interval as ``difference``, ``low``, ``high``."""
        fields = asdict(self)
        bounds = fields.pop("difference")
        return fields | {"difference": bounds["mean"], "low": bounds["low"], "high": bounds["high"], "n": bounds["n"]}

    def __str__(self) -> str:
        found = self.difference
        return (
            f"{self.first} against {self.second}: {found.mean:+.4f} (95% interval {found.low:+.4f} to "
            f"{found.high:+.4f}); right alone {self.only_first} and {self.only_second} of {found.n}, "
            f"McNemar's exact p = {self.p_value:.2g}"
        )


def compare_pair(first: str, right_first: np.ndarray, second: str, right_second: np.ndarray) -> PairedComparison:
    """Two models by whether they are right on each of the same N pictures, bool (N,).

    Raises ``ValueError`` where the lengths differ or there are none.
    """
    from scipy.stats import binomtest

    one, other = np.asarray(right_first, bool), np.asarray(right_second, bool)
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise ValueError(f"expected answers to the same pictures. Received: {one.shape}, {other.shape}")
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    apart = only_first + only_second
    return PairedComparison(
        first,
        second,
        int((one & other).sum()),
        only_first,
        only_second,
        int((~one & ~other).sum()),
        paired_share_interval(one, other),
        float(binomtest(only_first, apart).pvalue) if apart else 1.0,
    )


def compare_pairs(right: Mapping[str, np.ndarray]) -> list[PairedComparison]:
    """Every pair of models, by name whether each is right on each of the same pictures, bool (N,)."""
    return [compare_pair(first, right[first], second, right[second]) for first, second in combinations(right, 2)]


def save_pairs(path: str | Path, pairs: list[PairedComparison]) -> None:
    """Write a line of CSV for each pair."""
    write_csv(
        path,
        ["first", "second", "n", "both_right", "only_first", "only_second", "both_wrong", "difference", "low", "high",
         "p_value"],
        [
            (
                pair.first, pair.second, pair.difference.n, pair.both_right, pair.only_first, pair.only_second,
                pair.both_wrong,
                # as text a negative number would be taken for a formula, and get a quote
                round(pair.difference.mean, 4), round(pair.difference.low, 4), round(pair.difference.high, 4),
                float(f"{pair.p_value:.4g}"),
            )
            for pair in pairs
        ],
    )  # fmt: skip
