"""The `vllm` backend: a model in this process, served by vLLM, for machines with an accelerator.

Written against vLLM's documented interface (0.28: `LLM.generate`, `SamplingParams.logprob_token_ids`). The labels' own
log-probabilities are asked for, among all tokens and before anything is done to them: restricting what may be answered
(`allowed_token_ids`) would renormalise them, and the most probable tokens need not be labels. What requests begin with
is kept by vLLM's prefix cache.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from rewardkit.errors import ModelError
from rewardkit.extras import require, require_all
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge.local import LocalBackend, Reading

AT_A_TIME = 2048
"""Requests that vLLM is given together; it batches them itself."""


class VllmBackend(LocalBackend):
    """Answers as `transformers` does, from the same folders, by vLLM's engine.

    Args:
        model: Alias, folder or hub id.
        **how: As for `LocalBackend`.

    Raises:
        ModelError: There is no such model, or it has no chat template.
        MissingExtraError: vllm is not installed.
    """

    name = "vllm"
    together = AT_A_TIME

    def __init__(self, model: str, **how: Any) -> None:
        require_all("vllm")
        super().__init__(model, **how)

    def _read(self, sequences: dict[int, list[int]], labels: list[list[int]]) -> Iterator[tuple[int, Reading]]:
        """Yield what the model says after each sequence, by its key."""
        params = [self._params(max_tokens=1, **_told(labels[key])) for key in sequences]
        outputs, seconds = self._generated(list(sequences.values()), params)
        for key, output in zip(sequences, outputs, strict=True):
            told = output.outputs[0].logprobs[0]
            yield key, Reading([float(told[token].logprob) for token in labels[key]], seconds)

    def _written(
        self, requests: Sequence[Request], sequences: dict[int, list[int]]
    ) -> Iterator[tuple[int, Completion]]:
        """Yield the replies to the requests without labels, by their places."""
        room = {key: self._context - requests[key].reply_tokens for key in sequences}
        fits = {key: ids for key, ids in sequences.items() if len(ids) <= room[key]}
        yield from ((i, self._too_long(requests[i], len(ids))) for i, ids in sequences.items() if i not in fits)
        if fits:
            outputs, seconds = self._generated(list(fits.values()), [self._reply_params(requests[i]) for i in fits])
            for key, output in zip(fits, outputs, strict=True):
                yield key, _reply(requests[key], len(fits[key]), output.outputs[0], seconds)

    def _too_long(self, request: Request, tokens: int) -> Completion:
        what = f"the request and a reply of {request.reply_tokens} tokens are longer than the model's {self._context}"
        return Completion(tokens=tokens, failure=what)

    def _generated(self, sequences: list[list[int]], params: list[Any]) -> tuple[list[Any], float]:
        started = time.perf_counter()
        prompts = [{"prompt_token_ids": ids} for ids in sequences]
        outputs = self._engine.generate(prompts, params, use_tqdm=False)
        return outputs, (time.perf_counter() - started) / len(sequences)

    def _params(self, **how: Any) -> Any:
        return require("vllm", "vllm").SamplingParams(**{"temperature": 0.0, **how})

    def _reply_params(self, request: Request) -> Any:
        """Return how a reply is written: the most probable one, or drawn where the request has a seed."""
        how: dict[str, Any] = {"max_tokens": request.reply_tokens}
        if request.seed is not None:
            how |= {"seed": request.seed, "temperature": 1.0 if request.temperature is None else request.temperature}
        if request.top_p is not None:
            how["top_p"] = request.top_p
        if request.schema:
            structured = require("vllm.sampling_params", "vllm").StructuredOutputsParams(json=request.schema)
            how["structured_outputs"] = structured
        return self._params(**how)

    @cached_property
    def _engine(self) -> Any:
        vllm = require("vllm", "vllm")
        try:
            return vllm.LLM(
                model=str(self._path),
                dtype=self._dtype,
                enable_prefix_caching=True,
                # Before temperature, penalties and whatever else is done to them: the model's own.
                logprobs_mode="raw_logprobs",
                seed=0,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"vLLM cannot serve the model: {error}",
                where=self.model,
                expected="a model that vLLM knows, and an accelerator with room for it",
            ) from error


def _reply(request: Request, tokens: int, output: Any, seconds: float) -> Completion:
    counted = Completion(tokens=tokens, reply_tokens=len(output.token_ids), seconds=seconds)
    was_cut = output.finish_reason == "length"
    if was_cut and not request.cut:
        return replace(counted, failure=f"the reply was cut off at {request.reply_tokens} tokens")
    return replace(counted, reply=output.text, was_cut=was_cut)


def _told(labels: Sequence[int]) -> dict[str, Any]:
    """Return what asks for the log-probabilities of these tokens; both numbers must be the same."""
    return {"logprob_token_ids": list(labels), "logprobs": len(labels), "detokenize": False}
