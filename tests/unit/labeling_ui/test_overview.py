"""The researchers' numbers, worked by hand from answers that went over the desk, on both databases."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from scipy import stats

from labeling_ui.admin_progress import progress_view
from labeling_ui.answered import AnswerReader
from labeling_ui.answers import ComparisonAnswer, RankingAnswer, RatingAnswer
from labeling_ui.conversations import Conversations
from labeling_ui.overview import (
    agreement_by_task,
    agreement_over_time,
    agreements,
    main_agreement,
    pace_of,
    throughput,
)
from labeling_ui.people import People
from labeling_ui.progress import Progress, progress_of
from labeling_ui.quality import Share, annotators_of
from labeling_ui.stock import add_items
from labeling_ui.talk import Reply
from rewardkit.errors import StoreError
from rewardkit.label_config import AssignmentConfig, ChatConfig
from rewardkit.rubric import Rubric
from rewardkit.store.tables import responses
from rewardkit.types import Message, Prompt, Response

RUBRIC = Rubric(name="r", version="1", description="?", criteria=({"name": "tone", "description": "How?"},))
PLAIN = AssignmentConfig(overlap=2, most_overlap=2, repeats=0.0)
NO_ONE = {"a": ("first", "second"), "b": ("second", "first")}


def answer_for(lease, choice, strength=2):
    """Return the answer that means a choice in the item's frame."""
    if choice in (None, "tie", "both_bad"):
        return ComparisonAnswer(choice=choice)
    return ComparisonAnswer(choice=NO_ONE[choice][0 if lease.shown == (0, 1) else 1], strength=strength)


@pytest.fixture
def label(desk):
    """Let a person answer everything that they get, as a function of the lease says."""

    def all_of(person, say, *, seconds=10.0, most=1000):
        done = []
        while len(done) < most and (lease := desk.next(person)):
            desk.clock.now += seconds
            desk.submit(lease.id, person, say(lease))
            done.append(lease)
        return done

    return all_of


@pytest.fixture
def read(desk):
    return lambda: AnswerReader(desk.store, desk.study.name).read()


@pytest.fixture
def of(desk, read):
    """Return how a person works."""
    return lambda person: next(
        each for each in annotators_of(desk.store, desk.study, read()) if each.person_id == person
    )


def test_hours_without_an_answer_are_shown_too_and_gold_is_told_apart(
    desk, stock, settle, clock, comparisons, join, label, read
):
    settle(assignment=PLAIN.model_copy(update={"gold_early": 0.5, "gold_late": 0.5}))
    stock(comparisons(6).values())
    known = [tuple(ids) for ids in comparisons(4, tag="gold ").values()]
    stock(known, role="gold", expected=dict.fromkeys(known, "a"))
    # 1,000,000 s is 2,800 s into its hour: three answers of ten seconds fit into it.
    ann = join("ann")
    label(ann, lambda lease: answer_for(lease, "a"), most=3)
    clock.now += 2 * 3600
    label(ann, lambda lease: answer_for(lease, "a"))
    bars = throughput(read(), clock.now)
    assert [bar.start % 3600 for bar in bars] == [0.0, 0.0, 0.0] and bars[0].start == 997_200.0
    assert bars[0].work + bars[0].other == 3 and bars[1] == bars[1].__class__(1_000_800.0, 3600.0, 0, 0)
    assert sum(bar.work for bar in bars) == 6
    assert sum(bar.work + bar.other for bar in bars) == len(read())
    clock.now += 5 * 86400
    assert {bar.seconds for bar in throughput(read(), clock.now)} == {86400.0}
    assert throughput([], clock.now) == []


def test_the_time_that_is_left(desk, stock, settle, clock, comparisons, join, label, read):
    settle(assignment=PLAIN)
    stock(comparisons(20).values())
    label(join("ann"), lambda lease: answer_for(lease, "a"), seconds=60.0, most=10)
    pace = pace_of(read(), progress_of(desk.store, "study"), clock.now)
    # Ten labels in the nine minutes since the first; 30 of 40 are left.
    assert (pace.counted, pace.over) == (10, 540.0)
    assert pace.per_hour == pytest.approx(10 / 540 * 3600) and pace.left == pytest.approx(30 * 54)
    clock.now += 4000
    later = pace_of(read(), progress_of(desk.store, "study"), clock.now)
    assert (later.per_hour, later.left, later.counted) == (None, None, 0)
    assert pace_of([], Progress(2, 4, 4, 0), clock.now).left == 0.0


