"""Passages with quotes: those that are in the text have their place, the others are marked."""

from __future__ import annotations

from itertools import cycle
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.judge.contract import Completion, Failure
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge
from rewardkit.judge.quotes import Quotable, _Tidied
from rewardkit.judge.running import judge_comparisons
from rewardkit.judge.span_critique import CritiqueSpansV1, Pointing, read_points
from rewardkit.judge_config import JudgeConfig

VERDICT = Completion({"A": log(0.6), "B": log(0.2)})
REPLY = """Here is what I found.
A+ "The cat sat": plain and exact
- A- “a dog” — there is none
**B-** "Nobody sat.": says nothing
A+ "sat."
B is better."""


def critique(item, rubric, reply=REPLY, *, was_cut=False, order="ab", **options):
    steps = CritiqueSpansV1(Pointing(**options)).compare(item, rubric, order)
    (asked,) = next(steps)
    (forced,) = steps.send((Completion(reply=reply, was_cut=was_cut),))
    with pytest.raises(StopIteration) as stop:
        steps.send((VERDICT,))
    return stop.value.value, asked, forced


@pytest.fixture
def item(texts):
    found = texts(first="The  cat\nsat. It sat.", second="Nobody sat.")
    # Whichever is A by its id, the test speaks of the one with the cat as the one shown first.
    return found, "ab" if "cat" in found.response_a.text else "ba"


def test_quotes_are_verified_and_have_their_place(item, rubric):
    texts, order = item
    verdict, _, _ = critique(texts, rubric, order=order)
    assert verdict.p_first == pytest.approx(0.75)
    assert verdict.spans == (
        {"response": "first", "sign": "good", "quote": "The  cat\nsat", "note": "plain and exact"}
        | {"start": 0, "end": 12, "verified": True},
        {"response": "first", "sign": "bad", "quote": "a dog", "note": "there is none", "verified": False},
        {"response": "second", "sign": "bad", "quote": "Nobody sat.", "note": "says nothing"}
        | {"start": 0, "end": 11, "verified": True},
        {"response": "first", "sign": "good", "quote": "sat.", "note": "", "start": 9, "end": 13, "verified": True},
    )
    assert verdict.details == {"quotes": {"verified": 3, "unverified": 1, "beyond": 0, "cut": False}}
    assert verdict.rationale == REPLY


def test_passages_beyond_the_limit_are_counted(item, rubric):
    texts, order = item
    verdict, asked, _ = critique(texts, rubric, order=order, most_passages=1)
    assert "at most 1 of each" in asked.user
    assert [span["response"] for span in verdict.spans] == ["first", "second"]
    assert verdict.details["quotes"] == {"verified": 2, "unverified": 0, "beyond": 2, "cut": False}


def test_the_verdict_is_forced_after_the_passages(item, rubric):
    texts, order = item
    _, asked, forced = critique(texts, rubric, order=order)
    assert asked.cut
    assert (forced.labels, forced.reply_tokens, forced.cut) == (("A", "B"), 0, False)
    assert forced.turns[0][0] == REPLY
    assert forced.prefill == "The better response is Response"


def test_a_cut_reply_is_read_up_to_its_last_whole_line(item, rubric):
    texts, order = item
    verdict, _, forced = critique(texts, rubric, 'A+ "The cat": fine\nB- "Nobody', was_cut=True, order=order)
    assert forced.turns[0][0] == 'A+ "The cat": fine'
    assert verdict.details["quotes"] == {"verified": 1, "unverified": 0, "beyond": 0, "cut": True}


def test_quotes_may_hold_quotation_marks(rubric, texts):
    item = texts(first='He said "no": and left. Then "rain" - rain.', second="x")
    order = "ab" if "rain" in item.response_a.text else "ba"
    reply = 'A+ "said "no": and left": the "no" - it is short\nA- ""rain" - rain": twice'
    verdict, _, _ = critique(item, rubric, reply, order=order)
    assert [span["quote"] for span in verdict.spans] == ['said "no": and left', '"rain" - rain']
    assert [span["note"] for span in verdict.spans] == ['the "no" - it is short', "twice"]


def test_labels_store_passages_as_people_do_with_the_responses_id(item, rubric):
    texts, order = item
    replies = cycle([Completion(reply=REPLY), VERDICT])
    backend = FakeBackend(lambda request: next(replies))
    config = JudgeConfig(backend="fake", orders=(order,))
    _, label = judge_comparisons([texts], Judge(backend, CritiqueSpansV1(), rubric), config)
    by_id = {texts.response_a.id: texts.response_a.text, texts.response_b.id: texts.response_b.text}
    assert [span["verified"] for span in label.spans] == [True, False, True, True]
    for span in label.spans:
        if span["verified"]:
            assert by_id[span["response"]][span["start"] : span["end"]] == span["quote"]


def test_a_failure_is_named(texts, rubric):
    steps = CritiqueSpansV1().compare(texts(), rubric, "ab")
    next(steps)
    with pytest.raises(StopIteration) as stop:
        steps.send((Completion(failure="out of order"),))
    assert stop.value.value == Failure("out of order")


@settings(max_examples=300)
@given(st.text(alphabet=st.one_of(st.sampled_from('AB+-":“” \n*'), st.characters()), max_size=80))
def test_every_reply_is_read(reply):
    for point in read_points(reply):
        assert point.found_in(Quotable("Some text."))["quote"]


def test_each_response_is_tidied_once_for_all_quotes(item, rubric, monkeypatch):
    tidied, (texts, order) = [], item

    def of(text, tidy=_Tidied.of):
        tidied.append(text)
        return tidy(text)

    monkeypatch.setattr(_Tidied, "of", of)
    critique(texts, rubric, 'A+ "the dog": no "cow": nor "hen": at all\nA- "a cow"\nB- "a hen"', order=order)
    first, second = sorted([texts.response_a.text, texts.response_b.text], key=lambda text: "cat" not in text)
    assert (tidied.count(first), tidied.count(second)) == (1, 1) and len(tidied) == 2 + 3 + 2


def test_a_line_has_few_readings_its_last_among_them():
    (point,) = read_points('A+ "' + 'no": ' * 500 + 'no"')
    lengths = [quote.count("no") for quote, _ in point.readings]
    assert lengths == [501, 7, 6, 5, 4, 3, 2, 1]
    (point,) = read_points('A+ "' + 'no": ' * 7 + 'no"')
    assert [quote.count("no") for quote, _ in point.readings] == [8, 7, 6, 5, 4, 3, 2, 1]
