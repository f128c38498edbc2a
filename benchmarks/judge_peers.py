"""The peers of judge_throughput.py: one of them judges pairs in the virtualenv that it is installed in.

    PYTHON benchmarks/judge_peers.py distilabel|inspect_ai SETTINGS.json

Run by judge_throughput.py. SETTINGS name the model's folder, dtype, threads, and the pairs with their texts and the
messages that rewardkit asks in both orders. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path

LABELS = ("A", "B")
AT_A_TIME = 32
"""The batch of inspect_ai's hf provider, its default."""


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def distilabel(settings):
    """UltraFeedback's overall rating of both responses, in both orders, in words, with distilabel's own defaults."""
    from distilabel.models import TransformersLLM
    from distilabel.steps.tasks import UltraFeedback

    llm = TransformersLLM(model=settings["model"], torch_dtype=settings["dtype"], device="cpu")
    task = UltraFeedback(llm=llm, aspect="overall-rating")
    task.load()

    def judge(pairs):
        rows = [
            {"instruction": pair["request"], "generations": texts}
            for pair in pairs
            for texts in ([pair["a"], pair["b"]], [pair["b"], pair["a"]])
        ]
        answers = next(task.process(rows))
        return [
            len(found) == 2 and all(r is not None for r in found) for found in (a["ratings"] or [] for a in answers)
        ]

    return judge


def inspect_ai(settings):
    """The messages that rewardkit asks, one token of the answer, its label among the 20 most probable."""
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model

    config = GenerateConfig(max_tokens=1, logprobs=True, top_logprobs=20, max_connections=AT_A_TIME)
    model = get_model("hf/judge", model_path=settings["model"], device="cpu", do_sample=False, dtype=settings["dtype"])

    async def ask(asked):
        messages = [ChatMessageSystem(content=asked["system"]), ChatMessageUser(content=asked["user"])]
        answer = await model.generate(messages, config=config)
        told = {top.token.strip(" Ġ▁") for top in answer.choices[0].logprobs.content[0].top_logprobs}
        return set(LABELS) <= told

    async def ask_all(asked):
        return await asyncio.gather(*map(ask, asked))

    return lambda pairs: asyncio.run(ask_all([asked for pair in pairs for asked in pair["asked"]]))


def main() -> None:
    name, settings = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.disable(logging.WARNING)
    import torch

    torch.set_num_threads(settings["threads"])
    judge = {"distilabel": distilabel, "inspect_ai": inspect_ai}[name](settings)
    started, cpu = time.perf_counter(), cpu_seconds()
    parsable = judge(settings["pairs"])
    measured = {"seconds": time.perf_counter() - started, "cpu_seconds": cpu_seconds() - cpu}
    print(json.dumps({"pairs": len(settings["pairs"]), "parsable": sum(parsable) / len(parsable), **measured}))


if __name__ == "__main__":
    main()
