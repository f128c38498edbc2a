"""The audit of recorded judges: what it finds equals what a few plain lines make of the files themselves."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from scipy.stats import spearmanr, t

from rewardkit.config import ImportConfig, load_config
from rewardkit.jobs.labels import import_into
from rewardkit.jobs.pipeline import run_one

MTBENCH = "mtbench_llmeval_faireval.jsonl"
JUDGES = [
    f"{model}/{way}"
    for model in ("GPT-4", "PaLM2", "ChatGPT", "LLaMA2")
    for way in ("Vanilla_NoRules", "Metrics_Reference")
]


def sign(number):
    return (number > 1e-9) - (number < -1e-9)


def right(verdict, majority):
    return 0.5 + 0.5 * verdict * majority


def rows_of(path):
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return [json.loads(line) for line in file]


def read_pairs(path):
    """Return {prompt and texts: {annotator: {whether the smaller text was shown first: verdicts for it, 1 to −1}}}."""
    found = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for row in rows_of(path):
        one, two = sorted((row["response_a"], row["response_b"]))
        turned = row["response_a"] != one
        for label in row["labels"]:
            first = None if label.get("order") is None else (label["order"] == "ab") != turned
            found[row["prompt"], one, two][label["annotator"]][first].add(
                (1 - 2 * turned) * (2 * label["preference"] - 1)
            )
    return {
        key: {who: {first: mean(v) for first, v in said.items()} for who, said in by.items()}
        for key, by in found.items()
    }


@pytest.fixture(scope="module")
def audit(shared_data, tmp_path_factory):
    """Audit a file of the shared data: its judges by name, and the page."""

    def run(name, *options):
        folder = tmp_path_factory.mktemp("audit")
        database = str(folder / "labels.db")
        assert (
            import_into(database, ImportConfig(files=(str(shared_data / name),)), folder / "rejects.jsonl").rejected
            == 0
        )
        job = folder / "job.yaml"
        job.write_text(f"name: real\nworkspace: {folder}\ndb: {database}\naudit: {{resamples: 200}}\n")
        page = Path(run_one("audit", load_config(job, options)).summary["report"])
        numbers = json.loads((page.parent / "audit.json").read_text(encoding="utf-8"))
        return {judge["name"]: judge for judge in numbers["judges"]}, page.read_text(encoding="utf-8")

    return run


@pytest.fixture(scope="module")
def mtbench(audit):
    return audit(MTBENCH)[0]


def value(finding):
    return finding["estimate"]["value"]


@pytest.mark.parametrize("judge", JUDGES)
def test_recorded_judges_on_mtbench(judge, mtbench, shared_data):
    cases = [
        (
            prompt,
            sign(sum(said[judge].values())),
            sign(mean(said["human-majority"].values())),
            said[judge],
            len(a),
            len(b),
        )
        for (prompt, a, b), said in read_pairs(shared_data / MTBENCH).items()
        if judge in said
    ]
    found = mtbench[judge]["pairs"]
    decided = [case for case in cases if case[2]]
    accuracy = mean(right(verdict, majority) for _, verdict, majority, *_ in decided)
    assert value(found["overall"]["accuracy"]) == pytest.approx(accuracy)
    assert value(found["overall"]["ties_judge"]) == pytest.approx(mean(case[1] == 0 for case in cases))
    assert value(found["overall"]["ties_human"]) == pytest.approx(mean(case[2] == 0 for case in cases))
    # Chance agrees on A and on B as often as either is said, counted from both sides, and on ties.
    tied = [mean(case[side] == 0 for case in cases) for side in (1, 2)]
    agree = mean(verdict == majority for _, verdict, majority, *_ in cases)
    chance = (1 - tied[0]) * (1 - tied[1]) / 2 + tied[0] * tied[1]
    assert value(found["overall"]["kappa"]) == pytest.approx((agree - chance) / (1 - chance))
    both = [case for case in cases if len(case[3]) == 2]
    stays = [sign(said[True]) == sign(said[False]) for _, _, _, said, *_ in both]
    assert value(found["position"]["consistency"]) == pytest.approx(mean(stays))
    first = [0.5 + (sign(said[True]) - sign(said[False])) / 4 for _, _, _, said, *_ in both]
    assert value(found["position"]["prefers_first"]) == pytest.approx(mean(first))
    longer = [right(sign(a - b), majority) for _, _, majority, _, a, b in decided]
    assert value(found["rivals"][0]["accuracy"]) == pytest.approx(mean(longer))
    assert value(found["rivals"][0]["lead"]) == pytest.approx(accuracy - mean(longer))
    # The interval: sums by prompt of the deviations, a t quantile, the accuracy between .2 and .8, many prompts.
    sums = defaultdict(float)
    for prompt, verdict, majority, *_ in decided:
        sums[prompt] += (right(verdict, majority) - accuracy) / len(decided)
    count = len(sums)
    half = t.ppf(0.975, count - 1) * math.sqrt(count / (count - 1) * sum(each**2 for each in sums.values()))
    known = found["overall"]["accuracy"]["estimate"]
    assert (known["low"], known["high"]) == pytest.approx((accuracy - half, accuracy + half))
    assert (known["n"], known["n_units"]) == (len(decided), count)


def test_mtbench_says_what_it_cannot_tell(mtbench):
    found = mtbench["GPT-4/Vanilla_NoRules"]["pairs"]
    assert "majorities, and single people are not known (n = 454)" in found["ceiling"]["accuracy"]["note"]
    assert "no response names the model that wrote it (n = 454)" in found["own_family"]["judge"]["note"]
    assert found["honesty"]["measurement"] is None and "no probabilities (n = 454)" in found["honesty"]["note"]


def test_judges_can_be_picked_by_model(audit):
    names, page = audit(MTBENCH, "audit.judges=[gpt-4]")
    assert sorted(names) == ["GPT-4/Metrics_Reference", "GPT-4/Vanilla_NoRules"] and "PaLM2" not in page


def test_people_and_judges_on_pandalm(audit, shared_data):
    judges, page = audit("pandalm.jsonl")
    people = ["annotator1", "annotator2", "annotator3"]
    cases = [
        (said["gpt-3.5-turbo"][None], [said[who][None] for who in people])
        for said in read_pairs(shared_data / "pandalm.jsonl").values()
        if "gpt-3.5-turbo" in said
    ]
    found = judges["gpt-3.5-turbo"]["pairs"]
    decided = [(sign(judge), sign(sum(votes))) for judge, votes in cases if sign(sum(votes))]
    assert value(found["overall"]["accuracy"]) == pytest.approx(mean(right(*each) for each in decided))
    clear = [right(*each) for each in decided if each[0]]
    assert value(found["overall"]["accuracy_decided"]) == pytest.approx(mean(clear))
    alone, judged = [], []
    for judge, votes in cases:
        left_out = [(vote, sign(sum(votes) - vote)) for vote in votes]
        if any(majority for _, majority in left_out):
            alone.append(mean(right(sign(vote), majority) for vote, majority in left_out if majority))
            judged.append(mean(right(sign(judge), majority) for _, majority in left_out if majority))
    assert value(found["ceiling"]["accuracy"]) == pytest.approx(mean(alone))
    assert value(found["ceiling"]["judge"]) == pytest.approx(mean(judged))
    assert found["ceiling"]["lead"]["estimate"]["high"] < 0
    assert "It is worse than one person who is measured against the others" in re.sub(r"\s+", " ", page)


GROUPS = "audit.rater_groups={experts: expert*, crowd: crowd*}"


def test_experts_and_crowd_disagree_about_judges_of_creativity(audit, shared_data):
    judges, page = audit("creative_story_gen.jsonl", GROUPS, "audit.by=text")
    assert sorted(judges) == ["claude-3-5-sonnet-20240620", "gemini-1.5-pro", "gpt-4o"]
    for name, judge in judges.items():
        creativity = next(each for each in judge["ratings"] if each["criterion"] == "creativity")
        ranks = {rank["group"]: rank for rank in creativity["ranks"]}
        for group, prefix in (("experts", "expert"), ("crowd", "crowd")):
            said = []
            for row in rows_of(shared_data / "creative_story_gen.jsonl"):
                given = {score["annotator"]: score["criteria"]["creativity"] for score in row["scores"]}
                people = [rating for who, rating in given.items() if who.startswith(prefix)]
                said += [(given[name], mean(people))] if people else []
            assert value(ranks[group]["judge"]) == pytest.approx(spearmanr(*zip(*said, strict=True)).statistic)
            assert ranks[group]["judge"]["estimate"]["n"] == len(said)
        assert ranks["experts"]["judge"]["estimate"]["high"] < -0.3 < 0.6 < ranks["crowd"]["judge"]["estimate"]["low"]
        opposed = next(each for each in judge["disagreements"] if each["what"] == "rank correlation on creativity")
        assert opposed["certain"] and set(opposed["above"]) == {"crowd"} and set(opposed["below"]) == {"experts"}
    assert page.count("People disagree about it: rank correlation on creativity") == 3


def test_two_prompts_are_called_too_few(audit):
    judges, page = audit("creative_story_gen.jsonl", "audit.judges=gpt-4o")
    known = judges["gpt-4o"]["ratings"][0]["ranks"][0]["judge"]["estimate"]
    assert known["n_units"] == 2 and known["high"] - known["low"] > 0.5
    assert "from only 2\u00a0prompts" in page


def test_a_judge_that_rated_three_times(audit, shared_data):
    judges, _ = audit("gpt4_rubric_repeats.jsonl.gz")
    [judge] = judges.values()
    said = defaultdict(lambda: defaultdict(list))
    for row in rows_of(shared_data / "gpt4_rubric_repeats.jsonl.gz"):
        for score in row["scores"]:
            low, high = score["scale"]
            for criterion, number in score["criteria"].items():
                said[criterion][row["prompt"], row["response"]].append((number - low) / (high - low))
    for rating in judge["ratings"]:
        apart = [[abs(x - y) for x, y in combinations(three, 2)] for three in said[rating["criterion"]].values()]
        assert value(rating["retest"]["equal"]) == pytest.approx(
            mean(mean(d == 0 for d in each) for each in apart if each)
        )
        assert value(rating["retest"]["distance"]) == pytest.approx(mean(np.mean(each) for each in apart if each))
