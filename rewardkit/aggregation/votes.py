"""Labels → what each comparison was told: one vote per human, one logit per judge.

A label that abstained or failed is no vote; it is counted. Sums are exact (`math.fsum`), so that the
order of the labels and the names of the annotators cannot change a result.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rewardkit.aggregation.orders import JudgeOpinion, swap_average
from rewardkit.errors import DataError
from rewardkit.types import Annotator, Comparison, Label, Order, Prompt, Response

# How far one judge verdict can go. A bare word says less than a probability read from the logits.
HARD_LIMIT = 0.02
SOFT_LIMIT = 1e-4

CHOICE_VALUE = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}


class ComparisonTexts(Protocol):
    """A comparison with its texts, however the caller keeps them."""

    @property
    def comparison(self) -> Comparison:
        """The comparison."""

    @property
    def prompt(self) -> Prompt:
        """Its prompt."""

    @property
    def response_a(self) -> Response:
        """The response that the comparison calls A."""

    @property
    def response_b(self) -> Response:
        """The response that the comparison calls B."""


@dataclass(frozen=True)
class Vote:
    """What one human said: 1 for A, 0 for B, 0.5 for a tie; repeats are averaged.

    Attributes:
        value: As above.
        strength: How strongly, where they said it.
        tie: Share of the repeats in which neither was better.
    """

    value: float
    strength: float | None = None
    tie: float = 0.0


@dataclass(frozen=True)
class Tally:
    """All that was said about one comparison."""

    votes: tuple[Vote, ...] = ()
    judges: tuple[JudgeOpinion, ...] = ()
    simulated: bool = False

    @property
    def human_p_a(self) -> float | None:
        """Plain share of human votes for A, or None."""
        return _mean([vote.value for vote in self.votes]) if self.votes else None

    @property
    def judge_logit(self) -> float | None:
        """Mean of the judges' logits, or None."""
        return _mean([judge.logit for judge in self.judges]) if self.judges else None

    @property
    def judge_p_a(self) -> float | None:
        """The judges' probability of A, or None."""
        return None if self.judge_logit is None else sigmoid(self.judge_logit)


@dataclass(frozen=True)
class Ballot:
    """The tallies of all comparisons, and what became of every label.

    Attributes:
        tallies: By comparison id; comparisons that nobody labelled are absent.
        used: Labels that count.
        abstained: Labels whose annotator would not say.
        failed: Labels that could not be read.
        superseded: Labels that a later version replaces.
        elsewhere: Labels of comparisons that are not asked about.
        judges: Used labels of each judge, by its name and the beginning of its id.
    """

    tallies: Mapping[str, Tally]
    used: int
    abstained: int
    failed: int
    superseded: int
    elsewhere: int
    judges: Mapping[str, int]


def count_votes(comparison_ids: Iterable[str], labels: Iterable[Label], annotators: Iterable[Annotator]) -> Ballot:
    """Gather labels into one tally per comparison.

    Args:
        comparison_ids: The comparisons that are asked about.
        labels: Any labels, in any order; the latest version of each counts.
        annotators: Everyone who gave one of them.

    Raises:
        DataError: A label's annotator is unknown, or a label with status ok says nothing.
    """
    known, wanted = {annotator.id: annotator for annotator in annotators}, set(comparison_ids)
    everything = list(labels)
    old = {label.supersedes for label in everything if label.supersedes}
    current = [label for label in everything if label.id not in old]
    here = [label for label in current if label.comparison_id in wanted]
    said: dict[str, dict[str, list[Label]]] = defaultdict(lambda: defaultdict(list))
    for label in here:
        if label.status == "ok":
            said[label.comparison_id][label.annotator_id].append(label)
    return Ballot(
        tallies={key: _tally(by_annotator, known) for key, by_annotator in said.items()},
        used=sum(label.status == "ok" for label in here),
        abstained=sum(label.status == "abstained" for label in here),
        failed=sum(label.status == "failed" for label in here),
        superseded=len(everything) - len(current),
        elsewhere=len(current) - len(here),
        judges=_by_judge(said, known),
    )


def _by_judge(said: Mapping[str, Mapping[str, Sequence[Label]]], known: Mapping[str, Annotator]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for by_annotator in said.values():
        for annotator_id, labels in by_annotator.items():
            judge = known[annotator_id]
            if judge.kind == "judge":
                # Two settings of one judge have one name, and are two annotators.
                counts[f"{judge.name} ({judge.id[:8]})"] += len(labels)
    return dict(sorted(counts.items()))


def label_value(label: Label) -> float:
    """Return a label as a number: p_a where it is soft, else 1 for A, 0 for B, 0.5 for neither.

    Raises:
        DataError: The label has neither a choice nor a probability.
    """
    if label.p_a is not None:
        return label.p_a
    if label.choice is None:
        raise DataError(
            "a label with status ok has neither a choice nor p_a",
            where=f"label {label.id}",
            expected="a, b, tie, both_bad or a probability",
            fix="import it again with status abstained or failed",
        )
    return CHOICE_VALUE[label.choice]


def judge_label_logit(label: Label) -> float:
    """Return a judge's label as log odds of A, within the limits of its kind."""
    limit = HARD_LIMIT if label.p_a is None else SOFT_LIMIT
    value = label_value(label)
    # Both sides are bounded alike, so that turning the label round negates the logit exactly.
    for_a, for_b = (min(max(side, limit), 1 - limit) for side in (value, 1 - value))
    return math.log(for_a) - math.log(for_b)


def sigmoid(logit: float) -> float:
    """Return the logistic function without overflow."""
    return 0.5 * (1.0 + math.tanh(0.5 * logit))


def _tally(by_annotator: Mapping[str, Sequence[Label]], known: Mapping[str, Annotator]) -> Tally:
    votes, judges, simulated = [], [], False
    for annotator_id, labels in by_annotator.items():
        if annotator_id not in known:
            raise DataError(
                f"the annotator {annotator_id!r} is unknown", where=f"label {labels[0].id}", fix="import the annotators"
            )
        annotator = known[annotator_id]
        simulated = simulated or annotator.simulated
        if annotator.kind == "human":
            votes.append(_vote(labels))
        else:
            judges.append(_opinion(labels))
    return Tally(tuple(votes), tuple(judges), simulated)


def _vote(labels: Sequence[Label]) -> Vote:
    strengths = [label.strength for label in labels if label.strength is not None]
    ties = [float(label.choice in ("tie", "both_bad")) for label in labels]
    return Vote(
        _mean([label_value(label) for label in labels]), _mean(strengths) if strengths else None, tie=_mean(ties)
    )


def _opinion(labels: Sequence[Label]) -> JudgeOpinion:
    by_order: dict[Order | None, list[float]] = defaultdict(list)
    for label in labels:
        by_order[label.order_shown].append(judge_label_logit(label))
    return swap_average({order: _mean(logits) for order, logits in by_order.items()})


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)
