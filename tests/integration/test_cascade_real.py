"""Cascades of recorded judges: what is measured equals a plain count, and what is promised is kept.

The confidence of these judges is how far their verdicts agree, over both orders and two prompts: 0 to 1 in quarters.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from statistics import mean

import numpy as np
import pytest

from rewardkit.calibration.cascades import StageLabels, choose_stages, choose_together
from rewardkit.calibration.selective import choose_threshold

JUDGES = ("ChatGPT", "PaLM2", "GPT-4")
COSTS = (1.5, 2.0, 30.0)


@pytest.fixture(scope="module")
def items(shared_data):
    """Return prompts, and for each judge its confidence and the share of people who agree with it."""
    lines = (shared_data / "mtbench_llmeval_faireval.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    sure, agreed = defaultdict(list), defaultdict(list)
    for row in rows:
        people = mean(2 * label["preference"] - 1 for label in row["labels"] if label["source"] == "human")
        for judge in JUDGES:
            said = [2 * v["preference"] - 1 for v in row["labels"] if v["annotator"].startswith(f"{judge}/")]
            verdict = sum(said)
            # A judge that gave no verdict at all is a gap, on both sides.
            sure[judge].append(abs(verdict) / len(said) if said else math.nan)
            agreed[judge].append((0.5 if verdict == 0 else float(verdict * people > 0)) if said else math.nan)
    return [row["prompt"] for row in rows], sure, agreed


def stages_of(items, taken=slice(None)):
    _, sure, agreed = items
    return [
        StageLabels(judge, np.array(sure[judge])[taken], np.array(agreed[judge])[taken], cost=cost)
        for judge, cost in zip(JUDGES, COSTS, strict=True)
    ]


def test_what_is_measured_equals_a_plain_count(items):
    _, sure, agreed = items
    found = choose_together(stages_of(items), alpha=0.25, delta=0.1, people_cost=600.0)
    [threshold] = {stage.threshold for stage in found.stages}
    assert threshold == 1.0
    by, right, cost = defaultdict(int), 0.0, 0.0
    for i in range(len(sure["GPT-4"])):
        judge = next((judge for judge in JUDGES if sure[judge][i] >= threshold), None)
        by[judge] += 1
        right += agreed[judge][i] if judge else 0
        asked = len(JUDGES) if judge is None else JUDGES.index(judge) + 1
        cost += sum(COSTS[:asked]) + (600.0 if judge is None else 0.0)
    n = len(sure["GPT-4"])
    answered = n - by[None]
    assert n == 464
    assert [stage.share.value for stage in found.stages] == pytest.approx([by[judge] / n for judge in JUDGES])
    assert found.answered.value == pytest.approx(answered / n)
    assert found.agreement.value == pytest.approx(right / answered)
    assert found.cost.value == pytest.approx(cost / n)


def test_one_of_each_prompt_is_tested(items):
    prompts, sure, agreed = items
    found = choose_threshold(sure["GPT-4"], agreed["GPT-4"], alpha=0.25, delta=0.1, units=prompts)
    assert found.n == len(set(prompts)) == 337
    assert found.threshold is not None and found.coverage.value > 0.6


def test_all_that_is_sure_of_itself_cannot_be_promised_to_be_right(items):
    # Where all four verdicts of a judge agree, people agree with it in 85 of 100 at best: .95 is out of reach.
    for choose in (choose_together, choose_stages):
        found = choose(stages_of(items), alpha=0.05, delta=0.1)
        assert found.answered.value == 0.0 and found.guaranteed_agreement == 1.0


@pytest.mark.parametrize(("choose", "target"), [(choose_together, 0.75), (choose_together, 0.8), (choose_stages, 0.75)])
def test_promises_are_kept_in_resamplings(items, choose, target):
    """The items are the population; what is drawn of them with replacement is what people labelled."""
    rng = np.random.default_rng(0)
    every = stages_of(items)
    sure = np.column_stack([stage.confidence for stage in every])
    agreed = np.column_stack([stage.agreement for stage in every])
    broken, answered, runs, alpha = 0, 0, 200, 1 - target
    for run in range(runs):
        drawn = rng.integers(len(sure), size=300)
        found = choose(stages_of(items, drawn), alpha=alpha, delta=0.1, seed=run)
        at = found.route(sure)
        shares = [agreed[at == k, k] for k in range(len(JUDGES)) if (at == k).any()]
        answered += bool(shares)
        if choose is choose_together:
            shares = [np.concatenate(shares)] if shares else []
        broken += any(1 - share.mean() > alpha for share in shares)
    assert answered > 0
    assert broken / runs <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / runs)
