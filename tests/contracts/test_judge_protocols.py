"""Every registered judge protocol keeps the contract."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.judge.contract import Completion, Failure, PairVerdict, RatingVerdict
from rewardkit.judge.protocols import GROUP, PROTOCOLS
from rewardkit.registry import registered
from rewardkit.rubric import load_rubric
from rewardkit.types import Comparison, Message, Prompt, Response

ALL = registered(GROUP, PROTOCOLS)
PAIRWISE = [name for name, make in ALL.items() if hasattr(make(), "render")]
RATING = [name for name, make in ALL.items() if hasattr(make(), "render_rating")]
RUBRIC = load_rubric("fiction")
PROMPT = Prompt.of((Message(role="user", content="Write a story."),))
# A published version never changes: whoever changes a wording adds a version.
PUBLISHED = {
    "pairwise.v1": "8802ed61b6420473746a1ecf4eb83087",
    "pairwise-text.v1": "f3ecccfa58cf37b2c2168e91a046bd9a",
    "rating.v2": "c8057e024e28d7ab3d7c7d8a116f2df3",
    "rating.v1": "67f1a44a5a78819435c31c797ce6d058",
}

text = st.text(min_size=1, max_size=40)
values = st.one_of(st.floats(), st.floats(max_value=0.0), st.just(-math.inf))
completions = st.builds(
    Completion,
    logprobs=st.dictionaries(st.sampled_from(["A", "B", "1", "2", "3", "4", "5", "N", "tie", ""]), values),
    bounds=st.dictionaries(st.sampled_from(["A", "B", "1", "5"]), values),
    reply=st.one_of(
        st.text(), st.from_regex(r"(?s).{0,9}(\n\W{0,3}[Vv]erdict ?: ?(A|B|tie|C)\W?){0,3}", fullmatch=True)
    ),
    failure=st.sampled_from(["", "", "", "out of order"]),
)


@dataclass(frozen=True)
class Texts:
    """A pair in an order that the test decides."""

    comparison: Comparison
    prompt: Prompt
    response_a: Response
    response_b: Response

    @property
    def response(self):
        return self.response_a


def pair(a, b):
    first, second = Response.of(PROMPT.id, a), Response.of(PROMPT.id, b)
    return Texts(Comparison.of(PROMPT.id, first.id, second.id), PROMPT, first, second)


@pytest.mark.parametrize("name", sorted(ALL))
def test_what_is_asked_for_is_what_is_needed(name):
    protocol = ALL[name]()
    texts = pair("x", "y")
    asked = protocol.render(texts, RUBRIC, "ab") if name in PAIRWISE else None
    asked = asked or protocol.render_rating(texts, RUBRIC, RUBRIC.criteria[0])
    assert (protocol.needs == "labels") == bool(asked.labels) == (asked.reply_tokens == 0)


@pytest.mark.parametrize("name", sorted(ALL))
def test_names_carry_their_version_and_hash(name):
    protocol = ALL[name]()
    assert protocol.name == name
    assert name.rpartition(".v")[2].isdigit()
    assert protocol.prompt_hash == PUBLISHED.get(name, protocol.prompt_hash)


@pytest.mark.parametrize("name", PAIRWISE)
@given(a=text, b=text)
def test_swapping_the_responses_and_the_order_is_the_same_request(name, a, b):
    protocol = ALL[name]()
    there, back = pair(a, b), pair(b, a)
    assert protocol.render(there, RUBRIC, "ab") == protocol.render(back, RUBRIC, "ba")
    assert protocol.render(there, RUBRIC, "ba") == protocol.render(back, RUBRIC, "ab")


@pytest.mark.parametrize("name", PAIRWISE)
@given(completion=completions)
def test_parsing_a_preference_never_raises(name, completion):
    verdict = ALL[name]().parse(completion)
    if isinstance(verdict, Failure):
        assert verdict.reason
    else:
        assert isinstance(verdict, PairVerdict)
        assert 0.0 <= verdict.p_first <= 1.0
        assert 0.0 <= verdict.mass_outside <= 1.0


@pytest.mark.parametrize("name", RATING)
@given(completion=completions)
def test_parsing_a_rating_never_raises(name, completion):
    verdict = ALL[name]().parse_rating(completion)
    if isinstance(verdict, Failure):
        assert verdict.reason
    else:
        assert isinstance(verdict, RatingVerdict)
        assert verdict.level is None or 0.0 <= verdict.level <= 1.0
        assert 0.0 <= verdict.mass_outside <= 1.0


@pytest.mark.parametrize("name", [name for name in PAIRWISE if ALL[name]().needs == "labels"])
def test_swapping_the_labels_probabilities_swaps_the_preference(name):
    protocol = ALL[name]()
    labels = protocol.render(pair("x", "y"), RUBRIC, "ab").labels
    there = protocol.parse(Completion(dict(zip(labels, (-1.0, -2.0), strict=True))))
    back = protocol.parse(Completion(dict(zip(labels, (-2.0, -1.0), strict=True))))
    assert there.p_first > 0.5
    assert there.p_first == pytest.approx(1.0 - back.p_first)


@pytest.mark.parametrize("name", RATING)
def test_every_criterion_can_be_asked(name):
    protocol = ALL[name]()
    requests = {protocol.render_rating(pair("x", "y"), RUBRIC, criterion) for criterion in RUBRIC.criteria}
    assert len(requests) == len(RUBRIC.criteria)
