"""Replies of a local chat model: sampled in one batch, handed on while they are written."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rewardkit.chat import ChatTemplate, ControlTokenError
from rewardkit.errors import ModelError
from rewardkit.extras import require
from rewardkit.hardware import best_dtype, device, dtype_of, quiet_loading
from rewardkit.judge.contract import Completion, Request
from rewardkit.judge.encoding import RequestEncoder
from rewardkit.judge.label_reader import LabelReader
from rewardkit.models import resolve

HALF = "\N{REPLACEMENT CHARACTER}"
Line = dict[str, Any]


@dataclass
class Texts:
    """The replies of a batch as they are written; transformers calls it a streamer.

    Attributes:
        tokenizer: Of the model.
        ends: Tokens that end a reply.
        samples: How many there are.
        lines: Receives pieces of text, and None at the end.
    """

    tokenizer: Any
    ends: frozenset[int]
    samples: int
    lines: queue.SimpleQueue[Line | None]
    _ids: list[list[int]] = field(init=False)
    _said: list[int] = field(init=False)
    _begun: bool = False

    def __post_init__(self) -> None:
        self._ids, self._said = [[] for _ in range(self.samples)], [0] * self.samples
        self._ended = [False] * self.samples

    def put(self, value: Any) -> None:
        """Take the next token of each reply; what comes first is the conversation."""
        if self._begun:
            for sample, token in enumerate(value.reshape(-1).tolist()):
                self._take(sample, token)
        self._begun = True

    def end(self) -> None:
        """Hand on what was held back."""
        for sample in range(self.samples):
            self._say(sample, last=True)

    def _take(self, sample: int, token: int) -> None:
        self._ended[sample] = self._ended[sample] or token in self.ends
        if not self._ended[sample]:
            self._ids[sample].append(token)
            self._say(sample, last=False)

    def _say(self, sample: int, *, last: bool) -> None:
        text = self.tokenizer.decode(self._ids[sample], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        # A character may be made of several tokens.
        if text.endswith(HALF) and not last:
            return
        if new := text[self._said[sample] :]:
            self._said[sample] = len(text)
            self.lines.put({"sample": sample, "text": new})


@dataclass(frozen=True)
class Sampler:
    """A loaded model.

    Attributes:
        model: A causal language model of transformers.
        template: Its chat template.
        context: Tokens that it can attend to.
        ends: Tokens that end a reply.
    """

    model: Any
    template: ChatTemplate
    context: int
    ends: frozenset[int]

    @classmethod
    def load(cls, name: str) -> Sampler:
        """Load a model by alias, folder, hub id or GGUF file.

        Raises:
            ModelError: There is no such model, or it is none that chats.
            MissingExtraError: torch or transformers is not installed.
        """
        torch, transformers = require("torch", "judge"), require("transformers", "judge")
        safetensors = require("safetensors", "judge")
        # One core stays with the page.
        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
        folder = resolve(name)
        try:
            with quiet_loading():
                tokenizer = transformers.AutoTokenizer.from_pretrained(folder.path)
                model = transformers.AutoModelForCausalLM.from_pretrained(folder.path, dtype=dtype_of(best_dtype()))
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise ModelError(
                f"the model cannot be loaded: {error}", where=name, expected="a causal language model"
            ) from error
        template = ChatTemplate(tokenizer, name)
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        return cls(model.to(device()).eval(), template, int(context or 2**31), _ends(model, tokenizer))

    def sample(self, request: Line, gone: threading.Event) -> Iterator[Line]:
        """Yield pieces of replies, by number of the sample; or one problem, and why.

        Args:
            request: messages, samples, seed, temperature, top_p and max_tokens.
            gone: Set when nobody listens any more.
        """
        ids, problem = self._encode(request["messages"])
        if problem or len(ids) + request["max_tokens"] > self.context:
            problem = problem or "This conversation has become too long for the model."
            yield {"problem": problem, "why": f"{len(ids)} tokens, and {request['max_tokens']} for the reply"}
            return
        lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        thread = threading.Thread(target=self._generate, args=(ids, request, lines, gone), daemon=True)
        thread.start()
        while (line := lines.get()) is not None:
            yield line
        thread.join()

    def read(self, requests: list[Line]) -> Line:
        """Return what the model says to requests whose answer is a label; or one problem, and why.

        Args:
            requests: Fields of `rewardkit.judge.contract.Request`.
        """
        asked = [Request(**{**each, "labels": tuple(each["labels"])}) for each in requests]
        try:
            return {"completions": [vars(self._read(each)) for each in asked]}
        except (ModelError, RuntimeError) as error:
            # Labels of several tokens, or out of memory.
            return {"problem": "The model failed.", "why": f"{type(error).__name__}: {error}"}

    def _read(self, request: Request) -> Completion:
        encoder = RequestEncoder(self.template.tokenizer, self.template.where)
        try:
            ids = encoder.encode(request)
        except ControlTokenError as error:
            return Completion(failure=str(error))
        if len(ids) > self.context:
            return Completion(tokens=len(ids), failure=f"longer than what the model reads ({self.context} tokens)")
        begun = time.perf_counter()
        (found,) = LabelReader(self.model).read([ids], [encoder.label_ids(request)])
        logprobs = dict(zip(request.labels, found, strict=True))
        return Completion(logprobs, tokens=len(ids), seconds=time.perf_counter() - begun)

    def _generate(
        self, ids: list[int], request: Line, lines: queue.SimpleQueue[Line | None], gone: threading.Event
    ) -> None:
        torch, transformers = require("torch", "judge"), require("transformers", "judge")
        torch.manual_seed(request["seed"])
        prompt = torch.tensor([ids], device=self.model.device)
        try:
            self.model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=True,
                temperature=request["temperature"],
                top_p=request["top_p"],
                top_k=0,
                min_new_tokens=1,
                max_new_tokens=request["max_tokens"],
                num_return_sequences=request["samples"],
                eos_token_id=sorted(self.ends),
                pad_token_id=min(self.ends),
                streamer=Texts(self.template.tokenizer, self.ends, request["samples"], lines),
                stopping_criteria=transformers.StoppingCriteriaList([_Gone(gone)]),
            )
        except (RuntimeError, ValueError) as error:
            # Out of memory, or probabilities that are no numbers.
            lines.put({"problem": "The model failed.", "why": f"{type(error).__name__}: {error}"})
        finally:
            lines.put(None)

    def _encode(self, messages: list[dict[str, str]]) -> tuple[list[int], str]:
        """Return a conversation's ids up to where the reply comes, and what is wrong with it."""
        pieces = self.template.pieces([message["role"] for message in messages], generation_prompt=True)
        if pieces is None and messages[0]["role"] == "system":
            # A template without a place for instructions: they stand before the first message.
            joined = f"{messages[0]['content']}\n\n{messages[1]['content']}"
            return self._encode([{"role": "user", "content": joined}, *messages[2:]])
        if pieces is None:
            return [], "The model cannot read this conversation."
        ids = self.template.control(pieces[0])
        try:
            for message, piece in zip(messages, pieces[1:], strict=True):
                ids += [*self.template.plain(message["content"]), *self.template.control(piece)]
        except ControlTokenError:
            return [], "The model cannot read a sign in this conversation."
        return ids, ""


class _Gone:
    """Stops the sampling of all replies when nobody listens any more."""

    def __init__(self, gone: threading.Event) -> None:
        self._gone = gone

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        torch = require("torch", "judge")
        return torch.full((input_ids.shape[0],), self._gone.is_set(), dtype=torch.bool, device=input_ids.device)


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end a reply: the tokenizer's, and those that the model names."""
    named = model.generation_config.eos_token_id
    ends = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id} - {None}
    if not ends:
        raise ModelError("no token ends a reply", where=str(model.name_or_path), expected="a model that chats")
    return frozenset(ends)
