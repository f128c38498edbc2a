"""What researchers do with judges: what is watched and kept, who waits, and how a measurement stands."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from labeling_ui import watching as module
from labeling_ui.admin_access import Asking
from labeling_ui.admin_judges import (
    case_views,
    keep_watched,
    measuring_view,
    start_measuring,
    verdict_of,
    watch_of,
    words_view,
)
from labeling_ui.admin_templates import view
from labeling_ui.chatting import ChatFailed
from labeling_ui.judges import Judges, Measured, MeasuredJudge, Number, Step, Watchable
from labeling_ui.measuring import Measuring
from labeling_ui.people import Refused
from labeling_ui.reviewing import Opinion, Words
from labeling_ui.watched import MOST_VOTES, case_of
from labeling_ui.watching import Watch, Watching
from rewardkit.errors import DataError, ModelError
from rewardkit.store.labelling_tables import events
from rewardkit.types import Annotator, Label, Rating

WISE = Annotator.of("judge", "wise", model="wise")
HOSTILE = "<img src=x onerror=alert(1)> {{ 7*7 }} ${1}"
FOUND = Measured(
    made=datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
    simulated="",
    confidence=0.95,
    columns=("Sides with the majority", "Answered"),
    judges=(
        MeasuredJudge(
            name=HOSTILE,
            model="",
            sentences=(f"On {HOSTILE} it agrees on n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}20.",),
            opposed=("People disagree about it.",),
            cautions=("Little data.",),
            numbers=(Number(value="78 %", interval="70–86 %", n="n = 20"), Number(value="—", note="nothing was asked")),
        ),
    ),
)


class Wise:
    """A judge that says what it was given, waiting where it is told to, and counts those who broke it off."""

    annotator = WISE

    def __init__(self, *said):
        self.said, self.go, self.broken, self.asked = said, asyncio.Event(), 0, []

    async def opinion(self, subject, order):
        self.asked.append((subject, order))
        try:
            for each in self.said:
                if each is None:
                    await self.go.wait()
                elif isinstance(each, Exception):
                    raise each
                else:
                    yield each
        except (asyncio.CancelledError, GeneratorExit):
            self.broken += 1
            raise


@pytest.fixture
def pairs(comparisons):
    """Ids of six comparisons, sorted."""
    return sorted(comparisons(6))


@pytest.fixture
def look(store):
    """Return the comparison that is watched next."""

    def case(way="next", **how):
        with store.reading() as connection:
            return case_of(connection, way, WISE.id, **how)

    return case


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "PACE", 0.005)
    monkeypatch.setattr(module, "SILENCE", 0.02)
    monkeypatch.setattr(module, "GRACE", 0.05)


def say(store, who, comparison, **said):
    store.add([who, Label.of(comparison, who.id, **{"choice": "a", **said})])


def test_the_next_is_one_that_people_have_labelled_and_the_judge_has_not(store, pairs, look):
    ann = Annotator.of("human", "ann")
    assert look().id == pairs[0]
    say(store, ann, pairs[3])
    say(store, ann, pairs[5])
    assert look().id == pairs[3] and look(after=pairs[3]).id == pairs[5] and look(after=pairs[5]).id == pairs[3]
    say(store, WISE, pairs[3])
    # Failed or not: it was asked.
    say(store, WISE, pairs[5], choice=None, status="failed", reason="no verdict")
    assert look().id == pairs[0]
    for each in (pairs[0], pairs[1], pairs[2], pairs[4]):
        say(store, WISE, each)
    with pytest.raises(Refused, match="has labelled every comparison"):
        look()
    assert look("random").id in pairs and look("id", named=f" {pairs[2]} ").id == pairs[2]
    for name in ("", "nothing", pairs[2][:8]):
        with pytest.raises(Refused, match="no comparison"):
            look("id", named=name)


def test_at_random_all_have_their_turn_and_half_is_shown_the_other_way(store, pairs, look, comparisons):
    assert {look("random").id for _ in range(300)} == set(pairs)
    more = comparisons(60, tag="more ")
    orders = {each: look("id", named=each).order for each in more}
    assert 15 < sum(order == "ab" for order in orders.values()) < 45
    assert orders == {each: look("id", named=each).order for each in more}


def test_what_people_said_is_the_latest_and_none_of_it_a_judges(store, pairs, look):
    ann, ben = Annotator.of("human", "ann", rater_group="experts"), Annotator.of("human", "ben", simulated=True)
    first = Label.of(pairs[0], ann.id, choice="a", rationale="first")
    store.add([ann, ben, first, Label.of(pairs[0], ann.id, choice="b", strength=2, supersedes=first.id)])
    say(store, ben, pairs[0], choice=None, status="abstained")
    say(store, WISE, pairs[0])
    case = look("id", named=pairs[0])
    assert [(vote.name, vote.group, vote.choice, vote.simulated) for vote in case.votes] == [
        ("ann", "experts", "b", False),
        ("ben", ben.rater_group, None, True),
    ]
    for number in range(MOST_VOTES):
        say(store, Annotator.of("human", f"more {number}"), pairs[0])
    case = look("id", named=pairs[0])
    assert (len(case.votes), case.more) == (MOST_VOTES, 2)
    assert "and 2 labels more" in case_views(case)[2]


def opinion_on(case, choice, **more):
    a, _ = case.subject.responses
    label = Label.of(case.id, WISE.id, choice=choice, order_shown=case.order, **more)
    return Opinion(
        [label], [Rating.of(a.id, WISE.id, "craft", value=3, scale=(1, 5), metadata={"comparison": case.id})]
    )


def test_places_are_those_in_which_the_responses_are_shown(look, pairs):
    cases = {case.order: case for case in (look("id", named=each) for each in pairs)}
    assert set(cases) == {"ab", "ba"}
    for order, place in (("ab", 1), ("ba", 2)):
        case = cases[order]
        said = verdict_of(opinion_on(case, "a"), order)
        assert said == f"Its verdict: Response {place}."
        a, b = (response.text for response in case.subject.responses)
        pair = case_views(case)[1]
        assert (pair.index(a) < pair.index(b)) == (order == "ab") and pair.index("calls it A") < pair.index(
            "calls it B"
        )
        soft = Opinion(
            [Label.of(case.id, WISE.id, choice="a", p_a=p, order_shown=o) for p, o in ((0.9, "ab"), (0.3, "ba"))], []
        )
        # (0.9 + 0.3) / 2 = 0.6
        assert verdict_of(soft, order) == f"Its verdict: Response {place} (60 % sure, both orders together)."
    failed = Opinion([Label.of(pairs[0], WISE.id, status="failed", reason="no verdict")], [])
    assert verdict_of(failed, "ab") == "It said nothing that can be used: no verdict"


def test_strangers_words_are_shown_and_do_not_act(store, pairs, look):
    who = Annotator.of("human", HOSTILE, rater_group=HOSTILE)
    say(store, who, pairs[0], rationale=HOSTILE)
    case = look("id", named=pairs[0])
    watch = Watch(Watchable(Annotator.of("judge", HOSTILE), lambda: None), case, "rae")
    for words in (Words(0, HOSTILE), Words(0, HOSTILE, thought=True)):
        watch.hear(words)
    watch.become("failed", HOSTILE)
    shown = [*case_views(case), words_view(watch), view("judges", found=FOUND)]
    shown.append(view("measuring", step=Step(done=1, judges=2, judge=HOSTILE)))
    assert not any("<img" in each for each in shown)
    # Name, group and why; the judge's name, thought, words and failure; a judge's name, twice, and a criterion.
    assert [each.count("&lt;img src=x") for each in shown] == [0, 0, 3, 4, 3, 1]
    numbers = shown[4].replace("<bdi>", "").replace("</bdi>", "")
    assert "n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}20" in numbers and "22 Nov 2026, 09:30" in shown[4]


def run(work):
    # A browser test of the same run keeps a loop in this thread.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asyncio.wait_for(work, 20)).result()


async def heard(watching, person):
    return [(watch.state, dict(watch.said)) async for watch in watching.news(person) if watch is not None]


def test_words_come_to_whoever_looks_and_one_is_at_work_at_a_time(look, pairs, quick):
    async def work():
        case = look()
        wise = Wise(Words(0, "A is "), None, Words(0, "vivid."), opinion_on(case, "a"), Words(1, "fit: 3"))
        watching, judge = Watching(), Watchable(WISE, lambda: wise)
        watch = Watch(judge, case, "rae")
        watching.start(watch)
        for person, match in (("rae", "at work already"), ("kim", "another researcher")):
            with pytest.raises(Refused, match=match):
                watching.start(Watch(judge, case, person))
        with pytest.raises(Refused, match="no judge of yours"):
            await watching.stop("kim")
        assert await heard(watching, "kim") == []
        # Two windows of one researcher see the same.
        both = [asyncio.create_task(heard(watching, "rae")) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert watch.said == {0: "A is "} and not watch.useful
        wise.go.set()
        for each in await asyncio.gather(*both):
            assert each[-1] == ("through", {0: "A is vivid.", 1: "fit: 3"})
        assert watch.useful and wise.asked == [(case.subject, case.order)] and wise.broken == 0
        # The next may begin, whoever asks.
        watching.start(Watch(judge, case, "kim"))
        await watching.stop("kim")

    run(work())


def test_stop_breaks_off_even_what_has_not_begun(look, pairs, quick):
    async def work():
        wise = Wise(Words(0, "A is "), None)
        watching, judge = Watching(), Watchable(WISE, lambda: wise)
        for pause in (0.0, 0.1):
            watch = Watch(judge, look(), "rae")
            watching.start(watch)
            if pause:
                await asyncio.sleep(pause)
            await watching.stop("rae")
            assert watch.state == "stopped" and not watch.useful and watching.under_way is None
        assert wise.broken == 1
        with pytest.raises(Refused, match="no judge of yours"):
            await watching.stop("rae")

    run(work())


def test_it_ends_where_nobody_looks_and_goes_on_over_a_reload(look, pairs, quick):
    async def work():
        wise = Wise(Words(0, "A is "), None)
        watching, watch = Watching(), Watch(Watchable(WISE, lambda: wise), look(), "rae")
        watching.start(watch)
        first = asyncio.create_task(heard(watching, "rae"))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.wait([first])
        again = asyncio.create_task(heard(watching, "rae"))
        await asyncio.sleep(0.1)
        assert watch.state == "working"
        again.cancel()
        await asyncio.sleep(0.2)
        assert watch.state == "stopped" and wise.broken == 1

    run(work())


@pytest.mark.parametrize(
    ("error", "why"),
    [(ChatFailed("It broke.", why="wise: HTTP 503"), "wise: HTTP 503"), (ModelError("no such model"), "no such model")],
)
def test_a_judge_that_fails_says_why(look, pairs, quick, error, why):
    async def work():
        watching, watch = Watching(), Watch(Watchable(WISE, lambda: Wise(Words(0, "A"), error)), look(), "rae")
        watching.start(watch)
        await heard(watching, "rae")
        assert (watch.state, watch.why) == ("failed", why)
        assert why in words_view(watch) and 'aria-busy="false"' in words_view(watch)

    run(work())


def test_annotators_and_researchers_take_turns_with_a_judge_that_they_share(look, pairs, quick):
    async def work():
        room = asyncio.Semaphore(1)
        watching, wise = Watching(room), Wise(Words(0, "A"))
        async with room:
            watch = Watch(Watchable(WISE, lambda: wise, shared=True), look(), "rae")
            watching.start(watch)
            await asyncio.sleep(0.05)
            assert watch.state == "waiting" and wise.asked == []
        await heard(watching, "rae")
        assert watch.state == "through"

    run(work())


def test_labels_are_kept_by_hand_once_and_say_so(office, store, look, pairs, researcher):
    office.judges = Judges(watchable=(judge := Watchable(WISE, lambda: None),))
    asking = Asking(researcher, "http://here")
    with pytest.raises(Refused, match="nothing to keep"):
        keep_watched(office, asking)
    watch = watch_of(office, asking, WISE.id, "The next that it has not labelled", "")
    assert watch.judge is judge and watch.case.id == pairs[0]
    office.watching.latest[researcher.id] = watch
    watch.hear(opinion_on(watch.case, "b", p_a=0.2))
    for state in ("working", "stopped", "failed"):
        watch.become(state)
        with pytest.raises(Refused, match="nothing to keep"):
            keep_watched(office, asking)
    watch.become("through")
    assert list(store.labels()) == []
    assert keep_watched(office, asking).state == "kept"
    (label,), (rating,) = store.labels(), store.records("ratings")
    assert (label.choice, label.p_a, label.metadata) == ("b", 0.2, {"watched": True})
    assert rating.metadata == {"comparison": pairs[0], "watched": True} and WISE.id in store.annotators()
    with store.reading() as connection:
        (noted,) = connection.execute(sa.select(events).where(events.c.kind == "judge kept")).all()
    assert noted.person_id == researcher.id and noted.details["labels"] == [label.id]
    watch.become("through")
    with pytest.raises(Refused, match="there already"):
        keep_watched(office, asking)
    # The next one is another, also where nothing was kept of this one.
    office.watching.latest[researcher.id] = Watch(judge, look("id", named=pairs[2]), researcher.id)
    assert watch_of(office, asking, WISE.id, "The next that it has not labelled", "").case.id == pairs[3]


def test_what_cannot_be_watched(office, pairs, researcher):
    asking = Asking(researcher, "http://here")
    for chosen in (None, "", ["x"], WISE.id):
        with pytest.raises(Refused, match="no judge is chosen"):
            watch_of(office, asking, chosen, "One at random", "")
    office.judges = Judges(watchable=(Watchable(WISE, lambda: None),))
    for which in (None, "random", ["One at random"]):
        with pytest.raises(Refused, match="no comparison is chosen"):
            watch_of(office, asking, WISE.id, which, "")


class Slow:
    """An audit that goes on when it is told to."""

    def __init__(self, ends):
        self.ends, self.go, self.found = ends, threading.Event(), None
        self.page = None

    def kept(self):
        return self.found

    def measure(self, told):
        told(Step(done=1, judges=4, judge="wise"))
        self.go.wait(20)
        if isinstance(self.ends, Exception):
            raise self.ends
        return self.ends


def until(condition):
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come about")


def test_a_measurement_is_one_at_a_time_and_its_result_stays(office, store, researcher):
    audit, asking = Slow(FOUND), Asking(researcher, "http://here")
    with pytest.raises(Refused, match="cannot be measured here"):
        start_measuring(office, asking)
    office.measuring = Measuring(audit)
    assert measuring_view(office) == "" and office.measuring.kept() is None
    start_measuring(office, asking)
    until(lambda: office.measuring.standing.step)
    assert "1 of 4 judges done" in measuring_view(office) and 'aria-valuenow="1"' in measuring_view(office)
    with pytest.raises(Refused, match="already"):
        start_measuring(office, asking)
    audit.go.set()
    until(lambda: not office.measuring.standing.running)
    assert office.measuring.kept() == FOUND and measuring_view(office) == ""
    with store.reading() as connection:
        noted = connection.execute(sa.select(events.c.person_id).where(events.c.kind == "judges measured"))
        assert noted.scalars().all() == [researcher.id]
    # What another server found, that has ended, is there too.
    audit.found = FOUND
    assert Measuring(audit).kept() == FOUND


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            DataError("no judge has labelled or rated anything", where="audit", fix="run rewardkit judge first"),
            "no judge has",
        ),
        (ZeroDivisionError("by nothing"), "ZeroDivisionError: by nothing"),
    ],
)
def test_a_measurement_that_comes_to_nothing_says_why(office, researcher, error, said):
    office.measuring = Measuring(Slow(error))
    office.measuring.audit.go.set()
    start_measuring(office, Asking(researcher, "http://here"))
    until(lambda: not office.measuring.standing.running)
    assert said in measuring_view(office) and 'role="alert"' in measuring_view(office)
    assert office.measuring.kept() is None
