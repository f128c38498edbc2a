from __future__ import annotations

from math import exp, log

import pytest

from rewardkit.errors import ConfigError
from rewardkit.judge.contract import Completion, Failure
from rewardkit.judge.pairwise import PairwiseRequestV1, PairwiseV1
from rewardkit.judge.protocols import pair_protocol, rating_protocol
from rewardkit.judge.rating import RatingV1


def test_the_preference_is_the_share_of_a_and_the_rest_is_told():
    verdict = PairwiseV1().parse(Completion({"A": log(0.3), "B": log(0.1)}))
    assert verdict.p_first == pytest.approx(0.75)
    assert verdict.mass_outside == pytest.approx(0.6)


def test_the_rating_is_the_expectation_over_the_numbers():
    shares = {"1": 0.1, "2": 0.1, "3": 0.2, "4": 0.3, "5": 0.3}
    # 0.1 + 0.2 + 0.6 + 1.2 + 1.5 = 3.6, which is (3.6 - 1) / 4 of the way up.
    verdict = RatingV1().parse_rating(Completion({label: log(p / 2) for label, p in shares.items()}))
    assert verdict.level == pytest.approx(0.65)
    assert verdict.mass_outside == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (Completion(failure="too long"), "too long"),
        (Completion({"A": -1.0}), "no log-probability for the label 'B'"),
        (Completion({"A": float("nan"), "B": -1.0}), "is not one"),
        (Completion({"A": 2.0, "B": -1.0}), "is not one"),
        (Completion({"A": log(0.9), "B": log(0.9)}), "more than 1"),
        (Completion({"A": -9.0, "B": float("-inf")}), "less than"),
    ],
)
def test_what_cannot_be_read_is_a_named_failure(completion, reason):
    verdict = PairwiseV1().parse(completion)
    assert isinstance(verdict, Failure)
    assert reason in verdict.reason


def test_one_impossible_label_is_a_certain_verdict():
    assert PairwiseV1().parse(Completion({"A": 0.0, "B": float("-inf")})).p_first == 1.0


def test_the_labels_name_the_shown_order(texts, rubric):
    item = texts()
    request = PairwiseV1().render(item, rubric, "ba")
    shown = request.user.index(item.response_b.text), request.user.index(item.response_a.text)
    assert request.labels == ("A", "B")
    assert shown == tuple(sorted(shown))


def test_both_orders_share_all_before_the_first_candidate(texts, rubric):
    item = texts(first="xxxx", second="yyyy", prompt="Say four letters.")
    ab, ba = (PairwiseV1().render(item, rubric, order).user for order in ("ab", "ba"))
    start = min(ab.index("xxxx"), ab.index("yyyy"))
    assert ab[:start] == ba[:start]
    assert "Say four letters." in ab[:start]


def test_anchors_are_shown_on_the_scale_of_the_labels(texts, rubric):
    request = RatingV1().render_rating(texts(), rubric, rubric.criteria[0])
    assert "1 = murky\n3 = fair\n5 = clear" in request.user
    assert "witty" not in request.user
    assert "5 = excellent" in RatingV1().render_rating(texts(), rubric, rubric.criteria[1]).user


def test_each_kind_of_protocol_has_its_place():
    with pytest.raises(ConfigError, match="is a protocol for ratings"):
        pair_protocol("rating.v1")
    with pytest.raises(ConfigError, match="is a protocol for preferences"):
        rating_protocol("pairwise.v1")
    with pytest.raises(ConfigError, match="did you mean 'pairwise.v1'"):
        pair_protocol("pairwize.v1")


def test_probabilities_below_rounding_do_not_overflow():
    verdict = PairwiseV1().parse(Completion({"A": log(0.5) + 1e-9, "B": log(0.5)}))
    assert verdict.mass_outside == 0.0
    assert verdict.p_first == pytest.approx(exp(1e-9) / (1 + exp(1e-9)))


def test_small_models_are_asked_about_the_request_and_not_about_the_rubric(texts, rubric):
    item = texts(first="xxxx", second="</response_b>yyyy", prompt="Say four letters.")
    request = PairwiseRequestV1().render(item, rubric, "ab")
    assert request.user.startswith("<request>\nSay four letters.\n</request>") and "witty" not in request.user
    assert request.user.count("</response_b>") == 1
    assert request.prefill == "The response that follows the request better is Response"
