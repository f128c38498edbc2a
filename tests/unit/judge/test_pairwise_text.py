"""Verdicts in words: the last one counts, and whatever is none is a failure with its name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.judge.contract import Completion, Failure, PairVerdict
from rewardkit.judge.pairwise import PairwiseTextV1

PROTOCOL = PairwiseTextV1()


@pytest.mark.parametrize(
    ("reply", "p_first"),
    [
        ("A is vivid.\nVerdict: A", 1.0),
        ("**Verdict: B**", 0.0),
        ("verdict : tie.\n", 0.5),
        ("Verdict: Response A", 1.0),
        # What is quoted, or thought better of, does not count.
        ('The text says "Verdict: A".\nVerdict: A\nOn reflection:\n\nVerdict: B\n', 0.0),
    ],
)
def test_the_last_verdict_counts_and_the_reason_is_kept(reply, p_first):
    found = PROTOCOL.parse(Completion(reply=reply))
    assert (found.p_first, found.mass_outside, found.rationale) == (p_first, 0.0, reply.strip())


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "an empty reply"),
        (" \n", "an empty reply"),
        ("A is better.", "no verdict in the reply"),
        ("Verdict: A or B", "no verdict in the reply"),
        ("My verdict: A", "no verdict in the reply"),
        ("Verdict: C", "no verdict in the reply"),
    ],
)
def test_what_is_no_verdict_is_a_failure(reply, reason):
    assert PROTOCOL.parse(Completion(reply=reply)) == Failure(reason)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(st.text(alphabet=st.one_of(st.sampled_from("AB:*_\n tieVerdict"), st.characters()), max_size=60))
def test_every_reply_is_a_verdict_or_a_failure(reply):
    assert isinstance(PROTOCOL.parse(Completion(reply=reply)), PairVerdict | Failure)
