"""The `transformers` backend: a model on this machine, whose answer is read from the label tokens, or written."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile
from typing import Any

from rewardkit.chat import ControlTokenError
from rewardkit.errors import ModelError
from rewardkit.extras import require
from rewardkit.hardware import best_dtype, device, dtype_of, quiet_loading
from rewardkit.judge.contract import Capability, Completion, Request
from rewardkit.judge.encoding import RequestEncoder
from rewardkit.judge.label_reader import LabelReader
from rewardkit.judge.replying import Replier
from rewardkit.judge_config import JudgeConfig
from rewardkit.models import ModelFolder, resolve


@dataclass(frozen=True)
class Reading:
    """Log-probabilities of one request's labels, and its share of the batch's seconds."""

    logprobs: list[float]
    seconds: float


class LocalBackend:
    """Answers with label probabilities, or in words, of a local causal language model.

    The tokenizer is loaded at once, the weights with the first batch, so that counting tokens is cheap.

    Args:
        model: Alias, folder, hub id or GGUF file.
        dtype: auto takes bfloat16 where there is an accelerator or the CPU computes in it, else float32.
        max_tokens: A longer request is a failed completion; it is never cut.
        batch_tokens: Tokens in one forward pass, padding included.
        share: Whether what requests begin with is run once for all; without, only for measurements.

    Raises:
        ModelError: There is no such model, or it has no chat template.
        MissingExtraError: transformers or torch is not installed.
    """

    name = "transformers"
    capabilities: frozenset[Capability] = frozenset({"labels", "replies"})
    together = 256
    """Requests that are looked at together: of 32 of pandalm's pairs 1 token in 2.4 is run, of 256 1 in 2.7."""

    def __init__(  # noqa: PLR0913 - keyword-only past the first
        self, model: str, *, dtype: str = "auto", max_tokens: int = 2048, batch_tokens: int = 4096, share: bool = True
    ) -> None:
        require("torch", "judge")
        folder = resolve(model)
        self.model, self.revision = folder.name, folder.revision
        self._path, self._batch_tokens, self._share = folder.path, batch_tokens, share
        self._dtype = dtype if dtype != "auto" else best_dtype()
        self._tokenizer, model_config = _described(folder)
        self._encoder = RequestEncoder(self._tokenizer, model)
        self._context = _context(model_config)
        self._max_tokens = min(max_tokens, self._context)
        self.settings = {"dtype": self._dtype, "max_tokens": self._max_tokens}
        self._reader: LabelReader | None = None

    @classmethod
    def open(cls, config: JudgeConfig) -> LocalBackend:
        """Build the backend that a config names."""
        return cls(config.model, dtype=config.dtype, max_tokens=config.max_tokens, batch_tokens=config.batch_tokens)

    def count_tokens(self, request: Request) -> int:
        """Return how many tokens a request has (0 for one that cannot be encoded)."""
        try:
            return len(self._encoder.encode(request))
        except ControlTokenError:
            return 0

    def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer each request.

        Raises:
            ModelError: A label is not one token in its place, or the weights cannot be loaded.
        """
        found = dict(self._answers(requests))
        return [found[place] for place in range(len(requests))]

    def stream(self, requests: Iterable[Request | None]) -> Generator[tuple[int, Completion], None, None]:
        """Answer requests as the answers come, each with the request's number; see `Streaming`.

        Many are looked at together, for what they share, and answered pass by pass.

        Raises:
            ModelError: A label is not one token in its place, or the weights cannot be loaded.
        """
        coming, asked = iter(requests), 0
        while chunk := list(takewhile(lambda each: each is not None, islice(coming, self.together))):
            for place, completion in self._answers([each for each in chunk if each is not None]):
                yield asked + place, completion
            asked += len(chunk)

    def _answers(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """Yield answers as they come, by the requests' places."""
        labels = [self._encoder.label_ids(request) for request in requests]
        answers = [self._encode(request) for request in requests]
        encoded = {i: ids for i, ids in enumerate(answers) if not isinstance(ids, Completion)}
        yield from ((i, answer) for i, answer in enumerate(answers) if isinstance(answer, Completion))
        sequences = {i: ids for i, ids in encoded.items() if labels[i]}
        for i, read in self._read(sequences, labels) if sequences else ():
            yield i, _completion(requests[i], len(sequences[i]), read)
        yield from self._written(requests, {i: ids for i, ids in encoded.items() if not labels[i]})

    def _read(self, sequences: dict[int, list[int]], labels: list[list[int]]) -> Iterator[tuple[int, Reading]]:
        """Yield what the model says after each sequence, by its key."""
        keys, reader = list(sequences), self._loaded()
        for batch in reader.batches(list(sequences.values()), self._batch_tokens):
            chosen = [keys[position] for position in batch]
            started = time.perf_counter()
            logprobs = reader.read([sequences[key] for key in chosen], [labels[key] for key in chosen])
            seconds = (time.perf_counter() - started) / len(chosen)
            yield from ((key, Reading(values, seconds)) for key, values in zip(chosen, logprobs, strict=True))

    def _written(
        self, requests: Sequence[Request], sequences: dict[int, list[int]]
    ) -> Iterator[tuple[int, Completion]]:
        """Yield the replies to the requests without labels as they are written, by their places."""
        if not sequences:
            return
        places = list(sequences)
        replier = Replier(self._weights, self._tokenizer, batch_tokens=self._batch_tokens, context=self._context)
        for at, reply in replier.reply([requests[i] for i in places], list(sequences.values())):
            yield places[at], reply

    def _encode(self, request: Request) -> list[int] | Completion:
        try:
            ids = self._encoder.encode(request)
        except ControlTokenError as error:
            return Completion(failure=str(error))
        if len(ids) > self._max_tokens:
            return Completion(tokens=len(ids), failure=f"the request is longer than max_tokens ({self._max_tokens})")
        return ids

    def _loaded(self) -> LabelReader:
        if self._reader is None:
            self._reader = LabelReader(self._weights, share=self._share)
        return self._reader

    @cached_property
    def _weights(self) -> Any:
        transformers, safetensors = require("transformers", "judge"), require("safetensors", "judge")
        try:
            with quiet_loading():
                model = transformers.AutoModelForCausalLM.from_pretrained(self._path, dtype=dtype_of(self._dtype))
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise ModelError(
                f"the weights cannot be loaded: {error}", where=self.model, expected="a causal language model"
            ) from error
        return model.to(device()).eval()


def _completion(request: Request, tokens: int, reading: Reading) -> Completion:
    by_label = dict(zip(request.labels, reading.logprobs, strict=True))
    return Completion(by_label, tokens=tokens, seconds=reading.seconds)


def _described(folder: ModelFolder) -> tuple[Any, Any]:
    """Return the tokenizer and the model's config."""
    transformers = require("transformers", "judge")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder.path)
        return tokenizer, transformers.AutoConfig.from_pretrained(folder.path)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the tokenizer or config cannot be loaded: {error}",
            where=folder.name,
            expected="a folder that transformers loads",
        ) from error


def _context(config: Any) -> int:
    """Return how many tokens the model can attend to."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return int(getattr(text, "max_position_embeddings", None) or 2**31)
