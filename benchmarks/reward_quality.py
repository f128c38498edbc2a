"""Quality of the reward model against TRL's RewardTrainer, on real labels.

Both train SmolLM2-135M-Instruct with the same LoRA settings, learning rate, schedule, batch size, epochs
and seeds on the same training comparisons of configs/lamp.yaml, and are measured on the same held-out
comparisons (pairs of paragraphs whose ratings differ by two or more; no text stands on two sides). TRL
gets hard labels, because it has no soft ones; each scores with its own rendering and pooling.

    python benchmarks/reward_quality.py [--config configs/lamp.yaml] [--seeds 0 1 2] [--threads 2]

Needs trl (pip install "rewardkit[rl,train]") and the data that the config names. Prints a table and
writes benchmarks/results/reward_quality.json. Finished runs are kept there and not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from machine import machine

os.environ.setdefault("HF_HUB_OFFLINE", "1")

RESULTS = Path(__file__).parent / "results" / "reward_quality.json"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/lamp.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", choices=["rewardkit", "trl"], help="one of the two")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=VALUE")
    return parser.parse_args()


def prepare(config_path: Path, overrides: list[str]):
    """Import and aggregate in a folder of its own; return the config and the examples."""
    from rewardkit.config import load_config
    from rewardkit.jobs.labels import IMPORT
    from rewardkit.jobs.preferences import AGGREGATE, FILE, read_preferences
    from rewardkit.jobs.stages import Job, run_stage

    with tempfile.TemporaryDirectory() as folder:
        config = load_config(config_path, [*overrides, f"workspace={folder}"])
        job = Job(config)
        run_stage(IMPORT, job)
        run_stage(AGGREGATE, job)
        return config, read_preferences(job.output("aggregate", FILE))


def measure_margins(margins, calibration_margins, held_out, calibration_set, seed):
    """Calibrate margins on the calibration split and measure them on the test split."""
    from rewardkit.calibration.calibrators import TemperatureCalibrator
    from rewardkit.calibration.evaluation import measure
    from rewardkit.jobs.learning import human_shares

    calibrator = TemperatureCalibrator().fit(calibration_margins, human_shares(calibration_set))
    units = [e.preference.unit for e in held_out]
    result = measure(calibrator.predict_proba(margins), human_shares(held_out), units=units, seed=seed)
    return result.to_json()


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
    return measure_margins(scored.values, fitted.values, scored.examples, fitted.examples, seed), seconds


def run_trl(config, examples, seed):
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import RewardConfig, RewardTrainer

    from rewardkit.hardware import dtype_of
    from rewardkit.jobs.learning import held_out
    from rewardkit.models import resolve

    settings = config.train
    chosen = sorted((e for e in examples if e.preference.split == "train"), key=lambda e: e.preference.unit)
    rows = [conversation(e) for e in chosen[: settings.max_examples] if e.preference.p_a != 0.5]
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
                warmup_ratio=settings.warmup_ratio,
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
    model, tokenizer = trainer.model.eval(), trainer.processing_class
    test, calibration = held_out(examples, "test"), held_out(examples, "calibration")
    cache: dict[tuple, float] = {}

    @torch.inference_mode()
    def score(example, response):
        key = (example.prompt, response)
        if key not in cache:
            messages = [*prompt_of(example), {"role": "assistant", "content": response}]
            text = tokenizer.apply_chat_template(messages, tokenize=False)
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids[:, : settings.max_length]
            cache[key] = float(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0])
        return cache[key]

    def differences(some):
        return [score(e, e.response_a) - score(e, e.response_b) for e in some]

    return measure_margins(differences(test), differences(calibration), test, calibration, seed), seconds


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
    return measure_margins(values, fitted, test, calibration, 0)


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

    from rewardkit.runs import write_json

    torch.set_num_threads(options.threads)
    config, examples = prepare(options.config, options.overrides)
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    settings = config.train.model_dump(mode="json")
    if found.get("train") != settings:
        found = {"command": "python benchmarks/reward_quality.py", "train": settings, "runs": {}}
    found["machine"] = machine(threads=options.threads)
    found["longer is better"] = longer_is_better(examples)
    print(line("longer is better", found["longer is better"]))
    ways = {"rewardkit": run_rewardkit, "trl": run_trl}
    for seed in options.seeds:
        for name, way in ways.items():
            key = f"{name}, seed {seed}"
            if options.only in (None, name) and key not in found["runs"]:
                result, seconds = way(config, examples, seed)
                found["runs"][key] = {**result, "train_seconds": round(seconds, 1)}
                write_json(options.out, found)
            if key in found["runs"]:
                print(line(key, found["runs"][key]), f" trained in {found['runs'][key]['train_seconds']} s", flush=True)
    for name in ways:
        values = [run["accuracy"]["value"] for key, run in found["runs"].items() if key.startswith(name)]
        if values:
            print(f"{name}: mean accuracy {sum(values) / len(values):.3f} over {len(values)} seeds")


if __name__ == "__main__":
    main()
