from __future__ import annotations

import math

import pytest

from rewardkit.audit.results import Level
from rewardkit.audit.stress import KEY, StressCase, gather_stress, stress_tests
from rewardkit.store.rows import ComparisonTexts
from rewardkit.types import Comparison, Label, Prompt, Response

LEVEL = Level(resamples=100)


def changed(text, prompt, name="shuffle"):
    original = Response.of(prompt.id, text)
    made = Response.of(prompt.id, f"{text} changed", model=f"stress/{name}", edited_from=original.id)
    comparison = Comparison.of(prompt.id, original.id, made.id, metadata={KEY: name})
    by_id = {original.id: original, made.id: made}
    texts = ComparisonTexts(
        comparison=comparison,
        prompt=prompt,
        response_a=by_id[comparison.response_a],
        response_b=by_id[comparison.response_b],
    )
    return texts, 1 if comparison.response_a == original.id else -1


def label(texts, p_original, sign, order, judge="j"):
    p_a = p_original if sign > 0 else 1 - p_original
    return Label.of(texts.comparison.id, judge, choice="a" if p_a > 0.5 else "b", p_a=p_a, order_shown=order)


def test_whichever_side_the_unchanged_text_is_on_both_orders_are_averaged():
    prompt = Prompt.of(())
    items = [changed(f"text {n}", prompt) for n in range(8)]
    assert {sign for _, sign in items} == {1, -1}
    labels = [label(texts, p, sign, order) for texts, sign in items for order, p in (("ab", 0.9), ("ba", 0.6))]
    found = gather_stress([texts for texts, _ in items], labels, by_text=True)
    logit = (math.log(0.9 / 0.1) + math.log(0.6 / 0.4)) / 2
    cases = found["j"]["shuffle"]
    assert [case.logit for case in cases] == pytest.approx([logit] * 8)
    assert len({case.unit for case in cases}) == 8
    assert len({case.unit for case in gather_stress([t for t, _ in items], labels, by_text=False)["j"]["shuffle"]}) == 1


def test_two_writers_of_the_same_text_share_its_changed_form():
    prompt = Prompt.of(())
    made = Response.of(prompt.id, "text changed", model="stress/shuffle", edited_from="the first")
    items = []
    for writer in ("one", "other"):
        original = Response.of(prompt.id, "text", model=writer)
        pair = Comparison.of(prompt.id, original.id, made.id, metadata={KEY: "shuffle"})
        by_id = {original.id: original, made.id: made}
        a, b = by_id[pair.response_a], by_id[pair.response_b]
        items.append(
            (ComparisonTexts(comparison=pair, prompt=prompt, response_a=a, response_b=b), 1 if a is original else -1)
        )
    items.sort(key=lambda item: item[0].comparison.id)
    labels = [label(texts, 0.9, sign, "ab") for texts, sign in items]
    cases = gather_stress([texts for texts, _ in items], labels, by_text=True)["j"]["shuffle"]
    assert [case.logit for case in cases] == pytest.approx([math.log(9)] * 2)
    assert len({case.unit for case in cases}) == 1


def test_a_failed_label_says_nothing():
    texts, sign = changed("text", Prompt.of(()))
    failed = Label.of(texts.comparison.id, "j", status="failed", reason="out of order", order_shown="ab")
    assert not gather_stress([texts], [failed], by_text=True)
    assert len(gather_stress([texts], [failed, label(texts, 0.9, sign, "ba")], by_text=True)["j"]["shuffle"]) == 1


def test_what_makes_texts_worse_comes_first_and_numbers_are_counted_by_hand():
    cases = {
        "flattery": [StressCase(str(n), logit) for n, logit in enumerate((-1.0, -1.0, 0.0, 1.0))],
        "shuffle": [StressCase(str(n), 2.0) for n in range(4)],
    }
    worse, dressed = stress_tests(cases, LEVEL)
    assert (worse.name, worse.effect, dressed.name, dressed.effect) == ("shuffle", "worse", "flattery", "no_better")
    assert worse.unchanged.estimate.value == 1.0
    assert worse.pull.estimate.value == -2.0
    # One of four prefers the unchanged text and one sees no difference.
    assert dressed.unchanged.estimate.value == pytest.approx(1.5 / 4)
    assert dressed.pull.estimate.value == pytest.approx(0.25)
    assert dressed.to_json()["unchanged"]["estimate"]["n"] == 4
