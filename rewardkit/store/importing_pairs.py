"""Comparisons formed from ratings: one person's two numbers on one criterion are a preference.

The responses to a prompt are dealt into small blocks and compared within them: all pairs of many
responses would repeat the same few opinions, and would tie all texts of a prompt together, so that no
text could be held out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import combinations, groupby, islice
from operator import attrgetter

import sqlalchemy as sa

from rewardkit.config import PairsConfig
from rewardkit.errors import DataError
from rewardkit.store.store import Counts, Store
from rewardkit.store.tables import annotators, ratings, responses
from rewardkit.types import Comparison, Label, Record, content_id

# Differences of decimal ratings (4.1 − 2.1) miss the threshold by less than this.
DIGITS = 9


@dataclass(frozen=True)
class RatedResponse:
    """A response and what humans gave it on one criterion.

    Attributes:
        values: Mean rating (over repeats) of each annotator, by annotator id.
    """

    prompt_id: str
    id: str
    values: dict[str, float] = field(default_factory=dict)


def form_pairs(store: Store, config: PairsConfig, source: str) -> Counts:
    """Add the comparisons and labels that follow from the store's human ratings.

    Args:
        store: Holds the ratings.
        config: Which criterion, how large the blocks are, which pairs are formed.
        source: What the comparisons are said to come from.

    Raises:
        DataError: No human has rated anything on this criterion.
    """
    _require_criterion(store, config.criterion)
    return store.add(_records(store, config, source))


def _require_criterion(store: Store, criterion: str) -> None:
    query = sa.select(ratings.c.criterion).distinct().join(annotators, ratings.c.annotator_id == annotators.c.id)
    with store.reading() as connection:
        found = sorted(connection.execute(query.where(annotators.c.kind == "human")).scalars())
    if criterion not in found:
        close = get_close_matches(criterion, found, 1)
        raise DataError(
            f"no human rating is on the criterion {criterion!r}",
            where=store.where,
            expected=f"one of {', '.join(found)}" if found else "ratings by humans",
            fix=f"did you mean {close[0]!r}?" if close else "name a criterion that is rated, or form no pairs",
        )


def _records(store: Store, config: PairsConfig, source: str) -> Iterator[Record]:
    for _, group in groupby(_rated(store, config.criterion), key=attrgetter("prompt_id")):
        # Ids are hashes: their order is a shuffle that every import repeats.
        while block := list(islice(group, config.block_size)):
            yield from _block(block, config, source)


def _rated(store: Store, criterion: str) -> Iterator[RatedResponse]:
    """Iterate over the rated responses, by prompt and id, in one state of the database."""
    query = (
        sa.select(responses.c.prompt_id, responses.c.id, ratings.c.annotator_id, ratings.c.value)
        .join_from(ratings, responses, ratings.c.response_id == responses.c.id)
        .join(annotators, ratings.c.annotator_id == annotators.c.id)
        .where(annotators.c.kind == "human", ratings.c.criterion == criterion, ratings.c.status == "ok")
        .where(ratings.c.value.is_not(None))
        .order_by(responses.c.prompt_id, responses.c.id, ratings.c.annotator_id, ratings.c.id)
        .execution_options(yield_per=1_000)
    )
    with store.reading() as connection:
        for (prompt_id, response_id), rows in groupby(connection.execute(query), key=lambda row: (row[0], row[1])):
            values = {
                annotator: _mean([float(row[3]) for row in group])
                for annotator, group in groupby(rows, key=lambda row: str(row[2]))
            }
            yield RatedResponse(prompt_id, response_id, values)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _block(block: list[RatedResponse], config: PairsConfig, source: str) -> Iterator[Record]:
    group = content_id("block", config.criterion, *(response.id for response in block))
    for first, second in combinations(block, 2):
        raters = sorted(first.values.keys() & second.values.keys())
        if not raters:
            continue
        differences = {rater: round(first.values[rater] - second.values[rater], DIGITS) for rater in raters}
        if abs(round(_mean(list(differences.values())), DIGITS)) >= config.min_difference:
            comparison = Comparison.of(first.prompt_id, first.id, second.id, group=group, source=source)
            yield comparison
            for rater, difference in differences.items():
                # In a block responses stand in the order of their ids, as in a comparison.
                yield _label(comparison.id, rater, difference, config.criterion)


def _label(comparison_id: str, annotator_id: str, difference: float, criterion: str) -> Label:
    return Label.of(
        comparison_id,
        annotator_id,
        choice="tie" if difference == 0 else "a" if difference > 0 else "b",
        strength=abs(difference) or None,
        metadata={"derived_from": f"rating:{criterion}"},
    )