def test_agreement_is_that_of_the_answers(desk, stock, settle, comparisons, join, label, read):
    settle(assignment=PLAIN)
    stock(comparisons(4).values())
    ann, ben = join("ann"), join("ben")
    # aa ab bb bb, whose alpha the tests of agreement work out: 8/15.
    said = {}

    def as_ann(lease):
        said.setdefault(lease.item_id, "aabb"[len(said)])
        return answer_for(lease, said[lease.item_id], strength=1)

    label(ann, as_ann)
    items = list(said)
    label(ben, lambda lease: answer_for(lease, "abbb"[items.index(lease.item_id)], strength=1))
    found = {each.name: each.found for each in agreements(read())}
    assert found.keys() == {"which is better", "how much better"}
    assert found["which is better"].alpha == pytest.approx(8 / 15) and found["which is better"].percent == 0.75
    assert found["how much better"].alpha == pytest.approx(8 / 15)
    whole = main_agreement(read())
    assert (whole.units, whole.answers, whole.annotators, whole.clusters) == (4, 8, 2, 4)
    assert [each.name for each in agreement_by_task(read())] == ["Prompts that name no task"]
    (moment,) = agreement_over_time(read())
    assert moment.found.alpha == whole.alpha and moment.at == read()[-1].at


def test_agreement_over_time_goes_by_the_last_label(desk, stock, settle, clock, comparisons, join, label, read):
    settle(assignment=PLAIN)
    stock(comparisons(60).values())
    ann, ben = join("ann"), join("ben")
    label(ann, lambda lease: answer_for(lease, "a" if int(lease.item_id, 16) % 2 else "b"))
    turn = iter(range(60))

    def at_first_the_same(lease):
        same = "a" if int(lease.item_id, 16) % 2 else "b"
        return answer_for(lease, same if next(turn) < 40 else "ab"[same == "a"])

    label(ben, at_first_the_same)
    alphas = [moment.found.alpha for moment in agreement_over_time(read())]
    assert alphas[:2] == [1.0, 1.0] and alphas[2] < 0


def test_rankings_and_ratings_have_their_agreement(store, desk, stock, settle, join, label, read):
    settle(assignment=PLAIN)
    prompt = Prompt.of((Message(role="user", content="Rank"),), task="poems")
    texts = [Response.of(prompt.id, f"text {number}") for number in range(3)]
    store.add([prompt, *texts])
    stock([[text.id for text in texts]], task="ranking")

    def ranks(*order):
        return lambda lease: RankingAnswer(ranks={str(at + 1): order[place] for at, place in enumerate(lease.shown)})

    label(join("ann"), ranks(1, 2, 3))
    label(join("ben"), ranks(1, 3, 2))
    (order,) = agreements(read())
    # Pairs 01 and 02 are seen alike, 12 the other way round; one prompt has no interval.
    assert (order.name, order.found.percent, order.found.units) == (
        "order of two in a ranking",
        pytest.approx(2 / 3),
        3,
    )
    assert order.found.interval is None
    assert [each.name for each in agreement_by_task(read())] == ["Prompts of the task poems"]


def test_ratings_agree_by_their_distance(store, desk, stock, settle, comparisons, join, label, read):
    settle(assignment=PLAIN)
    desk.study = replace(desk.study, rubric=RUBRIC)
    stock([(ids[0],) for ids in comparisons(4).values()], task="rating")
    value = {}

    def rate(lease):
        value.setdefault(lease.item_id, len(value) + 1.0)
        return RatingAnswer(ratings={"tone": value[lease.item_id]})

    for name in ("ann", "ben"):
        label(join(name), rate)
    (tone,) = agreements(read())
    assert (tone.name, tone.found.level, tone.found.alpha) == ("tone", "interval", 1.0)
    assert main_agreement(read()).alpha == 1.0


def test_ratings_of_both_responses_agree_on_each(desk, stock, settle, comparisons, join, label, read):
    settle(assignment=PLAIN, criteria="rate")
    desk.study = replace(desk.study, rubric=RUBRIC)
    stock(comparisons(12).values())
    value = {}

    def rate(lease):
        # The same response gets the same value, wherever it stands.
        shown = {str(at): lease.responses[place] for at, place in enumerate(lease.shown, 1)}
        ratings = {at: {"tone": value.setdefault(response, len(value) % 5 + 1.0)} for at, response in shown.items()}
        return ComparisonAnswer(choice="tie", ratings=ratings)

    for name in ("ann", "ben"):
        label(join(name), rate)
    tone = next(each for each in agreements(read()) if each.name == "tone")
    assert (tone.found.level, tone.found.alpha, tone.found.units) == ("interval", 1.0, 24)


