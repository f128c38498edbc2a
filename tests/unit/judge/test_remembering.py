"""A question is asked once in a run: what it costs, who waits for it, and what is never shared."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import log

import pytest

from rewardkit.errors import JobFailed
from rewardkit.judge import remembering
from rewardkit.judge.contract import Completion, Failure, PairVerdict, Request
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge
from rewardkit.judge.reading import Windows
from rewardkit.judge.remembering import Remembered
from rewardkit.judge.replay import ReplayBackend
from rewardkit.judge.running import judge_comparisons, judge_ratings
from rewardkit.judge.windows import RatingWindowsV1, WindowsV1
from rewardkit.judge_config import JudgeConfig
from rewardkit.rubric import Rubric

CONFIG = JudgeConfig(backend="fake")
# Seven windows of 200 characters.
LONG = "".join(f"Part {n} begins here." + "." * 179 + "\n\n" for n in range(1, 8))
SMALL = Windows(window=200, excerpt=100)
EIGHTH = 0.125


class Paid(FakeBackend):
    """Each attempt costs an eighth."""

    def __init__(self, answer=None):
        super().__init__(answer)
        self.allow = lambda amount: True

    def price(self, request):
        return EIGHTH


class Flowing(Paid):
    """Has a few requests under way, and answers the oldest when nothing more comes."""

    def stream(self, requests):
        waiting, asked = [], 0
        for request in requests:
            if request is not None:
                waiting.append((asked, request))
                asked += 1
            if waiting and (request is None or len(waiting) >= 4):
                number, oldest = waiting.pop(0)
                yield number, self.complete([oldest])[0]


def answer(request):
    if request.labels:
        return Completion({label: log(0.9 / len(request.labels)) for label in request.labels}, cost=EIGHTH, seconds=1.0)
    return Completion(reply=f"A note on {len(request.user)}.", tokens=10, reply_tokens=5, cost=EIGHTH, seconds=1.0)


@pytest.fixture
def four(rubric):
    criteria = [{"name": f"c{n}", "description": f"Criterion {n}."} for n in range(4)]
    return Rubric.model_validate({**rubric.model_dump(), "criteria": criteria})


@pytest.fixture
def item(texts):
    return texts(first=LONG, second=LONG + "And so on.")


def notes_and_labels(backend):
    return Counter("label" if request.labels else "note" for request in backend.seen)


@pytest.mark.parametrize("kind", [Paid, Flowing])
def test_a_long_text_is_read_once_for_all_criteria(item, four, kind):
    backend = kind(answer)
    whole = replace(item, response_a=item.response_a.model_copy(update={"text": LONG}))
    _, *ratings = judge_ratings([whole], Judge(backend, RatingWindowsV1(SMALL), four), CONFIG)
    assert notes_and_labels(backend) == {"note": 7, "label": 4}
    assert [rating.status for rating in ratings] == ["ok"] * 4
    assert len({str(rating.metadata["notes"]) for rating in ratings}) == 1
    # The notes are paid for by whoever asked first.
    assert sorted(rating.metadata["cost"] for rating in ratings) == [EIGHTH, EIGHTH, EIGHTH, 8 * EIGHTH]


@pytest.mark.parametrize("kind", [Paid, Flowing])
def test_both_orders_share_the_notes_and_each_names_what_it_took(item, rubric, kind):
    backend = kind(answer)
    _, *labels = judge_comparisons([item], Judge(backend, WindowsV1(SMALL), rubric), CONFIG)
    # Seven windows of the one response and eight of the other, whose end is a window of its own.
    assert notes_and_labels(backend) == {"note": 15, "label": 2}
    assert sum(label.cost for label in labels) == EIGHTH * len(backend.seen)
    # Tokens are those of the questions, as where an answer is kept beside the workspace.
    assert labels[0].tokens == labels[1].tokens
    assert labels[0].seconds + labels[1].seconds == len(backend.seen)


@pytest.mark.parametrize("kind", [Paid, Flowing])
@pytest.mark.parametrize("short", [0, 1])
def test_a_budget_pays_for_what_is_sent(item, four, kind, short):
    backend = kind(answer)
    whole = replace(item, response_a=item.response_a.model_copy(update={"text": LONG}))
    config = CONFIG.model_copy(update={"max_cost": (11 - short) * EIGHTH})
    stream = judge_ratings([whole], Judge(backend, RatingWindowsV1(SMALL), four), config)
    if not short:
        assert len(list(stream)) == 1 + 4
        return
    ratings = []
    with pytest.raises(JobFailed, match="the budget is used up"):
        ratings.extend(stream)
    assert len(backend.seen) == 10 and len(ratings) == 1 + 3


@pytest.mark.parametrize("kind", [Paid, Flowing])
def test_a_failure_is_its_own_tasks_and_who_waited_asks_again(item, four, kind):
    failing = iter([True])

    def broken_once(request):
        if not request.labels and "part 3 of" in request.user and next(failing, False):
            return Completion(failure="hiccup", cost=EIGHTH)
        return answer(request)

    backend = kind(broken_once)
    whole = replace(item, response_a=item.response_a.model_copy(update={"text": LONG}))
    config = CONFIG.model_copy(update={"max_failure_rate": 0.25})
    _, *ratings = judge_ratings([whole], Judge(backend, RatingWindowsV1(SMALL), four), config)
    assert Counter(rating.status for rating in ratings) == {"ok": 3, "failed": 1}
    assert notes_and_labels(backend) == {"note": 8, "label": 3}


class Asking:
    """Asks for a reply, and again for the same."""

    name, prompt_hash, needs = "asking.v1", "hash", frozenset({"replies"})

    def __init__(self, **how):
        self.how = how

    def compare(self, texts, rubric, order):
        replies = []
        for _ in range(2):
            replies += yield (Request("", "Why?", "", (), 9, **self.how), Request("", "Who?", "", (), 9, **self.how))
        if any(reply.failure for reply in replies):
            return Failure("a reply")
        return PairVerdict(0.5, 0.0, rationale=" ".join(reply.reply for reply in replies))


@pytest.mark.parametrize(
    ("how", "sent"), [({}, 2), ({"seed": 1, "temperature": 0.7}, 2), ({"temperature": 0.7}, 8), ({"labels": ("A",)}, 8)]
)
def test_what_is_drawn_without_a_seed_and_labels_are_asked_each_time(texts, rubric, how, sent):
    backend = FakeBackend(lambda request: Completion({"A": -0.1}, reply=request.user))
    protocol = Asking(**{name: value for name, value in how.items() if name != "labels"})
    if "labels" in how:
        protocol.compare = lambda *_: _labels_only()
    _, *labels = judge_comparisons([texts()], Judge(backend, protocol, rubric), CONFIG)
    assert len(backend.seen) == sent and [label.status for label in labels] == ["ok", "ok"]
    if "labels" not in how:
        assert {label.rationale for label in labels} == {"Why? Who? Why? Who?"}


def _labels_only():
    for _ in range(2):
        yield (Request("", "Why?", "", ("A",)), Request("", "Who?", "", ("A",)))
    return PairVerdict(0.5, 0.0)


def test_other_words_another_seed_or_another_length_are_another_question():
    remembered = Remembered[str](FakeBackend())
    first = Request("", "Why?", "", (), 9, about="one ab")
    others = [replace(first, **change) for change in ({"user": "Why"}, {"seed": 1}, {"reply_tokens": 8}, {"cut": True})]
    assert len({remembered.key(each) for each in (first, *others)}) == 5
    assert remembered.key(replace(first, about="one ba")) == remembered.key(first)


def test_what_was_recorded_of_one_item_is_said_of_no_other():
    recorded = object.__new__(ReplayBackend)
    assert Remembered[str](recorded).key(Request("", "Why?", "", (), 9)) == ""


def test_only_the_last_replies_are_remembered(monkeypatch):
    monkeypatch.setattr(remembering, "MOST", 2)
    remembered = Remembered[str](FakeBackend())
    for key in ("one", "two"):
        assert not remembered.awaits(key, "x")
        assert remembered.answered(key, Completion(reply=key, seconds=2.0, attempts=3)) == []
    assert remembered.find("one") == Completion(reply="one", attempts=0)
    assert not remembered.awaits("three", "x")
    assert remembered.awaits("three", "y")
    assert remembered.answered("three", Completion(reply="three")) == ["y"]
    assert remembered.find("two") is None and remembered.find("one") is not None
