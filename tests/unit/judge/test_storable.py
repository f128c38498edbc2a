"""What judges write that no database holds does not reach the store, nor the next question."""

from __future__ import annotations

import json
from itertools import cycle
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.judge.contract import Completion, Failure, RatingVerdict
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge
from rewardkit.judge.reasoning import ReasonedV1
from rewardkit.judge.running import judge_comparisons, judge_ratings
from rewardkit.judge.span_critique import CritiqueSpansV1
from rewardkit.judge.structured import PairwiseJsonV1, RatingJsonV1
from rewardkit.judge_config import JudgeConfig
from rewardkit.storable import storable
from rewardkit.store.rows import encode

CONFIG = JudgeConfig(backend="fake", orders=("ab",), max_failure_rate=1.0)
VERDICT = Completion({"A": log(0.6), "B": log(0.2)})
BAD = "bad \0 and \ud83d half"
MARKED = "bad \N{REPLACEMENT CHARACTER} and \N{REPLACEMENT CHARACTER} half"


def one(stream):
    _, record = stream
    return record


def row(record):
    """Return what goes into the database, as text."""
    _, values = encode(record)
    text = json.dumps(values, default=str, ensure_ascii=False)
    assert "\\u0000" not in text and text.encode()
    return text


def backend(*replies):
    answers, asked = cycle(replies), []

    def answer(request):
        asked.append(request)
        return next(answers)

    return FakeBackend(answer), asked


def test_a_thought_is_marked_in_the_label_and_in_the_question_after_it(texts, rubric):
    fake, asked = backend(Completion(reply=BAD, served="m\0"), VERDICT)
    label = one(judge_comparisons([texts()], Judge(fake, ReasonedV1(), rubric), CONFIG))
    assert label.rationale == MARKED == asked[1].turns[0][0]
    assert label.metadata["served"] == "m\N{REPLACEMENT CHARACTER}" and row(label)


def test_notes_of_passages_are_marked(texts, rubric):
    fake, _ = backend(Completion(reply=f'A+ "cat \0": {BAD}'), VERDICT)
    label = one(judge_comparisons([texts()], Judge(fake, CritiqueSpansV1(), rubric), CONFIG))
    assert label.spans[0]["note"] == MARKED and row(label)


@pytest.mark.parametrize("escaped", [True, False])
def test_reasons_in_json_are_marked(texts, rubric, escaped):
    said = '"reason": "so \\u0000 there"' if escaped else '"reason": "so \ud83d there"'
    fake, _ = backend(Completion(reply=f'{{{said}, "verdict": "A"}}'))
    label = one(judge_comparisons([texts()], Judge(fake, PairwiseJsonV1(), rubric), CONFIG))
    assert label.rationale == "so \N{REPLACEMENT CHARACTER} there" and row(label)
    fake, _ = backend(Completion(reply=f'{{{said}, "rating": 4}}'))
    _, *ratings = judge_ratings([texts()], Judge(fake, RatingJsonV1(), rubric), CONFIG)
    assert {each.rationale for each in ratings} == {"so \N{REPLACEMENT CHARACTER} there"} and all(map(row, ratings))


def test_failures_are_marked(texts, rubric):
    fake, _ = backend(Completion(failure=BAD))
    label = one(judge_comparisons([texts()], Judge(fake, ReasonedV1(), rubric), CONFIG))
    assert (label.status, label.reason) == ("failed", MARKED) and row(label)


def test_whatever_holds_texts_keeps_its_form():
    verdict = RatingVerdict(0.5, 0.1, BAD, details={"a\0": [BAD, ("x", 3, None)], "b": {"c": BAD}})
    marked = {"a\N{REPLACEMENT CHARACTER}": [MARKED, ("x", 3, None)], "b": {"c": MARKED}}
    assert storable(verdict) == RatingVerdict(0.5, 0.1, MARKED, details=marked)
    assert storable(Failure("as it was")) == Failure("as it was")
    assert storable("\ud83d\ude00") == "\N{GRINNING FACE}"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_good_text_stays_as_it_is(text):
    assert storable(text) == text


@given(st.text(st.characters()))
def test_every_text_can_be_stored(text):
    assert "\0" not in storable(text)
    storable(text).encode()
