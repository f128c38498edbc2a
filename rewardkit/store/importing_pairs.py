"""Comparisons formed from ratings: one person's two numbers on one criterion are a preference.

The responses to a prompt are dealt into small blocks and compared within them: all pairs of many
responses would repeat the same few opinions, and would tie all texts of a prompt together, so that no
text could be held out.

Which import brought a rating is not recorded: pairs are formed of all the ratings in the store that are on
the criterion, and ratings that come later deal the responses anew. What was formed before stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import combinations, groupby
from operator import attrgetter

import sqlalchemy as sa

from rewardkit.config import PairsConfig
from rewardkit.errors import DataError
from rewardkit.store.inserting import Counts
from rewardkit.store.store import Store
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


@dataclass(frozen=True)
class FormedPairs:
    """What came of forming pairs.

    Attributes:
        counts: What was added to the store.
        alone: How many rated responses are the only one to their prompt, and so in no pair.
    """

    counts: Counts
    alone: int


@dataclass(frozen=True)
class _Raters:
    """Whose ratings are compared.

    Attributes:
        ids: Annotators: people, or where no single person rated, aggregates (means of several).
        aggregate: Whether they are aggregates.
    """

    ids: frozenset[str]
    aggregate: bool


def form_pairs(store: Store, config: PairsConfig, source: str) -> FormedPairs:
    """Add the comparisons and labels that follow from all the human ratings in the store.

    Ratings that stand for several people (`aggregate`) are compared only where there are no others.

    Args:
        store: Holds the ratings, those of earlier imports too.
        config: Which criterion, how large the blocks are, which pairs are formed.
        source: What the comparisons are said to come from.

    Raises:
        DataError: No human has rated anything on this criterion, or they did so on several scales.
    """
    forming = _Forming(config, source, _raters(store, config.criterion))
    counts = store.add(forming.records(store))
    return FormedPairs(counts, forming.alone)


def _raters(store: Store, criterion: str) -> _Raters:
    """Return whose ratings are compared, after checking that there are some, on one scale."""
    query = (
        # PostgreSQL does not tell whether two values of JSON are equal.
        sa.select(ratings.c.annotator_id, sa.cast(ratings.c.scale, sa.Text), annotators.c.settings)
        .join(annotators, ratings.c.annotator_id == annotators.c.id)
        .where(*_usable(criterion))
        .group_by(ratings.c.annotator_id, sa.cast(ratings.c.scale, sa.Text), annotators.c.id)
    )
    with store.reading() as connection:
        found = [(row[0], row[1], bool(row[2].get("aggregate"))) for row in connection.execute(query)]
    if not found:
        raise _no_ratings(store, criterion)
    aggregate = all(row[2] for row in found)
    used = [row for row in found if row[2] == aggregate]
    _require_one_scale(store, criterion, sorted({tuple(json.loads(row[1])) for row in used}))
    return _Raters(frozenset(row[0] for row in used), aggregate)


def _usable(criterion: str) -> tuple[sa.ColumnElement[bool], ...]:
    later = ratings.alias("later")
    return (
        ~sa.exists().where(later.c.supersedes == ratings.c.id),
        annotators.c.kind == "human",
        ratings.c.criterion == criterion,
        ratings.c.status == "ok",
        ratings.c.value.is_not(None),
    )


def _no_ratings(store: Store, criterion: str) -> DataError:
    query = sa.select(ratings.c.criterion).distinct().join(annotators, ratings.c.annotator_id == annotators.c.id)
    with store.reading() as connection:
        found = sorted(connection.execute(query.where(annotators.c.kind == "human")).scalars())
    close = get_close_matches(criterion, found, 1)
    return DataError(
        f"no human rating is on the criterion {criterion!r}",
        where=store.where,
        expected=f"one of {', '.join(found)}" if found else "ratings by humans",
        fix=f"did you mean {close[0]!r}?" if close else "name a criterion that is rated, or form no pairs",
    )


def _require_one_scale(store: Store, criterion: str, scales: Sequence[tuple[float, ...]]) -> None:
    if len(scales) > 1:
        named = ", ".join(" to ".join(f"{end:g}" for end in scale) for scale in scales)
        raise DataError(
            f"the ratings on {criterion!r} are on {len(scales)} scales: {named}",
            where=store.where,
            expected="one scale, so that differences mean the same throughout",
            fix="bring the ratings to one scale, or import them into databases of their own",
        )


@dataclass
class _Forming:
    """The forming of pairs from one criterion."""

    config: PairsConfig
    source: str
    raters: _Raters
    alone: int = 0

    def records(self, store: Store) -> Iterator[Record]:
        """Iterate over comparisons, each before its labels."""
        for _, group in groupby(_rated(store, self.config.criterion, self.raters), key=attrgetter("prompt_id")):
            responses = list(group)
            self.alone += len(responses) == 1
            for block in dealt(responses, self.config.block_size):
                yield from self._block(block)

    def _block(self, block: Sequence[RatedResponse]) -> Iterator[Record]:
        group = content_id("block", self.config.criterion, *(response.id for response in block))
        for first, second in combinations(block, 2):
            raters = sorted(first.values.keys() & second.values.keys())
            if not raters:
                continue
            differences = {rater: round(first.values[rater] - second.values[rater], DIGITS) for rater in raters}
            if abs(round(_mean(list(differences.values())), DIGITS)) >= self.config.min_difference:
                comparison = Comparison.of(first.prompt_id, first.id, second.id, group=group, source=self.source)
                yield comparison
                for rater, difference in differences.items():
                    # In a block responses stand in the order of their ids, as in a comparison.
                    yield self._label(comparison.id, rater, difference)

    def _label(self, comparison_id: str, annotator_id: str, difference: float) -> Label:
        mark = {"aggregate": True} if self.raters.aggregate else {}
        return Label.of(
            comparison_id,
            annotator_id,
            choice="tie" if difference == 0 else "a" if difference > 0 else "b",
            strength=abs(difference) or None,
            metadata={"derived_from": f"rating:{self.config.criterion}", **mark},
        )


def dealt(responses: Sequence[RatedResponse], size: int) -> list[Sequence[RatedResponse]]:
    """Deal the responses to a prompt into blocks whose sizes differ by one at most.

    Args:
        responses: In the order of their ids: ids are hashes, so that it is a shuffle that every import
            repeats.
        size: How many a block takes; one more where a response would be left alone (an odd number of
            responses in blocks of two).

    Returns:
        The blocks, each in the order of the ids; none where there is but one response.
    """
    count = min(-(-len(responses) // size), len(responses) // 2)
    return [responses[start::count] for start in range(count)]


def _rated(store: Store, criterion: str, raters: _Raters) -> Iterator[RatedResponse]:
    """Iterate over the rated responses, by prompt and id, in one state of the database."""
    query = (
        sa.select(responses.c.prompt_id, responses.c.id, ratings.c.annotator_id, ratings.c.value)
        .join_from(ratings, responses, ratings.c.response_id == responses.c.id)
        .join(annotators, ratings.c.annotator_id == annotators.c.id)
        .where(*_usable(criterion))
        .order_by(responses.c.prompt_id, responses.c.id, ratings.c.annotator_id, ratings.c.id)
        .execution_options(yield_per=1_000)
    )
    with store.reading() as connection:
        used = (row for row in connection.execute(query) if row[2] in raters.ids)
        for (prompt_id, response_id), rows in groupby(used, key=lambda row: (row[0], row[1])):
            values = {
                annotator: _mean([float(row[3]) for row in group])
                for annotator, group in groupby(rows, key=lambda row: str(row[2]))
            }
            yield RatedResponse(prompt_id, response_id, values)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
