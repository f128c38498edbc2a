"""Votes: a judge that draws its replies is asked several times, until its majority is about certain.

The verdict is the mean of the votes' probabilities. A vote is one draw of what the judge may think, and the judge's
probability of a verdict is the mean over its thoughts; a mean of logits would be infinite as soon as one vote is in
words and says A.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import comb
from typing import Any

from rewardkit.errors import ConfigError
from rewardkit.judge.contract import Capability, Failure, PairProtocol, PairTexts, PairVerdict, Steps
from rewardkit.judge.together import together
from rewardkit.judge_config import VotesConfig
from rewardkit.rubric import Rubric
from rewardkit.types import Order, content_id

SEEDS = 2**31
"""So many there are: some servers take no larger one."""


class Voted:
    """A protocol whose replies are drawn, and that is gone through several times for one verdict.

    Args:
        protocol: What is gone through.
        config: How often, and at which temperature.

    Raises:
        ConfigError: The protocol draws nothing: it would say the same each time.
    """

    def __init__(self, protocol: PairProtocol, config: VotesConfig) -> None:
        if "replies" not in protocol.needs:
            raise ConfigError(
                f"{protocol.name} draws nothing: however often it is asked, it says the same",
                where="judge.votes",
                fix="leave votes out, or choose a protocol that replies in words, such as reasoned.v1",
            )
        self._protocol, self._config = protocol, config
        self.name, self.prompt_hash = protocol.name, protocol.prompt_hash
        self.needs: frozenset[Capability] = protocol.needs
        self.options = getattr(protocol, "options", None)
        self.settings: Mapping[str, Any] = {"votes": config.model_dump(mode="json")}

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Ask for votes in rounds, each with the fewest that could settle it."""
        votes: list[PairVerdict | Failure] = []
        while more := self._wanted(votes):
            begun = [self._vote(texts, rubric, order, len(votes) + n) for n in range(more)]
            votes += yield from together(begun)
        return _agreed(votes)

    def _vote(self, texts: PairTexts, rubric: Rubric, order: Order, number: int) -> Steps[PairVerdict | Failure]:
        """Go through the protocol, with replies that are drawn as the question and the vote's number say."""
        steps, answers = self._protocol.compare(texts, rubric, order), None
        while True:
            try:
                asked = next(steps) if answers is None else steps.send(answers)
            except StopIteration as stop:
                verdict: PairVerdict | Failure = stop.value
                return verdict
            answers = yield tuple(
                each
                if each.labels
                else replace(each, seed=_seed(each.texts, number), temperature=self._config.temperature)
                for each in asked
            )

    def _wanted(self, votes: Sequence[PairVerdict | Failure]) -> int:
        """Return how many votes to ask for next; 0 where there are enough."""
        left = self._config.count - len(votes)
        most, second = _leaders(votes)
        enough = (n for n in range(left) if certainty(most + n, second) >= self._config.stop)
        return next(enough, left)


def certainty(most: int, second: int) -> float:
    """Return the probability that the answer with most votes is the more probable one of the leading two.

    Args:
        most: Votes for it.
        second: Votes for the one after it.

    References:
        Aggarwal et al. 2023, Let's Sample Step by Step (arXiv:2305.11860), the Beta criterion: of the posterior
        Beta(most + 1, second + 1), the part above one half; with whole numbers that is a sum over a binomial
        distribution.
    """
    draws = most + second + 1
    return float(sum(comb(draws, k) for k in range(most + 1)) / 2**draws)


def _seed(texts: Sequence[str], number: int) -> int:
    return int(content_id("vote", *texts, str(number)), 16) % SEEDS


def _leaders(votes: Sequence[PairVerdict | Failure]) -> tuple[int, int]:
    counts = Counter(vote.said for vote in votes if isinstance(vote, PairVerdict))
    (_, most), (_, second) = [*counts.most_common(2), ("", 0), ("", 0)][:2]
    return most, second


def _agreed(votes: Sequence[PairVerdict | Failure]) -> PairVerdict | Failure:
    """Return what most votes say, with the words of the first of them."""
    said = [vote for vote in votes if isinstance(vote, PairVerdict)]
    if 2 * len(said) < len(votes) or not said:
        reasons = Counter(vote.reason for vote in votes if isinstance(vote, Failure))
        return Failure(f"{len(votes) - len(said)} of {len(votes)} votes failed: {reasons.most_common(1)[0][0]}")
    counts = Counter(vote.said for vote in said)
    answer, most = counts.most_common(1)[0]
    voice = next(vote for vote in said if vote.said == answer)
    details = {**voice.details, "votes": [vote.p_first for vote in said], "agreement": most / len(said)}
    if len(said) < len(votes):
        details["votes_failed"] = len(votes) - len(said)
    return replace(
        voice,
        p_first=_mean(vote.p_first for vote in said),
        mass_outside=_mean(vote.mass_outside for vote in said),
        p_tie=_mean(vote.p_tie for vote in said),
        p_both_bad=_mean(vote.p_both_bad for vote in said),
        criteria={name: _mean(vote.criteria[name] for vote in said) for name in voice.criteria},
        details=details,
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
