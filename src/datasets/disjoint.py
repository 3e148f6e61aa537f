"""Disjoint sets: what is joined, directly or through others, is one group."""

from collections import defaultdict
from collections.abc import Iterable


class Groups:
    """``count`` members, joined one by one; a member joined to none is a group of its own."""

    def __init__(self, count: int):
        self._parents = list(range(count))

    def join(self, first: int, second: int) -> None:
        first, second = self._root(first), self._root(second)
        self._parents[max(first, second)] = min(first, second)

    def join_equal(self, keys: Iterable) -> None:
        """Join all that have the same key, None being no key."""
        first_of = {}
        for index, key in enumerate(keys):
            if key is not None:
                self.join(first_of.setdefault(key, index), index)

    def as_lists(self) -> list[list[int]]:
        """The groups, in the order of their first members."""
        groups = defaultdict(list)
        for index in range(len(self._parents)):
            groups[self._root(index)].append(index)
        return list(groups.values())

    def _root(self, index: int) -> int:
        while (parent := self._parents[index]) != index:
            self._parents[index] = index = self._parents[parent]
        return index
