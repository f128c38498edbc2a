"""Every registered judge protocol keeps the contract."""

from __future__ import annotations

import json
import math
import runpy
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardkit.judge.contract import Completion, Failure, PairVerdict, RatingVerdict
from rewardkit.judge.list_contract import ListVerdict
from rewardkit.judge.protocols import GROUP, PROTOCOLS
from rewardkit.judge.votes import Voted
from rewardkit.judge_config import VotesConfig
from rewardkit.registry import registered
from rewardkit.rubric import load_rubric
from rewardkit.types import Comparison, Message, Prompt, Response

ALL = registered(GROUP, PROTOCOLS)
PAIRWISE = [name for name, make in ALL.items() if hasattr(make(), "compare")]
RATING = [name for name, make in ALL.items() if hasattr(make(), "rate")]
LISTS = [name for name, make in ALL.items() if hasattr(make(), "rank")]
# However a judge answers, it is asked a bounded number of times.
MOST_ROUNDS = 200
RUBRIC = load_rubric("fiction")
PROMPT = Prompt.of((Message(role="user", content="Write a story."),), reference="Once upon a time.")
# A published version never changes: whoever changes a wording adds a version.
PUBLISHED = {
    "listwise.v1": "e18fa42c2291809c1de5b1661d8c6523",
    "pairwise.v1": "8802ed61b6420473746a1ecf4eb83087",
    "pairwise.v2": "e52326e6569dd0eb84106d3e6d4c91bb",
    "reasoned-probe.v1": "8d919af54f8273ed129771abffd288f6",
    "reasoned.v1": "8d919af54f8273ed129771abffd288f6",
    "rating-reasoned.v1": "9d00dae8e370c9aec7f4549ef10f33c8",
    "debate.v1": "3f4dcc69960d8fa57fc98dd62412362c",
    "debate-text.v1": "9c3512fbb5042e79071fc7ca6378c620",
    "pairwise-json.v1": "2eabb55c813b758df7bd06a16ec2e2bf",
    "rating-json.v1": "dfee43ef7e47f5c2e1b367f14f4a854f",
    "pairwise-request.v1": "aa03f3f86b53ff7886630108d535eee2",
    "pairwise-criteria.v1": "c1f024300f40a97dcd74b36e79d4ed71",
    "pairwise-reference.v1": "45e767fa97c22cab6aefcc0109d338e0",
    "pairwise-text.v1": "f3ecccfa58cf37b2c2168e91a046bd9a",
    "rating.v2": "f92e8e9a0b56308bc7c12fe7ac0987b6",
    "rating.v1": "67f1a44a5a78819435c31c797ce6d058",
    "critique-spans.v1": "4450042cff2deaf04160e8687f90714d",
    "process.v1": "182eb3874d0cc140811a43c7048ce492",
    "rating-windows.v1": "1c7813c3385aad05b5629ff5593cf599",
    "windows.v1": "bf99daeead4406bead0046407d868e4f",
}

text = st.text(min_size=1, max_size=40)
values = st.one_of(st.floats(), st.floats(max_value=0.0), st.just(-math.inf))
LABELS = ["A", "B", "C", "T", "N", "1", "2", "3", "4", "5", "tie", ""]


def told(weights, mass):
    """Return log-probabilities that a model could give, of labels of these weights."""
    whole = sum(weights.values())
    return {label: math.log(mass * weight / whole) for label, weight in weights.items()}


likely = st.builds(
    told,
    st.fixed_dictionaries({label: st.floats(1e-9, 1.0) for label in LABELS}),
    st.floats(1e-3, 1.0),
)
anything = st.one_of(st.none(), st.booleans(), st.integers(-1, 7), st.floats(), st.sampled_from(["A", "B", "tie", "x"]))
json_replies = st.dictionaries(st.sampled_from(["reason", "verdict", "rating", "more"]), anything).map(json.dumps)
said_replies = st.from_regex(r"(?s).{0,9}(\n\W{0,3}[Vv]erdict ?: ?(A|B|tie|C)\W?){0,3}", fullmatch=True)
replies = st.one_of(st.text(), said_replies, json_replies)
completions = st.builds(
    Completion,
    logprobs=st.one_of(likely, st.dictionaries(st.sampled_from(LABELS), values)),
    bounds=st.dictionaries(st.sampled_from(["A", "B", "T", "N", "1", "5"]), values),
    reply=st.one_of(
        replies, st.builds("<think>{}</think>{}".format, replies, replies), replies.map("<think>{}".format)
    ),
    was_cut=st.booleans(),
    failure=st.sampled_from(["", "", "", "", "out of order"]),
)


