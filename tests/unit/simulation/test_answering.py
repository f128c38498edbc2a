"""What personas send from the page: comparisons with a strength, rankings by noisy utilities, ratings on the scale."""

from __future__ import annotations

import math
from collections import Counter
from statistics import mean

import pytest

from labeling_ui.answers import ANSWER
from rewardkit.errors import DataError, JobFailed
from rewardkit.simulate_config import SimulatedAnnotatorConfig
from rewardkit.simulation.answering import Worth, answer_to
from rewardkit.simulation.personas import Persona


def persona(name="p", **settings):
    return Persona(SimulatedAnnotatorConfig(name=name, **settings), name, 0)


def texts(levels, tag=""):
    """Texts of one length, and their levels."""
    return {f"{tag} text {number:02d}": level for number, level in enumerate(levels)}


def item(task, shown, scale=(1.0, 5.0), criteria=("quality",)):
    return {
        "task": task,
        "responses": [{"text": text, "html": text} for text in shown],
        "criteria": [{"name": name} for name in criteria],
        "scale": list(scale),
    }


def said(who, task, shown, worth, answered=0, **more):
    answer = answer_to(who, item(task, shown, **more), worth, answered)
    ANSWER.validate_python(answer)
    return answer


def test_a_reliable_persona_takes_the_better_and_says_how_much():
    known = texts([0, 1, 3])
    worth, (bad, fair, good) = Worth(known), known
    sure = persona(reliability=50.0)
    assert said(sure, "comparison", [good, bad], worth) == {"task": "comparison", "choice": "first", "strength": 3}
    assert said(sure, "comparison", [bad, good], worth)["choice"] == "second"
    assert said(persona(reliability=50.0, tie_width=51.0), "comparison", [fair, bad], worth)["choice"] == "tie"
    weak = [said(persona(f"w{n}", reliability=0.4), "comparison", [fair, bad], worth) for n in range(600)]
    # The log odds are .4: 1/(1 + e^−.4) = .599 take the better, and slightly only.
    assert {each["strength"] for each in weak} == {1}
    assert mean(each["choice"] == "first" for each in weak) == pytest.approx(0.599, abs=0.08)


def test_a_persona_says_the_same_again_whatever_came_between():
    worth = Worth(texts([0, 0.1]))
    first, again = (said(persona(), "comparison", list(worth.levels), worth, answered=n) for n in (0, 70))
    assert first == again


def test_position_and_length_bias_show_in_comparisons():
    levels = {"x" * 40: 1.0, "y" * 160: 1.0}
    worth, (short, long) = Worth(levels), levels
    # Two doublings of length at 1.5 logits each: 1/(1 + e^−3) = .953.
    longer = [said(persona(f"l{n}", length_bias=1.5), "comparison", [short, long], worth) for n in range(400)]
    assert mean(each["choice"] == "second" for each in longer) == pytest.approx(0.953, abs=0.045)
    first = [said(persona(f"f{n}", position_bias=2.0), "comparison", [short, long], worth) for n in range(400)]
    assert mean(each["choice"] == "first" for each in first) == pytest.approx(0.881, abs=0.065)


def test_rankings_follow_the_levels():
    worth = Worth(texts([2, 0, 3, 1]))
    assert said(persona(reliability=100.0), "ranking", list(worth.levels), worth)["ranks"] == {
        "1": 2,
        "2": 4,
        "3": 1,
        "4": 3,
    }


def test_two_of_a_ranking_stand_as_a_comparison_would_put_them():
    # Gumbel noise: the log odds of two places are the difference of their utilities, whatever the third is.
    worth = Worth(texts([1, 0, 0.5]))
    ranks = [said(persona(f"r{n}", reliability=0.8), "ranking", list(worth.levels), worth)["ranks"] for n in range(900)]
    above = mean(each["1"] < each["2"] for each in ranks)
    assert above == pytest.approx(1 / (1 + math.exp(-0.8)), abs=4 * math.sqrt(0.25 / 900))


def test_rankings_have_ties_where_utilities_are_close():
    worth = Worth(texts([0, 0.1, 5]))
    assert said(persona(reliability=20.0, tie_width=3.0), "ranking", list(worth.levels), worth)["ranks"] == {
        "1": 2,
        "2": 2,
        "3": 1,
    }


@pytest.mark.parametrize(("spam", "ranks"), [("first", [1, 2, 3, 4]), ("second", [4, 3, 2, 1])])
def test_spammers_rank_by_place(spam, ranks):
    worth = Worth(texts([2, 0, 3, 1]))
    who = persona(reliability=100.0, spam=spam, tie_width=5.0)
    assert list(said(who, "ranking", list(worth.levels), worth)["ranks"].values()) == ranks


def test_spam_at_random_ranks_every_way():
    worth = Worth(texts([0, 5, 9]))
    ways = Counter(
        tuple(said(persona(f"s{n}", spam="random"), "ranking", list(worth.levels), worth)["ranks"].values())
        for n in range(600)
    )
    assert len(ways) == 6 and min(ways.values()) > 60


def test_ratings_stand_where_the_levels_do():
    worth = Worth(texts([0, 1, 2, 3, 4]))
    sure = persona(reliability=200.0)
    rated = [said(sure, "rating", [text], worth)["ratings"]["quality"] for text in worth.levels]
    assert rated == [1.0, 2.0, 3.0, 4.0, 5.0]
    against = persona(reliability=-200.0)
    assert [said(against, "rating", [text], worth)["ratings"]["quality"] for text in worth.levels] == rated[::-1]


def test_ratings_are_steps_of_any_scale_for_each_criterion():
    worth = Worth(texts(range(60), tag="r"))
    found = Counter()
    for text in worth.levels:
        answer = said(persona(reliability=0.05), "rating", [text], worth, scale=(0.0, 3.0), criteria=("wit", "rhythm"))
        assert list(answer["ratings"]) == ["wit", "rhythm"]
        found.update(answer["ratings"].values())
    assert set(found) == {0.0, 1.0, 2.0, 3.0}


def test_spammers_rate_without_reading():
    worth = Worth(texts(range(80), tag="s"))
    for spam, expected in (("first", {1.0}), ("second", {5.0}), ("random", {1.0, 2.0, 3.0, 4.0, 5.0})):
        who = persona(reliability=9.0, spam=spam)
        assert {said(who, "rating", [text], worth)["ratings"]["quality"] for text in worth.levels} == expected


def test_whoever_is_tired_out_rates_by_chance():
    worth = Worth(texts(range(200), tag="t"))
    who = persona(reliability=9.0, fatigue=1.0)
    rated = [said(who, "rating", [text], worth, answered=100)["ratings"]["quality"] for text in worth.levels]
    assert mean(rated[:100]) == pytest.approx(mean(rated[100:]), abs=0.8) and len(set(rated)) == 5


def test_what_is_not_known_is_one_clear_error():
    worth = Worth(texts([0, 1]))
    with pytest.raises(DataError, match="level is not known"):
        answer_to(persona(), item("comparison", ["never seen", *worth.levels][:2]), worth, 0)
    with pytest.raises(JobFailed, match="no persona can do"):
        answer_to(persona(), item("conversation", list(worth.levels)), worth, 0)
