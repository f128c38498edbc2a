"""What soft labels, ties, ratings and ensembles are worth to a reward model, cross-validated on real labels.

Every comparison is tested once: its units (texts that stand together) are dealt into five folds; a model is trained on
three of them, calibrated on another, and measured on the last. Ways of learning differ in one thing each, see the same
comparisons in the same order, and are compared pair by pair.

    python benchmarks/reward_learning.py --data ../shared/data [--part endings stories] [--seeds 0]

endings: 300 pairs of story plots with three noisy votes each (scratchplot_endings). hard: the side of the majority is
taken for certain; soft: how probable it is, given how often people agree; variance: soft, with a variance head.
stories: pairs of short stories formed of two experts' ratings on creativity (creative_story_gen), a quarter of them
ties. ties: Davidson's loss; criteria: ratings on four criteria learned beside; one and five: an ensemble of five whose
members share all but the last six layers, and one such model; encoder: MiniLM as the base, for four epochs.

Beside every way stand two baselines that know no model of ours: longer is better, and a penalised logistic regression
on embeddings by MiniLM (all-MiniLM-L6-v2). Writes benchmarks/results/reward_learning.json. Runs that are there, of the
same settings, data and code, are not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import machine

os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOMS = [
    "jobs/predictors",
    "jobs/rewards",
    "config",
    "reward_model",
    "calibration",
    "chat",
    "packing",
    "attending",
    "products",
    "models",
    "batching",
    "hardware",
]
RESULTS = Path(__file__).parent / "results" / "reward_learning.json"
FOLDS = 5
TRAIN = {"model": "smollm2-135m", "dtype": "auto", "max_length": 512, "batch_size": 8, "evaluations": 4}
CRITERIA = ["creativity", "originality", "surprise", "effectiveness"]
ENCODER = {"model": "minilm", "dtype": "float32", "epochs": 4}
PARTS = {
    "endings": {
        "import": {"files": ["scratchplot_endings.jsonl"]},
        "train": {"epochs": 1},
        "ways": {"hard": {}, "soft": {}, "variance": {"variance_head": True}, "encoder": ENCODER},
    },
    "stories": {
        "import": {"files": ["creative_story_gen.jsonl"], "pairs": {"criterion": "creativity"}},
        "train": {"epochs": 2},
        "ways": {
            "soft": {},
            "ties": {"loss": "davidson"},
            "criteria": {"criteria": CRITERIA},
            "one": {"train_layers": 6},
            "five": {"train_layers": 6, "members": 5},
            "encoder": ENCODER,
        },
    },
}
AGAINST = {
    "endings": [("soft", "hard"), ("variance", "soft")],
    "stories": [("ties", "soft"), ("criteria", "soft"), ("five", "one")],
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--part", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def examples_of(part: str, data: Path) -> list:
    """Import and aggregate in a folder of its own."""
    from rewardkit.config import JobConfig
    from rewardkit.jobs.labels import IMPORT
    from rewardkit.jobs.preferences import AGGREGATE, FILE, read_preferences
    from rewardkit.jobs.stages import Job, run_stage

    asked = PARTS[part]["import"]
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            JobConfig.model_validate(
                {
                    "workspace": folder,
                    "import": {**asked, "files": [str(data / name) for name in asked["files"]]},
                    "aggregate": {"split": {"by": "text"}},
                }
            )
        )
        run_stage(IMPORT, job)
        run_stage(AGGREGATE, job)
        return read_preferences(job.output("aggregate", FILE))


def divided(examples: list, fold: int, seed: int) -> list:
    """Return the examples with the splits of a fold: tested, calibrated on the next, learned from the others."""
    units = sorted({e.preference.unit for e in examples})
    np.random.default_rng(seed).shuffle(units)
    place = {unit: number % FOLDS for number, unit in enumerate(units)}
    rest = [unit for unit in units if (place[unit] - fold) % FOLDS > 1]
    held = set(rest[:: max(2, len(rest) // max(1, len(rest) // 8))][: max(1, len(rest) // 8)])

    def split(unit: str) -> str:
        at = (place[unit] - fold) % FOLDS
        return "test" if at == 0 else "calibration" if at == 1 else "validation" if unit in held else "train"

    return [
        e.model_copy(update={"preference": e.preference.model_copy(update={"split": split(e.preference.unit)})})
        for e in examples
    ]


def hardened(examples: list) -> list:
    """Take the side of the majority for certain in training; where there is none, nothing is known."""

    def hard(example):
        p_a = example.preference.p_a
        update = {"p_a": float(np.sign(p_a - 0.5) / 2 + 0.5), "p_tie": 0.0}
        return example.model_copy(update={"preference": example.preference.model_copy(update=update)})

    return [hard(e) if e.preference.split in ("train", "validation") else e for e in examples]


def learned(examples: list, settings: dict, seed: int) -> dict:
    """Train, calibrate and answer: for each test comparison its id, p_a, margin, and what it took."""
    from rewardkit.calibration.calibrators import TemperatureCalibrator
    from rewardkit.config import TrainConfig
    from rewardkit.jobs.learning import held_out, human_shares
    from rewardkit.jobs.predictors import shuffled_prompts
    from rewardkit.jobs.rewards import margins
    from rewardkit.reward_model import folder
    from rewardkit.reward_model.training import train

    config = TrainConfig.model_validate({**TRAIN, **settings})
    model = folder.create(config, seed=seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        train(model, examples, config, folder=Path(place) / "partial", seed=seed)
    seconds = time.perf_counter() - started
    fitted = margins(model, held_out(examples, "calibration"), "calibration")
    scored = margins(model, held_out(examples, "test"), "test")
    calibrator = TemperatureCalibrator().fit(fitted.values, human_shares(fitted.examples))
    shuffled = shuffled_prompts(held_out(examples, "test"), seed)
    found = {"p_a": answers(scored.examples, calibrator.predict_proba(scored.values)), "train_seconds": seconds}
    if shuffled:
        other = margins(model, shuffled, "shuffled prompts")
        found["shuffled"] = answers(other.examples, calibrator.predict_proba(other.values))
    return found


def answers(examples: list, p_a) -> dict:
    return {e.preference.comparison_id: float(p) for e, p in zip(examples, p_a, strict=True)}


def longer(examples: list) -> dict:
    from rewardkit.jobs.predictors import HeldOut, calibrated_alike
    from rewardkit.jobs.predictors import longer as by_length

    found = calibrated_alike(by_length, held(examples, HeldOut))
    return answers(found.examples, found.p_a)


def ridge(examples: list, embed) -> dict:
    """Logistic regression on the difference of two embeddings; texts that stand together share a fold."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import GroupKFold

    from rewardkit.jobs.predictors import HeldOut, calibrated_alike

    taught = [e for e in examples if e.preference.split in ("train", "validation") and e.preference.p_a != 0.5]

    def features(some):
        return np.array([embed[e.response_a] - embed[e.response_b] for e in some])

    x, y = features(taught), np.array([e.preference.p_a > 0.5 for e in taught])
    # Seen both ways round, so that no side is favoured; either way is the same comparison.
    both, sides, units = np.vstack([x, -x]), np.concatenate([y, ~y]), [e.preference.unit for e in taught] * 2
    folds = list(GroupKFold(5).split(both, sides, units))
    how = {"cv": folds, "scoring": "neg_log_loss", "max_iter": 2000, "fit_intercept": False, "l1_ratios": (0,)}
    model = LogisticRegressionCV(use_legacy_attributes=False, **how).fit(both, sides)

    def margin(some, _split):
        return some, model.decision_function(features(some))

    found = calibrated_alike(margin, held(examples, HeldOut))
    return answers(found.examples, found.p_a)


