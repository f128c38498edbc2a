"""The desk: k labels an item and no more, one item in hand, and no answer that is forged, stale or doubled."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from labeling_ui.answers import ComparisonAnswer, RatingAnswer
from labeling_ui.breaks import pause, resume
from labeling_ui.candidates import SELECTED
from labeling_ui.expiring import expire
from labeling_ui.people import People, Refused
from labeling_ui.progress import Progress, progress_of
from labeling_ui.study import page_of
from rewardkit.errors import DataError
from rewardkit.label_config import AssignmentConfig, QualificationConfig
from rewardkit.rubric import Rubric
from rewardkit.store.labelling_tables import events, items, leases

FIRST = ComparisonAnswer(choice="first", strength=2)
TIE = ComparisonAnswer(choice="tie")
CANNOT = ComparisonAnswer(choice=None)
RUBRIC = Rubric(
    name="plain", version="7", description="Which?", criteria=({"name": "tone", "description": "How it sounds."},)
)
PLAIN = AssignmentConfig(overlap=3, most_overlap=3, repeats=0.0)


def label_all(desk, person, answer=FIRST, *, most=1000):
    """Answer items until there are no more; return the leases."""
    done = []
    while len(done) < most and (lease := desk.next(person)):
        desk.submit(lease.id, person, answer)
        desk.clock.now += 1
        done.append(lease)
    return done


def progress(desk):
    return progress_of(desk.store, desk.study.name)


def notes(desk):
    with desk.store.reading() as connection:
        return Counter(connection.execute(sa.select(events.c.kind)).scalars())


def test_each_comparison_gets_its_labels_and_no_more(desk, stock, settle, comparisons, join):
    settle(assignment=PLAIN)
    ids = comparisons(10)
    assert stock(ids.values()) == 10 and stock(ids.values()) == 0
    for name in ("ann", "ben", "cem", "dee"):
        given = label_all(desk, join(name))
        assert len(given) == len({lease.item_id for lease in given})
        assert len(given) == (0 if name == "dee" else 10)
    found = Counter(label.comparison_id for label in desk.store.labels())
    assert found == dict.fromkeys(ids, 3)
    assert progress(desk) == Progress(items=10, wanted=30, done=30, leased=0)


def test_what_is_in_hand_is_given_again_and_not_something_else(desk, stock, comparisons, join):
    stock(comparisons(5).values())
    person = join("ann")
    lease = desk.next(person)
    desk.keep_draft(lease.id, person, {"choice": "first"})
    assert desk.next(person) == replace(lease, draft={"choice": "first"})
    assert progress(desk).leased == 1


def test_labels_say_how_they_came_about(desk, stock, settle, clock, comparisons, join):
    settle(assignment=PLAIN)
    stock(comparisons(4).values())
    person = join("ann")
    lease = desk.next(person)
    clock.now += 12.5
    answer = ComparisonAnswer(
        choice="second", strength=3, reasons=("clearer",), rationale="shorter", criteria={"tone": "tie"}
    )
    desk.study = replace(desk.study, rubric=RUBRIC)
    recorded = desk.submit(lease.id, person, answer)
    (label,) = desk.store.labels()
    assert recorded.ids == {label.comparison_id: label.id}
    assert label.choice == ("b" if lease.shown == (0, 1) else "a") and label.order_shown == (
        "ab" if lease.shown == (0, 1) else "ba"
    )
    assert (label.strength, label.rationale, label.criteria) == (3, "shorter", {"tone": "tie"})
    assert (label.seconds, label.guideline_version) == (12.5, desk.study.guidelines.version)
    # Four items were open and none was gold: each had one chance in four.
    assert label.sampling_prob == lease.sampling_prob == 0.25
    assert label.metadata == {"lease": lease.id, "reasons": ["clearer"]}


def test_answers_that_are_forged_doubled_or_too_fast_are_refused_and_noted(
    desk, stock, settle, clock, comparisons, join
):
    settle(least_seconds=2.0)
    stock(comparisons(3).values())
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
    assert [label.choice for label in desk.store.labels()] == ["a" if lease.shown == (0, 1) else "b"]
    assert notes(desk)["refused"] == 4


def test_a_lease_that_ends_frees_its_item(desk, stock, settle, clock, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1))
    stock(comparisons(1).values())
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


def test_a_late_answer_counts_while_nobody_else_has_the_item(desk, stock, settle, clock, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1))
    stock(comparisons(1).values())
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    clock.now += 601
    desk.submit(lease.id, ann, FIRST)
    assert desk.next(ben) is None and progress(desk).done == 1


def test_a_returned_item_goes_to_others_and_not_back(desk, stock, settle, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1))
    stock(comparisons(1).values())
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    with pytest.raises(Refused):
        desk.give_back(lease.id, ben)
    desk.give_back(lease.id, ann)
    assert desk.next(ann) is None
    assert desk.next(ben).item_id == lease.item_id


def test_somebody_who_is_paused_gets_nothing_and_loses_nothing(desk, stock, comparisons, join):
    stock(comparisons(2).values())
    person = join("ann")
    lease = desk.next(person)
    People(desk.store, "study").set_state(person, "paused", why="asked to")
    with pytest.raises(Refused, match="paused"):
        desk.next(person)
    People(desk.store, "study").set_state(person, "active")
    assert desk.next(person) == lease


def test_disagreement_asks_for_more_and_agreement_does_not(desk, stock, settle, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=3, most_overlap=5, repeats=0.0))
    ids = comparisons(2)
    agreed, split = ids
    stock(ids.values())
    for number in range(7):
        person = join(f"p{number}")
        while lease := desk.next(person):
            side = "a" if lease.responses == ids[agreed] or number % 2 else "b"
            choice = "first" if (lease.shown == (0, 1)) == (side == "a") else "second"
            desk.submit(lease.id, person, ComparisonAnswer(choice=choice, strength=1))
    found = Counter(label.comparison_id for label in desk.store.labels())
    assert found == {agreed: 3, split: 5}


def test_what_cannot_be_judged_is_asked_of_somebody_else(desk, stock, settle, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1))
    stock(comparisons(1).values())
    ann, ben = join("ann"), join("ben")
    assert desk.submit(desk.next(ann).id, ann, ComparisonAnswer(choice=None)).abstained
    assert desk.next(ann) is None
    assert not desk.submit(desk.next(ben).id, ben, FIRST).abstained
    assert progress(desk).done == 1


def test_an_answer_can_be_changed_and_the_first_is_kept(desk, stock, settle, clock, comparisons, join):
    settle(assignment=PLAIN)
    stock(comparisons(12).values())
    person = join("ann")
    done = label_all(desk, person)
    assert [lease.id for lease in desk.latest(person)] == [lease.id for lease in done[:1:-1]]
    changed = desk.revise(done[-1].id, person, TIE)
    assert desk.latest(person)[0].answer["choice"] == changed.choice == "tie"
    again = desk.revise(done[-1].id, person, FIRST)
    supersedes = {label.id: label.supersedes for label in desk.store.labels()}
    assert [supersedes[each] for each in again.ids.values()] == list(changed.ids.values())
    assert len(list(desk.store.labels())) == 12 and len(list(desk.store.labels(superseded=True))) == 14
    with pytest.raises(Refused, match="latest 10"):
        desk.revise(done[0].id, person, TIE)
    with pytest.raises(Refused):
        desk.revise(done[-1].id, join("ben"), TIE)


def test_gold_is_for_everybody_and_comes_early(desk, stock, settle, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1, gold_early=0.5, gold_early_turns=1000, repeats=0.0))
    work, gold = comparisons(60), comparisons(10, tag="gold ")
    stock(work.values())
    stock(gold.values(), role="gold", expected=dict.fromkeys(gold.values(), "a"))
    for name in ("ann", "ben"):
        given = label_all(desk, join(name), most=25)
        seen = [lease.responses for lease in given if lease.role == "gold"]
        assert 5 <= len(seen) == len(set(seen)) and set(seen) <= set(gold.values())


def test_repeats_change_the_sides_and_use_up_nothing(desk, stock, settle, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1, repeats=0.4, repeat_after=3))
    stock(comparisons(40).values())
    given = label_all(desk, join("ann"))
    repeats = [lease for lease in given if lease.repeat]
    first = {lease.item_id: lease for lease in given if not lease.repeat}
    assert len(first) == 40 and repeats
    assert len({lease.item_id for lease in repeats}) == len(repeats)
    assert all(lease.shown != first[lease.item_id].shown for lease in repeats)
    assert progress(desk).done == 40


def test_the_first_priority_comes_first(desk, stock, settle, comparisons, join):
    later, urgent = comparisons(5), comparisons(5, tag="urgent ")
    settle(assignment=PLAIN)
    stock(later.values(), priority=1)
    stock(urgent.values(), priority=0)
    given = label_all(desk, join("ann"))
    assert {lease.responses for lease in given[:5]} == set(urgent.values()) and len(given) == 10


@pytest.mark.parametrize("new_database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("route", ["work", "gold", "qualification"])
def test_the_open_items_are_found_by_their_index(desk, stock, comparisons, route):
    # PostgreSQL's plan depends on the tables' sizes.
    stock(comparisons(50).values())
    values = {"study": "study", "person": "ann", "window": 32}
    with desk.store.reading() as connection:
        text = str(SELECTED[route].params(values).compile(connection, compile_kwargs={"literal_binds": True}))
        plan = " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
    assert "ix_items_open" in plan and "TEMP B-TREE" not in plan


def test_many_at_once_get_what_is_wanted_and_no_more(desk, stock, settle, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=3, most_overlap=3))
    ids = comparisons(60)
    stock(ids.values())
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


def test_who_writes_keeps_the_item_and_who_comes_back_gets_it_back(desk, clock, stock, settle, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1, repeats=0.0, least_lease=600, longest_lease=2000))
    stock(comparisons(2).values())
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    for _ in range(3):
        clock.now += 500
        desk.keep_draft(lease.id, ann, {"rationale": "still here"})
    # After 1,500 seconds it is still theirs, and what ben gets is another one.
    assert desk.next(ben).item_id != lease.item_id and desk.next(ann).id == lease.id
    clock.now += 501
    desk.keep_draft(lease.id, ann, {"rationale": "for too long now"})
    clock.now += 1
    # Its time was over, and nobody has taken it: it is theirs again, with what they wrote.
    clock.now += 5_000
    again = desk.next(ann)
    assert (again.id, again.draft) == (lease.id, {"rationale": "for too long now"})
    # It lasts as long as another, and the time away is not time that it took.
    assert again.expires_at == clock.now + 600 and clock.now - again.leased_at < 2_010
    clock.now += 601
    desk.give_back(desk.next(ben).id, ben)
    assert desk.next(ben).item_id == lease.item_id
    # Now it is gone, and there is nothing else.
    assert desk.next(ann).item_id != lease.item_id
    with pytest.raises(Refused, match="not in your hands"):
        desk.keep_draft(lease.id, ann, {})


def test_an_item_that_somebody_only_looked_at_does_not_come_back(desk, clock, stock, comparisons, join):
    stock(comparisons(30).values())
    ann = join("ann")
    lease = desk.next(ann)
    clock.now += 601
    assert desk.next(ann).id != lease.id
    # A page of the old item that is still open somewhere takes nothing away from the new one.
    with pytest.raises(Refused, match="not in your hands"):
        desk.keep_draft(lease.id, ann, {"rationale": "from the other window"})


def test_rankings_and_ratings_go_over_the_same_desk(desk, stock, comparisons, join):
    (a, b), (c, _) = comparisons(2).values()
    with pytest.raises(DataError, match="different prompts"):
        stock([(a, b, c)], task="ranking")
    desk.study = replace(desk.study, rubric=RUBRIC)
    stock([(a,), (b,)], task="rating")
    person = join("ann")
    lease = desk.next(person)
    with pytest.raises(Refused, match="a rating is asked for"):
        desk.submit(lease.id, person, FIRST)
    first = desk.submit(lease.id, person, RatingAnswer(ratings={"tone": 2.0}))
    again = desk.revise(lease.id, person, RatingAnswer(ratings={"tone": 3.0}))
    found = {rating.id: rating for rating in desk.store.records("ratings")}
    about = f"rating {lease.responses[0]} tone"
    assert found[again.ids[about]].supersedes == first.ids[about] and len(found) == 2


def test_whoever_has_to_qualify_does_so_first(desk, stock, settle, comparisons, join):
    settle(assignment=PLAIN, qualification=QualificationConfig(source="known", items=3, passed=0.0))
    stock(comparisons(5).values())
    stock(comparisons(4, tag="known ").values(), role="qualification")
    given = label_all(desk, join("ann"))
    assert [lease.role for lease in given] == ["qualification"] * 3 + ["work"] * 5


def test_nobody_gets_more_than_they_may(desk, stock, settle, comparisons, join):
    settle(assignment=PLAIN, most_items=4)
    stock(comparisons(9).values())
    person = join("ann")
    # What is skipped is no answer.
    desk.give_back(desk.next(person).id, person)
    assert len(label_all(desk, person)) == 4


def test_nobody_works_who_has_not_qualified(desk, settle, stock, comparisons, join):
    settle(assignment=PLAIN, qualification=QualificationConfig(source="known", items=3, passed=0.0))
    stock(comparisons(5).values())
    # Fewer than are asked for, as after a mistake.
    stock(comparisons(2, tag="known ").values(), role="qualification")
    person = join("ann")
    with pytest.raises(Refused, match="cannot be skipped"):
        desk.give_back(desk.next(person).id, person)
    assert [lease.role for lease in label_all(desk, person)] == ["qualification"] * 2
    assert desk.latest(person) == []


def test_a_draft_that_cannot_be_kept_stops_nobody(desk, stock, comparisons, join):
    stock(comparisons(3).values())
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    with pytest.raises(Refused, match="cannot be kept"):
        desk.keep_draft(lease.id, ann, {"rationale": "half an emoji: \ud83d"})
    desk.keep_draft(lease.id, ann, {"x": float("nan")})
    assert desk.next(ann).draft == {"x": None}
    desk.clock.now += 601
    assert desk.next(ben) and desk.next(ann)


def test_guidelines_that_change_are_read_before_the_next_item(desk, settle, stock, comparisons, join):
    settle(assignment=PLAIN)
    stock(comparisons(5).values())
    person, old = join("ann"), desk.study.guidelines.version
    lease = desk.next(person)
    desk.study = replace(desk.study, guidelines=page_of("Shorter is better."))
    # What was begun under the old ones was done under the old ones.
    assert desk.submit_and_next(lease.id, person, FIRST) is None
    assert [label.guideline_version for label in desk.store.labels()] == [old]
    People(desk.store, "study").keep(person, "consented", lambda _: desk.study.agreement)
    lease = desk.next(person)
    desk.submit(lease.id, person, FIRST)
    assert {label.guideline_version for label in desk.store.labels()} == {old, desk.study.guidelines.version}


@pytest.mark.parametrize(("first", "then", "wanted"), [(FIRST, CANNOT, 1), (CANNOT, FIRST, 1)])
def test_a_changed_answer_keeps_the_count(desk, settle, stock, comparisons, join, first, then, wanted):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1))
    stock(comparisons(1).values())
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    desk.submit(lease.id, ann, first)
    desk.revise(lease.id, ann, then)
    assert progress(desk).done == (1 if then is FIRST else 0)
    # Somebody else is asked where nothing could be judged after all, and only there.
    assert bool(desk.next(ben)) == (then is CANNOT)


def test_an_answer_that_is_changed_when_somebody_else_was_asked_already(desk, settle, stock, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1))
    stock(comparisons(1).values())
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    desk.submit(lease.id, ann, CANNOT)
    other = desk.next(ben)
    desk.revise(lease.id, ann, FIRST)
    desk.submit(other.id, ben, FIRST)
    assert progress(desk) == Progress(items=1, wanted=2, done=2, leased=0)


def test_a_changed_answer_took_as_long_as_it_took(desk, clock, stock, comparisons, join):
    stock(comparisons(2).values())
    person = join("ann")
    lease = desk.next(person)
    clock.now += 20
    desk.submit(lease.id, person, FIRST)
    clock.now += 3600
    desk.revise(lease.id, person, TIE)
    assert [label.seconds for label in desk.store.labels()] == [20.0]


def test_an_item_waits_for_a_break(desk, clock, settle, stock, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1))
    stock(comparisons(1).values())
    ann, ben = join("ann"), join("ben")
    lease = desk.next(ann)
    clock.now += 5
    pause(desk, ann)
    clock.now += 1200
    assert desk.next(ann) is None and desk.next(ben) is None
    resume(desk, ann)
    assert desk.next(ann).id == lease.id
    clock.now += 2
    desk.submit(lease.id, ann, FIRST)
    assert [label.seconds for label in desk.store.labels()] == [7.0]


def test_a_break_without_end_gives_the_item_to_others(desk, clock, settle, stock, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1))
    stock(comparisons(1).values())
    ann, ben = join("ann"), join("ben")
    desk.next(ann)
    pause(desk, ann)
    clock.now += 3600 + 601
    assert desk.next(ben)
    resume(desk, ann)
    assert desk.next(ann) is None


def test_a_study_ends_only_its_own_leases(desk, clock, stock, comparisons, join):
    stock(comparisons(2).values())
    lease = desk.next(join("ann"))
    clock.now += 601
    assert expire(desk.store, "another study", clock.now) == 0
    assert expire(desk.store, "study", clock.now) == 1
    assert lease and notes(desk)["expired"] == 1


def test_many_leases_that_end_at_once_hinder_nobody(desk, clock, settle, stock, comparisons, join):
    settle(assignment=AssignmentConfig(overlap=20, most_overlap=20, repeats=0.0))
    stock(comparisons(10).values())
    people = [join(f"p{number}") for number in range(24)]
    for person in people:
        assert desk.next(person)
    clock.now += 601
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(desk.next, people))
    assert notes(desk)["expired"] == 24
