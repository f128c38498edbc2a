"""Recorded verdicts, asked for as if they were given now."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import pytest

from rewardkit.errors import ConfigError, DataError
from rewardkit.judge.backends import open_backend
from rewardkit.judge.contract import Completion, PairVerdict, Request
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge
from rewardkit.judge.pairwise import PairwiseTextV1, PairwiseV1
from rewardkit.judge.rating import RatingV1
from rewardkit.judge.running import judge_comparisons
from rewardkit.judge.ties import PairwiseV2
from rewardkit.judge.votes import Voted
from rewardkit.judge_config import JudgeConfig, VotesConfig
from rewardkit.store.exporting import export_records
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Rating, Response

# In the frame of the file: A is "Sun."; the store's frame is by the responses' ids.
LABELS = [
    {"annotator": "old", "source": "judge", "order": "ab", "preference": 0.75},
    {"annotator": "old", "source": "judge", "order": "ba", "preference": 0.5},
    {"annotator": "mute", "source": "judge", "preference": 1.0},
    {"annotator": "human", "source": "human", "preference": 0.0},
    {"annotator": "wordy", "source": "judge", "order": "ab", "preference": 1.0, "rationale": "Warm.\nVerdict: A"},
]
SCORES = [{"annotator": "old", "source": "judge", "criteria": {"wit": 6.5}, "scale": [0, 10]}]


@pytest.fixture
def recorded(tmp_path):
    pairs, ratings = tmp_path / "pairs.jsonl", tmp_path / "ratings.jsonl"
    pair = {"prompt": "Weather?", "response_a": "Sun.", "response_b": "Rain.", "labels": LABELS}
    pairs.write_text(json.dumps(pair) + "\n")
    ratings.write_text(json.dumps({"prompt": "Weather?", "response": "Sun.", "scores": SCORES}) + "\n")
    return str(pairs), str(ratings)


@pytest.fixture
def replay(recorded):
    def build(model="old", **how):
        return open_backend(JudgeConfig(backend="replay", model=model, replay={"files": recorded, **how}))

    return build


PROMPT = Prompt.of((Message(role="user", content="Weather?"),))
SUN, RAIN = (Response.of(PROMPT.id, text).id for text in ("Sun.", "Rain."))
PAIR = Comparison.of(PROMPT.id, SUN, RAIN)
SUN_IS_A = PAIR.response_a == SUN


def ask(about, labels=("A", "B"), user="Which?"):
    return Request("", user, "", labels, reply_tokens=0 if labels else 40, about=about)


def shown(sun_first):
    """Name the order in which a file's order shows the responses, in the store's frame."""
    return f"{PAIR.id} {'ab' if sun_first == SUN_IS_A else 'ba'}"


def shares(completion):
    return {label: math.exp(value) for label, value in completion.logprobs.items()}


def test_a_recorded_probability_is_that_of_the_label_in_the_order_shown(replay):
    first, second = replay().complete([ask(shown(True)), ask(shown(False))])
    # What is shown first is A: "Sun." with probability .75; the other order is a recorded tie.
    assert shares(first) == pytest.approx({"A": 0.75, "B": 0.25})
    assert shares(second) == pytest.approx({"A": 0.5, "B": 0.5})
    assert PairwiseV1().parse(first) == PairVerdict(pytest.approx(0.75), pytest.approx(0.0))


def test_a_tie_is_said_as_one_where_that_may_be_said(replay):
    (found,) = replay().complete([ask(shown(False), ("A", "B", "T", "N"))])
    assert shares(found) == {"A": 0.0, "B": 0.0, "T": 1.0, "N": 0.0}


SHARES = [
    (0.4, 0.1, 0.25, 0.25),
    (0.15, 0.05, 0.7, 0.1),
    (0.05, 0.05, 0.0, 0.9),
    (0.0, 0.0, 1.0, 0.0),
    (1.0, 0.0, 0.0, 0.0),
    (0.2, 0.8, 0.0, 0.0),
]


def test_our_own_labels_come_back_with_what_they_say_of_neither(texts, rubric, tmp_path):
    items = {f"Story {n}": texts(prompt=f"Story {n}") for n in range(len(SHARES))}

    def answer(request):
        number = next(n for n in range(len(SHARES)) if f"Story {n}" in request.user)
        told = zip("ABTN", SHARES[number], strict=True)
        return Completion({label: math.log(share) if share else -math.inf for label, share in told})

    config = JudgeConfig(backend="fake")
    who, *labels = judge_comparisons(items.values(), Judge(FakeBackend(answer), PairwiseV2(), rubric), config)
    with Store.open(tmp_path / "own.db") as store:
        for item in items.values():
            store.add([item.prompt, item.response_a, item.response_b, item.comparison])
        store.add([who, *labels])
        export_records(store, tmp_path / "own.jsonl")
    config_again = JudgeConfig(backend="replay", model=who.name, replay={"files": [str(tmp_path / "own.jsonl")]})
    backend = open_backend(config_again)
    _, *again = judge_comparisons(items.values(), Judge(backend, PairwiseV2(), rubric), config)
    assert len(again) == 2 * len(SHARES) and [said(each) for each in again] == [said(each) for each in labels]
    # A protocol that knows no T and N has half of them on each side.
    about = f"{items['Story 1'].comparison.id} ab"
    (two,) = open_backend(config_again).complete([ask(about)])
    assert shares(two) == pytest.approx({"A": 0.55, "B": 0.45})


def said(label):
    told = (label.p_a, *(label.metadata.get(name, 0.0) for name in ("p_tie", "p_both_bad")))
    return label.comparison_id, label.order_shown, label.choice, tuple(round(share, 9) for share in told)


@pytest.fixture
def replay_of(texts, tmp_path):
    """Return what replays records about one item, and the item."""
    item = texts()

    def build(*records, model="strong"):
        with Store.open(tmp_path / "some.db") as store:
            store.add([item.prompt, item.response_a, item.response_b, item.comparison, *records])
            export_records(store, tmp_path / "some.jsonl")
        return open_backend(
            JudgeConfig(backend="replay", model=model, replay={"files": [str(tmp_path / "some.jsonl")]})
        )

    return build, item


def test_of_several_verdicts_the_earliest_that_is_one_is_replayed(replay_of):
    build, item = replay_of
    who = Annotator.of("judge", "strong", model="strong")
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 31)]
    about = {"order_shown": "ab"}
    failed = Label.of(item.comparison.id, who.id, status="failed", reason="HTTP 500", created_at=days[0], **about)
    # Their ids are hashes: among so many the earliest is not the first by chance.
    later = [
        Label.of(item.comparison.id, who.id, choice="b", p_a=n / 100, created_at=days[n], **about) for n in range(2, 30)
    ]
    undated = Label.of(item.comparison.id, who.id, choice="b", p_a=0.01, **about)
    earliest = Label.of(item.comparison.id, who.id, choice="a", p_a=0.9, created_at=days[1], **about)
    rated = [
        Rating.of(
            item.response.id, who.id, "wit", status="failed", reason="HTTP 500", scale=(0, 10), created_at=days[0]
        ),
        *(
            Rating.of(item.response.id, who.id, "wit", value=n / 10, scale=(0, 10), created_at=days[n])
            for n in range(29, 0, -1)
        ),
    ]
    backend = build(who, failed, *later, undated, earliest, *rated)
    pair, rating = backend.complete([ask(f"{item.comparison.id} ab"), ask(f"{item.response.id} wit", tuple("01"))])
    assert shares(pair) == pytest.approx({"A": 0.9, "B": 0.1})
    assert shares(rating) == pytest.approx({"0": 0.99, "1": 0.01})


def test_a_name_that_several_judges_share_is_refused_unless_one_of_them_said_all(replay_of):
    build, item = replay_of
    old, new = (Annotator.of("judge", "strong", model="strong", revision=each) for each in ("of-may", "of-june"))
    first = Label.of(item.comparison.id, new.id, choice="a", p_a=0.9, order_shown="ab")
    (found,) = build(old, new, first).complete([ask(f"{item.comparison.id} ab")])
    assert shares(found) == pytest.approx({"A": 0.9, "B": 0.1})
    with pytest.raises(ConfigError, match="2 judges are recorded as 'strong'") as raised:
        build(Label.of(item.comparison.id, old.id, choice="b", p_a=0.2, order_shown="ba"))
    assert "of-may" in raised.value.what and "of-june" in raised.value.what


def test_certainty_has_no_doubt(replay):
    (found,) = replay("wordy").complete([ask(shown(True))])
    assert found.logprobs == {"A": 0.0, "B": -math.inf} and not found.failure


@pytest.mark.parametrize(
    ("model", "about", "labels", "failure"),
    [
        ("old", "some other ab", ("A", "B"), "not recorded"),
        ("wordy", shown(False), ("A", "B"), "not recorded"),
        ("mute", shown(True), ("A", "B"), "not recorded in the order"),
        ("old", shown(True), ("1", "2"), "not recorded in the labels 1, 2"),
        ("old", shown(True), (), "not recorded in words"),
    ],
)
def test_what_was_not_recorded_is_a_failure(replay, model, about, labels, failure):
    (found,) = replay(model).complete([ask(about, labels)])
    assert found.failure.startswith(failure) and not found.logprobs and not found.reply


def test_an_order_that_nobody_recorded_can_be_told(replay):
    # Told in the store's frame: the comparison's own A was shown first.
    first, second = replay("mute", order="ab").complete([ask(f"{PAIR.id} ab"), ask(f"{PAIR.id} ba")])
    assert shares(first)["A"] == (1.0 if SUN_IS_A else 0.0) and "judge.orders: [ab]" in second.failure
    assert replay("mute").settings != replay("mute", order="ab").settings


def test_a_recorded_rating_is_the_mean_of_the_numbers_beside_it(replay):
    (found,) = replay().complete([ask(f"{SUN} wit", ("1", "2", "3", "4", "5"))])
    # 6.5 of 10 is 3.6 on a scale from 1 to 5.
    assert shares(found) == pytest.approx({"1": 0, "2": 0, "3": 0.4, "4": 0.6, "5": 0})
    assert RatingV1().parse_rating(found).level == pytest.approx(0.65)


def test_words_are_replied_as_they_were_written(replay):
    assert replay("old").capabilities == {"labels"} and replay("wordy").capabilities == {"labels", "replies"}
    (found,) = replay("wordy").complete([ask(shown(True), ())])
    assert found.reply == "Warm.\nVerdict: A" and PairwiseTextV1().parse(found).p_first == 1.0


def test_one_verdict_answers_one_question(replay):
    backend = replay()
    once, again, other = backend.complete(
        [ask(shown(True)), ask(shown(True)), ask(shown(True), user="And which is wittier?")]
    )
    assert once == again and other.failure == "recorded is one verdict, and this is another question"


def test_one_verdict_is_one_vote(replay_of, rubric):
    build, item = replay_of
    who = Annotator.of("judge", "strong", model="strong")
    said = Label.of(item.comparison.id, who.id, choice="a", order_shown="ab", rationale="Fine.\nVerdict: A")
    config = JudgeConfig(backend="fake", orders=("ab",), max_failure_rate=1.0)
    voted = Voted(PairwiseTextV1(), VotesConfig(count=8))
    _, label = judge_comparisons([item], Judge(build(who, said), voted, rubric), config)
    assert label.status == "failed" and label.reason.startswith("7 of 8 votes failed: not recorded")
    _, alone = judge_comparisons([item], Judge(build(), PairwiseTextV1(), rubric), config)
    assert alone.choice == "a"


def test_who_is_recorded_is_said_where_a_name_is_wrong(replay, recorded):
    with pytest.raises(ConfigError, match="no judge is recorded as 'human'") as raised:
        replay("human")
    assert "mute, old, wordy" in raised.value.expected
    with pytest.raises(ConfigError, match="needs recorded verdicts"):
        open_backend(JudgeConfig(backend="replay"))
    with pytest.raises(DataError, match="no such file"):
        open_backend(JudgeConfig(backend="replay", model="old", replay={"files": [recorded[0] + "x"]}))


def test_what_is_recorded_is_the_revision(replay, recorded, tmp_path):
    before = replay().revision
    assert replay("wordy").revision == before
    with open(recorded[0], "a", encoding="utf-8") as file:
        file.write("\n")
    assert replay().revision != before
