"""Tasks about groups: one talk for all pairs of a group in one order of presentation, and a label for each of them.

Responses are shown in the order of their ids, which are hashes of what they say, and in the reverse. Response A of a
comparison is the one whose id comes first, so that a list by ids shows every pair in the order ab, and the reverse
every pair in the order ba: whoever averages both orders of a pair averages both presentations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rewardkit.judge.contract import Failure, PairVerdict, Steps
from rewardkit.judge.list_contract import GroupTexts, ListProtocol, ListVerdict
from rewardkit.judge.tasks import Asks, Task, Used, ask, labelled
from rewardkit.types import Comparison, Label, Order, Prompt, Response


@dataclass(frozen=True)
class GroupLeft:
    """A group with its texts, and what is to be said about it.

    Attributes:
        name: Of the group.
        prompt: What the responses answer.
        responses: All that its comparisons compare, in the order of their ids.
        left: Its comparisons that have no label yet, by the order in which they are to be shown.
    """

    name: str
    prompt: Prompt
    responses: Sequence[Response]
    left: Mapping[Order, Sequence[Comparison]]


def list_tasks(
    groups: Iterable[GroupLeft], judge: Asks[ListProtocol], sampling_prob: float = 1.0
) -> Iterator[Task[tuple[Label, ...]]]:
    """Ask about each group once in each order in which a label is missing, for the labels that are.

    Args:
        groups: Those to be asked about.
        judge: Who is asked.
        sampling_prob: With which probability a comparison came to be among them.
    """
    for group in groups:
        for order, comparisons in group.left.items():
            if comparisons:
                yield Task(group.name, _ranking(judge, group, order, sampling_prob))


def _ranking(
    judge: Asks[ListProtocol], group: GroupLeft, order: Order, sampling_prob: float
) -> Steps[tuple[Label, ...]]:
    used, about = Used(), f"{group.name} {order}"
    rubric = judge.rubric_for(group.prompt, *group.responses)
    verdict = yield from ask(judge.protocol.rank(group, rubric, order), used, about, judge.persona)
    comparisons, labels = group.left[order], list[Label]()
    for number, comparison in enumerate(comparisons):
        said = verdict if isinstance(verdict, Failure) else pair_verdict(verdict, group, comparison, order)
        named = partial(Label.of, comparison.id, judge.annotator.id, order_shown=order, sampling_prob=sampling_prob)
        labels.append(labelled(said, used.part(number, len(comparisons)), comparison, order, named))
    return tuple(labels)


def pair_verdict(verdict: ListVerdict, group: GroupTexts, comparison: Comparison, order: Order) -> PairVerdict:
    """Return what the choice of the best says about one pair: P(first) / (P(first) + P(second)).

    By Luce's axiom (1959, Individual Choice Behavior) the ratio of the probabilities of two choices does not depend on
    what else there is to choose from, so that the first choice among all gives each pair. Plackett (1975, The analysis
    of permutations) goes on to choose the best of the rest by the same ratios: asking for it would tell nothing that
    the model does not assume, and only in the first choice does every letter stand in one and the same question.

    Args:
        verdict: On the group.
        group: Its responses.
        comparison: One of its pairs.
        order: In which the group was shown.
    """
    places = {response.id: place for place, response in enumerate(group.responses)}
    best = verdict.best if order == "ab" else verdict.best[::-1]
    a, b = best[places[comparison.response_a]], best[places[comparison.response_b]]
    first, second = (a, b) if order == "ab" else (b, a)
    # Where both are too small for a number, neither is known to be the larger.
    p_first = first / (first + second) if first + second else 0.5
    return PairVerdict(p_first, verdict.mass_outside, details={"group_size": len(group.responses)})