Texts = runpy.run_path(str(Path(__file__).parents[1] / "paired.py"))["Texts"]


@dataclass(frozen=True)
class Group:
    """Responses in an order that the test decides."""

    prompt: Prompt
    responses: tuple[Response, ...]


def pair(a, b):
    first, second = Response.of(PROMPT.id, a), Response.of(PROMPT.id, b)
    return Texts(Comparison.of(PROMPT.id, first.id, second.id), PROMPT, first, second)


def steps(name, texts, order="ab", criterion=RUBRIC.criteria[0]):
    protocol = ALL[name]()
    if name in LISTS:
        return protocol.rank(texts, RUBRIC, order)
    return protocol.compare(texts, RUBRIC, order) if name in PAIRWISE else protocol.rate(texts, RUBRIC, criterion)


def group(*texts):
    return Group(PROMPT, tuple(Response.of(PROMPT.id, text) for text in texts))


def gone_through(asking, answer):
    """Ask until there is a verdict; returns it and all that was asked."""
    asked, answers = [], None
    for _ in range(MOST_ROUNDS):
        try:
            requests = next(asking) if answers is None else asking.send(answers)
        except StopIteration as stop:
            return stop.value, asked
        asked += requests
        answers = tuple(answer(request) for request in requests)
    raise AssertionError(f"still asking after {MOST_ROUNDS} rounds")


def even(request):
    """What a judge in doubt says."""
    if request.labels:
        return Completion(dict.fromkeys(request.labels, -math.log(len(request.labels))))
    return Completion(reply="word " * request.reply_tokens)


@pytest.mark.parametrize("name", sorted(ALL))
def test_what_is_asked_for_is_what_is_needed(name):
    _, asked = gone_through(steps(name, pair("x", "y")), even)
    assert asked
    assert {"labels" if each.labels else "replies" for each in asked} <= ALL[name]().needs
    assert all(bool(each.labels) == (each.reply_tokens == 0) for each in asked)


@pytest.mark.parametrize("name", sorted(ALL))
def test_names_carry_their_version_and_hash(name):
    protocol = ALL[name]()
    assert protocol.name == name
    assert name.rpartition(".v")[2].isdigit()
    assert protocol.prompt_hash == PUBLISHED.get(name, protocol.prompt_hash)


@pytest.mark.parametrize("name", PAIRWISE)
@given(a=text, b=text)
def test_swapping_the_responses_and_the_order_asks_the_same(name, a, b):
    there, back = pair(a, b), pair(b, a)
    assert gone_through(steps(name, there, "ab"), even) == gone_through(steps(name, back, "ba"), even)
    assert gone_through(steps(name, there, "ba"), even) == gone_through(steps(name, back, "ab"), even)


def check_preference(asking, answers):
    """See that what comes of some answers is a preference or a failure with a reason."""
    coming = cycle(answers)
    verdict, _ = gone_through(asking, lambda _: next(coming))
    if isinstance(verdict, Failure):
        assert verdict.reason
    else:
        assert isinstance(verdict, PairVerdict)
        assert 0.0 <= verdict.p_first <= 1.0
        assert 0.0 <= verdict.mass_outside <= 1.0
        neither = verdict.p_tie + verdict.p_both_bad
        assert min(verdict.p_tie, verdict.p_both_bad) >= 0.0
        assert neither / 2 - 1e-9 <= verdict.p_first <= 1.0 - neither / 2 + 1e-9
        assert all(0.0 <= p_first <= 1.0 for p_first in verdict.criteria.values())
        json.dumps(dict(verdict.details), allow_nan=False)


def check_rating(asking, answers):
    """See that what comes of some answers is a rating or a failure with a reason."""
    coming = cycle(answers)
    verdict, _ = gone_through(asking, lambda _: next(coming))
    if isinstance(verdict, Failure):
        assert verdict.reason
    else:
        assert isinstance(verdict, RatingVerdict)
        assert verdict.level is None or 0.0 <= verdict.level <= 1.0
        assert 0.0 <= verdict.mass_outside <= 1.0
        json.dumps(dict(verdict.details), allow_nan=False)


