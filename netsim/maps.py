"""Maps that never change: the next one shares with the last one all that is the same in both.

A tree of two levels, 64 wide, over small dictionaries. A change copies one path, whatever the size;
two maps are compared by looking only where they do not share. So what a change costs does not grow
with what is there, and whoever compares state need not be told what changed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import chain, compress
from operator import is_not
from typing import Generic, TypeVar, cast, overload

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
N = TypeVar("N")

WIDTH = 64
LOW = WIDTH - 1
SHIFT = 6

Leaf = dict[K, V]
Branch = list[Leaf[K, V]]

_NO_BRANCH: Branch[Hashable, object] = [{}] * WIDTH
_NO_BRANCHES: list[Branch[Hashable, object]] = [_NO_BRANCH] * WIDTH


class SharedMap(Mapping[K, V], Generic[K, V]):
    """An immutable mapping; values are never None. Iterates in no order that means anything."""

    __slots__ = ("_branches", "_size")

    def __init__(self) -> None:
        """The empty map; others are made by `changed()`."""
        self._branches = cast("list[Branch[K, V]]", _NO_BRANCHES)
        self._size = 0

    @classmethod
    def of(cls, items: Mapping[K, V]) -> SharedMap[K, V]:
        """A map with these items."""
        empty: SharedMap[K, V] = SharedMap()
        return empty.changed(items)

    def __getitem__(self, key: K) -> V:
        number = hash(key)
        return self._branches[number & LOW][number >> SHIFT & LOW][key]

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, /, default: V | N) -> V | N: ...
    def get(self, key: K, /, default: V | N | None = None) -> V | N | None:
        """The value, `default` if there is none."""
        number = hash(key)
        return self._branches[number & LOW][number >> SHIFT & LOW].get(key, default)

    def __contains__(self, key: object) -> bool:
        number = hash(key)
        return key in self._branches[number & LOW][number >> SHIFT & LOW]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        return chain.from_iterable(self._leaves())

    def pairs(self) -> Iterator[tuple[K, V]]:
        """Keys and values."""
        return chain.from_iterable([leaf.items() for leaf in self._leaves()])

    def changed(self, changes: Mapping[K, V | None]) -> SharedMap[K, V]:
        """The map with other values; None removes a key, which need not be there."""
        branches, size = list(self._branches), self._size
        own: dict[int, set[int]] = {}
        for key, value in changes.items():
            number = hash(key)
            at, below = number & LOW, number >> SHIFT & LOW
            if at not in own:
                own[at] = set()
                branches[at] = list(branches[at])
            if below not in own[at]:
                own[at].add(below)
                branches[at][below] = dict(branches[at][below])
            leaf = branches[at][below]
            size -= len(leaf)
            if value is None:
                leaf.pop(key, None)
            else:
                leaf[key] = value
            size += len(leaf)
        made: SharedMap[K, V] = SharedMap()
        made._branches, made._size = branches, size
        return made

    def _leaves(self) -> list[Leaf[K, V]]:
        """Those that hold something."""
        used = [branch for branch in self._branches if branch is not _NO_BRANCH]
        return [leaf for branch in used for leaf in branch if leaf]


def different(old: Mapping[K, V], new: Mapping[K, V]) -> list[K]:
    """Keys under which the two maps do not hold the same object, or only one holds any.

    Ordered as in `new`, then those that only `old` has; keys of two SharedMaps are sorted.
    """
    if old is new:
        return []
    if not (isinstance(old, SharedMap) and isinstance(new, SharedMap)):
        return _different(old, new)
    found: list[K] = []
    for branches in _unshared(old._branches, new._branches):
        for leaves in _unshared(*branches):
            found += _different(*leaves)
    return sorted(found)  # type: ignore[type-var]


def _unshared(old: list[N], new: list[N]) -> Iterator[tuple[N, N]]:
    return compress(zip(old, new, strict=True), map(is_not, old, new))


def _different(old: Mapping[K, V], new: Mapping[K, V]) -> list[K]:
    find = old.get
    found = [key for key, value in _pairs(new) if find(key) is not value]
    if len(new) - len(found) < len(old):
        found += [key for key in old if key not in new]
    return found


def _pairs(items: Mapping[K, V]) -> Iterable[tuple[K, V]]:
    return items.pairs() if isinstance(items, SharedMap) else items.items()
