"""Quality of the reward model against TRL's RewardTrainer, on real labels.

Both train SmolLM2-135M-Instruct with the same LoRA settings, learning rate, schedule, batch size, epochs
and seed on the same training comparisons of benchmarks/lamp.yaml, and are measured on the same held-out
comparisons (pairs of paragraphs whose ratings differ by two or more; no text stands on two sides). A seed
decides the split too. Each in its own way: rewardkit learns from soft labels, computes each text of a
batch once, keeps the best of its checkpoints on the validation comparisons and is calibrated on others;
TRL learns from hard labels, keeps the last step and answers with the sigmoid of its margins.

How honest 100 human labels make the probabilities is measured by itself: many times, 100 of the held-out
comparisons are drawn to calibrate on, and the calibration error is measured on those of all other texts.
The squared error is the mean over the draws (debiased, so that 0 is what a calibrated model shows on average).

    python benchmarks/reward_quality.py [--config benchmarks/lamp.yaml] [--seeds 0 1 2] [--examples 240]

Needs trl (pip install "rewardkit[rl,train]") and the data that the config names. Prints a table, says
whether accuracy is at least TRL's in a quarter of its time, and the calibration error from 100 labels at most
0.03 (exit code 1 if not), and writes benchmarks/results/reward_quality.json. Runs that are there, of the same
settings, data and code, are not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

import numpy as np
from machine import machine

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# What a run of ours depends on, beside settings and data.
ROOMS = ["reward_model", "calibration", "chat", "models", "batching", "hardware"]
RESULTS = Path(__file__).parent / "results" / "reward_quality.json"
LABELS = 100
DRAWS = 200


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("benchmarks/lamp.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--examples", type=int, default=240, help="comparisons to train on")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", choices=["rewardkit", "trl"], help="one of the two")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=VALUE")
    return parser.parse_args()


def prepare(config_path: Path, overrides: list[str], seed: int):
    """Import and aggregate in a folder of its own; return the config and the examples."""
    from rewardkit.config import load_config
    from rewardkit.jobs.labels import IMPORT
    from rewardkit.jobs.preferences import AGGREGATE, FILE, read_preferences
    from rewardkit.jobs.stages import Job, run_stage

    with tempfile.TemporaryDirectory() as folder:
        config = load_config(config_path, [*overrides, f"workspace={folder}", f"seed={seed}"])
        job = Job(config)
        run_stage(IMPORT, job)
        run_stage(AGGREGATE, job)
        return config, read_preferences(job.output("aggregate", FILE))


def measure_probabilities(p_a, examples, seed):
    from rewardkit.calibration.evaluation import measure
    from rewardkit.jobs.learning import human_shares

    return measure(p_a, human_shares(examples), units=[e.preference.unit for e in examples], seed=seed).to_json()


def fitted_temperature(margins, shares):
    from rewardkit.calibration.calibrators import TemperatureCalibrator

    return TemperatureCalibrator().fit(margins, shares)


def calibrated(margins, calibration_margins, calibration_set):
    from rewardkit.jobs.learning import human_shares

    return fitted_temperature(calibration_margins, human_shares(calibration_set)).predict_proba(margins)


def run_rewardkit(config, examples, seed):
    from rewardkit.jobs.learning import held_out
    from rewardkit.jobs.rewards import margins
    from rewardkit.reward_model import folder
    from rewardkit.reward_model.training import train

    model = folder.create(config.train, seed=seed)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as checkpoints:
        train(model, examples, config.train, folder=Path(checkpoints), seed=seed)
    seconds = time.perf_counter() - start
    test, calibration = held_out(examples, "test"), held_out(examples, "calibration")
    scored, fitted = margins(model, test, "score"), margins(model, calibration, "score")
    p_a = calibrated(scored.values, fitted.values, fitted.examples)
    pool = np.concatenate([fitted.values, scored.values])
    few = from_few_labels(pool, [*fitted.examples, *scored.examples], seed)
    return {**measure_probabilities(p_a, scored.examples, seed), "few_labels": few}, seconds


def from_few_labels(margins, examples, seed):
    """Return the calibration error from LABELS labels, drawn DRAWS times and measured on comparisons of other texts."""
    from rewardkit.calibration.ece import debiased_ece
    from rewardkit.jobs.learning import human_shares

    shares, units = np.array(human_shares(examples)), np.array([e.preference.unit for e in examples])
    generator, found = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        drawn = generator.choice(len(examples), LABELS, replace=False)
        rest = ~np.isin(units, units[drawn])
        p_a = fitted_temperature(margins[drawn], shares[drawn]).predict_proba(margins[rest])
        found.append(debiased_ece(p_a, shares[rest], units=list(units[rest]), seed=seed))
    squared = mean(each.squared for each in found)
    return {
        "ece": max(squared, 0.0) ** 0.5,
        "squared": squared,
        "band_high": mean(each.band_high for each in found),
        "n": round(mean(each.n for each in found)),
        "labels": LABELS,
        "draws": DRAWS,
    }


def run_trl(config, examples, seed):
    from datasets import Dataset
    from peft import LoraConfig
    from trl import RewardConfig, RewardTrainer

    from rewardkit.hardware import dtype_of
    from rewardkit.models import resolve

    settings = config.train
    rows = [conversation(e) for e in learned_from(examples, settings.max_examples) if e.preference.p_a != 0.5]
    steps = len(rows) / (settings.batch_size * settings.gradient_accumulation) * settings.epochs
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            model=str(resolve(settings.model).path),
            args=RewardConfig(
                output_dir=folder,
                per_device_train_batch_size=settings.batch_size,
                gradient_accumulation_steps=settings.gradient_accumulation,
                num_train_epochs=settings.epochs,
                learning_rate=settings.learning_rate,
                lr_scheduler_type=settings.scheduler,
                warmup_steps=math.ceil(settings.warmup_ratio * steps),
                max_length=settings.max_length,
                gradient_checkpointing=False,
                bf16=False,
                model_init_kwargs={"dtype": dtype_of(settings.dtype)},
                save_strategy="no",
                report_to=[],
                logging_steps=10,
                seed=seed,
                data_seed=seed,
            ),
            train_dataset=Dataset.from_list(rows),
            peft_config=LoraConfig(
                task_type="SEQ_CLS",
                r=settings.lora.r,
                lora_alpha=settings.lora.alpha,
                lora_dropout=settings.lora.dropout,
                target_modules=settings.lora.target_modules,
                modules_to_save=["score"],
            ),
        )
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    margins, test = trl_margins(trainer, examples, settings.max_length)
    return measure_probabilities(1 / (1 + np.exp(-margins)), test, seed), seconds


def trl_margins(trainer, examples, max_length):
    """Score the test comparisons as TRL renders and pools them, one text at a time."""
    import torch

    from rewardkit.jobs.learning import held_out

    model, tokenizer = trainer.model.eval(), trainer.processing_class
    test = held_out(examples, "test")
    cache: dict[tuple, float] = {}

    @torch.inference_mode()
    def score(example, response):
        key = (example.prompt, response)
        if key not in cache:
            messages = [*prompt_of(example), {"role": "assistant", "content": response}]
            text = tokenizer.apply_chat_template(messages, tokenize=False)
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids[:, :max_length]
            cache[key] = float(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0])
        return cache[key]

    return np.array([score(e, e.response_a) - score(e, e.response_b) for e in test]), test


def prompt_of(example):
    messages = [{"role": m.role, "content": m.content} for m in example.prompt]
    return messages or [{"role": "user", "content": ""}]


def conversation(example):
    better, worse = example.response_a, example.response_b
    if example.preference.p_a < 0.5:
        better, worse = worse, better
    return {
        "prompt": prompt_of(example),
        "chosen": [{"role": "assistant", "content": better}],
        "rejected": [{"role": "assistant", "content": worse}],
    }


def longer_is_better(examples):
    from rewardkit.jobs.learning import held_out
    from rewardkit.jobs.predictors import longer

    test, values = longer(held_out(examples, "test"), "test")
    calibration, fitted = longer(held_out(examples, "calibration"), "calibration")
    return measure_probabilities(calibrated(values, fitted, calibration), test, 0)


def baselines(examples, limit, seed) -> dict:
    """Return what is reached without a language model of ours; the texts have no prompts that could be shuffled."""
    return {
        "longer is better": longer_is_better(examples),
        "MiniLM, linear": linear_on_embeddings(examples, limit, seed),
    }


def linear_on_embeddings(examples, limit, seed):
    """Learn from the same comparisons a penalised logistic regression on embeddings by MiniLM."""
    from reward_learning import embeddings, ridge

    chosen = {e.preference.comparison_id for e in learned_from(examples, limit)}
    seen = [e for e in examples if e.preference.split != "train" or e.preference.comparison_id in chosen]
    p_a = ridge(seen, embeddings(seen))
    test = [e for e in seen if e.preference.comparison_id in p_a]
    return measure_probabilities([p_a[e.preference.comparison_id] for e in test], test, seed)


def learned_from(examples, limit):
    """Return the training comparisons as training chooses them: those of a unit stand together."""
    return sorted((e for e in examples if e.preference.split == "train"), key=lambda e: e.preference.unit)[:limit]


def digest(examples) -> str:
    """Identify the comparisons, their labels and their splits."""
    text = "\n".join(sorted(e.model_dump_json() for e in examples))
    return hashlib.sha256(text.encode()).hexdigest()


def line(name: str, result: dict) -> str:
    accuracy, ece = result["accuracy"], result["ece"]
    return (
        f"{name:28} accuracy {accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]  "
        f"log loss {result['log_loss']['value']:.3f}  "
        f"ECE {ece['value']:.3f} (a calibrated model: up to {ece['band_high']:.3f})  "
        f"n {result['n']}, {result['n_units']} units"
    )


def main() -> None:
    options = arguments()
    import torch

    from rewardkit.runs import source_hash, write_json

    torch.set_num_threads(options.threads)
    ways = {"rewardkit": run_rewardkit, "trl": run_trl}
    ways = {name: way for name, way in ways.items() if options.only in (None, name)}
    code = {"code": source_hash(ROOMS), "versions": machine()["versions"]}
    alone = len(ways) == len(options.seeds) == 1
    overrides = [*options.overrides, f"train.max_examples={options.examples}"]
    found = json.loads(options.out.read_text()) if options.out.exists() else {"runs": {}}
    for seed in options.seeds:
        config, examples = prepare(options.config, overrides, seed)
        stamp = {**code, "data": digest(examples), "train": config.train.model_dump(mode="json")}
        if options.only is None:
            beside = baselines(examples, options.examples, seed)
            for name, measured in beside.items():
                print(line(f"{name}, seed {seed}", measured), flush=True)
            named = {f"{name}, seed {seed}": measured for name, measured in beside.items()}
            found["baselines"] = {**found.get("baselines", {}), **named}
            found["command"] = " ".join(["python", *sys.argv])
            write_json(options.out, found)
        for name, way in ways.items():
            key = f"{name}, seed {seed}"
            if found["runs"].get(key, {}).get("stamp") != stamp and not alone:
                # A process of its own: what one training leaves in memory, the next has no room for.
                subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", name, "--seeds", str(seed)])
                found = json.loads(options.out.read_text()) if options.out.exists() else found
                if found["runs"].get(key, {}).get("stamp") != stamp:
                    sys.exit(f"{key}: ended early; out of memory? The same command goes on from here.")
            elif found["runs"].get(key, {}).get("stamp") != stamp:
                result, seconds = way(config, examples, seed)
                found["runs"][key] = {**result, "train_seconds": round(seconds, 1), "stamp": stamp}
                found["machine"] = machine(threads=options.threads)
                write_json(options.out, found)
            print(line(key, found["runs"][key]), f" trained in {found['runs'][key]['train_seconds']} s", flush=True)
    sys.exit(judged(found["runs"], list(ways), options.seeds))


def judged(runs, names, seeds) -> int:
    """Print the means over seeds and whether the targets are reached; return the exit code."""
    means = {}
    for name in names:
        results = [runs[f"{name}, seed {seed}"] for seed in seeds]
        means[name] = {
            "accuracy": mean(r["accuracy"]["value"] for r in results),
            "ece": mean(r["ece"]["value"] for r in results),
            "band": mean(r["ece"]["band_high"] for r in results),
            "seconds": mean(r["train_seconds"] for r in results),
        }
        print(
            f"{name}: mean over {len(seeds)} seeds: accuracy {means[name]['accuracy']:.3f}, trained in "
            f"{means[name]['seconds']:.0f} s, ECE {means[name]['ece']:.3f} "
            f"(a calibrated model: up to {means[name]['band']:.3f})"
        )
    reached = []
    if len(means) == 2:
        ours, theirs = means["rewardkit"], means["trl"]
        reached += [ours["accuracy"] >= theirs["accuracy"], ours["seconds"] <= theirs["seconds"] / 4]
        print(f"accuracy at least TRL's: {'yes' if reached[0] else 'no'}")
        times = theirs["seconds"] / ours["seconds"]
        print(f"in at most a quarter of its time: {'yes' if reached[1] else 'no'} ({times:.2f} times as fast)")
    if "rewardkit" in means:
        few = [runs[f"rewardkit, seed {seed}"]["few_labels"] for seed in seeds]
        squared = mean(each["squared"] for each in few)
        error = max(squared, 0.0) ** 0.5
        reached.append(error <= 0.03)
        print(
            f"calibration error from {LABELS} labels at most 0.03: {'yes' if reached[-1] else 'no'} ({error:.3f}; "
            f"seeds: {', '.join(format(each['ece'], '.3f') for each in few)}; "
            f"a calibrated model, in one seed: up to {mean(each['band_high'] for each in few):.3f})"
        )
    return 0 if all(reached) else 1


if __name__ == "__main__":
    main()
