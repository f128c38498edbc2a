"""Ratings paragraph by paragraph: what is shown, where it stands, what comes of it."""

from __future__ import annotations

from math import log

import pytest

from rewardkit.judge.contract import Completion, Failure
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge
from rewardkit.judge.process import ByParagraph, ProcessV1
from rewardkit.judge.running import judge_ratings
from rewardkit.judge_config import JudgeConfig

FIRST, SECOND, THIRD = (f"Paragraph {name} goes on." for name in ("one", "two", "three"))
TEXT = f"\n{FIRST}\n\n{SECOND}\n\n\n{THIRD} "
OPTIONS = {"least_characters": 10}


def rated(item, rubric, shares, **options):
    steps = ProcessV1(ByParagraph(**{**OPTIONS, **options})).rate(item, rubric, rubric.criteria[0])
    requests = next(steps)
    answers = [Completion({"good": log(0.8 * good), "bad": log(0.8 * (1 - good))}) for good in shares]
    with pytest.raises(StopIteration) as stop:
        steps.send(tuple(answers))
    return stop.value.value, requests


@pytest.fixture
def item(texts):
    # Both responses are the same text but for one letter, so that it does not matter which is A.
    return texts(first=TEXT, second=TEXT + "\n")


def test_the_rating_is_the_mean_and_each_paragraph_has_its_level(item, rubric):
    verdict, requests = rated(item, rubric, (0.9, 0.5, 0.1))
    assert len(requests) == 3
    assert verdict.level == pytest.approx(0.5)
    assert verdict.mass_outside == pytest.approx(0.2)
    text = item.response.text
    shown = verdict.details["paragraphs"]
    assert [text[each["start"] : each["end"]] for each in shown] == [FIRST, SECOND, THIRD]
    assert [each["level"] for each in shown] == pytest.approx([0.9, 0.5, 0.1])
    assert verdict.details["paragraphs_found"] == 3


def test_a_paragraph_is_seen_with_what_is_before_it_and_not_with_what_comes(item, rubric):
    _, (one, two, three) = rated(item, rubric, (0.5, 0.5, 0.5))
    assert (FIRST in one.user, SECOND in one.user) == (True, False)
    assert (FIRST in two.user, SECOND in two.user, THIRD in two.user) == (True, True, False)
    assert THIRD in three.user
    shared = len(two.user.partition(SECOND)[0])
    assert three.user[:shared] == two.user[:shared]
    assert "clarity: It is clear." in one.user
    assert "0 = murky" in one.user


def test_more_paragraphs_than_the_limit_are_joined_and_told(item, rubric):
    verdict, requests = rated(item, rubric, (0.2, 0.6), most_paragraphs=2)
    assert len(requests) == 2
    assert verdict.level == pytest.approx(0.4)
    first, rest = verdict.details["paragraphs"]
    text = item.response.text
    assert text[first["start"] : first["end"]] == FIRST
    assert text[rest["start"] : rest["end"]] == f"{SECOND}\n\n\n{THIRD}"
    assert verdict.details["paragraphs_found"] == 3


def test_one_unread_paragraph_is_a_failed_rating_with_its_number(item, rubric):
    steps = ProcessV1(ByParagraph(**OPTIONS)).rate(item, rubric, rubric.criteria[0])
    next(steps)
    fine = Completion({"good": log(0.5), "bad": log(0.4)})
    with pytest.raises(StopIteration) as stop:
        steps.send((fine, Completion(failure="too long"), fine))
    assert stop.value.value == Failure("paragraph 2 of 3: too long")


def test_a_response_of_nothing_but_space_has_no_paragraph(texts, rubric):
    item = texts(first=" \n ", second=" \n  ")
    with pytest.raises(StopIteration) as stop:
        next(ProcessV1().rate(item, rubric, rubric.criteria[0]))
    assert stop.value.value == Failure("the response has no paragraph")


def test_the_stored_rating_is_on_the_rubrics_scale_and_keeps_the_paragraphs(item, rubric):
    backend = FakeBackend(lambda request: Completion({"good": log(0.6), "bad": log(0.2)}))
    config = JudgeConfig(backend="fake")
    _, *ratings = judge_ratings([item], Judge(backend, ProcessV1(ByParagraph(**OPTIONS)), rubric), config)
    assert len(ratings) == len(rubric.criteria)
    for rating in ratings:
        # Three quarters of the way from 0 to 10.
        assert rating.value == pytest.approx(7.5)
        assert len(rating.metadata["paragraphs"]) == 3