def test_what_could_not_be_read_is_read_the_next_time(desk, stock, comparisons, join, label, monkeypatch):
    stock(comparisons(5).values())
    label(join("ann"), lambda _: ComparisonAnswer(choice="tie"))
    reader = AnswerReader(desk.store, desk.study.name)

    def away(*_):
        raise StoreError("the database is away", where="there")

    # Read to the end, and not kept.
    monkeypatch.setattr("labeling_ui.answered.talked", away)
    with pytest.raises(StoreError):
        reader.read()
    monkeypatch.undo()
    assert len(reader.read()) == 5


def test_a_response_in_several_items_is_rated_in_each(store, desk, settle, join, label, read):
    """Pairs of three responses to one prompt share them."""
    settle(assignment=PLAIN, criteria="rate")
    desk.study = replace(desk.study, rubric=RUBRIC)
    prompt = Prompt.of((Message(role="user", content="Three."),))
    three = sorted((Response.of(prompt.id, text) for text in "xyz"), key=lambda each: each.id)
    store.add([prompt, *three])
    add_items(store, desk.study, [(a.id, b.id) for a, b in combinations(three, 2)])
    ratings = {"1": {"tone": 2.0}, "2": {"tone": 4.0}}
    for name in ("ann", "ben"):
        label(join(name), lambda _: ComparisonAnswer(choice=None, ratings=ratings))
    tone = next(each for each in agreements(read()) if each.name == "tone")
    # What goes with "cannot judge" is a rating all the same.
    assert (tone.found.units, tone.found.answers) == (6, 12)


def test_each_annotator_is_measured(desk, stock, settle, clock, comparisons, join, label, read, of, store):
    settle(assignment=AssignmentConfig(overlap=1, most_overlap=1, repeats=0.4, repeat_after=1, gold_early=0.3))
    stock(comparisons(30).values())
    known = [tuple(ids) for ids in comparisons(5, tag="gold ").values()]
    stock(known, role="gold", expected=dict.fromkeys(known, "a"))
    ann, ben, cem = join("ann"), join("ben"), join("cem")
    first = ComparisonAnswer(choice="first", strength=1)
    done = label(ann, lambda lease: first, most=12)
    held = desk.next(ann)
    desk.give_back(held.id, ann)
    label(ben, lambda lease: ComparisonAnswer(choice=None), most=2, seconds=4.0)
    mine = of(ann)
    assert (mine.answered, mine.seconds, mine.abstained) == (12, 10.0, Share(0, 12))
    once = [lease for lease in done if not lease.repeat]
    assert mine.first == Share(len(once), len(once))
    # Who takes what stands first takes the other response when the sides are changed.
    repeats = sum(lease.repeat for lease in done)
    assert repeats and mine.consistent == Share(0, repeats)
    gold = [lease for lease in done if lease.role == "gold"]
    assert gold and mine.known == Share(sum(lease.shown == (0, 1) for lease in gold), len(gold))
    with store.reading() as connection:
        length = {row.id: len(row.text) for row in connection.execute(responses.select())}
    longer = [
        length[lease.responses[lease.shown[0]]] > length[lease.responses[lease.shown[1]]]
        for lease in once
        if length[lease.responses[0]] != length[lease.responses[1]]
    ]
    assert mine.longer == Share(sum(longer), len(longer)) and longer
    assert (mine.returned, mine.refused, mine.step, mine.state) == (1, 0, "work", "active")
    assert mine.last_seen == pytest.approx(clock.now - 8.0)
    other = of(ben)
    assert (other.abstained, other.first, other.seconds) == (Share(2, 2), Share(0, 0), 4.0)
    nobody = of(cem)
    assert (nobody.answered, nobody.seconds, nobody.known.value) == (0, None, None)
    assert [each.person_id for each in annotators_of(desk.store, desk.study, read())] == [ann, ben, cem]


def test_to_be_paused_is_no_sign_of_life(desk, stock, clock, comparisons, join, of):
    stock(comparisons(1).values())
    person = join("ann")
    seen = clock.now
    clock.now += 100
    People(desk.store, "study", clock=clock).set_state(person, "paused", why="too fast")
    assert of(person).last_seen == seen and of(person).state == "paused"


