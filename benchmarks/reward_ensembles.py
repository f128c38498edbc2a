"""What an ensemble of five costs beside one model: seconds to train and to score, each way in a process of its own.

    python benchmarks/reward_ensembles.py [--pairs 64] [--texts 128] [--rounds 3]

SmolLM2-135M, LoRA r = 16 on all linear layers of the last six, bfloat16 base, on pairs of real paragraphs
(lamp_quality), one epoch; the members share all other layers, which run once for all. Beside them stands one model
with adapters on every layer. Loading, and one forward pass before, are not counted.

Needs ../shared/data (or --data). Prints the ratios, says whether five cost at most three times one in training, twice
in scoring, exits 1 if not, and writes benchmarks/results/reward_ensembles.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from machine import machine
from reward_throughput import DATA, LENGTH, MODEL, read_pairs

RESULTS = Path(__file__).parent / "results" / "reward_ensembles.json"
WAYS = {
    "one": {"train_layers": 6},
    "five": {"train_layers": 6, "members": 5},
    "one, all layers": {},
}
TARGETS = {"train": 3.0, "score": 2.0}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=64, help="to train on")
    parser.add_argument("--texts", type=int, default=128, help="to score")
    parser.add_argument("--rounds", type=int, default=3, help="of each way, in turns")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def examples(options) -> list:
    from rewardkit.types import PreferenceExample, SoftPreference

    pairs = read_pairs(options.data, "fiction")[: options.pairs + 2]

    def preference(number):
        split = "validation" if number >= options.pairs else "train"
        return SoftPreference(
            comparison_id=str(number), p_a=0.8, sample_weight=1.0, method="none", split=split, unit=str(number)
        )

    return [
        PreferenceExample(preference=preference(i), prompt=(), response_a=a, response_b=b)
        for i, (_, a, b) in enumerate(pairs)
    ]


def measured(options) -> dict:
    """Train and score in one way; return seconds of both."""
    import torch

    from rewardkit.config import TrainConfig
    from rewardkit.reward_model import folder
    from rewardkit.reward_model.scoring import reward
    from rewardkit.reward_model.training import train

    torch.set_num_threads(options.threads)
    config = TrainConfig(
        model=MODEL, dtype="auto", max_length=LENGTH, batch_size=8, evaluations=1, **WAYS[options.child]
    )
    told, texts = examples(options), read_pairs(options.data, "fiction")[-options.texts :]
    with tempfile.TemporaryDirectory() as place:
        model = folder.create(config, seed=0)
        reward(model, [((), told[0].response_a)])
        started = time.perf_counter()
        train(model, told, config, folder=Path(place) / "partial", seed=0)
        trained = time.perf_counter() - started
        folder.save(model, Path(place) / "model")
        loaded = folder.load(Path(place) / "model")
    reward(loaded, [((), texts[0][1])])
    started = time.perf_counter()
    found = reward(loaded, [((), text) for _, text, _ in texts])
    return {"train": trained, "score": time.perf_counter() - started, "spread": float(found.spread.mean())}


def main() -> None:
    options = arguments()
    if options.child:
        sys.stdout.write(json.dumps(measured(options)))
        return
    from rewardkit.runs import write_json

    runs: dict[str, list[dict]] = {way: [] for way in WAYS}
    for number in range(options.rounds):
        for way in WAYS:
            ended = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--child", way], stdout=subprocess.PIPE, check=True
            )
            runs[way].append(json.loads(ended.stdout))
            print(f"{number + 1}/{options.rounds} {way}: {runs[way][-1]}", flush=True)
    seconds = {way: {what: median(run[what] for run in found) for what in TARGETS} for way, found in runs.items()}
    ratios = {what: seconds["five"][what] / seconds["one"][what] for what in TARGETS}
    beside = {what: seconds["five"][what] / seconds["one, all layers"][what] for what in TARGETS}
    for what, most in TARGETS.items():
        verdict = "reached" if ratios[what] <= most else "missed"
        print(
            f"{what}: five cost {ratios[what]:.2f} times one ({verdict}: at most {most:g}), "
            f"{beside[what]:.2f} times one that learns in all layers"
        )
    write_json(
        options.out,
        {
            "command": " ".join(["python", *sys.argv]),
            "machine": machine(threads=options.threads),
            "runs": runs,
            "ratios": ratios,
            "ratios_to_all_layers": beside,
        },
    )
    sys.exit(any(ratios[what] > most for what, most in TARGETS.items()))


if __name__ == "__main__":
    main()
