"""Throughput of the reward server against the same model offline, on real texts: texts a second, and waiting times.

    python benchmarks/serving_throughput.py [--texts 512] [--clients 64] [--rounds 3]

A real server (`rewardkit serve`, SmolLM2-135M in bfloat16 where the machine computes in it) and clients in a process
beside it on the same machine, each of which asks about one prompt's responses, waits for their rewards, and goes on.

offline   RewardModel.score on all texts at once, in a process of its own; loading is not counted
server    64 clients at POST /v1/rewards: texts a second, 50th and 99th percentile of the time to an answer, and how
          many requests were refused (429) and asked again after the seconds that the server named
full      the same with a quarter of the tokens that 64 clients ask for at a time: what back-pressure costs

Texts are dialogue replies (hhh_alignment, two to a prompt) and paragraphs of fiction (lamp_quality, one at a time) from
../shared/data (or --data), each asked about once in a fixed random order. The ways are measured in turns, and the
median of the rounds counts. Prints what was measured, exits 1 if the server reaches less than .85 of offline or a
reward differs by more than .1 (in bfloat16 it depends a little on what it is read with), and writes
benchmarks/results/serving_throughput.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import httpx
from machine import machine

os.environ.setdefault("HF_HUB_OFFLINE", "1")

RESULTS = Path(__file__).parent / "results" / "serving_throughput.json"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MODEL = "smollm2-135m"
LENGTH = 1024
TARGET, APART = 0.85, 0.1
CHARACTERS_A_TOKEN = 4
Asked = list[tuple[str, list[str]]]
"""Prompts, each with its responses."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="of each way, in turns")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--offline", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def read_texts(folder: Path, count: int) -> Asked:
    """Return prompts with their responses, half of the texts from either set, in a fixed random order."""
    dialogue, fiction = (
        [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        for name in ("hhh_alignment.jsonl", "lamp_quality.jsonl")
    )
    draws = random.Random(0)
    draws.shuffle(dialogue)
    draws.shuffle(fiction)
    found = [(row["prompt"], [row["response_a"], row["response_b"]]) for row in dialogue[: count // 4]]
    found += [("", [row["response"]]) for row in fiction[: count // 2]]
    draws.shuffle(found)
    return found


def make(folder: Path) -> None:
    """Write a fresh reward model."""
    from rewardkit.config import TrainConfig
    from rewardkit.reward_model import folder as folders

    folders.save(folders.create(TrainConfig(model=MODEL, dtype="auto", max_length=LENGTH), seed=0), folder)


def score(model: str, texts: str, out: str) -> None:
    """Score texts offline in this process, and write what was found."""
    from rewardkit.scorer import RewardModel

    loaded = RewardModel.load(model)
    asked = json.loads(Path(texts).read_text())
    prompts, responses = zip(*((prompt, each) for prompt, both in asked for each in both), strict=True)
    loaded.score(prompts[:8], responses[:8])
    started = time.perf_counter()
    values = loaded.score(prompts, responses).values.tolist()
    found = {"texts_a_second": len(values) / (time.perf_counter() - started), "rewards": values}
    Path(out).write_text(json.dumps(found))


def offline(options: argparse.Namespace, model: Path, texts: Asked) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        asked, out = Path(folder) / "texts.json", Path(folder) / "out.json"
        asked.write_text(json.dumps(texts))
        command = [sys.executable, __file__, "--offline", str(model), str(asked), str(out)]
        subprocess.run(command, check=True, env=environment(options))
        return json.loads(out.read_text())


def served(options: argparse.Namespace, model: Path, texts: Asked, *words: str) -> dict:
    """Start a server, ask it for all texts, and tell it to end."""
    command = [sys.executable, "-m", "rewardkit", "serve", str(model), "--port", "0", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(options))
    try:
        address = next(found[1] for line in process.stderr if (found := re.search(r" at (http://\S+)", line)))
        found = asyncio.run(ask_all(address, texts, options.clients))
    finally:
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.wait() == 0
    return found


def environment(options: argparse.Namespace) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(options.threads), "REWARDKIT_API_KEY": ""}


async def ask_all(address: str, texts: Asked, clients: int) -> dict:
    """Let clients ask for one text after the other until all are answered."""
    left = list(enumerate(texts))[::-1]
    rewards, seconds, refused = [[0.0]] * len(texts), [], 0

    async def visit(http: httpx.AsyncClient) -> None:
        nonlocal refused
        while left:
            place, asked = left.pop()
            started = time.perf_counter()
            while (answer := await ask(http, *asked)).status_code == 429:
                refused += 1
                await asyncio.sleep(float(answer.headers["retry-after"]))
            seconds.append(time.perf_counter() - started)
            rewards[place] = answer.raise_for_status().json()["rewards"]

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=600, trust_env=False, limits=limits) as http:
        await asyncio.gather(*(ask(http, *texts[place % len(texts)]) for place in range(8)))
        started = time.perf_counter()
        await asyncio.gather(*(visit(http) for _ in range(clients)))
        taken = time.perf_counter() - started
    cuts, found = quantiles(seconds, n=100, method="inclusive"), [reward for each in rewards for reward in each]
    waited = {"p50_s": cuts[49], "p99_s": cuts[98], "refused": refused, "requests": len(texts)}
    return {"texts_a_second": len(found) / taken, **waited, "rewards": found}


async def ask(http: httpx.AsyncClient, prompt: str, responses: list[str]) -> httpx.Response:
    return await http.post("/v1/rewards", json={"prompt": prompt, "responses": responses})


def told(way: str, found: dict) -> str:
    line = f"{way}: {found['texts_a_second']:.2f} texts a second"
    if "refused" in found:
        line += f"; p50 {found['p50_s']:.2f} s, p99 {found['p99_s']:.2f} s"
        line += f"; {found['requests']} requests, refused {found['refused']} times"
    return line


def main() -> None:
    options = arguments()
    if options.offline:
        score(*options.offline)
        return
    from rewardkit.runs import write_json

    texts = read_texts(options.data, options.texts)
    usual = sum(len(prompt) + len(text) for prompt, both in texts for text in both) / len(texts) / CHARACTERS_A_TOKEN
    few = str(int(options.clients * usual / 4))
    runs: dict[str, list[dict]] = {"offline": [], "server": [], "full": []}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        make(model)
        for _ in range(options.rounds):
            for way, each in runs.items():
                words = ("--max-waiting-tokens", few) if way == "full" else ()
                each.append(
                    offline(options, model, texts) if way == "offline" else served(options, model, texts, *words)
                )
                print(told(way, each[-1]), flush=True)
    apart = max(abs(a - b) for a, b in zip(runs["offline"][0]["rewards"], runs["server"][0]["rewards"], strict=True))
    speed = {way: median(run["texts_a_second"] for run in each) for way, each in runs.items()}
    ratio = speed["server"] / speed["offline"]
    reached = ratio >= TARGET and apart <= APART
    verdict = "reached" if reached else "missed"
    print(f"{options.clients} clients: {ratio:.2f} of offline (n = {options.texts}): {verdict} ({TARGET})")
    print(f"rewards at most {apart:.2g} from those offline")
    for run in (run for each in runs.values() for run in each):
        del run["rewards"]
    told_of = {"texts": options.texts, "clients": options.clients, "ratio": ratio, "apart": apart, "runs": runs}
    command = " ".join(["python", *sys.argv])
    write_json(options.out, {**told_of, "command": command, "machine": machine(threads=options.threads)})
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
