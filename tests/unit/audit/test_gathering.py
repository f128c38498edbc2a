"""Records → cases: who counts as whom, which version counts, and what a judge's words have touched."""

from __future__ import annotations

from collections import Counter

import pytest

from rewardkit.audit.cases import Vote
from rewardkit.audit.gathering import JudgeRecords, People, gather_pairs, gather_ratings
from rewardkit.audit_config import AuditConfig
from rewardkit.store.rows import ComparisonTexts
from rewardkit.types import Annotator, Comparison, Label, Message, Prompt, Rating, Response

KIM = Annotator.of("human", "kim", rater_group="crowd")
LEE = Annotator.of("human", "lee")
ALL = Annotator.of("human", "everyone", settings={"aggregate": True})
JUDGE = Annotator.of("judge", "gpt-4/pairwise.v1", model="gpt-4")
OTHER = Annotator.of("judge", "llama/pairwise.v1", model="llama")
WHO = {who.id: who for who in (KIM, LEE, ALL, JUDGE, OTHER)}


def texts(words="tell a joke", replies=("short", "much longer"), models=("gpt-4o", "Llama-2")):
    prompt = Prompt.of((Message(role="user", content=words),), task="joke")
    both = {r.id: r for r in (Response.of(prompt.id, t, model=m) for t, m in zip(replies, models, strict=True))}
    comparison = Comparison.of(prompt.id, *both)
    a, b = both[comparison.response_a], both[comparison.response_b]
    return ComparisonTexts(comparison=comparison, prompt=prompt, response_a=a, response_b=b)


ITEM = texts()
ABOUT = ITEM.comparison.id


def label(who, choice="a", about=ABOUT, **fields):
    return Label.of(about, who.id, choice=choice, **fields)


def gathered(labels, items=(ITEM,), **config):
    into = {JUDGE.id: JudgeRecords()}
    gather_pairs(items, labels, People(WHO, AuditConfig(**config)), into)
    return into[JUDGE.id]


def test_a_case_is_a_comparison_with_its_verdicts_and_votes():
    [case] = gathered([label(JUDGE, order_shown="ab"), label(KIM), label(LEE, "tie"), label(OTHER, "b")]).pairs
    assert case.unit == ITEM.prompt.id and case.task == "joke" and set(case.writers) == {"gpt", "llama"}
    assert case.by_order.keys() == {"ab"} and case.choice == 1
    assert sorted((vote.group, vote.value) for vote in case.votes) == [("", 0.5), ("crowd", 1.0)]
    a, b = (len(response.text) for response in (ITEM.response_a, ITEM.response_b))
    assert 2**case.doublings == pytest.approx(a / b)


def test_the_latest_version_counts_and_repeats_are_averaged():
    first = label(KIM, "a")
    votes = [first, label(KIM, "b", supersedes=first.id), label(LEE, "a"), label(LEE, "b", repeat=1)]
    [case] = gathered([label(JUDGE), *votes]).pairs
    assert {vote.annotator: vote.value for vote in case.votes} == {KIM.id: 0.0, LEE.id: 0.5}


def test_what_was_said_after_a_judges_words_is_left_out():
    blind = label(KIM, "a")
    after = label(KIM, "b", supersedes=blind.id, metadata={"judge": "gpt-4", "points": {}, "blind": {ABOUT: blind.id}})
    [case] = gathered([label(JUDGE), blind, after]).pairs
    assert case.votes == (Vote(KIM.id, "crowd", 1.0),)


def test_majorities_are_marked():
    [case] = gathered([label(JUDGE), label(ALL), label(KIM, metadata={"aggregate": True}), label(LEE)]).pairs
    assert {vote.annotator: vote.aggregate for vote in case.votes} == {ALL.id: True, KIM.id: True, LEE.id: False}


def test_what_failed_says_nothing_and_is_counted():
    failed = Label.of(ABOUT, JUDGE.id, status="failed", reason="no verdict")
    found = gathered([failed, label(KIM)])
    assert found.pairs == [] and found.asked == [(ITEM.prompt.id, False)]


def test_the_users_groups_and_families_go_before_the_datas_own():
    groups, families = {"family": ("kim", "l*")}, {"open": "llama*"}
    [case] = gathered([label(JUDGE), label(KIM), label(ALL)], rater_groups=groups, families=families).pairs
    assert sorted(vote.group for vote in case.votes) == ["", "family"] and set(case.writers) == {"gpt", "open"}


def test_asked_again_are_repeats_and_versions_in_one_order():
    one = label(JUDGE, "a", order_shown="ab")
    later = label(JUDGE, "b", order_shown="ab", supersedes=one.id)
    repeat = label(JUDGE, "tie", order_shown="ab", repeat=1)
    turned = label(JUDGE, "tie", order_shown="ba")
    # A row that a file holds twice with another verdict: no retest.
    twice = label(JUDGE, "b", order_shown="ba", rationale="again")
    [case] = gathered([later, repeat, turned, one, twice]).pairs
    chains = Counter(verdict.chain for verdict in case.verdicts)
    assert sorted(chains.values()) == [1, 1, 3] and chains["order ab"] == 3
    assert [verdict.current for verdict in case.verdicts].count(False) == 1
    # Without the version that was replaced: −1 and 0 in one order, 0 and −1 in the other.
    assert case.by_order["ab"] == pytest.approx(case.by_order["ba"])


def test_by_text_comparisons_that_share_one_are_one_unit():
    items = [texts("one", ("x", "y")), texts("two", ("y", "zz")), texts("two", ("p", "qqqq"))]
    labels = [label(JUDGE, about=item.comparison.id) for item in items]
    # By prompt the first stands alone, by text the last: its length tells which is which.
    for by, alone in (("prompt", 0), ("text", 2)):
        cases = gathered(labels, items, by=by).pairs
        sizes = Counter(case.unit for case in cases)
        [lonely] = [case for case in cases if sizes[case.unit] == 1]
        assert abs(lonely.doublings) == alone


def test_ratings_stand_on_one_scale():
    response = ITEM.response_a

    def rating(who, number, scale=(1, 5), **fields):
        return Rating.of(response.id, who.id, "fun", value=number, scale=scale, **fields)

    old = rating(KIM, 1)
    said = [
        rating(JUDGE, 5), rating(JUDGE, 4, repeat=1), old, rating(KIM, 3, supersedes=old.id), rating(LEE, 10, (0, 10)),
        rating(OTHER, 2), Rating.of(response.id, JUDGE.id, "wit", scale=(1, 5), status="failed", reason="no number"),
    ]  # fmt: skip
    into = {JUDGE.id: JudgeRecords()}
    gather_ratings([response], said, People(WHO, AuditConfig()), into)
    found = into[JUDGE.id]
    [case] = found.ratings["fun"]
    assert set(found.ratings) == {"fun"} and case.values == (1.0, 0.75) and case.value == 0.875
    assert sorted(vote.value for vote in case.votes) == [0.5, 1.0] and case.unit == ITEM.prompt.id
    assert [ok for _, ok in found.asked] == [True, True, False]
