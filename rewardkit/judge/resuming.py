"""What a judge has said already, so that nothing is asked twice."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import cast

from rewardkit.types import Order

PairKey = tuple[str, str | None, int]
"""Comparison id, order shown, repeat."""
RatingKey = tuple[str, str, int]
"""Response id, criterion, repeat."""


def left_of(item: str, orders: Iterable[Order], already: Container[PairKey]) -> list[Order]:
    """Return the orders in which a comparison is still to be asked about."""
    return [order for order in dict.fromkeys(orders) if (item, order, 0) not in already]


class KeysInOrder:
    """Keys of labels or ratings that are there already, read while it is asked about their items, in order of these.

    Millions of them are never in memory.

    Args:
        keys: (comparison id, order, repeat) by comparison, or (response id, criterion, repeat) by response.

    Example:
        >>> already = KeysInOrder([("c1", "ab", 0), ("c3", None, 0)])
        >>> ("c1", "ab", 0) in already, ("c2", "ab", 0) in already, ("c3", "ab", 0) in already
        (True, False, True)
    """

    def __init__(self, keys: Iterable[PairKey]) -> None:
        self._keys = iter(keys)
        self._next = next(self._keys, None)
        self._item = ""
        self._there: set[PairKey] = set()
        self.count = 0
        """Of the keys that were read."""

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is there; none of an earlier item can be asked about."""
        item = cast(PairKey, key)[0]
        if item != self._item:
            self._go_on_to(item)
        return key in self._there

    def _go_on_to(self, item: str) -> None:
        if item < self._item:
            raise ValueError(f"asked about {item} after {self._item}")
        self._item, self._there = item, set()
        while self._next is not None and self._next[0] <= item:
            found, order, repeat = self._next
            if found == item:
                # Labels that do not say so were made before there was a choice.
                self._there.add((item, order or "ab", repeat))
                self.count += 1
            self._next = next(self._keys, None)
