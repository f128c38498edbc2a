"""The backend without a model: labels and replies by the question's hash."""

from __future__ import annotations

import json
from dataclasses import replace

from rewardkit.judge.contract import Completion, PairVerdict, Request
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.pairwise import PairwiseTextV1

ASKED = Request("You judge.", "Which?", "", (), reply_tokens=40)
SCHEMA = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["A", "B", "tie"]},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "level": {"type": "integer", "minimum": 2, "maximum": 4},
        "sure": {"type": "boolean"},
    },
}


def test_replies_are_the_questions_own_and_of_its_seed():
    (first, again, other) = FakeBackend().complete([ASKED, ASKED, replace(ASKED, user="Which now?")])
    assert first == again and first.reply != other.reply and first.reply_tokens > 0
    drawn = {FakeBackend().complete([replace(ASKED, seed=seed)])[0].reply for seed in range(8)}
    assert len(drawn) > 4


def test_a_reply_in_words_has_a_verdict_that_a_protocol_reads():
    replies = FakeBackend().complete([replace(ASKED, user=f"Which? {n}") for n in range(20)])
    verdicts = [PairwiseTextV1().parse(each) for each in replies]
    assert all(isinstance(each, PairVerdict) for each in verdicts)
    assert {each.p_first for each in verdicts} == {0.0, 1.0}


def test_a_schema_is_followed():
    (found,) = FakeBackend().complete([replace(ASKED, schema=json.dumps(SCHEMA))])
    told = json.loads(found.reply)
    assert set(told) == {"verdict", "reasons", "level", "sure"} and told["verdict"] in ("A", "B", "tie")
    assert 2 <= told["level"] <= 4 and isinstance(told["sure"], bool) and all(map(str.split, told["reasons"]))


def test_whoever_tests_says_what_is_replied():
    backend = FakeBackend(lambda request: Completion(reply="Verdict: B") if not request.labels else None)
    reply, labels = backend.complete([ASKED, Request("", "Which?", "", ("A", "B"))])
    assert reply.reply == "Verdict: B" and set(labels.logprobs) == {"A", "B"}
