"""Several talks about one item at the same time: each round asks what any of them asks next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rewardkit.judge.contract import Completion, Request, Steps

V = TypeVar("V")


def together(talks: Sequence[Steps[V]]) -> Steps[tuple[V, ...]]:
    """Go through talks side by side, and return what comes of each.

    Args:
        talks: None of them begun.
    """
    found: dict[int, V] = {}
    answers: dict[int, tuple[Completion, ...] | None] = dict.fromkeys(range(len(talks)))
    while answers:
        asked: dict[int, tuple[Request, ...]] = {}
        for number, given in answers.items():
            try:
                asked[number] = next(talks[number]) if given is None else talks[number].send(given)
            except StopIteration as stop:
                found[number] = stop.value
        if not asked:
            break
        coming = iter((yield tuple(request for requests in asked.values() for request in requests)))
        answers = {number: tuple(next(coming) for _ in requests) for number, requests in asked.items()}
    return tuple(found[number] for number in range(len(talks)))