def test_intervals_of_shares_by_hand():
    def interval(hits, prompts):
        return pytest.approx(Share.of(zip(prompts, hits, strict=True)).interval, abs=1e-4)

    most = [True] * 8 + [False] * 2
    # On ten prompts the standard error is sqrt(10/9 · 0.016) = 0.1333, t of 9 degrees 2.2622: on the logit scale
    # 1.3863 give or take 0.3016 / 0.16.
    assert interval(most, range(10)) == (0.3778, 0.9634)
    # Pairs of answers go together: sqrt(5/4 · (4 · 0.04² + 0.16²)) = 0.2, and t of 4 degrees is 2.7764.
    assert interval(most, [number // 2 for number in range(10)]) == (0.1106, 0.9923)
    # Where nothing varies, 0.025 = (1 − p)^5; one prompt tells nothing of others.
    assert interval([False] * 5, range(5)) == (0.0, 1 - 0.025**0.2)
    assert interval([True] * 5, range(5)) == (0.025**0.2, 1.0)
    assert interval([True, False] * 3, [0, 0, 1, 1, 2, 2]) == tuple(
        stats.beta.ppf((0.025, 0.975), (1.5, 2.5), (2.5, 1.5))
    )
    assert interval([True] * 5, ["one"] * 5) == (0.0, 1.0) and Share(0, 0).interval == (0.0, 1.0)


def test_shares_are_clustered_by_the_prompts_of_the_items(store, desk, stock, settle, join, label, of):
    settle(assignment=PLAIN)
    sets = []
    for number in range(2):
        prompt = Prompt.of((Message(role="user", content=f"request {number}"),))
        found = [Response.of(prompt.id, f"response {at}") for at in range(4)]
        store.add([prompt, *found])
        sets += combinations([each.id for each in found], 2)
    stock(sets)
    ann = join("ann")
    label(ann, lambda lease: ComparisonAnswer(choice="first", strength=1))
    assert (of(ann).first.n, of(ann).first.prompts) == (12, 2)


def test_what_is_new_or_changed_is_read_again_and_nothing_else(
    desk, stock, settle, comparisons, join, label, read, monkeypatch
):
    monkeypatch.setattr("labeling_ui.answered.OVERLAP", 0)
    settle(assignment=PLAIN)
    stock(comparisons(6).values())
    reader, ann = AnswerReader(desk.store, desk.study.name), join("ann")
    assert reader.read() == []
    first, second = label(ann, lambda lease: answer_for(lease, "a"), most=2)
    before = reader.read()
    assert before == read() and [each.lease_id for each in before] == [first.id, second.id]
    desk.revise(first.id, ann, answer_for(first, "b"))
    desk.give_back(desk.next(ann).id, ann)
    label(join("ben"), lambda lease: answer_for(lease, "tie"))
    after = reader.read()
    assert after == read() and after[0].choice == "b" and len(after) == 8
    assert any(each is after[1] for each in before)


def test_answers_in_conversations_are_counted_too(office, desk, clock, join, read, of):
    person, talk = join("ann"), Conversations(desk, ChatConfig(most_turns=3))
    office.people.keep(person, "consented", lambda _: {"consent": desk.study.version})
    for answer in (ComparisonAnswer(choice="first", strength=3), ComparisonAnswer(choice=None)):
        talk.say(person, talk.current(person).pending.token, f"Hello at {clock.now}")
        asked = talk.asked(person, talk.current(person).pending.token)
        talk.replied(person, asked, [Reply(f"{text} {clock.now}", "m", {}) for text in ("one", "longer one")])
        clock.now += 7.0
        talk.pick(person, talk.current(person).pending.token, answer)
    first, second = read()
    assert (first.first_chosen, first.seconds, second.abstained) == (True, 7.0, True) and abs(first.graded) == 3.0
    assert main_agreement(read()).single == 1 and sum(bar.work for bar in throughput(read(), clock.now)) == 2
    mine = of(person)
    assert (mine.answered, mine.first, mine.abstained, mine.longer.n) == (2, Share(1, 1), Share(1, 2), 1)
    assert "so far" in progress_view(office) and "2 " in progress_view(office)


def test_the_same_replies_again_are_another_turn_and_anothers_answer_to_them_is_read(office, desk, clock, join, read):
    for name, answers in (("ann", ("both_bad", "both_bad", "tie")), ("ben", ("tie",))):
        person, talk = join(name), Conversations(desk, ChatConfig(most_turns=5))
        office.people.keep(person, "consented", lambda _: {"consent": desk.study.version})
        talk.say(person, talk.current(person).pending.token, "Hello")
        for choice in answers:
            asked = talk.asked(person, talk.current(person).pending.token)
            talk.replied(person, asked, [Reply(text, "m", {}) for text in ("one", "two")])
            clock.now += 7.0
            talk.pick(person, talk.current(person).pending.token, ComparisonAnswer(choice=choice))
    assert len(list(desk.store.comparisons())) == 1
    found = read()
    assert [each.choice for each in found] == ["both_bad", "both_bad", "tie", "tie"]
    assert len({each.item_id for each in found}) == 4 and len({each.person_id for each in found}) == 2
    assert [each.item_id.split("/")[1] for each in found] == ["1", "2", "3", "1"]
    assert main_agreement(found).single == 4 and "so far" in progress_view(office)
