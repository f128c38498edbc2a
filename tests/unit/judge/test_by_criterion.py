"""One question for each criterion, and the verdict that comes of all."""

from __future__ import annotations

from math import exp, log

import pytest

from rewardkit.judge.by_criterion import PairwiseCriteriaV1, weighted
from rewardkit.judge.contract import Completion, Failure
from rewardkit.judge.fake import FakeBackend
from rewardkit.judge.judges import Judge
from rewardkit.judge.running import judge_comparisons
from rewardkit.judge_config import JudgeConfig
from rewardkit.rubric import Rubric

PROTOCOL = PairwiseCriteriaV1()
CONFIG = JudgeConfig(backend="fake", orders=["ab"], max_failure_rate=1.0)


def weighing(**weights):
    criteria = [{"name": name, "description": f"It is {name}.", "weight": w} for name, w in weights.items()]
    return Rubric(name="r", version="1", description="Which is better?", criteria=criteria)


def says(**p_firsts):
    """Answer each criterion with the probability that it is more true of the first response."""

    def answer(request):
        p = next(p for name, p in p_firsts.items() if f"The criterion is {name}:" in request.user)
        return Completion({"A": log(0.9 * p), "B": log(0.9 * (1 - p))})

    return answer


def labelled(rubric, answer, item):
    backend = FakeBackend(answer)
    _, *labels = judge_comparisons([item], Judge(backend, PROTOCOL, rubric), CONFIG)
    return labels[0], backend.seen


def test_the_verdict_is_the_weighted_mean_of_the_logits(texts):
    label, seen = labelled(weighing(wit=2, craft=1), says(wit=0.8, craft=0.2), texts())
    # (2 · log 4 − 1 · log 4) / 3 = log(4) / 3.
    assert label.p_a == pytest.approx(1 / (1 + exp(-log(4) / 3)))
    assert label.metadata["p_a_by_criterion"] == {"wit": pytest.approx(0.8), "craft": pytest.approx(0.2)}
    assert label.criteria == {"wit": "a", "craft": "b"}
    assert label.metadata["mass_outside"] == pytest.approx(0.1)
    assert len(seen) == 2


def test_a_criterion_that_counts_against_a_response_speaks_for_the_other(texts):
    label, _ = labelled(weighing(wit=1, padding=-3), says(wit=0.5, padding=0.8), texts())
    # Padding is more true of the first, so that it is worse: −3 · log 4 / 4.
    assert label.p_a == pytest.approx(1 / (1 + exp(3 * log(4) / 4)))
    assert label.criteria == {"wit": "tie", "padding": "b"}


def test_it_is_asked_whether_a_criterion_is_true_and_not_whether_that_is_good(texts):
    _, seen = labelled(weighing(padding=-3, wit=1), says(wit=0.5, padding=0.5), texts())
    assert not any("counts against" in request.user for request in seen)
    before = [request.user[: request.user.index("The criterion is")] for request in seen]
    assert before[0] == before[1], "all before the criterion is shared"


def test_one_criterion_without_an_answer_leaves_no_verdict(texts):
    fine = says(wit=0.5)
    label, _ = labelled(
        weighing(wit=2, craft=1), lambda r: fine(r) if "wit:" in r.user else Completion(failure="too long"), texts()
    )
    assert (label.status, label.reason) == ("failed", "craft: too long")
    assert isinstance(label.reason, str) and not label.criteria


def test_what_is_certain_on_one_criterion_does_not_silence_the_others():
    rubric = weighing(wit=1, craft=1)
    assert weighted(rubric, {"wit": 1.0, "craft": 0.0}) == pytest.approx(0.5)
    assert weighted(rubric, {"wit": 1.0, "craft": 0.5}) == pytest.approx(1 / (1 + exp(-log(1e6) / 2)), rel=1e-3)


def test_a_failure_names_the_criterion(texts, rubric):
    asking = PROTOCOL.compare(texts(), rubric, "ab")
    asked = next(asking)
    with pytest.raises(StopIteration) as stop:
        asking.send(tuple(Completion({"A": -1.0}) for _ in asked))
    assert stop.value.value == Failure("wit: no log-probability for the label 'B'")
