"""Disagreements: found, decided once, and kept as a label of their own."""

from __future__ import annotations

import pytest

from labeling_ui.adjudication import Decision, decide
from labeling_ui.admin_disagreements import DECISIONS, decision_of, dispute_view
from labeling_ui.answered import AnswerReader
from labeling_ui.disputes import disputes
from labeling_ui.people import Refused
from rewardkit.label_config import AssignmentConfig


@pytest.fixture
def disputed(settle, stock, comparisons, join, prefer):
    """Three people label three items: all agree on none of two, and on one."""
    settle(assignment=AssignmentConfig(overlap=3, most_overlap=3, repeats=0.0))
    stock(comparisons(3).values())
    said: dict[str, int] = {}
    for who, choices in (("ann", "aaa"), ("ben", "aba"), ("cem", "ab.")):
        person = join(who)
        for _ in range(3):
            item = prefer.peek(person)
            at = said.setdefault(item, len(said))
            prefer(person, {".": "tie"}.get(choices[at], choices[at]), rationale=f"<b>{who}</b> says *so*")
    return list(said)


@pytest.fixture
def prefer(prefer, desk):
    prefer.peek = lambda person: desk.next(person).item_id
    return prefer


def test_what_is_disputed_most_comes_first(store, disputed):
    found = disputes(store, AnswerReader(store, "study").read())
    assert [each.item_id for each in found] == sorted(disputed[1:])
    assert [each.leading for each in found] == [pytest.approx(2 / 3)] * 2
    assert disputed[0] not in [each.item_id for each in found]


def test_what_still_wants_labels_may_yet_be_settled(store, settle, stock, comparisons, join, prefer):
    settle(assignment=AssignmentConfig(overlap=2, most_overlap=3, agreement=0.9, repeats=0.0))
    stock(comparisons(1).values())

    def found():
        return len(disputes(store, AnswerReader(store, "study").read()))

    prefer(join("ann"), "a")
    prefer(join("ben"), "b")
    # They disagree, so that a third label is wanted.
    assert found() == 0
    # Who could not judge has given none.
    prefer(join("cem"), None)
    assert found() == 0
    prefer(join("dee"), "b")
    assert found() == 1


def test_a_decision_is_a_label_and_shortens_the_list(office, store, disputed, researcher):
    dispute, count = office.counts.dispute("")
    assert count == 2
    before = {label.id for label in store.labels()}
    decide(office, researcher, dispute.item_id, decision_of("Response 2 is much better", " It is kinder. "))
    (label,) = [each for each in store.labels() if each.id not in before]
    assert (label.choice, label.strength, label.rationale, label.order_shown) == ("b", 3, "It is kinder.", "ab")
    assert (label.comparison_id, label.metadata) == (dispute.comparison_id, {"adjudicates": True})
    annotator = store.annotators()[label.annotator_id]
    assert (annotator.kind, annotator.name, annotator.rater_group) == ("human", "study-rae", "adjudicator")
    other, left = office.counts.dispute("")
    assert left == 1 and other.item_id != dispute.item_id
    # It is nobody's answer to an item, and no annotator's number changes.
    assert [each.answered for each in office.counts.annotators(office.desk.study)] == [3, 3, 3, 0]
    with pytest.raises(Refused, match="meanwhile"):
        decide(office, researcher, dispute.item_id, Decision("a", 1))
    decide(office, researcher, other.item_id, Decision("tie"))
    assert office.counts.dispute("") == (None, 0)
    assert "nothing to decide" in dispute_view(office, None, 0)


def test_what_cannot_be_a_decision(office, disputed, researcher):
    item = disputed[1]
    for decision in (
        Decision("a"),
        Decision("tie", 2),
        Decision("a", 4),
        Decision("c"),
        Decision("tie", None, "x" * 6000),
    ):
        with pytest.raises(Refused):
            decide(office, researcher, item, decision)
    with pytest.raises(Refused, match="no such item"):
        decide(office, researcher, "nothing", Decision("tie"))
    for chosen in (None, "", "Response 3 is better", ["a"]):
        with pytest.raises(Refused, match="no decision"):
            decision_of(chosen, "")
    assert office.counts.dispute("")[1] == 2 and len(DECISIONS) == 8


def test_to_pass_over_shows_the_next_and_comes_round(office, disputed):
    first, _ = office.counts.dispute("")
    second, _ = office.counts.dispute(first.item_id)
    assert second.item_id != first.item_id and office.counts.dispute(second.item_id)[0].item_id == first.item_id


def test_what_annotators_wrote_is_shown_and_does_not_act(office, disputed):
    shown = dispute_view(office, *office.counts.dispute(""))
    assert "&lt;b&gt;ann&lt;/b&gt; says <em>so</em>" in shown and "<b>ann" not in shown
    assert '<p class="n">Request</p>' in shown and ">user<" not in shown
    assert "2 to decide" in shown and shown.count('<article class="response">') == 2
