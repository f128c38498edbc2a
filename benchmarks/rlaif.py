"""RLAIF from end to end: prompts, pairs that the policy samples, a judge, a reward model, GRPO, samples for people.

    python benchmarks/rlaif.py --held-out /tmp/second/runs/demo/train/model
    rewardkit label configs/label.yaml --set db=workspace/rlaif/people.db --invite 3

The held-out reward model (benchmarks/grpo.py says how one is trained) is what the result is measured by; nothing is
trained on it. The last line serves the page on which people compare what the policy wrote before and after. Everything
lies in workspace/rlaif; configs/rlaif.yaml says how the judge labels and the reward model learns.

Prints how far both rewards have come (n and a 95 % interval clustered by prompt) and what the monitor says, and writes
benchmarks/results/rlaif.json. No target: the verdicts of a judge of 135M parameters are hardly better than chance, so
that the run shows that the parts fit together and nothing about RLAIF.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grpo import RESULTS, add_training, line, prompts_of, summary, train
from machine import machine

from rewardkit.runs import write_json, write_text


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/rlaif.yaml"))
    parser.add_argument("--workspace", type=Path, default=Path("workspace/rlaif"))
    parser.add_argument("--out", type=Path, default=RESULTS / "rlaif.json")
    add_training(parser)
    return parser.parse_args()


def answers(model, tokenizer, prompts, options, seed: int) -> list[str]:
    from rewardkit.rl.sampling import Drawing, sample

    return sample(model, tokenizer, prompts, Drawing(options.tokens, seed=seed))


def write_rows(path: Path, rows: list[dict]) -> Path:
    from rewardkit.jobs.scoring_files import as_line

    write_text(path, b"".join(map(as_line, rows)).decode("utf-8"))
    return path


def sample_pairs(policy, tokenizer, prompts, options) -> Path:
    """Let the policy answer each prompt twice."""
    first, second = (answers(policy, tokenizer, prompts, options, options.seed + add) for add in (1, 2))
    rows = [
        {"prompt": prompt, "response_a": a, "response_b": b}
        for prompt, a, b in zip(prompts, first, second, strict=True)
        if a.strip() and b.strip() and a != b
    ]
    return write_rows(options.workspace / "pairs.jsonl", rows)


def learn(file: Path, options) -> Path:
    """Judge the pairs and train a reward model; return its folder."""
    from rewardkit.config import load_config
    from rewardkit.jobs import pipeline

    overrides = [f"workspace={options.workspace}", f"import.files=[{file}]", f"seed={options.seed}"]
    config = load_config(options.config, overrides)
    pipeline.run(config)
    return options.workspace / "runs" / config.name / "train" / "model"


def for_people(prompts, before: list[str], after: list[str], options) -> Path:
    """Import what the policy wrote before and after as responses to be compared; return the database."""
    from rewardkit.config import ImportConfig
    from rewardkit.jobs.labels import import_into

    rows = [
        {"prompt": prompt, "response": text, "model": name}
        for name, texts in (("before", before), ("after", after))
        for prompt, text in zip(prompts, texts, strict=True)
        if text.strip()
    ]
    file, database = write_rows(options.workspace / "samples.jsonl", rows), options.workspace / "people.db"
    import_into(str(database), ImportConfig(files=(str(file),)), options.workspace / "samples.rejects.jsonl")
    return database


def main() -> None:
    options = arguments()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rewardkit.models import resolve
    from rewardkit.rl.trl_rewards import trl_reward

    torch.set_num_threads(options.threads)
    path, prompts = resolve("smollm2-135m").path, prompts_of(options.data, options.seed)
    watched, trained = prompts[: options.watched], prompts[options.watched :]
    tokenizer = AutoTokenizer.from_pretrained(path)
    policy = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16)
    before = answers(policy, tokenizer, watched, options, options.seed)
    model = learn(sample_pairs(policy, tokenizer, trained, options), options)
    del policy
    trainer, monitor, seconds = train("rlaif", trl_reward(str(model)), options, options.workspace / "grpo")
    after = answers(trainer.model, tokenizer, watched, options, options.seed)
    database = for_people(watched, before, after, options)
    result = {"run": summary(monitor, seconds), "command": " ".join(["python", *sys.argv])}
    settings = {key: value for key, value in vars(options).items() if key != "out"}
    write_json(options.out, result | {"settings": settings, "machine": machine(threads=options.threads)})
    print(line("rlaif", result["run"]))
    print(f"for people: rewardkit label configs/label.yaml --set db={database} --invite 3")


if __name__ == "__main__":
    main()
