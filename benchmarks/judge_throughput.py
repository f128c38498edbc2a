"""Speed of the judge's backends against peers: pairs a second in both orders, on real texts, and requests a second.

    python benchmarks/judge_throughput.py [--parts local exact http] [--pairs 64] [--peers /path/to/venv]

local   SmolLM2-135M on a CPU, same weights, dtype, threads and pairs, each way in a process of its own, loading not
        counted: rewardkit with and without sharing, three times in turns; inspect_ai's hf provider (batches of 32,
        one token, its 20 most probable); distilabel's TransformersLLM with UltraFeedback, which writes words. Two sets
        of pairs: pandalm (short answers) and paragraphs of fiction of the length of lamp_quality, without a request
exact   the labels' probabilities against single forward passes without padding, in float32 and bfloat16
http    a server on loopback in a process of its own that answers after --delay seconds, 64 requests at a time:
        rewardkit's backend against a bare asyncio loop with the same client (the openai package) as its documentation
        has it, one that sends as rewardkit does, and one with httpx

Peers are not installed beside rewardkit. They need a virtualenv of their own, without which they are left out:

    python -m venv /path/to/venv
    /path/to/venv/bin/pip install torch==2.13.0 transformers==5.23.0 accelerate distilabel==1.5.3 inspect_ai==0.3.285

Needs ../shared/data (or --data). Prints a table, says whether the targets are reached (8 times distilabel, twice
inspect_ai, 1.8 times without sharing; 1e-5 in float32, and in bfloat16 no farther from float32 than a plain pass is,
by twice at most; 95 % of the bare loop), exits 1 if not, and writes benchmarks/results/judge_throughput.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from machine import machine

RESULTS = Path(__file__).parent / "results" / "judge_throughput.json"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MODEL = "smollm2-135m"
SETS = {"pandalm": "hhh", "lamp": "fiction"}
PEERS = ("inspect_ai", "distilabel")
TARGETS = {"distilabel": 8.0, "inspect_ai": 2.0, "rewardkit, no sharing": 1.8}
CONCURRENCY = 64
ROUNDS = 5


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=["local", "exact", "http"], default=["local", "exact", "http"])
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3, help="of rewardkit, with and without sharing")
    parser.add_argument("--written-pairs", type=int, default=4, help="of distilabel, which takes minutes for few")
    parser.add_argument("--exact-pairs", type=int, default=12)
    parser.add_argument("--requests", type=int, default=4000, help="to the server on loopback")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds until that server answers")
    parser.add_argument("--peers", type=Path, help="virtualenv of distilabel and inspect_ai")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


@dataclass(frozen=True)
class Texts:
    """A pair with its texts."""

    comparison: object
    prompt: object
    response_a: object
    response_b: object


def read_pairs(folder: Path, name: str) -> list[Texts]:
    """Return real pairs, in the order of their ids as a job has them."""
    from rewardkit.types import Comparison, Message, Prompt, Response

    file = {"pandalm": "pandalm.jsonl", "lamp": "lamp_quality.jsonl"}[name]
    rows = [json.loads(line) for line in (folder / file).read_text().splitlines()]
    if name == "lamp":
        texts = [row["response"] for row in random.Random(0).sample(rows, len(rows))]
        rows = [{"prompt": "", "response_a": a, "response_b": b} for a, b in zip(texts[::2], texts[1::2], strict=False)]
    found = []
    for row in rows:
        prompt = Prompt.of((Message(role="user", content=row["prompt"]),) if row["prompt"] else ())
        responses = {r.id: r for r in (Response.of(prompt.id, row[key]) for key in ("response_a", "response_b"))}
        if len(responses) == 2:
            comparison = Comparison.of(prompt.id, *responses)
            by_id = responses[comparison.response_a], responses[comparison.response_b]
            found.append(Texts(comparison, prompt, *by_id))
    return sorted(found, key=lambda texts: texts.comparison.id)


def settings_of(options, name: str, count: int) -> dict:
    """Return what every way is given: texts, and the messages that rewardkit asks."""
    from rewardkit.judge.pairwise import PairwiseV1
    from rewardkit.judge.prompting import conversation
    from rewardkit.models import resolve
    from rewardkit.rubric import load_rubric

    protocol, rubric, pairs = PairwiseV1(), load_rubric(SETS[name]), []
    for texts in read_pairs(options.data, name)[:count]:
        asked = [vars(protocol.render(texts, rubric, order)) for order in ("ab", "ba")]
        both = {"a": texts.response_a.text, "b": texts.response_b.text}
        pairs.append({"request": conversation(texts.prompt), **both, "asked": asked})
    folder = str(resolve(MODEL).path)
    return {"model": folder, "dtype": options.dtype, "threads": options.threads, "pairs": pairs}


def requests_of(settings: dict) -> list:
    from rewardkit.judge.contract import Request

    return [Request(**{**a, "labels": tuple(a["labels"])}) for pair in settings["pairs"] for a in pair["asked"]]


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def judge_here(name: str, settings: dict) -> dict:
    """Judge with the local backend in this process."""
    import torch

    from rewardkit.judge.contract import Failure
    from rewardkit.judge.local import LocalBackend
    from rewardkit.judge.pairwise import PairwiseV1

    torch.set_num_threads(settings["threads"])
    backend = LocalBackend(MODEL, dtype=settings["dtype"], share=name == "rewardkit")
    requests = requests_of(settings)
    backend.complete([type(r)("Say.", f"{n}?", r.prefill, r.labels) for n, r in enumerate(requests[:2])])
    started, cpu = time.perf_counter(), cpu_seconds()
    completions = backend.complete(requests)
    measured = {"seconds": time.perf_counter() - started, "cpu_seconds": cpu_seconds() - cpu}
    read = [not isinstance(PairwiseV1().parse(each), Failure) for each in completions]
    return {"pairs": len(settings["pairs"]), "parsable": sum(read) / len(read), **measured}


def run_local(options) -> dict:
    results = {}
    for name in SETS:
        runs: dict[str, list[dict]] = {}
        # In turns, so that what else the machine does falls on all; peers, many times as slow, have one turn.
        for turn in range(options.turns):
            for way in ("rewardkit", "rewardkit, no sharing", *(PEERS if options.peers and not turn else ())):
                count = options.written_pairs if way == "distilabel" else options.pairs
                runs.setdefault(way, []).append(in_child(options, way, settings_of(options, name, count)))
        results[name] = {way: middle(found) for way, found in runs.items()}
        for way, found in results[name].items():
            print(
                f"{name:8} {way:24} {found['pairs_per_second']:7.3f} pairs/s  "
                f"{found['cpu_seconds_per_pair']:7.2f} CPU s a pair  {found['parsable']:4.0%} parsable  "
                f"n {found['pairs']} pairs, both orders, median of {len(found['seconds'])}",
                flush=True,
            )
        ours = results[name]["rewardkit"]["pairs_per_second"]
        ratios = {way: ours / found["pairs_per_second"] for way, found in results[name].items() if way in TARGETS}
        results[name]["ratios"] = ratios
        for way, ratio in ratios.items():
            print(f"{name:8} {ratio:.2f} times {way} (target {TARGETS[way]:g})", flush=True)
    return {**results, "reached": all(r >= TARGETS[way] for s in SETS for way, r in results[s]["ratios"].items())}


def middle(runs: list[dict]) -> dict:
    """Return what one way did, with the seconds of each turn and the rates of the median one."""
    seconds, pairs = [run["seconds"] for run in runs], runs[0]["pairs"]
    return {
        "pairs": pairs,
        "parsable": runs[0]["parsable"],
        "seconds": seconds,
        "pairs_per_second": pairs / median(seconds),
        "cpu_seconds_per_pair": median(run["cpu_seconds"] for run in runs) / pairs,
    }


def in_child(options, way: str, settings: dict) -> dict:
    """Measure one way in a process of its own: nothing of one is left in the memory of another."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.json"
        file.write_text(json.dumps(settings))
        command = [sys.executable, __file__, "--child", way, str(file)]
        if way in PEERS:
            peers = Path(__file__).with_name("judge_peers.py")
            command = [str(options.peers / "bin" / "python"), str(peers), way, str(file)]
        threads = {"OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{way} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_exact(options) -> dict:
    """Compare with single passes in which the last logits are computed in float32, as they are in the backend."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rewardkit.judge.encoding import RequestEncoder
    from rewardkit.judge.label_reader import exact_logits
    from rewardkit.judge.local import LocalBackend

    torch.set_num_threads(options.threads)
    results: dict = {}
    for name in SETS:
        settings = settings_of(options, name, options.exact_pairs)
        requests = requests_of(settings)
        encoder = RequestEncoder(AutoTokenizer.from_pretrained(settings["model"]), MODEL)
        plain, ours = {}, {}
        for dtype in ("float32", "bfloat16"):
            model = AutoModelForCausalLM.from_pretrained(settings["model"], dtype=getattr(torch, dtype)).eval()
            with torch.inference_mode(), exact_logits(model):
                rows = [model(torch.tensor([encoder.encode(r)]), logits_to_keep=1).logits[0, -1] for r in requests]
            shares = [row.float().softmax(-1)[encoder.label_ids(r)] for row, r in zip(rows, requests, strict=True)]
            plain[dtype] = torch.stack(shares)
            completions = LocalBackend(MODEL, dtype=dtype).complete(requests)
            ours[dtype] = torch.tensor([[c.logprobs[label] for label in "AB"] for c in completions]).exp()
        exact = plain["float32"]
        results[name] = {
            "n": len(requests),
            **{f"{d} from plain, max": float((ours[d] - plain[d]).abs().max()) for d in plain},
            "bfloat16 from float32, mean": float((ours["bfloat16"] - exact).abs().mean()),
            "plain bfloat16 from float32, mean": float((plain["bfloat16"] - exact).abs().mean()),
            "plain bfloat16 from float32, max": float((plain["bfloat16"] - exact).abs().max()),
        }
        print(f"{name:8} " + "  ".join(f"{key} {value:.2g}" for key, value in results[name].items()), flush=True)
    reached = all(
        found["float32 from plain, max"] <= 1e-5
        and found["bfloat16 from float32, mean"] <= 2 * found["plain bfloat16 from float32, mean"]
        for found in results.values()
    )
    return {**results, "reached": reached}


async def serve(delay: float) -> None:
    """Answer every request alike; prints the port."""
    told = [{"token": t, "logprob": p, "bytes": None} for t, p in ((" A", -0.5), (" B", -1.2), (" the", -3.0))]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "A", "refusal": None},
        "logprobs": {"content": [{**told[0], "top_logprobs": told}], "refusal": None},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
    answer = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    body = json.dumps(answer).encode()
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    async def connected(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                await asyncio.sleep(delay)
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def bare(send, count: int) -> None:
    """Send with so many at a time, and nothing else."""
    numbers = iter(range(count))

    async def work():
        for _ in numbers:
            await send()

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


async def bare_openai(url: str, request, count: int, *, post: bool = False) -> None:
    """Ask as the package's documentation does, or as rewardkit does: without a look at each part of what is sent."""
    import openai

    messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
    how = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": 20}
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        if post:
            body, kind = {"model": "m", "messages": messages, **how}, openai.types.chat.ChatCompletion
            await bare(lambda: client.post("/chat/completions", cast_to=kind, body=body), count)
        else:
            await bare(lambda: client.chat.completions.create(model="m", messages=messages, **how), count)


async def bare_httpx(url: str, request, count: int) -> None:
    import httpx

    messages = [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}]
    how = {
        "model": "m",
        "messages": messages,
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 20,
    }
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=CONCURRENCY)) as client:
        await bare(lambda: client.post(f"{url}/chat/completions", json=how), count)


