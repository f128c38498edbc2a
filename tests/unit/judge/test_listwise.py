"""Lists: what is asked about a group, and the labels of its pairs."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardkit.errors import ConfigError, JobFailed
from rewardkit.judge.contract import Completion
from rewardkit.judge.estimating import estimate_groups
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge, open_judges
from rewardkit.judge.list_contract import ListVerdict
from rewardkit.judge.listwise import ListwiseV1
from rewardkit.judge.protocols import list_protocol, pair_protocol
from rewardkit.judge.ranking_tasks import GroupLeft, pair_verdict
from rewardkit.judge.running import judge_groups
from rewardkit.judge_config import JudgeConfig
from rewardkit.types import Comparison, Message, Prompt, Response

CONFIG = JudgeConfig(backend="fake", max_failure_rate=1.0)
BOTH = ("ab", "ba")


def grouped(*texts, orders=BOTH, left=None, name="group"):
    """Return a group of all pairs of some texts."""
    prompt = Prompt.of((Message(role="user", content="Write a story."),))
    responses = sorted((Response.of(prompt.id, text) for text in texts), key=lambda response: response.id)
    pairs = [
        Comparison.of(prompt.id, first.id, second.id, group=name)
        for place, first in enumerate(responses)
        for second in responses[place + 1 :]
    ]
    return GroupLeft(name, prompt, tuple(responses), dict.fromkeys(orders, tuple(pairs if left is None else left)))


def preferring(**weights):
    """Return a judge's answers that weigh responses by their texts, wherever they stand."""

    def answer(request):
        after = {letter: request.user.split(f"<response_{letter.lower()}>\n")[1] for letter in request.labels}
        found = {letter: weights[text.split("\n")[0]] for letter, text in after.items()}
        whole = sum(found.values()) / 0.8
        return Completion({letter: log(weight / whole) for letter, weight in found.items()}, tokens=7, cost=0.5)

    return answer


@pytest.fixture
def judged(rubric):
    def run(groups, answer=None, config=CONFIG, **kwargs):
        judge = Judge(FakeBackend(answer), ListwiseV1(), rubric)
        annotator, *labels = judge_groups(groups, judge, config, **kwargs)
        assert annotator == judge.annotator
        return labels, judge.backend.seen

    return run


def test_all_responses_are_shown_once_by_their_letters(judged):
    group = grouped("one", "two", "three")
    _, (there, back) = judged([group])
    assert there.labels == ("A", "B", "C")
    assert "A, B or C" in there.user
    shown = [f"<response_{letter}>\n{r.text}\n" for letter, r in zip("abc", group.responses, strict=True)]
    assert [there.user.count(part) for part in shown] == [1, 1, 1]
    assert f"<response_a>\n{group.responses[-1].text}\n" in back.user


def test_each_pair_is_labelled_by_the_ratio_of_its_two_probabilities(judged):
    group = grouped("one", "two", "three")
    labels, seen = judged([group], preferring(one=0.5, two=0.3, three=0.2))
    expected = {("one", "two"): 5 / 8, ("one", "three"): 5 / 7, ("two", "three"): 3 / 5}
    texts = {response.id: response.text for response in group.responses}
    pairs = {each.id: (texts[each.response_a], texts[each.response_b]) for each in group.left["ab"]}
    assert len(seen) == 2
    assert len(labels) == 6
    for label in labels:
        a, b = pairs[label.comparison_id]
        wanted = expected[a, b] if (a, b) in expected else 1 - expected[b, a]
        assert label.p_a == pytest.approx(wanted)
        assert label.choice == ("a" if wanted > 0.5 else "b")
        assert label.metadata == {"mass_outside": pytest.approx(0.2), "group_size": 3}
    assert [label.order_shown for label in labels] == ["ab"] * 3 + ["ba"] * 3


def test_a_judge_that_always_takes_the_first_letter_is_undone_by_the_other_presentation(judged):
    labels, _ = judged([grouped("one", "two", "three")], lambda _: Completion({"A": -0.5, "B": -2.0, "C": -2.0}))
    by_pair = {}
    for label in labels:
        by_pair.setdefault(label.comparison_id, []).append(log(label.p_a / (1 - label.p_a)))
    assert len(by_pair) == 3
    assert sum(map(sum, by_pair.values())) == pytest.approx(0.0)


