"""Which responses to one prompt are compared: of different policies, of one policy, and each about equally often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations

from rewardkit.generate_config import FormedConfig
from rewardkit.types import content_id

Authors = frozenset[str]


def pairs_of(responses: Mapping[str, Authors], config: FormedConfig) -> list[tuple[str, str]]:
    """Return pairs of responses to one prompt.

    The next pair is always one whose responses are in the fewest pairs so far, drawn by a hash among several: after any
    number of pairs no response that could be compared is far behind the others.

    Args:
        responses: By id, the policies that wrote the text; no two of them are the same text.
        config: Which pairs, and how many.
    """
    allowed = [pair for pair in combinations(sorted(responses), 2) if _allowed(responses, pair, config)]
    met: Counter[str] = Counter()
    found: list[tuple[str, str]] = []
    while allowed and len(found) < config.per_prompt:
        pair = min(
            allowed, key=lambda each: (max(met[each[0]], met[each[1]]), met[each[0]] + met[each[1]], _drawn(each))
        )
        allowed.remove(pair)
        met.update(pair)
        found.append(pair)
    return found


def _allowed(responses: Mapping[str, Authors], pair: tuple[str, str], config: FormedConfig) -> bool:
    first, second = (responses[each] for each in pair)
    between = len(first | second) > 1
    return (config.between and between) or (config.within and bool(first & second))


def _drawn(pair: tuple[str, str]) -> str:
    return content_id("pair", *pair)
