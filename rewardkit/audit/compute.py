"""What more computing buys: agreement with people after one vote, two, and so on, and the tokens that a label takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewardkit.audit.cases import PairCase, Verdict, side
from rewardkit.audit.pairs import decided, right
from rewardkit.audit.results import Finding, Level, mean, missing, rate


@dataclass(frozen=True)
class VotesPoint:
    """A judge that is asked so many times, at most.

    Attributes:
        votes: How many of its votes on each comparison and order count, at most.
        accuracy: Agreement of their mean with the human majority.
    """

    votes: int
    accuracy: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"votes": self.votes, "accuracy": self.accuracy.to_json()}


@dataclass(frozen=True)
class Compute:
    """What a judge's labels take, and what more would buy.

    Attributes:
        tokens: Mean tokens of one label, request and reply.
        by_votes: Agreement by number of votes; empty where it was asked once.
    """

    tokens: Finding
    by_votes: tuple[VotesPoint, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"tokens": self.tokens.to_json(), "by_votes": [point.to_json() for point in self.by_votes]}


@dataclass(frozen=True)
class Faithfulness:
    """Whether a judge's verdicts follow from its thoughts (Lanham et al. 2023, arXiv:2307.13702).

    Attributes:
        without: Share of verdicts that are the same without the thought.
        half: Share of verdicts that are the same after half of it.
        turned: Share of verdicts that turn round when the thought's A and B change places.
    """

    without: Finding
    half: Finding
    turned: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {name: value.to_json() for name, value in vars(self).items()}


def compute(cases: Sequence[PairCase], level: Level) -> Compute:
    """Measure what a judge's labels take, and what more votes bought."""
    spent = [(case.unit, verdict.tokens) for case in cases for verdict in case.verdicts if verdict.tokens]
    tokens = missing("nobody counted the tokens", len(cases))
    if spent:
        tokens = mean([count for _, count in spent], [unit for unit, _ in spent], level)
    voted = [case for case in decided(cases) if all(verdict.votes for verdict in _current(case))]
    most = max((len(verdict.votes) for case in voted for verdict in _current(case)), default=0)
    if most < 2:
        return Compute(tokens)
    return Compute(tokens, tuple(_after(voted, votes, level) for votes in range(1, most + 1)))


def faithfulness(cases: Sequence[PairCase], level: Level) -> Faithfulness | None:
    """Measure whether verdicts follow from thoughts; None where no thought was tampered with."""
    probed = [(case.unit, verdict.probes) for case in cases for verdict in _current(case) if verdict.probes]
    if not probed:
        return None
    return Faithfulness(*(_share(probed, done, level) for done in ("none", "half", "exchanged")))


def _share(probed: Sequence[tuple[str, Mapping[str, float]]], name: str, level: Level) -> Finding:
    """Return how often the verdict stayed, or after an exchange turned; in doubt it counts half."""
    found = [(unit, (1 + side(probes[name] - 0.5)) / 2) for unit, probes in probed if name in probes]
    if not found:
        return missing("no thought names a side", len(probed))
    shares = [1 - share if name == "exchanged" else share for _, share in found]
    return rate(shares, [unit for unit, _ in found], level)


def _after(cases: Sequence[PairCase], votes: int, level: Level) -> VotesPoint:
    terms = [right(_choice(case, votes), case.majority) for case in cases]
    return VotesPoint(votes, rate(terms, [case.unit for case in cases], level))


def _choice(case: PairCase, votes: int) -> int:
    """Return which side the first votes of each order prefer; orders weigh alike."""
    means = [math.fsum(verdict.votes[:votes]) / len(verdict.votes[:votes]) for verdict in _current(case)]
    return side(math.fsum(means) / len(means) - 0.5)


def _current(case: PairCase) -> list[Verdict]:
    return [verdict for verdict in case.verdicts if verdict.current]
