"""Comparisons for responses that nobody has paired yet.

Every response to a prompt meets its neighbour on a circle whose order is drawn, then the one after the next,
and so on: with a few pairs each response is compared about equally often, and all of them hang together
(a cyclic design: David 1963, The Method of Paired Comparisons, chapter 5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from labeling_ui.assignment import unit_number
from rewardkit.store.store import Store
from rewardkit.types import Comparison

SOURCE = "paired"


def circle(ids: Sequence[str], most: int) -> list[tuple[str, str]]:
    """Return pairs of some responses, neighbours on a drawn circle first.

    Args:
        ids: Of the responses to one prompt, each once.
        most: How many pairs at most.
    """
    drawn = sorted(ids, key=lambda each: unit_number("circle", each))
    count = len(drawn)
    pairs: dict[frozenset[str], tuple[str, str]] = {}
    for distance in range(1, count // 2 + 1):
        for at in range(count):
            pair = drawn[at], drawn[(at + distance) % count]
            pairs.setdefault(frozenset(pair), pair)
    return list(pairs.values())[:most]


def pairs_of(store: Store, most: int) -> Iterator[Comparison]:
    """Yield comparisons of the responses to each prompt.

    Args:
        store: Where the responses are.
        most: Pairs for each prompt at most.
    """
    by_prompt: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for response in store.responses():
        # Two models that said the same are one text to whoever reads it.
        by_prompt[response.prompt_id].setdefault(response.text, response.id)
    for prompt_id, responses in by_prompt.items():
        for first, second in circle(list(responses.values()), most):
            yield Comparison.of(prompt_id, first, second, source=SOURCE)