def run_http(options) -> dict:
    from rewardkit.judge.backends import open_backend
    from rewardkit.judge_config import JudgeConfig

    requests = requests_of(settings_of(options, "pandalm", 32))
    command = [sys.executable, __file__, "--serve", str(options.delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
            how = {"url": url, "key_variable": None, "concurrency": CONCURRENCY}
            backend = open_backend(JudgeConfig(backend="openai", model="m", server=how))
            many = [requests[n % len(requests)] for n in range(options.requests)]
            ways = {
                "bare openai": lambda: asyncio.run(bare_openai(url, requests[0], len(many))),
                "bare openai, post": lambda: asyncio.run(bare_openai(url, requests[0], len(many), post=True)),
                "rewardkit": lambda: [None for _ in backend.stream(many)],
                "bare httpx": lambda: asyncio.run(bare_httpx(url, requests[0], len(many))),
            }
            rates: dict[str, list[float]] = {name: [] for name in ways}
            # In turns, so that what else the machine does falls on all.
            for _ in range(ROUNDS):
                for name, run in ways.items():
                    started = time.perf_counter()
                    run()
                    rates[name].append(len(many) / (time.perf_counter() - started))
        finally:
            server.terminate()
    middle = {name: median(found) for name, found in rates.items()}
    share = middle["rewardkit"] / middle["bare openai"]
    for name, rate in middle.items():
        print(f"http     {name:24} {rate:7.0f} requests/s, median of {ROUNDS}")
    print(f"http     {share:.1%} of the bare loop (target 95 %)", flush=True)
    return {"requests_per_second": rates, "share": share, "reached": share >= 0.95}


def main() -> None:
    options = arguments()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return
    if options.child:
        way, file = options.child
        print(json.dumps(judge_here(way, json.loads(Path(file).read_text()))))
        return
    from rewardkit.runs import write_json

    parts = {"local": run_local, "exact": run_exact, "http": run_http}
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    for part in options.parts:
        command = " ".join(["python", *sys.argv])
        found[part] = {**parts[part](options), "command": command, "machine": machine(threads=options.threads)}
        write_json(options.out, found)
    sys.exit(0 if all(found[part]["reached"] for part in options.parts) else 1)


if __name__ == "__main__":
    main()
