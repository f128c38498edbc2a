"""How fast a server is asked: additive increase, multiplicative decrease, and what is allowed a minute."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from rewardkit.judge.pacing import FIRST, Allowance, Pace


def ran(coroutine):
    """Run something in a thread: the browser of other tests keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_round_that_went_well_is_twice_as_many_at_first_then_one_more_and_an_overload_half():
    pace = Pace(64, Clock())
    assert pace.limit == FIRST
    for _ in range(FIRST):
        pace.went_well()
    assert pace.limit == 2 * FIRST
    pace.clock.now += 1
    pace.overloaded(100.5, None)
    assert pace.limit == FIRST
    # One a round at most, and less than a hundredth missing of it: the limit grows within the round.
    for _ in range(FIRST + 1):
        pace.went_well()
    assert int(pace.limit) == FIRST + 1
    # Those that were let go before it tell nothing new.
    before = pace.limit
    pace.overloaded(100.9, None)
    assert pace.limit == before
    for _ in range(10_000):
        pace.went_well()
    assert pace.limit == 64


def test_it_never_stops():
    pace = Pace(4, Clock())
    for begun in range(200, 220):
        pace.clock.now = begun
        pace.overloaded(begun + 0.5, None)
    assert pace.limit == 1.0


def test_no_more_than_the_limit_are_under_way_and_everybody_gets_a_turn():
    async def run():
        pace, most, done = Pace(3), 0, 0

        async def one():
            nonlocal most, done
            await pace.enter()
            most = max(most, pace.under_way)
            await asyncio.sleep(0)
            pace.leave()
            done += 1

        tasks = [asyncio.create_task(one()) for _ in range(50)]
        await asyncio.sleep(0)
        # Some that wait go away again.
        for task in tasks[10:20]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return most, done, pace.under_way

    assert ran(run()) == (3, 40, 0)


def test_who_is_told_to_wait_waits():
    async def run():
        pace, loop = Pace(2), asyncio.get_running_loop()
        pace.overloaded(pace.clock(), 0.1)
        begun = loop.time()
        await pace.enter()
        waited = loop.time() - begun
        pace.overloaded(pace.clock(), 60)
        task = asyncio.create_task(pace.enter())
        pace.leave()
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # Who goes away while they wait leaves their place.
        return waited, pace.under_way

    waited, left = ran(run())
    assert 0.09 <= waited < 5 and left == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 30)), max_size=60), st.floats(1, 100))
def test_what_is_allowed_is_never_exceeded(asked, a_minute):
    """However it is asked for: at any moment no more was used than what the minute began with and has filled since."""
    clock = Clock()
    allowance, used = Allowance(a_minute, clock), 0.0
    for pause, amount in asked:
        clock.now += pause
        wait = allowance.wait_for(amount)
        assert wait >= 0
        clock.now += wait
        used += min(amount, a_minute)
        assert used <= a_minute + (clock.now - 100.0) * a_minute / 60 + 1e-6


def test_without_a_limit_nobody_waits():
    assert Allowance(None, Clock()).wait_for(1e9) == 0.0
