"""Speed of training and scoring against peers, on real texts: pairs a second, and responses a second.

    python benchmarks/reward_throughput.py [--parts dialogue fiction curve scoring] [--pairs 64] [--rounds 1]

dialogue  training on hhh_alignment: a conversation, and two replies to its last message. SmolLM2-135M, LoRA r = 16 on
          all linear layers, 8 pairs a step, each way in a process of its own, the first step and loading not counted:
          rewardkit (bfloat16 base) and TRL's RewardTrainer, at its defaults (float32 weights, bfloat16 autocast,
          gradient checkpointing) and tuned (bfloat16 weights, no checkpointing, halves of a step), on the same pairs
          and rewardkit's train_layers (the last 10 of 30) over three epochs
fiction   the same on pairs of lamp_quality's paragraphs, without a prompt
curve     the losses of rewardkit and TRL step by step in float32, from the same adapters, on the same batches
scoring   rewards a second on texts of both sets: rewardkit, transformers' text-classification pipeline (batched, padded
          as texts come), and a loop over length-sorted padded batches

Needs trl (pip install "rewardkit[rl,train]") and ../shared/data (or --data). Prints a table, says whether the targets
are reached, exits 1 if not, and writes benchmarks/results/reward_throughput.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from machine import machine

os.environ.setdefault("HF_HUB_OFFLINE", "1")

RESULTS = Path(__file__).parent / "results" / "reward_throughput.json"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MODEL = "smollm2-135m"
PARTS = ("dialogue", "fiction", "curve", "scoring")
LAST = 10
"""Layers that are trained alone, of 30."""
UPPER = f"rewardkit, last {LAST} layers"
WAYS = {
    "dialogue": ("rewardkit", UPPER, "trl, tuned", "trl, defaults"),
    "fiction": ("rewardkit", UPPER, "trl, tuned"),
    "scoring": ("rewardkit", "pipeline", "sorted"),
}
TARGETS = {
    ("dialogue", "rewardkit", "trl, defaults"): 5.5,
    ("dialogue", "rewardkit", "trl, tuned"): 4.5,
    ("fiction", "rewardkit", "trl, tuned"): 1.4,
    ("fiction", UPPER, "trl, tuned"): 2.5,
    ("scoring", "rewardkit", "pipeline"): 3.0,
    ("scoring", "rewardkit", "sorted"): 1.5,
}
CURVE = 1e-3
STEP = 8
"""Pairs of an optimiser's step."""
HALVES = {"per_device_train_batch_size": STEP // 2, "gradient_accumulation_steps": 2}
"""Of a step: without checkpointing eight padded pairs of long conversations are more than 24 GB."""
LENGTH = 1024
CHARACTERS = 3600
"""Of a conversation, at most: all ways train on whole texts."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pairs", type=int, default=64, help="to train on, beside those of the first step")
    parser.add_argument("--texts", type=int, default=256, help="to score")
    parser.add_argument("--rounds", type=int, default=1, help="of each way, in turns")
    parser.add_argument("--ways", nargs="+", help="only some of the ways, for a look at one's own")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def read_pairs(folder: Path, part: str) -> list[tuple[str, str, str]]:
    """Return real pairs in a fixed random order: prompt, better and worse response."""
    file = {"dialogue": "hhh_alignment.jsonl", "fiction": "lamp_quality.jsonl"}[part]
    rows = [json.loads(line) for line in (folder / file).read_text(encoding="utf-8").splitlines()]
    random.Random(0).shuffle(rows)
    if part == "fiction":
        texts = [row["response"] for row in rows]
        return [("", a, b) for a, b in zip(texts[::2], texts[1::2], strict=False)]
    better = [row["labels"][0]["preference"] >= 0.5 for row in rows]
    both = [(row["response_a"], row["response_b"])[:: 1 if a else -1] for row, a in zip(rows, better, strict=True)]
    found = [(row["prompt"], *texts) for row, texts in zip(rows, both, strict=True)]
    return [(prompt, a, b) for prompt, a, b in found if len(prompt) + max(len(a), len(b)) <= CHARACTERS]


def rewards_by_trl(settings: dict, *, tuned: bool) -> dict:
    """Train with TRL on conversations, as its documentation has it."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    user = [[{"role": "user", "content": prompt}] for prompt, *_ in settings["pairs"]]
    said = [[[{"role": "assistant", "content": text}] for text in both] for _, *both in settings["pairs"]]
    rows = [{"prompt": p, "chosen": c, "rejected": r} for p, (c, r) in zip(user, said, strict=True)]
    # Without a word on the CPU, its default of bfloat16 is refused there.
    own = {**trainer_settings(), "use_cpu": True}
    if tuned:
        own |= {**HALVES, "gradient_checkpointing": False, "bf16": False, "model_init_kwargs": {"dtype": "bfloat16"}}
    timed = clock()
    trainer = RewardTrainer(
        model=settings["model"],
        args=RewardConfig(output_dir=settings["folder"], max_length=LENGTH, **own),
        train_dataset=Dataset.from_list(rows),
        peft_config=lora(),
        callbacks=[timed],
    )
    trainer.train()
    return timed.measured()


def trainer_settings() -> dict:
    """Return what every trainer is told."""
    return {
        "per_device_train_batch_size": STEP,
        "num_train_epochs": 1,
        "learning_rate": 2e-4,
        "save_strategy": "no",
        "report_to": [],
        "logging_steps": 1,
        "disable_tqdm": True,
        "seed": 0,
        "train_sampling_strategy": "sequential",
    }


def lora():
    from peft import LoraConfig

    return LoraConfig(task_type="SEQ_CLS", r=16, lora_alpha=32, target_modules="all-linear", modules_to_save=["score"])


def clock():
    """Return a callback that keeps when each step of a trainer ended, and its loss."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self):
            self.ends, self.losses = [], []

        def on_step_end(self, *_, **__):
            self.ends.append(time.perf_counter())

        def on_log(self, _args, _state, _control, logs=None, **__):
            if "loss" in logs:
                self.losses.append(logs["loss"])

        def measured(self) -> dict:
            # The first step also pays for threads, memory and the optimiser's state.
            seconds = self.ends[-1] - self.ends[0]
            return {"pairs_a_second": STEP * (len(self.ends) - 1) / seconds, "losses": self.losses}

    return Clock()


def examples_of(settings: dict) -> list:
    """Return the pairs as rewardkit takes them."""
    from rewardkit.types import Message, PreferenceExample, SoftPreference

    found = []
    for number, (prompt, better, worse) in enumerate(settings["pairs"]):
        fields = {"p_a": 1.0, "sample_weight": 1.0, "method": "benchmark", "split": "train", "unit": str(number)}
        preference = SoftPreference(comparison_id=str(number), **fields)
        messages = (Message(role="user", content=prompt),)
        found.append(PreferenceExample(preference=preference, prompt=messages, response_a=better, response_b=worse))
    return found


def rewards_by_rewardkit(settings: dict, *, train_layers: int | None) -> dict:
    """Train with rewardkit's own trainer; of its last layers three epochs, which is what keeping states is for."""
    from rewardkit.config import TrainConfig
    from rewardkit.reward_model import folder

    config = TrainConfig(model=MODEL, dtype="auto", max_length=LENGTH, train_layers=train_layers)
    model, timed = folder.create(config, seed=0), clock()
    our_trainer(settings, model, timed, epochs=3 if train_layers else 1).train()
    return timed.measured()


def our_trainer(settings: dict, model, timed, *, epochs: int):
    """Return rewardkit's trainer, with the steps of the others."""
    from transformers import TrainingArguments

    from rewardkit.reward_model.collation import GroupCollator, encode_examples
    from rewardkit.reward_model.losses import loss_of
    from rewardkit.reward_model.objective import Objective
    from rewardkit.reward_model.training import PreferenceTrainer

    # Gradients are clipped by our own trainer, as much as the others' are.
    told = {**trainer_settings(), "num_train_epochs": epochs, "remove_unused_columns": False, "max_grad_norm": 0.0}
    return in_order(PreferenceTrainer)(
        model=model.network,
        args=TrainingArguments(output_dir=settings["folder"], **told),
        train_dataset=encode_examples(examples_of(settings), model.renderer).items,
        data_collator=GroupCollator(model.network.tokens),
        loss=Objective(loss_of("bradley_terry", {})),
        max_grad_norm=1.0,
        callbacks=[timed],
    )


def in_order(kind):
    """Return a trainer that takes the comparisons of a step as they stand in the data."""
    from torch.utils.data import SequentialSampler

    class InOrder(kind):
        def _get_train_sampler(self, train_dataset=None):
            return SequentialSampler(train_dataset or self.train_dataset)

    return InOrder


def curves(settings: dict) -> dict:
    """Train both in float32 from the same adapters on the same ids, and return their losses."""
    import torch
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    from rewardkit.config import TrainConfig
    from rewardkit.reward_model import folder

    model, ours = folder.create(TrainConfig(model=MODEL, dtype="float32", max_length=LENGTH), seed=0), clock()
    mine = our_trainer(settings, model, ours, epochs=1)
    items = mine.train_dataset
    theirs = clock()
    trainer = RewardTrainer(
        model=settings["model"],
        args=RewardConfig(
            output_dir=settings["folder"],
            max_length=LENGTH,
            bf16=False,
            gradient_checkpointing=False,
            # Its own choice ends turns too, and lets it read rewards one token too early.
            pad_token=model.tokenizer.pad_token,
            **{**trainer_settings(), **HALVES},
        ),
        train_dataset=Dataset.from_list([{"chosen_ids": i.ids_a, "rejected_ids": i.ids_b} for i in items]),
        peft_config=lora(),
        callbacks=[theirs],
    )
    own = {name: each for name, each in model.network.model.named_parameters() if each.requires_grad}
    with torch.no_grad():
        for name, each in trainer.model.named_parameters():
            if each.requires_grad:
                each.copy_(own.pop(name))
    assert not own, own
    mine.train()
    trainer.train()
    apart = max(abs(a - b) for a, b in zip(ours.losses, theirs.losses, strict=True))
    return {"apart": apart, "rewardkit": ours.losses, "trl": theirs.losses}


def score(settings: dict, way: str) -> dict:
    """Score texts in one way; loading is not counted."""
    import torch

    from rewardkit.config import TrainConfig
    from rewardkit.reward_model import folder
    from rewardkit.reward_model.scoring import reward
    from rewardkit.types import Message

    model = folder.create(TrainConfig(model=MODEL, dtype="auto", max_length=LENGTH), seed=0)
    texts = [((Message(role="user", content=prompt),), text) for prompt, *both in settings["pairs"] for text in both]
    if way == "rewardkit":
        reward(model, texts[:8])
        started = time.perf_counter()
        values = reward(model, texts).values.tolist()
        return {"texts_a_second": len(texts) / (time.perf_counter() - started), "rewards": values}
    plain = model.network.model.merge_and_unload().eval()
    # Plain models have a head of the base's dtype.
    plain.score.to(plain.dtype)._forward_pre_hooks.clear()
    if way == "pipeline":
        return _by_pipeline(plain, model, texts)
    return _by_sorted_batches(torch, plain, model, texts)


def _by_pipeline(plain, model, texts) -> dict:
    from transformers import pipeline

    asked = [
        model.tokenizer.apply_chat_template(
            [*(m.model_dump(include={"role", "content"}) for m in prompt), {"role": "assistant", "content": text}],
            tokenize=False,
        ).rstrip()
        for prompt, text in texts
    ]
    scorer = pipeline("text-classification", model=plain, tokenizer=model.tokenizer, batch_size=16)
    how = {"function_to_apply": "none", "truncation": True, "max_length": LENGTH}
    scorer(asked[:8], **how)
    started = time.perf_counter()
    values = [each["score"] for each in scorer(asked, **how)]
    return {"texts_a_second": len(texts) / (time.perf_counter() - started), "rewards": values}


def _by_sorted_batches(torch, plain, model, texts) -> dict:
    pad = model.tokenizer.pad_token_id

    @torch.inference_mode()
    def run(chosen):
        ids = [model.renderer.render(prompt, text).ids for prompt, text in chosen]
        order, values = sorted(range(len(ids)), key=lambda i: len(ids[i])), [0.0] * len(ids)
        for start in range(0, len(order), 16):
            batch = order[start : start + 16]
            width = max(len(ids[i]) for i in batch)
            rows = torch.tensor([ids[i] + [pad] * (width - len(ids[i])) for i in batch])
            mask = torch.tensor([[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in batch])
            for i, value in zip(batch, plain(input_ids=rows, attention_mask=mask).logits[:, 0].tolist(), strict=True):
                values[i] = value
        return values

    run(texts[:8])
    started = time.perf_counter()
    values = run(texts)
    return {"texts_a_second": len(texts) / (time.perf_counter() - started), "rewards": values}


def child(part: str, way: str, file: str) -> None:
    """Measure one way in this process, and write what was found."""
    import torch

    settings = json.loads(Path(file).read_text(encoding="utf-8"))
    torch.set_num_threads(settings["threads"])
    if way in ("rewardkit", UPPER) and part != "scoring":
        found = rewards_by_rewardkit(settings, train_layers=LAST if way == UPPER else None)
    elif part in ("curve", "scoring"):
        found = curves(settings) if part == "curve" else score(settings, way)
    else:
        found = rewards_by_trl(settings, tuned=way == "trl, tuned")
    Path(file).write_text(json.dumps(found), encoding="utf-8")


def measure(options: argparse.Namespace, part: str, way: str) -> dict:
    """Measure one way in a process of its own."""
    from rewardkit.models import resolve

    if part == "scoring":
        half = options.texts // 4
        pairs = [*read_pairs(options.data, "dialogue")[:half], *read_pairs(options.data, "fiction")[:half]]
        random.Random(0).shuffle(pairs)
    else:
        pairs = read_pairs(options.data, "dialogue" if part == "curve" else part)
        # Float32 takes twice the memory.
        pairs = [each for each in pairs if part != "curve" or sum(map(len, each)) <= CHARACTERS // 2]
        pairs = pairs[: options.pairs + STEP]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.json"
        model = str(resolve(MODEL).path)
        file.write_text(json.dumps({"model": model, "folder": folder, "threads": options.threads, "pairs": pairs}))
        command = [sys.executable, __file__, "--child", part, way, str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        return json.loads(file.read_text(encoding="utf-8"))


def main() -> None:
    options = arguments()
    if options.child:
        child(*options.child)
        return
    from rewardkit.runs import write_json

    found, reached = json.loads(options.out.read_text()) if options.out.exists() else {}, True
    for part in options.parts:
        if part == "curve":
            found[part] = measure(options, part, "both")
            print(f"curve: losses of {len(found[part]['trl'])} steps at most {found[part]['apart']:.1e} apart")
            reached &= found[part]["apart"] <= CURVE
            write_json(options.out, found)
            continue
        ways = [way for way in WAYS[part] if way in (options.ways or [way])]
        unit = "texts_a_second" if part == "scoring" else "pairs_a_second"
        runs: dict[str, list[dict]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way in ways:
                runs[way].append(measure(options, part, way))
                print(f"{part}: {way}: {runs[way][-1][unit]:.3f} {unit.replace('_', ' ')}", flush=True)
        speed = {way: median(run[unit] for run in each) for way, each in runs.items()}
        rewards = {way: each[0].pop("rewards") for way, each in runs.items() if part == "scoring"}
        found[part] = {way: {unit: speed[way], "runs": runs[way]} for way in ways}
        if len(rewards) == len(WAYS["scoring"]):
            apart = max(abs(a - b) for a, b in zip(rewards["rewardkit"], rewards["sorted"], strict=True))
            print(f"scoring: rewards at most {apart:.2g} from the padded ones in bfloat16")
            found[part]["apart"] = apart
        for (where, ours, peer), target in TARGETS.items():
            if where == part and {ours, peer} <= speed.keys():
                ratio = speed[ours] / speed[peer]
                verdict = "reached" if ratio >= target else "missed"
                print(f"{part}: {ours}: {ratio:.2f} times {peer}: {verdict} ({target})")
                reached &= ratio >= target
        found |= {"command": " ".join(["python", *sys.argv]), "machine": machine(threads=options.threads)}
        write_json(options.out, found)
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
