"""Giving where others are taking: what is free now is given at once, and what may become free is waited for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from labeling_ui.answers import ComparisonAnswer
from rewardkit.label_config import AssignmentConfig
from rewardkit.store.labelling_tables import items

ONCE = AssignmentConfig(overlap=1, most_overlap=1, repeats=0.0)
ON_POSTGRES = pytest.mark.parametrize(
    "new_database", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
WHILE = 0.4
"""Seconds for which somebody who waits is watched."""


@contextmanager
def held(desk, item_ids, *, taken=()):
    """Be another transaction that has items locked while the block runs, and uses up the slots of some of them."""
    held, let_go = threading.Event(), threading.Event()

    def hold():
        with desk.store.writing() as connection:
            locked = sa.select(items.c.id).where(items.c.id.in_(item_ids)).with_for_update(key_share=True)
            assert len(connection.execute(locked).all()) == len(item_ids)
            connection.execute(sa.update(items).where(items.c.id.in_(taken)).values(slots=0))
            held.set()
            assert let_go.wait(30)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(30)
        try:
            yield
        finally:
            let_go.set()
            holding.result()


@pytest.fixture
def three(desk, settle, stock, comparisons):
    """The ids of three items that want one label each."""
    settle(assignment=ONCE)
    stock(comparisons(3).values())
    with desk.store.reading() as connection:
        return sorted(connection.execute(sa.select(items.c.id)).scalars())


@pytest.mark.parametrize("taken", [0, 2, 3])
def test_who_comes_while_all_is_being_taken_waits_and_gets_what_is_left(desk, three, join, taken):
    ann = join("ann")
    with ThreadPoolExecutor(1) as pool:
        with held(desk, three, taken=three[:taken]):
            asking = pool.submit(desk.next, ann)
            with pytest.raises(TimeoutError):
                asking.result(WHILE)
        given = asking.result(30)
    assert given is None if taken == 3 else given.item_id in three[taken:]


def test_who_answers_while_all_else_is_being_taken_gets_what_is_left(desk, three, join):
    ann = join("ann")
    first = desk.next(ann)
    rest = [each for each in three if each != first.item_id]
    with ThreadPoolExecutor(1) as pool:
        with held(desk, rest, taken=rest[:1]):
            sending = pool.submit(desk.submit_and_next, first.id, ann, ComparisonAnswer(choice="tie"))
            with pytest.raises(TimeoutError):
                sending.result(WHILE)
        assert sending.result(30).item_id == rest[1]
    assert len(list(desk.store.labels())) == 1


@ON_POSTGRES
def test_what_is_free_is_given_without_waiting_for_the_rest(desk, three, join):
    ann, ben = join("ann"), join("ben")
    with ThreadPoolExecutor(2) as pool:
        with held(desk, three[:2]):
            assert pool.submit(desk.next, ann).result(10).item_id == three[2]
            # Of what the others leave, ben gets something once it is known.
            waiting = pool.submit(desk.next, ben)
            with pytest.raises(TimeoutError):
                waiting.result(WHILE)
        assert waiting.result(30).item_id in three[:2]


@ON_POSTGRES
def test_many_who_wait_for_the_same_get_one_each(desk, three, join):
    who = [join(f"person {number}") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        with held(desk, three):
            asking = [pool.submit(desk.next, person) for person in who]
            with pytest.raises(TimeoutError):
                asking[0].result(WHILE)
        given = [each.result(30) for each in asking]
    assert sorted(each.item_id for each in given if each) == three and given.count(None) == 3
