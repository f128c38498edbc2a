"""What the tests of the audit are made of: cases in a few words, the same turned round, and any cases at all."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from rewardkit.audit.cases import PairCase, Verdict, Vote

SURE = math.log(0.98 / 0.02)


def vote(value, who="kim", group="", **fields):
    return Vote(who, group, value, **fields)


def verdict(value, order=None, **fields):
    """A verdict in words (1, 0 or 0.5), or a probability."""
    soft = value not in (0.0, 0.5, 1.0)
    logit = math.log(value / (1 - value)) if soft else SURE * (2 * value - 1)
    return Verdict(logit=logit, value=value, order=order, soft=soft, chain=f"order {order}", **fields)


def pair(said, votes=(), *, unit="u", task="", doublings=0.0, writers=(None, None)):
    """A case: what the judge said, one value or {order: value}; the people's values, or votes."""
    by_order = said if isinstance(said, dict) else {None: said}
    verdicts = tuple(verdict(value, order) for order, value in by_order.items())
    heard = tuple(v if isinstance(v, Vote) else vote(v, f"p{i}") for i, v in enumerate(votes))
    return PairCase(unit, task, doublings, writers, verdicts, heard)


def turned(case):
    """The same case with A and B exchanged."""
    flip = {"ab": "ba", "ba": "ab", None: None}
    verdicts = tuple(
        Verdict(-v.logit, 1 - v.value, flip[v.order], v.soft, "order " + str(flip[v.order]), v.current)
        for v in case.verdicts
    )
    votes = tuple(Vote(v.annotator, v.group, 1 - v.value, v.aggregate) for v in case.votes)
    return PairCase(case.unit, case.task, -case.doublings, case.writers[::-1], verdicts, votes)


words = st.sampled_from([0.0, 0.5, 1.0])
said = st.one_of(words, st.floats(0.01, 0.99))


@st.composite
def any_cases(draw):
    count = draw(st.integers(2, 14))
    found = []
    for place in range(count):
        orders = draw(st.sampled_from([("ab", "ba"), ("ab",), ("ba",), (None,), ("ab", "ba")]))
        people = draw(st.integers(0, 3))
        votes = tuple(vote(draw(words), f"p{i}", draw(st.sampled_from(["x", "y"]))) for i in range(people))
        found.append(
            pair(
                {order: draw(said) for order in orders},
                votes,
                unit=f"u{place % draw(st.integers(1, 5))}",
                task=draw(st.sampled_from(["", "joke"])),
                doublings=draw(st.sampled_from([-2.0, -0.3, 0.0, 0.3, 1.0])),
                writers=draw(st.sampled_from([("gpt", "llama"), ("llama", "gpt"), (None, None), ("gpt", "gpt")])),
            )
        )
    return found
