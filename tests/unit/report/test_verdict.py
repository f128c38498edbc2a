from __future__ import annotations

import dataclasses

from rewardkit.calibration.estimates import Estimate
from rewardkit.report.data import Row
from rewardkit.report.verdict import reach_verdict


def said(verdict):
    return " ".join((verdict.headline, *verdict.sentences, *verdict.cautions))


def with_lead(data, low, high):
    """Give the baseline a paired difference of the model's accuracy less its own."""
    row = data.baselines[0]
    lead = Estimate((low + high) / 2, low, high, row.measurement.n, row.measurement.n_units, 0.95)
    return dataclasses.replace(data, baselines=(dataclasses.replace(row, difference=lead),))


def test_a_good_model_is_called_good_with_its_n_and_interval(make):
    data = make()
    verdict = reach_verdict(data)
    assert verdict.tone == "good"
    assert "Better than every baseline, and its probabilities are honest" in verdict.headline
    known = data.model.measurement.accuracy
    assert f"{100 * known.value:.1f}" in verdict.sentences[0] and "400" in verdict.sentences[0]
    assert f"{100 * known.low:.1f}" in verdict.sentences[0] and "agrees with people" in verdict.sentences[0]


def test_a_difference_that_may_be_0_is_not_called_better(make):
    verdict = reach_verdict(with_lead(make(), -0.01, 0.2))
    assert verdict.tone == "mixed" and "not shown to be better than “longer is better”" in verdict.headline
    assert "includes 0" in said(verdict)


def test_worse_than_a_baseline_is_bad(make):
    verdict = reach_verdict(with_lead(make(), -0.2, -0.1))
    assert verdict.tone == "bad" and verdict.headline == "Worse than “longer is better”"


def test_too_sure_is_called_over_confident(make):
    verdict = reach_verdict(make(sharpen=4.0))
    assert verdict.tone == "mixed" and "over-confident" in verdict.headline


def test_a_coin_is_not_called_better_than_one(make):
    assert reach_verdict(make(skill=0.01)).tone == "bad"


def test_a_handful_of_prompts_decides_nothing(make):
    verdict = reach_verdict(make(n=60, units=3))
    assert verdict.tone == "unknown" and "Too little data" in verdict.headline


def test_simulated_annotators_are_not_called_people(make):
    verdict = reach_verdict(make(simulated="All labels are simulated."))
    assert "simulated annotators" in verdict.sentences[0] and "people" not in verdict.sentences[0]


def test_whether_the_prompt_is_read_is_told_apart_from_the_baselines(make):
    data = make()
    row = data.baselines[0]
    clear = dataclasses.replace(row, name="shuffled", difference=Estimate(0.2, 0.1, 0.3, 400, 40, 0.95))
    unclear = dataclasses.replace(clear, difference=Estimate(0.0, -0.1, 0.1, 400, 40, 0.95))
    assert "It reads the prompt" in said(reach_verdict(make(shuffled=clear)))
    verdict = reach_verdict(make(shuffled=unclear))
    assert "Nothing shows that it reads the prompt" in said(verdict)
    assert verdict.tone == "good" and "Better than every baseline" in verdict.headline
    assert "reads the prompt" not in said(
        reach_verdict(make(shuffled=Row("shuffled", None, "all prompts are the same")))
    )
