"""Comparisons by their groups."""

from __future__ import annotations

from itertools import combinations

import pytest

from rewardkit.store import groups as room
from rewardkit.store.groups import groups, labelled_of, large_groups, outside_groups
from rewardkit.store.store import Store
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Response


def ranked(store, question, texts, group):
    """Add all pairs of some responses to a prompt; return their ids."""
    prompt = Prompt.of((Message(role="user", content=question),))
    responses = [Response.of(prompt.id, text) for text in texts]
    pairs = [Comparison.of(prompt.id, a.id, b.id, group=group) for a, b in combinations(responses, 2)]
    store.add([prompt, *responses, *pairs])
    return prompt.id, tuple(sorted(pair.id for pair in pairs))


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "rewardkit.db") as opened:
        yield opened


@pytest.mark.parametrize("page", [1, 4, 10_000])
def test_groups_come_whole_and_one_by_one(store, monkeypatch, page):
    monkeypatch.setattr(room, "PAGE", page)
    first, of_first = ranked(store, "a question", "abc", "rank 2")
    second, of_second = ranked(store, "a question", "defg", "rank 1")
    other, of_other = ranked(store, "another question", "ab", "rank 1")
    ranked(store, "a question", "hi", None)
    found = {each.key: each.comparisons for each in groups(store)}
    assert found == {("rank 2", first): of_first, ("rank 1", second): of_second, ("rank 1", other): of_other}
    assert [each.key for each in groups(store, {("rank 1", second)})] == [("rank 1", other), ("rank 2", first)]


def test_groups_are_large_by_their_responses_and_not_by_their_pairs(store):
    three, of_three = ranked(store, "a question", "abc", "rank 1")
    four, of_four = ranked(store, "another question", "abcd", "rank 1")
    _, alone = ranked(store, "a question", "xyz", None)
    assert large_groups(store, 4) == frozenset()
    assert large_groups(store, 3) == {("rank 1", four)}
    assert list(outside_groups(store)) == sorted(alone)
    assert list(outside_groups(store, {("rank 1", four)})) == sorted(alone + of_four)


def test_what_an_annotator_said_of_some_comparisons(store):
    _, (first, second, third) = ranked(store, "a question", "abc", "rank")
    who, other = Annotator.of("judge", "one"), Annotator.of("judge", "two")
    said = [
        Label.of(first, who.id, choice="a", order_shown="ab"),
        Label.of(second, who.id, status="failed", reason="out of order", order_shown="ab"),
        Label.of(second, other.id, choice="a", order_shown="ab"),
        Label.of(third, who.id, choice="b", order_shown="ba"),
    ]
    store.add([who, other, *said])
    assert labelled_of(store, who.id, (first, second)) == {(first, "ab", 0)}
    assert labelled_of(store, who.id, (first, second, third)) == {(first, "ab", 0), (third, "ba", 0)}
