"""What is added is there once, comes back equal, in order, and stays when it is superseded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewardkit.errors import DataError
from rewardkit.store import rows, spooling
from rewardkit.store.inserting import Counts
from rewardkit.store.rows import KINDS, ExternalId, encode
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Rating, Record, Response, Split

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
JSON = st.dictionaries(TEXT, st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXT), max_size=2)
TIMES = st.none() | st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=-3, minutes=30))]))
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def record_sets(draw: st.DrawFn) -> list[Record]:
    """A prompt, two responses, their comparison, and what two annotators say about it."""
    roles = st.sampled_from(["system", "user", "assistant", "tool"])
    message = st.builds(Message, role=roles, content=TEXT)
    prompt = Prompt.of(tuple(draw(st.lists(message, max_size=3))), task=draw(TEXT), **draw(JSON.map(dict)))
    texts = draw(st.lists(TEXT.filter(bool), min_size=2, max_size=2, unique=True))
    responses = [
        Response.of(prompt.id, text, model=draw(st.none() | TEXT), generation=draw(JSON), metadata=draw(JSON))
        for text in texts
    ]
    ids = responses[0].id, responses[1].id
    split = draw(st.sampled_from([None, "train", "test"]))
    comparison = Comparison.of(prompt.id, *ids, split=split, source=draw(TEXT), metadata=draw(JSON))
    human = Annotator.of("human", draw(TEXT), rater_group=draw(TEXT), simulated=draw(st.booleans()))
    judge = Annotator.of("judge", draw(TEXT), model="m", protocol="p.v1", settings=draw(JSON))
    said = Label.of(
        comparison.id,
        human.id,
        choice=draw(st.sampled_from(["a", "b", "tie", "both_bad"])),
        strength=draw(st.none() | st.floats(0.001, 1e9)),
        criteria={"style": "a"},
        spans=({"start": 0, "text": draw(TEXT)},),
        created_at=draw(TIMES),
        seconds=draw(st.none() | st.floats(0, 1e6)),
        metadata=draw(JSON),
    )
    failed = Label.of(comparison.id, judge.id, status="failed", reason=draw(TEXT), order_shown="ba", tokens=2**40)
    edited = Label.of(comparison.id, human.id, choice="a", p_a=draw(st.floats(0, 1)), supersedes=said.id)
    rating = Rating.of(ids[0], human.id, draw(TEXT), value=draw(FINITE), scale=(1, 5), created_at=draw(TIMES))
    name = ExternalId(source=draw(TEXT), kind="comparison", external_id=draw(TEXT), record_id=comparison.id)
    return [prompt, *responses, human, judge, comparison, said, failed, edited, rating, name]


@pytest.fixture
def small() -> list[Record]:
    """One comparison with a label that was edited, a failed one, and a rating."""
    prompt = Prompt.of((Message(role="user", content="Tell a joke."),), task="jokes")
    first, second = Response.of(prompt.id, "Knock knock."), Response.of(prompt.id, "A horse walks into a bar.")
    comparison = Comparison.of(prompt.id, first.id, second.id, source="test")
    human, judge = Annotator.of("human", "ann"), Annotator.of("judge", "j", model="j")
    said = Label.of(comparison.id, human.id, choice="a")
    edited = Label.of(comparison.id, human.id, choice="b", supersedes=said.id)
    failed = Label.of(comparison.id, judge.id, status="failed", reason="no verdict", order_shown="ba", repeat=2)
    rating = Rating.of(first.id, judge.id, "wit", value=2, scale=(1, 5), repeat=1)
    return [prompt, first, second, comparison, human, judge, said, edited, failed, rating]


def test_adding_twice_adds_nothing(database_url: str, small: list[Record]) -> None:
    expected = {"prompts": 1, "responses": 2, "annotators": 2, "comparisons": 1, "labels": 3, "ratings": 1}
    with Store.open(database_url) as store:
        assert store.add(small) == Counts(expected, {})
        digest = store.digest(*KINDS)
        assert store.add(small + small[:1]).known == {**expected, "prompts": 2}
        assert store.counts() == {**expected, "external_ids": 0}
        assert store.digest(*KINDS) == digest


def test_a_closed_store_opens_again_with_its_content(database_url: str, small: list[Record]) -> None:
    with Store.open(database_url) as store:
        store.add(small)
        digest = store.digest(*KINDS)
    with Store.open(database_url, create=False) as store:
        assert store.digest(*KINDS) == digest
        assert store.annotators() == {record.id: record for record in small if isinstance(record, Annotator)}


def test_a_superseded_label_is_hidden_and_kept(database_url: str, small: list[Record]) -> None:
    said, edited, failed = (record for record in small if isinstance(record, Label))
    with Store.open(database_url) as store:
        store.add(small)
        assert list(store.labels()) == sorted([edited, failed], key=lambda label: label.id)
        assert list(store.labels(superseded=True)) == sorted([said, edited, failed], key=lambda label: label.id)


def test_what_an_annotator_has_done_leaves_out_failures(database_url: str, small: list[Record]) -> None:
    judge = next(r for r in small if isinstance(r, Annotator) and r.kind == "judge")
    comparison = next(r for r in small if isinstance(r, Comparison))
    rating = next(r for r in small if isinstance(r, Rating))
    answered = Label.of(comparison.id, judge.id, choice="a", order_shown="ab", repeat=1)
    with Store.open(database_url) as store:
        store.add([*small, answered])
        assert set(store.labelled(judge.id)) == {(comparison.id, "ab", 1)}
        assert list(store.rated(judge.id)) == [(rating.response_id, "wit", 1)]
        assert not list(store.labelled("nobody"))


def test_ratings_come_in_the_order_of_their_responses_and_may_be_added_meanwhile(
    database_url: str, add_comparisons: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "ROWS", 3)
    with Store.open(database_url) as store:
        add_comparisons(store, 5)
        judge = Annotator.of("judge", "strict")
        ratings = [
            Rating.of(response, judge.id, criterion, value=0.5, scale=(0, 1))
            for response in store.ids("responses")
            for criterion in ("wit", "craft")
        ]
        store.add([judge, *ratings])
        expected = sorted((rating.response_id, rating.criterion, 0) for rating in ratings)
        found = store.rated(judge.id)
        first = next(found)
        # Whoever reads keeps nobody from writing, and is given what was there when it began.
        store.add([Rating.of(ratings[-1].response_id, judge.id, "pace", value=0.5, scale=(0, 1))])
        rest = list(found)
        assert sorted([first, *rest]) == expected and [key[0] for key in [first, *rest]] == [key[0] for key in expected]


def test_ids_texts_and_what_was_labelled_come_in_the_order_of_ids(
    database_url: str, add_comparisons: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewardkit.store.store.PAGE", 3)
    judge = Annotator.of("judge", "strict")
    with Store.open(database_url) as store:
        ids = sorted(add_comparisons(store, 40))
        assert list(store.ids("comparisons")) == ids
        assert list(store.ids("responses")) == [response.id for response in store.responses()]
        store.add([judge, *(Label.of(i, judge.id, choice="a", order_shown=o) for i in ids[::-1] for o in ("ba", "ab"))])
        labelled = list(store.labelled(judge.id))
        assert [item for item, *_ in labelled] == sorted([*ids, *ids])
        assert set(labelled) == {(item, order, 0) for item in ids for order in ("ab", "ba")}
        some = ["0", *ids[1::4], "nobody's"]
        assert [texts.comparison.id for texts in store.comparisons(some)] == ids[1::4]
        assert list(store.comparisons(iter(ids))) == list(store.comparisons()) and not list(store.comparisons([]))
        prompts = {prompt.id: prompt for prompt in store.prompts()}
        expected = [(response, prompts[response.prompt_id]) for response in store.responses()]
        assert list(store.responses_with_prompts()) == expected


def test_what_a_judge_cost_is_the_sum_of_its_labels_and_ratings(database_url: str, small: list[Record]) -> None:
    judge, other = Annotator.of("judge", "paid"), Annotator.of("judge", "other")
    comparison = next(each for each in small if isinstance(each, Comparison))
    paid = [Label.of(comparison.id, judge.id, choice="a", cost=cost, repeat=at) for at, cost in enumerate((0.5, 0.25))]
    free = Label.of(comparison.id, judge.id, status="failed", reason="refused")
    elsewhere = Label.of(comparison.id, other.id, choice="b", cost=8.0)
    rated = [
        Rating.of(comparison.response_a, judge.id, name, value=1.0, scale=(1, 5), metadata=metadata)
        for name, metadata in (("wit", {"cost": 0.125}), ("craft", {}))
    ]
    with Store.open(database_url) as store:
        store.add([*small, judge, other, *paid, free, elsewhere, *rated])
        assert (store.spent(judge.id), store.spent(other.id), store.spent("nobody")) == (0.875, 8.0, 0.0)


def test_the_digest_changes_only_with_the_kinds_it_covers(database_url: str, small: list[Record]) -> None:
    with Store.open(database_url) as store:
        store.add(small[:6])
        prompts, labels = store.digest("prompts"), store.digest("labels")
        store.add(small)
        assert store.digest("prompts") == prompts
        assert store.digest("labels") != labels


def many(count: int) -> list[Record]:
    prompt = Prompt.of((Message(role="user", content="Count."),))
    responses = [Response.of(prompt.id, str(number)) for number in range(count + 1)]
    pairs = zip(responses, responses[1:], strict=False)
    return [prompt, *responses, *(Comparison.of(prompt.id, a.id, b.id) for a, b in pairs)]


def test_iterators_are_in_order_across_pages_and_allow_writing(database_url: str) -> None:
    human = Annotator.of("human", "ann")
    with Store.open(database_url) as store:
        store.add([*many(2_500), human])
        seen = []
        for texts in store.comparisons():
            seen.append(texts.comparison.id)
            assert texts.response_a.id == texts.comparison.response_a < texts.response_b.id
            if len(seen) % 1_000 == 1:
                store.add([Label.of(texts.comparison.id, human.id, choice="tie")])
        assert seen == sorted(seen) and len(set(seen)) == 2_500
        assert [label.comparison_id for label in store.labels()] == [seen[0], seen[1_000], seen[2_000]]


def test_an_iterator_may_be_left(database_url: str) -> None:
    with Store.open(database_url) as store:
        store.add(many(1_500))
        next(store.responses())
        assert store.counts()["responses"] == 1_501


def test_a_failing_batch_leaves_nothing(database_url: str, small: list[Record]) -> None:
    orphan = Label.of("no such comparison", small[4].id, choice="a")  # type: ignore[attr-defined]
    with Store.open(database_url) as store:
        with pytest.raises(DataError, match="not in the store"):
            store.add([*small, orphan])
        assert sum(store.counts().values()) == 0


def test_text_that_is_not_unicode_is_a_data_error(database_url: str) -> None:
    with Store.open(database_url) as store, pytest.raises(DataError, match="cannot be stored"):
        store.add([Prompt(id="p", messages=(), task="half of a pair: \ud800")])


def test_metadata_that_is_not_json_is_a_data_error(database_url: str) -> None:
    with Store.open(database_url) as store, pytest.raises(DataError, match="cannot be stored"):
        store.add([Prompt(id="p", messages=(), metadata={"object": object()})])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=record_sets())
def test_every_record_comes_back_equal(new_database: Callable[[], str], records: list[Record]) -> None:
    with Store.open(new_database()) as store:
        store.add(records)
        for name, kind in KINDS.items():
            expected = [record for record in records if type(record) is kind.model]
            found = list(store.records(name))
            assert sorted(found, key=encode) == sorted(expected, key=encode)


@given(text=TEXT, task=TEXT, source=TEXT, model=st.none() | TEXT, split=st.sampled_from([None, "train", "test"]))
def test_rows_made_directly_equal_encoded_records(
    text: str, task: str, source: str, model: str | None, split: Split | None
) -> None:
    prompt = Prompt.of((Message(role="user", content=text),) if text else (), task=task)
    assert rows.prompt_row(text, task) == encode(prompt)
    first, second = Response.of(prompt.id, "x", model=model), Response.of(prompt.id, "y" + text, model=model)
    assert rows.response_row(prompt.id, "x", model) == encode(first)
    comparison = Comparison.of(prompt.id, first.id, second.id, source=source, split=split)
    ids = comparison.response_a, comparison.response_b
    assert rows.comparison_row(prompt.id, ids, source, {}, split) == encode(comparison)
    described = comparison.model_copy(update={"metadata": {"k": [1]}})
    assert rows.comparison_row(prompt.id, ids, source, {"k": [1]}, split) == encode(described)


@given(
    comparison=st.uuids().map(str),
    answers=st.lists(
        st.tuples(
            st.sampled_from(["x", "y"]),
            st.sampled_from(["a", "b", "tie", "both_bad"]),
            st.sampled_from([None, "ab", "ba"]),
        ),
        max_size=5,
    ),
)
def test_rows_of_plain_labels_equal_encoded_labels(comparison: str, answers: list[tuple[str, Any, Any]]) -> None:
    plain = rows.PlainLabels()
    for at, (annotator, choice, order) in enumerate(answers * 2):
        said = Label.of(f"{comparison}{at}", annotator, choice=choice, order_shown=order)
        assert plain.row(f"{comparison}{at}", annotator, choice, order) == encode(said)
