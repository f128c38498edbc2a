"""Baselines and paired advantages: worked by hand, and the same whichever way the comparisons are turned."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rewardkit.calibration.estimates import clustered_mean
from rewardkit.config import JobConfig
from rewardkit.jobs import predictors
from rewardkit.jobs.evaluating import advantage, by, row, shown_examples
from rewardkit.jobs.predictors import (
    HeldOut,
    Level,
    Predictions,
    baselines,
    calibrated_alike,
    judge_alone,
    longer,
    measured,
    shuffled_predictions,
    shuffled_prompts,
)
from rewardkit.jobs.rewards import Margins
from rewardkit.jobs.stages import Job
from rewardkit.types import Message, PreferenceExample, SoftPreference

LEVEL = Level(0.95, 0)


def example(index, *, human=1.0, judge=None, unit=None, task="joke", texts=("aa", "a"), prompt=None):
    preference = SoftPreference(
        comparison_id=f"c{index}",
        p_a=0.5,
        sample_weight=1,
        n_human=4,
        human_p_a=human,
        judge_p_a=judge,
        method="m",
        split="test",
        unit=unit or f"u{index}",
    )
    asked = () if prompt == "" else (Message(role="user", content=prompt or f"prompt {index}"),)
    return PreferenceExample(
        preference=preference, prompt=asked, response_a=texts[0], response_b=texts[1], task=task, source="s"
    )


def predictions(p_a, humans, **fields):
    examples = [example(i, human=human, **fields) for i, human in enumerate(humans)]
    p = np.array(p_a, dtype=float)
    return Predictions(examples, np.log(p / (1 - p)), p)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(0, 50))
def test_shuffled_prompts_are_a_derangement_of_the_prompts(which, seed):
    examples = [example(i, prompt=f"prompt {n}") for i, n in enumerate(which)]
    shuffled = shuffled_prompts(examples, seed)
    if len(set(which)) == 1:
        assert shuffled == []
        return
    pairs = {(before.prompt, after.prompt) for before, after in zip(examples, shuffled, strict=True)}
    assert all(before != after for before, after in pairs)
    # One prompt for one prompt: as many of each come in as went out.
    assert len(pairs) == len(set(which)) and {b for b, _ in pairs} == {a for _, a in pairs}
    for before, after in zip(examples, shuffled, strict=True):
        assert after.model_copy(update={"prompt": before.prompt}) == before
    assert shuffled_prompts(examples, seed) == shuffled


ROWS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
        st.integers(1, 63).map(lambda n: n / 64),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=2,
    max_size=24,
)


@given(ROWS)
@settings(max_examples=60)
def test_turning_any_comparisons_round_changes_no_measurement(rows):
    examples = [example(i, human=human, unit=f"u{unit}") for i, (human, _, unit, _) in enumerate(rows)]
    p = np.array([p for _, p, _, _ in rows])
    turned = [e.swapped() if swap else e for e, (_, _, _, swap) in zip(examples, rows, strict=True)]
    turned_p = np.array([1 - p if swap else p for _, p, _, swap in rows])
    before, after = measured(examples, p, LEVEL), measured(turned, turned_p, LEVEL)
    assert (after.n, after.n_units, after.n_ties) == (before.n, before.n_units, before.n_ties)
    for name in ("accuracy", "log_loss", "brier", "auroc"):
        one, other = getattr(before, name), getattr(after, name)
        assert (one is None) == (other is None)
        if one is not None:
            for part in ("value", "low", "high"):
                assert getattr(other, part) == pytest.approx(getattr(one, part), abs=1e-9)
    assert after.ece.to_json() == pytest.approx(before.ece.to_json(), abs=1e-9, nan_ok=True)


@given(ROWS)
@settings(max_examples=30)
def test_turning_any_comparisons_round_changes_no_advantage(rows):
    def both(turn):
        examples = [example(i, human=human) for i, (human, *_) in enumerate(rows)]
        mine = np.array([p for _, p, _, _ in rows])
        yours = mine[::-1].copy()
        swap = np.array([s and turn for *_, s in rows])
        seen = [e.swapped() if s else e for e, s in zip(examples, swap, strict=True)]
        models = [Predictions(seen, p, np.where(swap, 1 - p, p)) for p in (mine, yours)]
        return advantage(*models, 0.95)

    one, other = both(False), both(True)
    assert (one is None) == (other is None)
    if one is not None:
        assert (other.value, other.n) == (pytest.approx(one.value), one.n)


def test_the_advantage_is_the_paired_difference_on_what_both_answer_and_humans_decided():
    humans = [1.0, 1.0, 0.0, 0.5, 0.75]
    model = predictions([0.9, 0.2, 0.3, 0.9, 0.5], humans)
    other = predictions([0.4, 0.8, 0.7, 0.1, 0.6], humans)
    # Right: model 1, 0, 1, –, ½; other 0, 1, 0, –, 1. Differences 1, −1, 1, −½: mean 1/8 over four.
    found = advantage(model, other, 0.95)
    assert found.value == pytest.approx(0.125) and found.n == 4
    independent = clustered_mean([1, -1, 1, -0.5], ["u0", "u1", "u2", "u4"], 0.95)
    # Four comparisons bound little, and a difference of two shares lies within ±1.
    assert (found.low, found.high) == (max(independent.low, -1.0), min(independent.high, 1.0)) == (-1.0, 1.0)
    some = Predictions(other.examples[:2], other.margins[:2], other.p_a[:2])
    assert advantage(model, some, 0.95).value == pytest.approx(0) and advantage(model, some, 0.95).n == 2


def test_there_is_no_advantage_where_nothing_is_shared_or_decided():
    model = predictions([0.9, 0.2], [0.5, 0.5])
    assert advantage(model, model, 0.95) is None
    assert advantage(model, Predictions([], np.array([]), np.array([])), 0.95) is None


def test_longer_is_the_difference_of_log_lengths():
    examples = [example(0, texts=("aaaa", "b")), example(1, texts=("aa", "bb"))]
    kept, margins = longer(examples, "test")
    assert kept == examples and margins == pytest.approx([math.log(4), 0])


def test_the_judge_alone_answers_where_it_has_labelled_and_never_with_certainty():
    examples = [example(0, judge=0.75), example(1), example(2, judge=1.0), example(3, judge=0.0)]
    kept, margins = judge_alone(examples, "test")
    assert kept == [examples[0], examples[2], examples[3]]
    assert margins == pytest.approx([math.log(3), math.log((1 - 1e-6) / 1e-6), -math.log((1 - 1e-6) / 1e-6)], rel=1e-6)
    empty, none = judge_alone(examples[1:2], "test")
    assert empty == [] and len(none) == 0


def test_a_baseline_gets_the_temperature_that_its_own_calibration_margins_ask_for():
    # Margins ±2, three of four right: p = ¾, so the temperature is 2 / log 3.
    calibration = [
        example(i, human=h, texts=t) for i, (h, t) in enumerate(zip([1, 1, 1, 0], 4 * [("a" * 9, "a")], strict=True))
    ]
    found = calibrated_alike(longer, HeldOut(calibration, [example(9, texts=("a" * 9, "a"))]))
    assert found.p_a == pytest.approx([0.75], abs=1e-4)


def test_a_baseline_that_cannot_be_calibrated_says_why():
    same = [example(i, texts=("aa", "bb")) for i in range(3)]
    assert "margin is 0" in calibrated_alike(longer, HeldOut(same, same))
    assert "0 calibration and 0 test comparisons: too few" in calibrated_alike(judge_alone, HeldOut(same, same))
    assert "too few" in calibrated_alike(longer, HeldOut(same[:1], same))


def test_a_row_without_numbers_keeps_its_note():
    model = predictions([0.9, 0.2, 0.6], [1, 1, 0])
    found = row("judge alone", "labels 0 comparisons: too few", model, LEVEL)
    assert (found.measurement, found.note, found.difference) == (None, "labels 0 comparisons: too few", None)
    own = row("reward model", model, model, LEVEL)
    assert own.difference.value == 0 and own.measurement.n == 3


@pytest.fixture
def data():
    examples = [example(i, human=i % 3 / 2, judge=None, texts=("a" * (i + 2), "b")) for i in range(8)]
    return HeldOut(examples, examples)


def test_baselines_are_those_asked_for_in_their_order_with_notes_where_there_are_none(data):
    job = Job(JobConfig.model_validate({"evaluate": {"baselines": ["shuffled_prompt", "judge", "longer"]}}))
    found = baselines(job, data)
    assert list(found) == ["judge alone", "longer is better"]
    assert found["judge alone"] == "labels 0 calibration and 0 test comparisons: too few"


def test_shuffled_prompts_are_scored_with_the_models_calibration(data, monkeypatch):
    def margins(model, examples, title):
        return Margins(list(examples), np.linspace(-1, 1, len(examples)), 0, 0)

    monkeypatch.setattr(predictors, "margins", margins)
    calibration = SimpleNamespace(predict_proba=lambda values: 1 / (1 + np.exp(-np.asarray(values))))
    assert shuffled_predictions(None, calibration, data.test, 0).p_a[0] == pytest.approx(1 / (1 + math.e))
    alike = [e.model_copy(update={"prompt": ()}) for e in data.test]
    assert shuffled_predictions(None, calibration, alike, 0) == "all prompts are the same"


def test_groups_are_measured_apart_and_sum_to_all():
    humans = [1.0, 0.0, 1.0, 1.0]
    model = predictions([0.9, 0.9, 0.9, 0.1], humans)
    tasks = ["poem", "joke", "poem", ""]
    model = Predictions(
        [e.model_copy(update={"task": t}) for e, t in zip(model.examples, tasks, strict=True)], model.margins, model.p_a
    )
    rows = by(lambda e: e.task, model, LEVEL)
    assert [(r.name, r.measurement.n, r.measurement.accuracy.value) for r in rows] == [
        ("joke", 1, 0.0),
        ("poem", 2, 1.0),
        ("unnamed", 1, 0.0),
    ]


def test_the_examples_shown_are_the_surest_and_the_closest():
    # It prefers with .9 and .8 what the humans do, with .9 and .55 what they do not; the fifth has no majority.
    model = predictions([0.9, 0.2, 0.1, 0.55, 0.99], [1.0, 0.0, 1.0, 0.25, 0.5])
    right, wrong, close = shown_examples(model)
    assert [round(e.p_preferred, 2) for e in right[1]] == [0.9, 0.8]
    assert [round(e.p_preferred, 2) for e in wrong[1]] == [0.9, 0.55]
    assert [round(e.p_preferred, 2) for e in close[1]] == [0.55, 0.8, 0.9]
    assert (right[0], wrong[0], close[0]) == ("Most confidently right", "Most confidently wrong", "Closest calls")


@given(ROWS)
@settings(max_examples=30)
def test_turning_comparisons_round_shows_the_same_examples(rows):
    p = np.array([p for _, p, _, _ in rows])
    # Without ties: where a model prefers neither response there is no side to see it from.
    assume(len({0.5, *np.abs(p - 0.5)} - {0.0}) == len(p) + 1)
    examples = [example(i, human=human, texts=(f"a{i}", f"b{i}")) for i, (human, *_) in enumerate(rows)]
    swap = [s for *_, s in rows]
    turned = [e.swapped() if s else e for e, s in zip(examples, swap, strict=True)]
    one = shown_examples(Predictions(examples, p, p))
    other = shown_examples(Predictions(turned, p, np.where(swap, 1 - p, p)))
    for (_, before), (_, after) in zip(one, other, strict=True):
        assert [(e.preferred, e.other) for e in after] == [(e.preferred, e.other) for e in before]
