"""A cascade of recorded judges against GPT-4 alone: is the guarantee kept, and what is saved?

    python benchmarks/judge_cascade.py --data ../shared/data/mtbench_llmeval_faireval.jsonl [--resamplings 1000]

464 comparisons with a human majority and the verdicts of GPT-4, PaLM2, ChatGPT and LLaMA2 on both orders are taken as
the whole population, so that the true agreement of any rule is known: no estimate stands in for it. Each resampling
draws, with replacement, labelled items to fit confidences on and others to fix thresholds on, and asks the population
whether what the rule answers agrees with people in 1 − alpha of cases. At most delta of the resamplings may say no
(plus two standard errors). Cost is counted on the population too, two calls for each judge that is asked (both orders).

A judge's verdicts are hard, so its confidence is a logistic model of whom it prefers in both orders and of the ratio of
lengths; in a cascade, of what the earlier stages said as well. `together` puts one threshold on all stages' confidence
and tests the cascade's answers (the earlier stages answer nothing below 1 − alpha), with all judges and without the
cheapest; `stages` lets each stage keep the promise by itself; `alone` is the strongest judge with a threshold. Items
that no stage answers go to people. Ridge and floors were tried on these data: that flatters the costs a little, and
leaves the guarantee as it is.

Each is drawn by item (all independent) and by prompt (337 prompts with 1 to 7 comparisons, one of each is tested; the
true agreement is then that of a prompt drawn at random). A simulated judge (n = 500, agreement .71) comes first.

Prints what came out, and writes it beside this file with the machine. Exit code 1 where a guarantee is broken.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import machine

from rewardkit.calibration.cascades import StageLabels, choose_stages, choose_together
from rewardkit.calibration.opinions import fit_opinions
from rewardkit.calibration.selective import choose_threshold
from rewardkit.runs import write_json

RESULT = Path(__file__).parent / "results" / "judge_cascade.json"
# Dollars per million input tokens, list prices of autumn 2023: what is sent is long and what comes back one word.
# PaLM 2 was sold by the character ($0.0005 for 1,000), here at four characters a token; LLaMA2 is the 70B, hosted.
PRICES = {"LLaMA2": 1.0, "ChatGPT": 1.5, "PaLM2": 2.0, "GPT-4": 30.0}
STRATEGY = "Vanilla_NoRules"
TARGETS = (0.70, 0.75, 0.80, 0.85)
GRID = np.linspace(0.5, 1, 101)
LEAST_SAVING = 0.4
# Copies of the 464 items that stand for labels without end.
ENDLESS = 100


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="mtbench_llmeval_faireval.jsonl")
    parser.add_argument("--resamplings", type=int, default=1000)
    parser.add_argument("--fit", type=int, default=164, help="labelled items to fit confidences on")
    parser.add_argument("--labels", type=int, default=300, help="labelled items to fix thresholds on")
    parser.add_argument("--delta", type=float, default=0.1)
    parser.add_argument("--judges", nargs="+", default=list(PRICES), help="from cheap to strong")
    parser.add_argument("--prices", nargs="+", type=float, help="of the judges, in their order")
    parser.add_argument("--people-price", type=float, default=600.0, help="of one item, in the unit of the prices")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    options.prices = options.prices or [PRICES[judge] for judge in options.judges]
    if len(options.prices) != len(options.judges):
        parser.error("as many prices as judges")
    return options


class Population:
    """The recorded items: whom people prefer (1 is A, −1 is B), what each judge said, which prompt."""

    def __init__(self, path, judges):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        self.people = np.array([self.mean(row, lambda label: label["source"] == "human") for row in rows])
        said = [
            [self.mean(row, lambda label, judge=judge: label["annotator"] == f"{judge}/{STRATEGY}") for judge in judges]
            for row in rows
        ]
        length = [math.log((1 + len(row["response_a"])) / (1 + len(row["response_b"]))) for row in rows]
        # Each column changes its sign when the responses are swapped, and the model has no intercept.
        self.features = np.column_stack([length, said])
        prompts = sorted({row["prompt"] for row in rows})
        self.members = [[i for i, row in enumerate(rows) if row["prompt"] == prompt] for prompt in prompts]

    @staticmethod
    def mean(row, wanted):
        """Return the mean verdict over orders, from −1 to 1; 0 where there is none."""
        verdicts = [2 * label["preference"] - 1 for label in row["labels"] if wanted(label)]
        return sum(verdicts) / len(verdicts) if verdicts else 0.0

    def weights(self, by):
        """Return how probable each item is where one is drawn by item or by prompt."""
        weight = np.full(len(self.people), 1 / len(self.people))
        if by == "prompt":
            for own in self.members:
                weight[own] = 1 / len(self.members) / len(own)
        return weight

    def draw(self, by, n, rng):
        """Draw n items, or prompts with about n items, with replacement; return items and the unit of each."""
        if by == "item":
            return rng.integers(len(self.people), size=n), None
        drawn = rng.integers(len(self.members), size=round(n * len(self.members) / len(self.people)))
        items = [(i, f"unit {k}") for k, prompt in enumerate(drawn) for i in self.members[prompt]]
        return np.array([i for i, _ in items]), [unit for _, unit in items]


def opinions(population, columns, fitted_on):
    """Return confidence and agreement of one stage over the whole population, (items,) each."""
    used, prefers_a = population.features[:, columns], population.people > 0
    p = fit_opinions(used[fitted_on], prefers_a[fitted_on]).p_a(used)
    return np.maximum(p, 1 - p), ((p > 0.5) == prefers_a).astype(float)


def stages_of(population, judges, options, fitted_on):
    """Return stages over the whole population; each uses what it and the earlier ones said."""
    columns = [1 + options.judges.index(judge) for judge in judges]
    return [
        StageLabels(
            judge,
            *opinions(population, [0, *columns[: k + 1]], fitted_on),
            cost=2 * options.prices[column - 1],
            uses_earlier=True,
        )
        for k, (judge, column) in enumerate(zip(judges, columns, strict=True))
    ]


def with_floors(stages, floor):
    """Let all but the last stage answer nothing below a confidence."""
    return [*(replace(stage, floor=floor) for stage in stages[:-1]), stages[-1]]


def taken(stages, items):
    return [replace(s, confidence=s.confidence[items], agreement=s.agreement[items]) for s in stages]


def truth(cascade, stages, weight, people_price):
    """Return what a cascade does on the population: no estimate."""
    sure, agreed = (np.column_stack([getattr(s, name) for s in stages]) for name in ("confidence", "agreement"))
    route = cascade.route(sure)
    shares = np.array([weight[route == k].sum() for k in range(len(stages))])
    right = np.array([(weight * agreed[:, k])[route == k].sum() for k in range(len(stages))])
    answered = shares.sum()
    broken = 1 - right.sum() / answered > cascade.alpha if answered else False
    cost = float(weight @ cascade.cost_of(route))
    return {
        "broken": bool(broken),
        "stage_broken": bool(any(1 - r / s > cascade.alpha for r, s in zip(right, shares, strict=True) if s > 0)),
        "answered": float(answered),
        "agreement": float(right.sum() / answered) if answered else math.nan,
        "cost": cost,
        "cost_with_people": cost + people_price * float(1 - answered),
        "shares": shares.tolist(),
    }


def endless(population, target, options):
    """Return what can be had where labels are no limit: all items fit the confidences, and many copies are tested."""
    everything = np.arange(len(population.people))
    weight = population.weights("item")
    found = {}
    for way, judges in (("alone", options.judges[-1:]), ("together", options.judges)):
        stages = with_floors(stages_of(population, judges, options, everything), target)
        labelled = taken(stages, np.tile(everything, ENDLESS))
        cascade = choose_together(labelled, grid=GRID, alpha=round(1 - target, 10), delta=options.delta)
        found[way] = truth(cascade, stages, weight, options.people_price)
    return found


def replay(population, by, options):
    rng = np.random.default_rng(options.seed)
    weight = population.weights(by)
    without = f"together without {options.judges[0]}"
    found = {target: {way: [] for way in ("alone", "together", without, "stages")} for target in TARGETS}
    for _ in range(options.resamplings):
        fitted_on, _ = population.draw(by, options.fit, rng)
        items, units = population.draw(by, options.labels, rng)
        alone, every, fewer = (
            stages_of(population, judges, options, fitted_on)
            for judges in (options.judges[-1:], options.judges, options.judges[1:])
        )
        for target, ways in found.items():
            promise = {"alpha": round(1 - target, 10), "delta": options.delta, "units": units}
            for way, stages in (("alone", alone), ("together", every), (without, fewer)):
                floored = with_floors(stages, target)
                cascade = choose_together(taken(floored, items), grid=GRID, **promise)
                ways[way].append(truth(cascade, stages, weight, options.people_price))
            cascade = choose_stages(taken(every, items), **promise)
            ways["stages"].append(truth(cascade, every, weight, options.people_price))
    return {str(target): summarised(ways, options) for target, ways in found.items()}


def summarised(ways, options):
    """Average over resamplings; compare costs where both the cascade and the strongest judge alone answer something."""
    result = {way: summary(runs, options) for way, runs in ways.items()}
    for way in result:
        both = [
            pair for pair in zip(ways[way], ways["alone"], strict=True) if pair[0]["answered"] and pair[1]["answered"]
        ]
        for name in ("cost", "cost_with_people"):
            ours, theirs = (float(np.mean([pair[i][name] for pair in both])) if both else math.nan for i in (0, 1))
            result[way]["saving" + name.removeprefix("cost")] = 1 - ours / theirs if both else None
        result[way]["answered_more"] = (
            float(np.mean([a["answered"] - b["answered"] for a, b in both])) if both else None
        )
        result[way]["compared"] = len(both)
    return result


def summary(runs, options):
    """Average the resamplings; a share of broken promises may be two standard errors above delta."""
    most = options.delta + 2 * math.sqrt(options.delta * (1 - options.delta) / len(runs))
    kept = [run for run in runs if run["answered"] > 0]
    return {
        "broken": float(np.mean([run["broken"] for run in runs])),
        "stage_broken": float(np.mean([run["stage_broken"] for run in runs])),
        "most_broken": most,
        "answers_nothing": 1 - len(kept) / len(runs),
        "answered": float(np.mean([run["answered"] for run in runs])),
        "agreement": float(np.mean([run["agreement"] for run in kept])) if kept else None,
        "cost": float(np.mean([run["cost"] for run in runs])),
        "cost_with_people": float(np.mean([run["cost_with_people"] for run in runs])),
        "shares": np.mean([run["shares"] for run in runs], axis=0).round(4).tolist(),
        "n": len(runs),
    }


def simulate(options, alpha=0.2, n=500, shape=(0.84, 1.16)):
    """Let a calibrated judge of agreement .71 be held to .80; and one that can at no confidence be held to it."""
    rng = np.random.default_rng(options.seed)
    ends = {"reachable": 1.0, "not reachable": 0.79}
    found = {}
    for name, top in ends.items():
        runs = []
        for _ in range(options.resamplings):
            sure = np.minimum(0.5 + 0.5 * rng.beta(*shape, n), top)
            agreed = (rng.random(n) < sure).astype(float)
            rule = choose_threshold(sure, agreed, alpha=alpha, delta=options.delta)
            many = np.minimum(0.5 + 0.5 * rng.beta(*shape, 20_000), top)
            answered = rule.answers(many)
            runs.append((answered.mean(), bool(answered.any()) and 1 - many[answered].mean() > alpha))
        coverage, broken = np.array(runs, dtype=float).T
        found[name] = {
            "coverage": float(coverage.mean()),
            "broken": float(broken.mean()),
            "most_broken": options.delta + 2 * math.sqrt(options.delta * (1 - options.delta) / len(runs)),
            "answers_nothing": float((coverage == 0).mean()),
            "n": n,
            "runs": len(runs),
        }
    return found


def report(by, target, result, options):
    """Print one target; return whether every guarantee is kept."""
    print(f"\nagreement of {target} or more at confidence {1 - options.delta:g}, drawn by {by}")
    for way, found in result.items():
        shares = ", ".join(f"{share:.2f}" for share in found["shares"])
        mean = "-" if found["agreement"] is None else f"{found['agreement']:.3f}"
        print(
            f"  {way}: broken {found['broken']:.3f} (at most {found['most_broken']:.3f}); nothing answered in", end=" "
        )
        print(
            f"{found['answers_nothing']:.2f}; answers {found['answered']:.2f} ({shares}), true agreement {mean};",
            end=" ",
        )
        print(f"judges cost {found['cost']:.1f}, with people {found['cost_with_people']:.0f}")
        if way != "alone" and found["saving"] is not None:
            verdict = "reached" if found["saving"] >= LEAST_SAVING else "not reached"
            print(
                f"    in the {found['compared']} resamplings in which both answer: judges {found['saving']:.0%} cheaper"
                f" ({LEAST_SAVING:.0%} {verdict}), {found['saving_with_people']:.0%} with people; it answers"
                f" {found['answered_more']:+.2f} of the items"
            )
    own = result["stages"]
    kept = all(found["broken"] <= found["most_broken"] for found in result.values())
    return kept and own["stage_broken"] <= own["most_broken"]


def accuracy(population):
    """Return how often the strongest judge, both orders together, agrees with people; half where it prefers neither."""
    return float(np.mean(0.5 + 0.5 * np.sign(population.features[:, -1]) * population.people))


def print_simulated(simulated):
    for name, found in simulated.items():
        print(
            f"simulated, {name}: broken {found['broken']:.3f} (at most {found['most_broken']:.3f}), coverage"
            f" {found['coverage']:.3f}, nothing in {found['answers_nothing']:.3f}; {found['runs']} runs of {found['n']}"
        )


def print_savings(replayed, limits, strongest):
    """Say what is saved, and what could be were labels no limit: where that is little, no more labels would help."""
    print("\njudges' cost below that of the strongest alone, at the same guaranteed agreement (drawn by item)")
    for target, found in limits.items():
        alone, together = found["alone"], found["together"]
        saved = replayed["item"][target]["together"]["saving"]
        most = 1 - together["cost"] / alone["cost"] if alone["cost"] else 0.0
        shares = ", ".join(f"{share:.2f}" for share in together["shares"])
        print(
            f"  {target}: {'nothing to compare' if saved is None else format(saved, '.0%')}; were labels no limit"
            f" {most:.0%}: {strongest} alone would answer {alone['answered']:.2f} at {alone['cost']:.1f}, the cascade"
            f" {together['answered']:.2f} ({shares}) at {together['cost']:.1f}"
        )


def main() -> int:
    options = arguments()
    population = Population(options.data, options.judges)
    strongest = options.judges[-1]
    prices = ", ".join(f"{judge} {price:g}" for judge, price in zip(options.judges, options.prices, strict=True))
    print(f"prices of a call: {prices}; {options.fit} labels for confidences, {options.labels} for thresholds")
    print(f"{strongest} prefers what people prefer in {accuracy(population):.3f} of the items (no preference: half)")
    simulated = simulate(options)
    print_simulated(simulated)
    replayed = {by: replay(population, by, options) for by in ("item", "prompt")}
    kept = [report(by, target, found, options) for by, ways in replayed.items() for target, found in ways.items()]
    kept += [found["broken"] <= found["most_broken"] for found in simulated.values()]
    limits = {str(target): endless(population, target, options) for target in TARGETS}
    print_savings(replayed, limits, strongest)
    print(f"\nevery guarantee kept in {options.resamplings} resamplings: {'yes' if all(kept) else 'no'}")
    settings = {key: value for key, value in vars(options).items() if key not in ("data", "out")}
    found = {"simulated": simulated, "replayed": replayed, "endless": limits}
    write_json(options.out, {"settings": settings, **found, "machine": machine()})
    return 0 if all(kept) else 1


if __name__ == "__main__":
    raise SystemExit(main())
