from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rewardkit.types import (
    Annotator,
    Comparison,
    Label,
    Message,
    PreferenceExample,
    Prompt,
    Rating,
    Response,
    SoftPreference,
    content_id,
)

TEXT = st.text(max_size=20)
SHARE = st.integers(0, 1024).map(lambda n: n / 1024)


def preference(**fields):
    return SoftPreference(
        **{"comparison_id": "c", "p_a": 0.75, "sample_weight": 1, "method": "m", "split": "test", "unit": "u", **fields}
    )


def example(**fields):
    prompt = (Message(role="user", content="Why?"),)
    return PreferenceExample(preference=preference(**fields), prompt=prompt, response_a="Yes.", response_b="No.")


def test_an_id_is_the_hash_of_length_prefixed_parts():
    data = (1).to_bytes(8, "little") + b"a" + (2).to_bytes(8, "little") + "é".encode()
    assert content_id("a", "é") == hashlib.blake2b(data, digest_size=16).hexdigest()


@given(st.lists(TEXT, max_size=4), st.lists(TEXT, max_size=4))
def test_different_parts_have_different_ids(one, other):
    assert (content_id(*one) == content_id(*other)) == (one == other)


def test_half_a_surrogate_pair_has_an_id_too():
    assert content_id("\ud800") != content_id("\ud801")


def test_a_prompts_id_is_its_messages_whatever_its_task():
    ask = Message(role="user", content="Why?")
    assert Prompt.of((ask,)).id == Prompt.of((ask,), task="why", source="x").id == Prompt.identity(("user", "Why?"))
    assert Prompt.of((ask,)).id != Prompt.of((Message(role="system", content="Why?"),)).id
    assert Prompt.of((ask,), source="x").metadata == {"source": "x"}


@given(TEXT.filter(bool), TEXT.filter(bool))
def test_a_pair_met_the_other_way_round_is_the_same_comparison(one, other):
    a, b = Response.of("p", one), Response.of("p", other)
    first, second = Comparison.of("p", a.id, b.id), Comparison.of("p", b.id, a.id)
    assert first == second and first.response_a <= first.response_b


def test_a_response_is_its_prompt_text_and_model():
    same = Response.of("p", "Yes.", model="m", metadata={"level": 3})
    assert Response.of("p", "Yes.", model="m").id == same.id
    assert len({Response.of(*words).id for words in (("p", "Yes."), ("q", "Yes."), ("p", "No."))}) == 3
    assert Response.of("p", "Yes.").id != same.id
    with pytest.raises(ValidationError):
        Response.of("p", "")


def test_an_annotator_is_everything_that_makes_it_this_one():
    base = Annotator.of("judge", "j", model="m", settings={"k": 1})
    others = [
        Annotator.of("human", "j", model="m", settings={"k": 1}),
        Annotator.of("judge", "j", model="m", settings={"k": 2}),
        Annotator.of("judge", "j", model="m", settings={"k": 1}, simulated=True),
        Annotator.of("judge", "j", model="m", settings={"k": 1}, prompt_hash="x"),
    ]
    assert len({base.id, *(other.id for other in others)}) == 5
    assert Annotator.of("judge", "j", model="m", settings={"k": 1}) == base


def test_a_labels_id_is_what_was_said_and_not_when():
    label = Label.of("c", "a", choice="a", order_shown="ab")
    later = Label.of("c", "a", choice="a", order_shown="ab", created_at=datetime.now(UTC), seconds=3, tokens=5, cost=1)
    assert later.id == label.id
    for changed in ({"choice": "b"}, {"order_shown": "ba"}, {"repeat": 1}, {"sampling_prob": 0.5}, {"supersedes": "x"}):
        assert Label.of("c", "a", **{"choice": "a", "order_shown": "ab", **changed}).id != label.id


def test_a_ratings_id_is_what_was_said_and_not_when():
    fields = {"value": 3, "scale": (0, 10)}
    rating = Rating.of("r", "a", "wit", **fields)
    assert Rating.of("r", "a", "wit", created_at=datetime.now(UTC), **fields).id == rating.id
    assert Rating.of("r", "a", "tone", **fields).id != rating.id


def test_a_ratings_id_does_not_tell_what_it_cost():
    fields = {"value": 0.5, "scale": (0, 1)}
    # As they stand in stores: an id without a cost stays what it always was.
    ids = {"": "651a667187694dd4e68632dfd3096dbc", "x": "b70ca47ab7dd66aa557168eea4f6aff8"}
    for checked, expected in ids.items():
        metadata = {"checked": checked} if checked else {}
        assert Rating.of("r", "a", "wit", metadata=metadata, **fields).id == expected
        for cost in (0.25, 0.0):
            bought = Rating.of("r", "a", "wit", metadata={**metadata, "cost": cost}, **fields)
            assert bought.id == expected and bought.metadata["cost"] == cost


@pytest.mark.parametrize(
    "fields",
    [
        {"p_a": 1.1},
        {"p_a": math.nan},
        {"strength": 0},
        {"strength": math.inf},
        {"sampling_prob": 0},
        {"seconds": -1},
        {"choice": "c"},
        {"status": "lost"},
        {"order_shown": "aa"},
        {"score": 1},
    ],
)
def test_labels_that_cannot_be(fields):
    with pytest.raises(ValidationError):
        Label.of("c", "a", **fields)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_ratings_and_weights_are_finite(value):
    with pytest.raises(ValidationError):
        Rating.of("r", "a", "wit", value=value, scale=(0, 10))
    with pytest.raises(ValidationError):
        Rating.of("r", "a", "wit", value=1, scale=(0, value))
    with pytest.raises(ValidationError):
        preference(sample_weight=value)


def test_records_are_frozen():
    with pytest.raises(ValidationError):
        Label.of("c", "a").choice = "a"


@given(SHARE, st.none() | SHARE, st.none() | SHARE)
def test_swapping_turns_every_probability_round_and_twice_is_nothing(p_a, human, judge):
    before = example(p_a=p_a, human_p_a=human, judge_p_a=judge)
    after = before.swapped()
    assert (after.response_a, after.response_b) == (before.response_b, before.response_a)
    assert after.preference.p_a == 1 - p_a
    assert after.preference.human_p_a == (None if human is None else 1 - human)
    assert after.preference.judge_p_a == (None if judge is None else 1 - judge)
    assert after.swapped() == before
    kept = {"preference", "response_a", "response_b"}
    assert after.model_dump(exclude=kept) == before.model_dump(exclude=kept)


@given(SHARE, st.text())
def test_a_line_of_a_file_is_the_example_again(p_a, text):
    before = example(p_a=p_a).model_copy(update={"response_a": text.encode("utf-8", "replace").decode()})
    assert PreferenceExample.model_validate_json(before.model_dump_json()) == before