def held(examples: list, kind):
    from rewardkit.jobs.learning import held_out

    return kind(held_out(examples, "calibration"), held_out(examples, "test"))


def embeddings(examples: list) -> dict:
    """Return MiniLM's mean of token states for each text, of length 1."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from rewardkit.models import resolve

    place = resolve("minilm").path
    tokenizer, model = AutoTokenizer.from_pretrained(place), AutoModel.from_pretrained(place).eval()
    found = {}
    for text in sorted({text for e in examples for text in (e.response_a, e.response_b)}):
        told = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)
        with torch.inference_mode():
            state = model(**told).last_hidden_state[0].mean(0)
        found[text] = (state / state.norm()).numpy()
    return found


def measured(examples: list, p_a: dict):
    from rewardkit.calibration.evaluation import measure
    from rewardkit.jobs.learning import human_shares

    known = [e for e in examples if e.preference.comparison_id in p_a]
    values = [p_a[e.preference.comparison_id] for e in known]
    return measure(values, human_shares(known), units=[e.preference.unit for e in known])


def difference(examples: list, one: dict, other: dict) -> dict:
    """Return by how much one is better than another: accuracy, and log loss in nats (positive is better)."""
    from rewardkit.calibration.evaluation import paired_difference
    from rewardkit.calibration.metrics import correct_terms, decided, log_loss_terms
    from rewardkit.jobs.learning import human_shares

    known = [e for e in examples if e.preference.comparison_id in one and e.preference.comparison_id in other]
    human, units = np.array(human_shares(known)), np.array([e.preference.unit for e in known])
    first, second = (np.array([p[e.preference.comparison_id] for e in known]) for p in (one, other))
    clear = decided(human)
    right = paired_difference(correct_terms(first, human), correct_terms(second, human), list(units[clear]), 0.95)
    loss = paired_difference(log_loss_terms(second, human), log_loss_terms(first, human), list(units), 0.95)
    return {"accuracy": right.to_json(), "log_loss": loss.to_json()}


def shown(name: str, found) -> str:
    def told(key):
        return f"{found[key]['value']:.3f} [{found[key]['low']:.3f}, {found[key]['high']:.3f}]"

    ece = found["ece"]
    return (
        f"{name:34} accuracy {told('accuracy')} (n {found['accuracy']['n']})  log loss {told('log_loss')}  "
        f"ECE {ece['value']:.3f} (up to {ece['band_high']:.3f} if perfect)  n {found['n']}, {found['n_units']} units"
    )


def run_part(part: str, options, found: dict) -> None:
    from rewardkit.runs import source_hash, write_json

    examples = examples_of(part, options.data)
    text = "\n".join(sorted(e.model_dump_json() for e in examples))
    own_code = source_hash(ROOMS), hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    stamp = {"code": "-".join(own_code), "data": hashlib.sha256(text.encode()).hexdigest()}
    runs = found.setdefault("runs", {})
    embed = embeddings(examples)
    said: dict[str, dict] = {}
    for seed in options.seeds:
        for fold in range(FOLDS):
            split = divided(examples, fold, seed)
            for name, p_a in (("longer is better", longer(split)), ("MiniLM, linear", ridge(split, embed))):
                said.setdefault(f"{name}, seed {seed}", {}).update(p_a)
            for way, fields in PARTS[part]["ways"].items():
                settings = {**PARTS[part]["train"], **fields}
                key, own = f"{part}, {way}, seed {seed}, fold {fold}", {**stamp, "train": {**TRAIN, **settings}}
                if runs.get(key, {}).get("stamp") != own:
                    run = learned(hardened(split) if way == "hard" else split, settings, seed)
                    runs[key] = {**run, "stamp": own}
                    found |= {"machine": machine(threads=options.threads)}
                    write_json(options.out, found)
                said.setdefault(f"{way}, seed {seed}", {}).update(runs[key]["p_a"])
                said.setdefault(f"{way}, shuffled prompts, seed {seed}", {}).update(runs[key].get("shuffled", {}))
    table = {name: measured(examples, p_a).to_json() for name, p_a in said.items() if p_a}
    for name, row in table.items():
        print(shown(f"{part}: {name}", row), flush=True)
    against = {}
    for one, other in AGAINST[part]:
        for seed in options.seeds:
            gain = difference(examples, said[f"{one}, seed {seed}"], said[f"{other}, seed {seed}"])
            against[f"{one} over {other}, seed {seed}"] = gain
            told = ", ".join(f"{k} {v['value']:+.4f} [{v['low']:+.4f}, {v['high']:+.4f}]" for k, v in gain.items())
            print(f"{part}: {one} over {other}, seed {seed}: {told}", flush=True)
    found.setdefault("tables", {})[part] = {"ways": table, "differences": against}
    write_json(options.out, found)


def main() -> None:
    options = arguments()
    import torch

    torch.set_num_threads(options.threads)
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    found["command"] = " ".join(["python", *sys.argv])
    for part in options.part:
        run_part(part, options, found)


if __name__ == "__main__":
    main()
