"""Labels → soft preferences: the registered ways, and the one call that runs them.

An aggregator sees only tallies and placements. Whatever it learns, it learns on the train split:
human labels of the other splits are there to calibrate and to test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from pydantic import Field

from rewardkit.aggregation.anchor import (
    Case,
    Interval,
    JudgeWeight,
    Reliability,
    human_reliability,
    judge_weight,
    mean_interval,
    vote_logit,
)
from rewardkit.aggregation.ratings import RatedCriterion
from rewardkit.aggregation.splits import SPLITS, Placement, place, require_splits
from rewardkit.aggregation.votes import Ballot, ComparisonTexts, count_votes, sigmoid
from rewardkit.config import AggregateConfig
from rewardkit.registry import lookup
from rewardkit.types import (
    SCHEMA_VERSION,
    Annotator,
    Label,
    PreferenceExample,
    Record,
    SoftPreference,
    SoftRating,
    Split,
)


@dataclass(frozen=True)
class Belief:
    """What an aggregator makes of one comparison."""

    p_a: float
    sample_weight: float = 1.0
    p_tie: float = 0.0


@dataclass(frozen=True)
class Combined:
    """Beliefs in the order of the cases, and what was learnt on the way (None: nothing).

    Attributes:
        beliefs: One for each case.
        reliability: Of people's votes.
        judge: What a judge's logit is worth.
        people_count: Whether what people said of a comparison is part of what is believed of it.
    """

    beliefs: tuple[Belief, ...]
    reliability: Reliability | None = None
    judge: JudgeWeight | None = None
    people_count: bool = True


class Aggregator(Protocol):
    """Combine the labels of each comparison into one probability; every case has a label."""

    def __call__(self, cases: Sequence[Case], config: AggregateConfig) -> Combined:
        """Return one belief for each case, in order."""


def vote_share(cases: Sequence[Case], config: AggregateConfig) -> Combined:
    """Share of human votes, smoothed by half a vote for each side; the judges' p_a where no human voted.

    The plain baseline: the judges are taken at their word.
    """
    return Combined(tuple(Belief(_share(case)) for case in cases))


def anchored(cases: Sequence[Case], config: AggregateConfig) -> Combined:
    """Log odds on the human scale: votes by their reliability, judges by their fitted weight.

    logit p_a = Σ_votes (2v − 1)·logit(r) + t·(mean judge logit), with r and t from the train split.
    t predicts single votes, which are noisy, so a comparison that only judges saw gets a careful p_a.
    Where t is 0 such a comparison carries no information, and gets weight 0.
    """
    reliability = human_reliability(cases, config.human_reliability)
    judge = judge_weight(cases)

    def belief(case: Case) -> Belief:
        terms = [vote_logit(vote, reliability, config.strength_scale) for vote in case.tally.votes]
        terms.append(judge.value * (case.tally.judge_logit or 0.0))
        known = bool(case.tally.votes) or judge.value > 0
        return Belief(sigmoid(math.fsum(terms)), float(known))

    return Combined(tuple(belief(case) for case in cases), reliability, judge)


def judges_alone(cases: Sequence[Case], config: AggregateConfig) -> Combined:
    """What the judges say, on the human scale, and nothing of what people said of the same comparison.

    To distil a judge into a reward model: people's votes on the train split decide only what a judge's logit is worth,
    and the others' are there to measure it. Where judges are worth nothing, or were not asked, the weight is 0.
    """
    judge = judge_weight(cases)

    def belief(case: Case) -> Belief:
        known = bool(case.tally.judges) and judge.value > 0
        return Belief(sigmoid(judge.value * (case.tally.judge_logit or 0.0)), float(known))

    return Combined(tuple(belief(case) for case in cases), judge=judge, people_count=False)


AGGREGATORS: dict[str, Aggregator] = {"anchored": anchored, "judges_alone": judges_alone, "vote_share": vote_share}


class SplitSize(Record):
    """How large a split is."""

    comparisons: int
    units: int
    with_human: int


class Diagnostics(Record):
    """What happened to the labels, and what was learnt from them.

    Attributes:
        comparisons: Comparisons that got a soft preference.
        unlabelled: Comparisons without a usable label, which got none.
        labels_elsewhere: Labels of comparisons that were not asked about.
        judges: Used labels of each judge; the same judge with other settings is another one.
        human_reliability: Probability that one human vote is right, on the train split.
        human_agreement: Share of overlapping vote pairs that agree, ties left out.
        human_vote_pairs: How many such pairs there are.
        tie_rate: Share of ties among the human votes of the train split.
        judge_weight: What one judge logit is worth; 0 where the judges do not help.
        judge_weight_estimate: The same before it was kept from going below 0, with its interval.
        judge_note: What to know about the judges' weight.
        position_residual: Mean logits in favour of the response shown first, over judges and
            comparisons seen in both orders.
        simulated: Comparisons with a label from a simulated annotator.
        ratings: By criterion, what was learnt about the ratings of compared responses.
    """

    schema_version: int = SCHEMA_VERSION
    method: str
    comparisons: int
    unlabelled: int
    labels_used: int
    labels_abstained: int
    labels_failed: int
    labels_superseded: int
    labels_elsewhere: int
    judges: dict[str, int] = Field(default_factory=dict)
    human_reliability: float | None = None
    human_agreement: float | None = None
    human_vote_pairs: int = 0
    tie_rate: float = 0.0
    judge_weight: float | None = None
    judge_weight_estimate: Interval | None = None
    judge_note: str = ""
    position_residual: Interval | None = None
    splits: dict[Split, SplitSize]
    simulated: int = 0
    ratings: dict[str, RatedCriterion] = Field(default_factory=dict)


@dataclass(frozen=True)
class Aggregation:
    """Soft preferences, and how they came about.

    Attributes:
        preferences: One for each labelled comparison, in the order of the comparisons.
        diagnostics: What happened.
        simulated: Ids of the comparisons with a label from a simulated annotator.
    """

    preferences: tuple[SoftPreference, ...]
    diagnostics: Diagnostics
    simulated: frozenset[str]


def aggregate(
    comparisons: Iterable[ComparisonTexts],
    labels: Iterable[Label],
    annotators: Iterable[Annotator],
    config: AggregateConfig,
    seed: int,
) -> Aggregation:
    """Combine labels into soft preferences, and divide them into splits.

    Args:
        comparisons: The comparisons with their texts.
        labels: Their labels, in any order.
        annotators: Everyone who gave one.
        config: The method, its settings and the splits.
        seed: Of the splits.

    Raises:
        ConfigError: No aggregator of that name is registered.
        DataError: A label is not usable, or the data cannot be divided as asked.
    """
    combine = lookup("aggregators", AGGREGATORS, config.method)
    placements = place(comparisons, config.split, seed)
    ballot = count_votes(placements, labels, annotators)
    cases = {key: Case(ballot.tallies[key], where) for key, where in placements.items() if key in ballot.tallies}
    require_splits({key: case.placement for key, case in cases.items()}, config.split)
    # Sorted, so that what is learnt does not depend on the order of the comparisons.
    ids = sorted(cases)
    combined = combine([cases[key] for key in ids], config)
    beliefs = dict(zip(ids, combined.beliefs, strict=True))
    ties = _Ties(tie_rate([cases[key] for key in ids]), combined.people_count)
    return Aggregation(
        preferences=tuple(
            _preference(key, case, replace(beliefs[key], p_tie=ties.of(case)), config.method)
            for key, case in cases.items()
        ),
        diagnostics=_diagnostics(cases, placements, ballot, combined, config.method),
        simulated=frozenset(key for key, case in cases.items() if case.tally.simulated),
    )


def responses_placed(comparisons: Iterable[ComparisonTexts], aggregation: Aggregation) -> dict[str, Placement]:
    """Return where the responses of comparisons with a preference stand, by their ids."""
    where = {each.comparison_id: Placement(each.unit, each.split) for each in aggregation.preferences}
    known = [item for item in comparisons if item.comparison.id in where]
    return {response.id: where[item.comparison.id] for item in known for response in (item.response_a, item.response_b)}


def examples(
    comparisons: Iterable[ComparisonTexts],
    aggregation: Aggregation,
    ratings: Mapping[str, tuple[SoftRating, ...]] = MappingProxyType({}),
) -> Iterator[PreferenceExample]:
    """Join soft preferences with their texts, in the order of the comparisons.

    Args:
        comparisons: The comparisons with their texts; those without a preference are passed over.
        aggregation: Their soft preferences.
        ratings: Of responses, by their ids.
    """
    preferences = {preference.comparison_id: preference for preference in aggregation.preferences}
    for item in comparisons:
        preference = preferences.get(item.comparison.id)
        if preference is not None:
            yield PreferenceExample(
                preference=preference,
                prompt=item.prompt.messages,
                response_a=item.response_a.text,
                response_b=item.response_b.text,
                task=item.prompt.task,
                source=item.comparison.source,
                simulated=preference.comparison_id in aggregation.simulated,
                ratings_a=ratings.get(item.response_a.id, ()),
                ratings_b=ratings.get(item.response_b.id, ()),
            )


def _share(case: Case) -> float:
    votes = case.tally.votes
    if votes:
        return (math.fsum(vote.value for vote in votes) + 0.5) / (len(votes) + 1)
    return sigmoid(case.tally.judge_logit or 0.0)


def tie_rate(cases: Sequence[Case]) -> float:
    """Return the share of ties among human votes of the train split; 0 without votes."""
    ties = [vote.tie for case in cases if case.placement.split == "train" for vote in case.tally.votes]
    return math.fsum(ties) / len(ties) if ties else 0.0


@dataclass(frozen=True)
class _Ties:
    """How probable ties are.

    Attributes:
        rate: Share of ties among people's votes.
        people_count: Whether votes on the comparison itself count.
    """

    rate: float
    people_count: bool

    def of(self, case: Case) -> float:
        """Return a comparison's: votes and one vote's worth of the rate. A judge's ties are not people's."""
        votes = case.tally.votes if self.people_count else ()
        return (math.fsum(vote.tie for vote in votes) + self.rate) / (len(votes) + 1)


def _preference(comparison_id: str, case: Case, belief: Belief, method: str) -> SoftPreference:
    return SoftPreference(
        comparison_id=comparison_id,
        p_a=belief.p_a,
        sample_weight=belief.sample_weight,
        n_human=len(case.tally.votes),
        n_judge=len(case.tally.judges),
        human_p_a=case.tally.human_p_a,
        judge_p_a=case.tally.judge_p_a,
        p_tie=min(belief.p_tie, 2 * belief.p_a, 2 * (1 - belief.p_a)),
        method=method,
        split=case.placement.split,
        unit=case.placement.unit,
    )


def _diagnostics(
    cases: dict[str, Case], placements: dict[str, Placement], ballot: Ballot, combined: Combined, method: str
) -> Diagnostics:
    reliability, judge = combined.reliability, combined.judge
    return Diagnostics(
        method=method,
        comparisons=len(cases),
        unlabelled=len(placements) - len(cases),
        labels_used=ballot.used,
        labels_abstained=ballot.abstained,
        labels_failed=ballot.failed,
        labels_superseded=ballot.superseded,
        labels_elsewhere=ballot.elsewhere,
        judges=dict(ballot.judges),
        human_reliability=reliability.value if reliability else None,
        human_agreement=reliability.agreement if reliability else None,
        human_vote_pairs=reliability.pairs if reliability else 0,
        tie_rate=tie_rate([cases[key] for key in sorted(cases)]),
        judge_weight=judge.value if judge else None,
        judge_weight_estimate=judge.estimate if judge else None,
        judge_note=judge.note if judge else "",
        position_residual=_position_residual([cases[key] for key in sorted(cases)]),
        splits=_sizes(cases.values()),
        simulated=sum(case.tally.simulated for case in cases.values()),
    )


def _position_residual(cases: Sequence[Case]) -> Interval | None:
    found = [
        (judge.position_residual, case.placement.unit)
        for case in cases
        for judge in case.tally.judges
        if judge.position_residual is not None
    ]
    return mean_interval([residual for residual, _ in found], [unit for _, unit in found])


def _sizes(cases: Iterable[Case]) -> dict[Split, SplitSize]:
    by_split: dict[Split, list[Case]] = {split: [] for split in SPLITS}
    for case in cases:
        by_split[case.placement.split].append(case)
    return {
        split: SplitSize(
            comparisons=len(members),
            units=len({case.placement.unit for case in members}),
            with_human=sum(bool(case.tally.votes) for case in members),
        )
        for split, members in by_split.items()
    }
