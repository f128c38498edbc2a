"""Replies in words from a local model, in batches.

A reply is the most probable one token by token, or drawn where the request has a seed. A drawn reply is the same in
any company, but for what rounding in a batch does to logits: each row has random numbers of its own, and its next token
is the largest of logits / temperature + Gumbel noise, which is a draw from their softmax (Gumbel 1954; Maddison et al.
2014, A* sampling, arXiv:1411.0030, section 2).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rewardkit.attending import turns
from rewardkit.batching import token_budget_batches
from rewardkit.errors import ModelError
from rewardkit.judge.contract import Completion, Request

PLAIN = {"do_sample": False, "num_beams": 1, "temperature": 1.0, "top_p": 1.0, "top_k": 50, "repetition_penalty": 1.0}
"""How transformers is to choose tokens, whatever a model's own settings say: as the logits are, no more."""


class Replier:
    """Writes replies with a causal language model.

    Args:
        model: A transformers causal language model in evaluation mode.
        tokenizer: Its tokenizer.
        batch_tokens: Tokens of a batch, replies and padding included.
        context: Tokens that the model can attend to.

    Raises:
        ModelError: No token ends a reply.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_tokens: int, context: int) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._batch_tokens, self._context = batch_tokens, context
        self._ends, self._turns = _ends(model, tokenizer), turns(model)

    def reply(
        self, requests: Sequence[Request], sequences: Sequence[Sequence[int]]
    ) -> Iterator[tuple[int, Completion]]:
        """Answer requests in words, batch by batch, and yield the answers with the requests' places.

        Args:
            requests: Requests without labels.
            sequences: Token ids of each.
        """
        wholes = [len(ids) + request.reply_tokens for request, ids in zip(requests, sequences, strict=True)]
        for i, whole in enumerate(wholes):
            if whole > self._context:
                yield i, Completion(tokens=len(sequences[i]), failure=self._too_long(requests[i]))
        for chosen in self._batches([len(ids) for ids in sequences], wholes):
            asked, ids = [requests[i] for i in chosen], [sequences[i] for i in chosen]
            started = time.perf_counter()
            written = self._written(asked, ids)
            seconds = (time.perf_counter() - started) / len(chosen)
            for i, request, new in zip(chosen, asked, written, strict=True):
                yield i, self._completion(request, len(sequences[i]), new, seconds)

    def _batches(self, lengths: Sequence[int], wholes: Sequence[int]) -> Iterator[list[int]]:
        """Group the requests that the model can attend to.

        Args:
            lengths: `(requests,)` tokens of each.
            wholes: The same with the longest reply.

        Yields:
            Places of requests.
        """
        fits = [i for i, whole in enumerate(wholes) if whole <= self._context]
        # Where a reply comes to a turn of all angles, its company would turn with it.
        turning = {i for i in fits if bisect_left(self._turns, lengths[i]) != bisect_left(self._turns, wholes[i])}
        others = [i for i in fits if i not in turning]
        groups = token_budget_batches([wholes[i] for i in others], self._batch_tokens, self._turns)
        yield from ([others[place] for place in group] for group in groups)
        yield from ([i] for i in fits if i in turning)

    def _too_long(self, request: Request) -> str:
        return f"the request and a reply of {request.reply_tokens} tokens are longer than the model's {self._context}"

    def _written(self, requests: Sequence[Request], sequences: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the new tokens of each row of one batch, as far as they were allowed or the model ended them."""
        import torch
        from transformers import GenerationConfig, StoppingCriteriaList

        width, pad = max(map(len, sequences)), min(self._ends)
        # Padding stands on the left, so that all rows write at the same place.
        ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in sequences])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in sequences])
        limits = [request.reply_tokens for request in requests]
        config = GenerationConfig(
            **PLAIN, max_new_tokens=max(limits), eos_token_id=sorted(self._ends), pad_token_id=pad
        )
        with torch.inference_mode(), _without_wishes(self._model):
            whole = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                generation_config=config,
                logits_processor=[_Drawing(requests)],
                stopping_criteria=StoppingCriteriaList([_Limits(width, limits)]),
            )
        new = whole[:, width:].tolist()
        return [row[:limit] for row, limit in zip(new, limits, strict=True)]

    def _completion(self, request: Request, tokens: int, new: list[int], seconds: float) -> Completion:
        end = next((at for at, token in enumerate(new) if token in self._ends), None)
        counted = Completion(tokens=tokens, reply_tokens=len(new) if end is None else end, seconds=seconds)
        if end is None and not request.cut:
            return replace(counted, failure=f"the reply was cut off at {request.reply_tokens} tokens")
        text = self._tokenizer.decode(new[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return replace(counted, reply=text, was_cut=end is None)


class _Drawing:
    """Adds noise to the logits of the rows that are drawn; transformers calls it a logits processor.

    Args:
        requests: One for each row.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        import torch

        self._rows = {
            row: (
                torch.Generator().manual_seed(request.seed),
                1.0 if request.temperature is None else request.temperature,
                request.top_p,
            )
            for row, request in enumerate(requests)
            if request.seed is not None and request.temperature != 0.0
        }

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return logits of which the largest is the draw, `(rows, vocabulary)`."""
        import torch

        scores = scores.float()
        for row, (generator, temperature, top_p) in self._rows.items():
            # Minus the logarithm of an exponential variate is Gumbel noise.
            waits = torch.empty(scores.shape[-1]).exponential_(generator=generator).clamp_(min=1e-30)
            logits = _nucleus(scores[row] / temperature, top_p)
            scores[row] = logits - waits.log().to(scores.device)
        return scores


def _nucleus(logits: Any, top_p: float | None) -> Any:
    """Rule out all but the fewest most probable tokens that have `top_p` together (Holtzman et al. 2020, section 3.1).

    Args:
        logits: `(vocabulary,)`.
        top_p: Probability; None rules out nothing.
    """
    if top_p is None or top_p >= 1.0:
        return logits
    shares, tokens = logits.softmax(-1).sort(descending=True)
    # The token that crosses the line belongs to them, so there is always one.
    outside = tokens[shares.cumsum(-1) - shares >= top_p]
    return logits.index_fill(0, outside, float("-inf"))


class _Limits:
    """Ends each row at its own limit; transformers calls it a stopping criterion.

    Args:
        start: Where replies begin.
        limits: Longest reply of each row, in tokens.
    """

    def __init__(self, start: int, limits: Sequence[int]) -> None:
        self._start, self._limits = start, limits

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Return which rows are at their end, `(rows,)`."""
        import torch

        written = input_ids.shape[1] - self._start
        return torch.tensor([written >= limit for limit in self._limits], device=input_ids.device)


@contextmanager
def _without_wishes(model: Any) -> Iterator[None]:
    """Take away a model's own settings: transformers takes from them whatever else is not set."""
    from transformers import GenerationConfig

    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end a reply: the tokenizer's, and those that the model names."""
    named = model.generation_config.eos_token_id
    ends = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id} - {None}
    if not ends:
        raise ModelError("no token ends a reply", where=str(model.name_or_path), expected="a model that chats")
    return frozenset(ends)
