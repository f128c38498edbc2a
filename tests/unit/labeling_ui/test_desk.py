"""The desk: k labels an item and no more, one item in hand, and no answer that is forged, stale or doubled."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from labeling_ui.answers import Answer
from labeling_ui.assignment import Policy
from labeling_ui.people import People, Refused
from labeling_ui.progress import Progress, progress_of
from rewardkit.store.labelling_tables import events, items, leases

FIRST = Answer(choice="first", strength=2)
TIE = Answer(choice="tie")
PLAIN = Policy(overlap=3, most_overlap=3, repeats=0.0)


def label_all(desk, person, answer=FIRST, *, most=1000):
    """Answer items until there are no more; return the leases."""
    done = []
    while len(done) < most and (lease := desk.next(person)):
        desk.submit(lease.id, person, answer)
        desk.clock.now += 1
        done.append(lease)
    return done


def progress(desk):
    return progress_of(desk.store, desk.study)


def notes(desk):
    with desk.store.reading() as connection:
        return Counter(connection.execute(sa.select(events.c.kind)).scalars())


def test_each_comparison_gets_its_labels_and_no_more(desk, comparisons, join):
    desk.policy = PLAIN
    ids = comparisons(10)
    assert desk.add_items(ids) == 10 and desk.add_items(ids) == 0
    for name in ("ann", "ben", "cem", "dee"):
        given = label_all(desk, join(name))
        assert len(given) == len({lease.item_id for lease in given})
        assert len(given) == (0 if name == "dee" else 10)
    found = Counter(label.comparison_id for label in desk.store.labels())
    assert found == dict.fromkeys(ids, 3)
    assert progress(desk) == Progress(items=10, wanted=30, done=30, leased=0)


def test_what_is_in_hand_is_given_again_and_not_something_else(desk, comparisons, join):
    desk.add_items(comparisons(5))
    person = join("ann")
    lease = desk.next(person)
    desk.keep_draft(lease.id, person, {"choice": "first"})
    assert desk.next(person) == replace(lease, draft={"choice": "first"})
    assert progress(desk).leased == 1


def test_labels_say_how_they_came_about(desk, clock, comparisons, join):
    desk.policy = PLAIN
    desk.guideline_version = "v2"
    desk.add_items(comparisons(4))
    person = join("ann")
    lease = desk.next(person)
    clock.now += 12.5
    answer = Answer(choice="second", strength=3, reasons=("clearer",), rationale="shorter", criteria={"tone": "tie"})
    label = desk.submit(lease.id, person, answer)
    assert list(desk.store.labels()) == [label]
    assert label.choice == ("b" if lease.order == "ab" else "a") and label.order_shown == lease.order
    assert (label.strength, label.rationale, label.criteria) == (3, "shorter", {"tone": "tie"})
    assert (label.seconds, label.guideline_version) == (12.5, "v2")
    # Four items were open and none was gold: each had one chance in four.
    assert label.sampling_prob == lease.sampling_prob == 0.25
    assert label.metadata == {"lease": lease.id, "reasons": ["clearer"]}


def test_answers_that_are_forged_doubled_or_too_fast_are_refused_and_noted(desk, clock, comparisons, join):
    desk.least_seconds = 2.0
    desk.add_items(comparisons(3))
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    with pytest.raises(Refused, match="too fast"):
        desk.submit(lease.id, ann, FIRST)
    clock.now += 3
    for who, what in ((ben, lease.id), (ann, "no-such-lease")):
        with pytest.raises(Refused, match="not given to you"):
            desk.submit(what, who, FIRST)
    desk.submit(lease.id, ann, FIRST)
    with pytest.raises(Refused, match="answered already"):
        desk.submit(lease.id, ann, TIE)
    with pytest.raises(Refused, match="not known"):
        desk.next("nobody")
    assert [label.choice for label in desk.store.labels()] == ["a" if lease.order == "ab" else "b"]
    assert notes(desk)["refused"] == 4


def test_a_lease_that_ends_frees_its_item(desk, clock, comparisons, join):
    desk.policy = Policy(overlap=1, most_overlap=1)
    desk.add_items(comparisons(1))
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    assert desk.next(ben) is None
    clock.now += 601
    taken = desk.next(ben)
    assert taken.item_id == lease.item_id and notes(desk)["expired"] == 1
    desk.submit(taken.id, ben, FIRST)
    with pytest.raises(Refused, match="went to others"):
        desk.submit(lease.id, ann, FIRST)
    assert progress(desk).done == 1


def test_a_late_answer_counts_while_nobody_else_has_the_item(desk, clock, comparisons, join):
    desk.policy = Policy(overlap=1, most_overlap=1)
    desk.add_items(comparisons(1))
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    clock.now += 601
    desk.submit(lease.id, ann, FIRST)
    assert desk.next(ben) is None and progress(desk).done == 1


def test_a_returned_item_goes_to_others_and_not_back(desk, comparisons, join):
    desk.policy = Policy(overlap=1, most_overlap=1)
    desk.add_items(comparisons(1))
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    with pytest.raises(Refused):
        desk.give_back(lease.id, ben)
    desk.give_back(lease.id, ann)
    assert desk.next(ann) is None
    assert desk.next(ben).item_id == lease.item_id


def test_somebody_who_is_paused_gets_nothing_and_loses_nothing(desk, comparisons, join):
    desk.add_items(comparisons(2))
    person = join("ann")
    lease = desk.next(person)
    People(desk.store, "study").set_state(person, "paused", why="asked to")
    with pytest.raises(Refused, match="paused"):
        desk.next(person)
    People(desk.store, "study").set_state(person, "active")
    assert desk.next(person) == lease


def test_disagreement_asks_for_more_and_agreement_does_not(desk, comparisons, join):
    desk.policy = Policy(overlap=3, most_overlap=5, repeats=0.0)
    agreed, split = comparisons(2)
    desk.add_items([agreed, split])
    for number in range(7):
        person = join(f"p{number}")
        while lease := desk.next(person):
            side = "a" if lease.comparison_id == agreed or number % 2 else "b"
            choice = "first" if (lease.order == "ab") == (side == "a") else "second"
            desk.submit(lease.id, person, Answer(choice=choice, strength=1))
    found = Counter(label.comparison_id for label in desk.store.labels())
    assert found == {agreed: 3, split: 5}


def test_what_cannot_be_judged_is_asked_of_somebody_else(desk, comparisons, join):
    desk.policy = Policy(overlap=1, most_overlap=1)
    desk.add_items(comparisons(1))
    ann, ben = join("ann"), join("ben")
    assert desk.submit(desk.next(ann).id, ann, Answer(choice=None)).status == "abstained"
    assert desk.next(ann) is None
    assert desk.submit(desk.next(ben).id, ben, FIRST).status == "ok"
    assert progress(desk).done == 1


def test_an_answer_can_be_changed_and_the_first_is_kept(desk, clock, comparisons, join):
    desk.policy = PLAIN
    desk.add_items(comparisons(12))
    person = join("ann")
    done = label_all(desk, person)
    changed = desk.revise(done[-1].id, person, TIE)
    assert changed.choice == "tie" and changed.supersedes
    again = desk.revise(done[-1].id, person, FIRST)
    assert again.supersedes == changed.id
    assert len(list(desk.store.labels())) == 12 and len(list(desk.store.labels(superseded=True))) == 14
    with pytest.raises(Refused, match="latest 10"):
        desk.revise(done[0].id, person, TIE)
    with pytest.raises(Refused):
        desk.revise(done[-1].id, join("ben"), TIE)


def test_gold_is_for_everybody_and_comes_early(desk, comparisons, join):
    desk.policy = Policy(overlap=1, most_overlap=1, gold_early=0.5, gold_early_turns=1000, repeats=0.0)
    work, gold = comparisons(60), comparisons(10, tag="gold ")
    desk.add_items(work)
    desk.add_items(gold, role="gold", expected=dict.fromkeys(gold, "a"))
    for name in ("ann", "ben"):
        given = label_all(desk, join(name), most=25)
        seen = [lease.comparison_id for lease in given if lease.comparison_id in gold]
        assert 5 <= len(seen) == len(set(seen))


def test_repeats_change_the_sides_and_use_up_nothing(desk, comparisons, join):
    desk.policy = Policy(overlap=1, most_overlap=1, repeats=0.4, repeat_after=3)
    desk.add_items(comparisons(40))
    given = label_all(desk, join("ann"))
    repeats = [lease for lease in given if lease.repeat]
    first = {lease.item_id: lease for lease in given if not lease.repeat}
    assert len(first) == 40 and repeats
    assert len({lease.item_id for lease in repeats}) == len(repeats)
    assert all(lease.order != first[lease.item_id].order for lease in repeats)
    assert progress(desk).done == 40


def test_the_first_priority_comes_first(desk, comparisons, join):
    later, urgent = comparisons(5), comparisons(5, tag="urgent ")
    desk.policy = PLAIN
    desk.add_items(later, priority=1)
    desk.add_items(urgent, priority=0)
    given = label_all(desk, join("ann"))
    assert {lease.comparison_id for lease in given[:5]} == set(urgent) and len(given) == 10


@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
def test_the_open_items_are_found_by_their_index(desk, comparisons):
    # PostgreSQL's plan depends on the tables' sizes.
    desk.add_items(comparisons(50))
    open_items = sa.select(items.c.id).where(items.c.study == "study", items.c.role == "work", sa.text("slots > 0"))
    ordered = open_items.order_by(items.c.priority, items.c.position).limit(32)
    with desk.store.reading() as connection:
        text = str(ordered.compile(connection, compile_kwargs={"literal_binds": True}))
        plan = " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
    assert "ix_items_open" in plan and "TEMP B-TREE" not in plan


def test_many_at_once_get_what_is_wanted_and_no_more(desk, comparisons, join):
    desk.policy = Policy(overlap=3, most_overlap=3)
    ids = comparisons(60)
    desk.add_items(ids)
    people = [join(f"p{number}") for number in range(8)]

    def work(person):
        done = 0
        while lease := desk.next(person):
            desk.submit(lease.id, person, FIRST)
            done += 1
        return done

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, people))
    # Passed over while somebody else was taking it, an item may be left: one more round takes it.
    for person in people:
        work(person)
    labels = [label for label in desk.store.labels() if label.repeat == 0]
    assert Counter(label.comparison_id for label in labels) == dict.fromkeys(ids, 3)
    assert max(Counter((label.comparison_id, label.annotator_id) for label in labels).values()) == 1
    with desk.store.reading() as connection:
        assert connection.execute(sa.select(sa.func.min(items.c.slots))).scalar_one() == 0
        assert connection.execute(sa.select(leases.c.id).where(leases.c.state == "open")).all() == []