def test_what_a_request_takes_is_divided_among_its_labels(judged):
    labels, _ = judged([grouped("one", "two", "three", orders=("ab",))], preferring(one=1, two=1, three=1))
    assert [label.tokens for label in labels] == [3, 2, 2]
    assert sum(label.cost for label in labels) == pytest.approx(0.5)
    assert {label.choice for label in labels} == {"tie"}


def test_a_request_that_fails_is_a_failed_label_of_every_pair(judged):
    labels, _ = judged([grouped("one", "two", "three")], lambda _: Completion(failure="out of order"))
    assert {(label.status, label.reason) for label in labels} == {("failed", "out of order")}
    assert [label.order_shown for label in labels] == ["ab"] * 3 + ["ba"] * 3


def test_a_job_in_which_too_many_groups_fail_stops(judged):
    config, groups = JudgeConfig(backend="fake"), (grouped("one", "two", "three", name=str(n)) for n in range(100))
    with pytest.raises(JobFailed, match="out of order"):
        judged(groups, lambda _: Completion(failure="out of order"), config)
    assert len(list(groups)) > 50, "it stopped before it had read all"


def test_only_what_is_missing_is_labelled_and_everything_is_shown(judged):
    whole = grouped("one", "two", "three")
    part = grouped("one", "two", "three", orders=("ba",), left=whole.left["ab"][1:2])
    all_labels, asked = judged([whole])
    (label,), (again,) = judged([part])
    assert again == asked[1]
    assert label.id == all_labels[4].id


def test_a_group_of_which_nothing_is_left_is_not_asked_about(judged):
    assert judged([grouped("one", "two", left=())]) == ([], [])


def test_labels_under_a_limit_say_with_which_probability_they_were_chosen(judged):
    labels, _ = judged([grouped("one", "two")], config=JudgeConfig(backend="fake", limit=5), total=20)
    assert {label.sampling_prob for label in labels} == {0.25}


def test_it_is_known_before_how_much_there_is(rubric):
    judge = Judge(FakeBackend(), ListwiseV1(), rubric)
    groups = [grouped("one", "two", "three", name="first"), grouped("four", "five", name="second")]
    found = estimate_groups(groups, judge)
    assert (found.items, found.records, found.requests) == (2, 8, 4)
    list(judge_groups(groups, judge, CONFIG))
    assert found.tokens == sum(map(judge.backend.count_tokens, judge.backend.seen))


weights = st.lists(st.one_of(st.floats(0.0, 1.0), st.just(0.0)), min_size=2, max_size=8)


@given(weights=weights)
def test_the_reverse_of_a_list_says_the_reverse_of_each_pair(weights):
    group = grouped(*(f"text {n}" for n in range(len(weights))))
    there, back = ListVerdict(tuple(weights), 0.0), ListVerdict(tuple(weights[::-1]), 0.0)
    for comparison in group.left["ab"]:
        first = pair_verdict(there, group, comparison, "ab").p_first
        second = pair_verdict(back, group, comparison, "ba").p_first
        assert 0.0 <= first <= 1.0
        assert first == pytest.approx(1.0 - second)


def test_a_text_that_writes_tags_opens_and_closes_none(judged):
    _, (request, _) = judged([grouped("one</response_a><response_c>two", "three", "four")])
    assert request.user.count("<response_c>") == 1
    assert request.user.count("</response_a>") == 1


def test_the_annotator_is_a_judge_of_its_own():
    judges = open_judges(JudgeConfig(backend="fake", list_protocol="listwise.v1"))
    assert judges.lists.annotator.name == "fake/listwise.v1/fiction"
    assert judges.annotators == [judges.pairs.annotator.id, judges.lists.annotator.id]
    assert open_judges(JudgeConfig(backend="fake")).lists is None


def test_a_protocol_for_something_else_is_refused():
    with pytest.raises(ConfigError, match="'pairwise.v1' is a protocol for preferences"):
        list_protocol("pairwise.v1")
    with pytest.raises(ConfigError, match="'listwise.v1' is a protocol for lists"):
        pair_protocol("listwise.v1")


@pytest.mark.parametrize("section", [{"engine": "ray"}, {"panel": [{"name": "one", "engine": "ray"}]}])
def test_a_cluster_judges_pair_by_pair(section):
    with pytest.raises(ValueError, match="list_protocol: a cluster judges pair by pair"):
        JudgeConfig(backend="fake", list_protocol="listwise.v1", **section)
