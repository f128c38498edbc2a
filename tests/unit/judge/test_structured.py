"""Verdicts in JSON: read as the schema says, or a failure with a name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.judge.contract import Completion, Failure, PairVerdict, RatingVerdict
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.structured import PairwiseJsonV1, RatingJsonV1

PAIRS, RATINGS = PairwiseJsonV1(), RatingJsonV1()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.sampled_from(["A", "B", "tie", "C", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(["reason", "verdict", "rating", "Verdict", "more"])
REPLIES = st.one_of(
    st.text(max_size=40),
    st.dictionaries(KEYS, ANYTHING, max_size=4).map(json.dumps),
    st.fixed_dictionaries({"reason": st.text(max_size=9), "verdict": st.sampled_from(["A", "B", "tie"])}).map(
        json.dumps
    ),
    st.fixed_dictionaries({"reason": st.text(max_size=9), "rating": st.integers(0, 6)}).map(json.dumps),
)


@pytest.mark.parametrize(("verdict", "p_first"), [("A", 1.0), ("B", 0.0), ("tie", 0.5)])
def test_a_verdict_and_its_reason_are_read(verdict, p_first):
    said = json.dumps({"reason": " It is vivid. ", "verdict": verdict}, indent=2)
    assert PAIRS.parse(Completion(reply=f"<think>B?</think>\n{said}\n")) == PairVerdict(p_first, 0.0, "It is vivid.")


@pytest.mark.parametrize(("rating", "level"), [(1, 0.0), (2, 0.25), (5, 1.0)])
def test_a_rating_is_a_place_on_the_scale(rating, level):
    found = RATINGS.parse_rating(Completion(reply=json.dumps({"rating": rating, "reason": "Clear."})))
    assert found == RatingVerdict(level, 0.0, "Clear.")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "an empty reply"),
        ("A is better.", "the reply is no JSON object"),
        ('```json\n{"reason": "x", "verdict": "A"}\n```', "the reply is no JSON object"),
        ('{"reason": "x", "verdict": "A"} {"reason": "x", "verdict": "B"}', "the reply is no JSON object"),
        ('["A"]', "the reply is no JSON object"),
        ("[" * 100_000, "the reply is no JSON object"),
        ('{"reason": "x", "verdict": "a"}', "the reply's verdict is none"),
        ('{"reason": "x", "verdict": ["A"]}', "the reply's verdict is none"),
        ('{"reason": 3, "verdict": "A"}', "the reply's reason is none"),
        ('{"verdict": "A"}', "the reply's reason is missing"),
        ('{"reason": "x", "verdict": "A", "and": "B"}', "the reply says more than was asked for"),
    ],
)
def test_what_has_another_form_is_a_failure(reply, reason):
    assert PAIRS.parse(Completion(reply=reply)) == Failure(reason)


@pytest.mark.parametrize("rating", ["0", "6", "4.0", "true", '"4"', "null", "NaN", "4e0"])
def test_only_whole_numbers_on_the_scale_are_ratings(rating):
    found = RATINGS.parse_rating(Completion(reply=f'{{"reason": "x", "rating": {rating}}}'))
    assert isinstance(found, Failure)


def test_the_schema_says_what_the_reply_must_be(texts, rubric):
    request = PAIRS.render(texts(), rubric, "ab")
    schema = json.loads(request.schema)
    assert schema["required"] == ["reason", "verdict"] and schema["additionalProperties"] is False
    assert (request.labels, request.prefill) == ((), "") and request.reply_tokens > 100
    rating = RATINGS.render_rating(texts(), rubric, rubric.criteria[0])
    assert json.loads(rating.schema)["properties"]["rating"]["enum"] == [1, 2, 3, 4, 5]
    # Who is held to the schema always says something that can be read.
    answers = FakeBackend().complete([request, rating])
    assert isinstance(PAIRS.parse(answers[0]), PairVerdict)
    assert isinstance(RATINGS.parse_rating(answers[1]), RatingVerdict)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(REPLIES)
def test_every_reply_is_a_verdict_or_a_failure(reply):
    assert isinstance(PAIRS.parse(Completion(reply=reply)), PairVerdict | Failure)
    assert isinstance(RATINGS.parse_rating(Completion(reply=reply)), RatingVerdict | Failure)
