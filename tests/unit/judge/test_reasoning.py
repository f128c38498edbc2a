"""Reason, then label: what is asked after the thought, and what is kept of it."""

from __future__ import annotations

from math import log

import pytest

from rewardkit.errors import ConfigError
from rewardkit.judge.contract import Completion, Failure
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge
from rewardkit.judge.protocols import pair_protocol, rating_protocol
from rewardkit.judge.reasoning import RatingReasonedV1, ReasonedV1, Thinking
from rewardkit.judge.running import judge_comparisons, judge_ratings
from rewardkit.judge_config import JudgeConfig

CONFIG = JudgeConfig(backend="fake", max_failure_rate=1.0)
LABELS = {"A": log(0.6), "B": log(0.2), **{n: log(0.16) for n in "12345"}}


def thinking(reply="A is vivid.", **fields):
    def answer(request):
        if request.labels:
            return Completion({label: LABELS[label] for label in request.labels}, tokens=9)
        return Completion(reply=reply, tokens=7, reply_tokens=3, **fields)

    return FakeBackend(answer)


def labels_of(backend, item, rubric, protocol=None):
    _, *labels = judge_comparisons([item], Judge(backend, protocol or ReasonedV1(), rubric), CONFIG)
    return labels


def test_the_verdict_is_asked_for_after_the_thought(texts, rubric):
    backend = thinking("<think>A is vivid.</think> So is B.")
    ab, ba = labels_of(backend, texts(), rubric, ReasonedV1(Thinking(thought_tokens=50)))
    first, *_ = (each for each in backend.seen if not each.labels)
    after, *_ = (each for each in backend.seen if each.labels)
    assert (first.reply_tokens, first.cut, first.prefill) == (50, True, "")
    assert (after.reply_tokens, after.cut, after.labels) == (0, False, ("A", "B"))
    assert after.turns == (("A is vivid. So is B.", "Which response is better, A or B? Answer with one letter."),)
    assert after.user == first.user and after.prefill == "The better response is Response"
    assert ab.rationale == "A is vivid. So is B."
    assert (ab.p_a, ba.p_a) == (pytest.approx(0.75), pytest.approx(0.25))
    assert ab.tokens == 7 + 3 + 9
    assert "thought_cut" not in ab.metadata


def test_a_thought_that_was_cut_is_used_and_marked(texts, rubric):
    label, _ = labels_of(thinking("<think>A is vi", was_cut=True), texts(), rubric)
    assert (label.rationale, label.metadata["thought_cut"]) == ("A is vi", True)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"reply": " "}, "an empty thought"), ({"reply": "<think>"}, "an empty thought"), ({"failure": "dead"}, "dead")],
)
def test_without_a_thought_no_verdict_is_asked_for(texts, rubric, fields, reason):
    backend = thinking(**fields)
    label, _ = labels_of(backend, texts(), rubric)
    assert (label.status, label.reason) == ("failed", reason)
    assert not any(request.labels for request in backend.seen)


def test_a_verdict_without_probabilities_is_a_failure(texts, rubric):
    asking = ReasonedV1().compare(texts(), rubric, "ab")
    next(asking)
    asking.send((Completion(reply="Hm."),))
    with pytest.raises(StopIteration) as stop:
        asking.send((Completion(failure="too long"),))
    assert stop.value.value == Failure("too long")


def test_ratings_are_thought_about_too(texts, rubric):
    backend = thinking("It is clear.")
    _, *ratings = judge_ratings([texts()], Judge(backend, RatingReasonedV1(), rubric), CONFIG)
    assert {each.value for each in ratings} == {5.0} and {each.rationale for each in ratings} == {"It is clear."}
    asked = [each for each in backend.seen if each.labels]
    assert all(each.turns[0][0] == "It is clear." and "from 1 to 5" in each.turns[0][1] for each in asked)
    failed, *_ = judge_ratings([texts()], Judge(thinking(failure="dead"), RatingReasonedV1(), rubric), CONFIG), None
    assert [each.reason for each in list(failed)[1:]] == ["dead", "dead"]


def test_options_are_the_protocols_own_and_part_of_the_judge(rubric):
    short, usual = pair_protocol("reasoned.v1", {"thought_tokens": 40}), pair_protocol("reasoned.v1")
    annotators = [Judge(FakeBackend(), each, rubric).annotator for each in (short, usual)]
    assert [each.settings["protocol_options"] for each in annotators] == [
        {"thought_tokens": 40},
        {"thought_tokens": 256},
    ]
    assert annotators[0].id != annotators[1].id
    assert rating_protocol("rating-reasoned.v1", {"thought_tokens": 7}).options.thought_tokens == 7


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("reasoned.v1", {"thought_token": 40}, "did you mean 'thought_tokens'"),
        ("reasoned.v1", {"thought_tokens": 0}, "greater than or equal to 1"),
        ("pairwise.v1", {"thought_tokens": 40}, "'pairwise.v1' has no options"),
    ],
)
def test_an_option_that_is_none_is_refused(name, options, says):
    with pytest.raises(ConfigError, match=says) as error:
        pair_protocol(name, options)
    assert "judge.protocol_options" in str(error.value)