def check_choice(asking, answers):
    """See that what comes of some answers is a choice or a failure with a reason."""
    coming = cycle(answers)
    verdict, _ = gone_through(asking, lambda _: next(coming))
    if isinstance(verdict, Failure):
        assert verdict.reason
    else:
        assert isinstance(verdict, ListVerdict)
        assert all(0.0 <= share <= 1.0 for share in verdict.best)
        assert math.fsum(verdict.best) == pytest.approx(1.0)
        assert 0.0 <= verdict.mass_outside <= 1.0


SOME = st.lists(completions, min_size=1, max_size=5)


@pytest.mark.parametrize("name", PAIRWISE)
@given(answers=SOME)
def test_a_preference_never_raises(name, answers):
    check_preference(steps(name, pair("x", "y")), answers)


@pytest.mark.parametrize("name", RATING)
@given(answers=SOME)
def test_a_rating_never_raises(name, answers):
    check_rating(steps(name, pair("x", "y")), answers)


@pytest.mark.parametrize("name", LISTS)
@given(answers=SOME, many=st.integers(0, 12), order=st.sampled_from(["ab", "ba"]))
def test_a_choice_never_raises(name, answers, many, order):
    check_choice(steps(name, group(*(f"text {n}" for n in range(many))), order), answers)


@pytest.mark.parametrize("name", LISTS)
@given(shown=st.lists(text, min_size=2, max_size=8))
def test_a_list_the_other_way_round_in_the_other_order_asks_the_same(name, shown):
    there, back = group(*shown), group(*reversed(shown))
    assert gone_through(steps(name, there, "ab"), even) == gone_through(steps(name, back, "ba"), even)
    assert gone_through(steps(name, there, "ba"), even) == gone_through(steps(name, back, "ab"), even)


@pytest.mark.parametrize("name", LISTS)
@given(weights=st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=8), turn=st.randoms())
def test_exchanging_the_probabilities_of_responses_exchanges_what_is_said_of_them(name, weights, turn):
    def leaning(weights):
        return lambda request: Completion(told(dict(zip(request.labels, weights, strict=True)), 0.9))

    places = list(range(len(weights)))
    turn.shuffle(places)
    shown = group(*(f"text {n}" for n in places))
    verdict, _ = gone_through(steps(name, shown), leaning(weights))
    other, _ = gone_through(steps(name, shown), leaning([weights[place] for place in places]))
    assert other.best == pytest.approx(tuple(verdict.best[place] for place in places))


@pytest.mark.parametrize("name", [name for name in PAIRWISE if "replies" in ALL[name]().needs])
@settings(max_examples=40, deadline=None)
@given(answers=SOME)
def test_votes_never_raise(name, answers):
    voted = Voted(ALL[name](), VotesConfig(count=5))
    check_preference(voted.compare(pair("x", "y"), RUBRIC, "ab"), answers)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ALL))
@settings(max_examples=1_000, deadline=None)
@given(answers=SOME)
def test_ten_thousand_replies_and_more_are_verdicts_or_failures(name, answers):
    checks = ((PAIRWISE, check_preference), (RATING, check_rating), (LISTS, check_choice))
    (check,) = (check for names, check in checks if name in names)
    check(steps(name, pair("x", "y")), answers)


@pytest.mark.parametrize("name", [name for name in PAIRWISE if "labels" in ALL[name]().needs])
def test_swapping_the_probabilities_of_the_sides_swaps_the_preference(name):
    def leaning(first, second):
        sides = {"A": first, "B": second}
        return lambda r: Completion({each: sides.get(each, -9.0) for each in r.labels}) if r.labels else even(r)

    there, _ = gone_through(steps(name, pair("x", "y")), leaning(-1.0, -2.0))
    back, _ = gone_through(steps(name, pair("x", "y")), leaning(-2.0, -1.0))
    assert there.p_first > 0.5
    assert there.p_first == pytest.approx(1.0 - back.p_first)


@pytest.mark.parametrize("name", RATING)
def test_every_criterion_can_be_asked(name):
    each = [gone_through(steps(name, pair("x", "y"), criterion=c), even)[1] for c in RUBRIC.criteria]
    assert len({tuple(asked) for asked in each}) == len(RUBRIC.criteria)
