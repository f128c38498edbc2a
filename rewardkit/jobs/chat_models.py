"""Models that people talk with, as the labelling page gets them: behind a URL, or in processes of their own here.

Both are read on the page's event loop and never wait on it. What goes wrong with a model is one error in the words of
the page, with the reason for the researchers; the key of a server comes from the environment and is in neither.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from labeling_ui.chatting import ChatFailed, Piece
from rewardkit.errors import ConfigError
from rewardkit.jobs.chat_process import ChatProcess, started
from rewardkit.judge.contract import Completion, Request
from rewardkit.label_config import ChatConfig, LiveJudgeConfig, ModelConfig
from rewardkit.progress import log
from rewardkit.types import Message

Source = Callable[[Sequence[Message], int], AsyncGenerator[Piece, None]]
"""Takes a conversation and a seed, and yields pieces of one reply (of two, where one model is sampled in a batch)."""
Reader = Callable[[Sequence[Request]], Awaitable[list[Completion]]]
"""Takes requests whose answer is a label, and returns what the model says to each."""
CONNECT_SECONDS = 10.0
EXCERPT = 500
"""Characters of a server's complaint that are kept."""


@dataclass(frozen=True)
class ChatModels:
    """Two replies at the same time.

    Attributes:
        models: Who writes them.
        settings: Under which they are sampled.
        sources: Where their pieces come from.
        seeded: Whether the sampling takes a seed.
    """

    models: tuple[str, str]
    settings: dict[str, Any]
    sources: tuple[Source, ...]
    seeded: bool

    def generation(self, seed: int) -> dict[str, Any]:
        """Return the settings that are kept with replies."""
        return {**self.settings, "seed": seed} if self.seeded else self.settings

    async def stream(self, messages: Sequence[Message], seed: int) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of both replies as they come.

        Raises:
            ChatFailed: A model cannot be reached, or did not give a whole reply.
        """
        pieces: asyncio.Queue[Piece | None] = asyncio.Queue()

        async def read(source: Source) -> None:
            async with aclosing(source(messages, seed)) as coming:
                async for piece in coming:
                    pieces.put_nowait(piece)

        reading = [asyncio.create_task(read(source)) for source in self.sources]
        for task in reading:
            task.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            for _ in self.sources:
                while (piece := await pieces.get()) is not None:
                    yield piece
                # One that failed ends both: half a pair is of no use.
                for task in reading:
                    if task.done():
                        task.result()
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)


@dataclass(frozen=True)
class OpenAIServer:
    """A server that speaks OpenAI's chat completions.

    Attributes:
        client: To its base URL.
        config: How replies are sampled.
    """

    client: httpx.AsyncClient
    config: ModelConfig

    async def reply(
        self, messages: Sequence[Message], _seed: int, *, model: str, reply: int
    ) -> AsyncGenerator[Piece, None]:
        """Yield one reply, piece by piece.

        Raises:
            ChatFailed: The server cannot be reached, refuses, or its answer is broken or not whole.
        """
        request = {
            "model": model,
            "messages": [message.model_dump() for message in messages],
            "temperature": self.config.temperature,
            "top_p": self.config.top_p,
            "max_tokens": self.config.max_tokens,
            "stream": True,
        }
        whole = False
        try:
            async with self.client.stream("POST", "chat/completions", json=request) as answer:
                await _require_success(answer, model)
                async for line in answer.aiter_lines():
                    text, ended = _piece(line, model)
                    whole = whole or ended
                    if text:
                        yield Piece(reply, text)
        except (httpx.HTTPError, httpx.StreamError) as error:
            reason = f"{model}: {type(error).__name__} {error}".rstrip()
            raise ChatFailed("The model could not be reached, or stopped in the middle.", why=reason) from error
        if not whole:
            raise ChatFailed("A reply broke off in the middle.", why=f"{model}: the stream ended without an end")


@contextmanager
def chat_models(config: ChatConfig) -> Iterator[ChatModels]:
    """Open the models that a config names; what runs here ends with the block.

    Raises:
        ConfigError: The key of the server is not in the environment.
        ModelError: A model on this machine cannot be loaded.
        MissingExtraError: A package that it needs is not installed.
    """
    first, last = config.models[0], config.models[-1]
    settings = {"temperature": config.temperature, "top_p": config.top_p, "max_tokens": config.max_tokens}
    with ExitStack() as stack:
        if config.url is not None:
            server = OpenAIServer(_client(config, config.url, "label.chat"), config)
            sources = tuple(partial(server.reply, model=model, reply=at) for at, model in enumerate((first, last)))
        else:
            log(f"label: loading {' and '.join(dict.fromkeys(config.models))} …")
            places = {first: (0, 1)} if first == last else {first: (0,), last: (1,)}
            processes = [(stack.enter_context(started(model)), at) for model, at in places.items()]
            sources = tuple(partial(_local, process, config, at) for process, at in processes)
        yield ChatModels((first, last), settings, sources, seeded=config.url is None)


@contextmanager
def one_model(config: LiveJudgeConfig, key: str) -> Iterator[tuple[Source, Reader | None]]:
    """Open a model that replies once, and reads labels where it runs here; it ends with the block.

    Args:
        config: How it is reached and sampled.
        key: Of the section that holds this, for errors.

    Raises:
        ConfigError: The key of the server is not in the environment.
        ModelError: The model cannot be loaded.
        MissingExtraError: A package that it needs is not installed.
    """
    if config.url is not None:
        server = OpenAIServer(_client(config, config.url, key), config)
        yield partial(server.reply, model=config.model, reply=0), None
        return
    log(f"label: loading {config.model} …")
    with started(config.model) as process:
        yield partial(_local, process, config, (0,)), partial(_read, process)


async def _local(
    process: ChatProcess, config: ModelConfig, replies: tuple[int, ...], messages: Sequence[Message], seed: int
) -> AsyncGenerator[Piece, None]:
    """Yield replies of a model in a process of its own."""
    request = {
        "messages": [message.model_dump() for message in messages],
        "samples": len(replies),
        "seed": seed,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_tokens": config.max_tokens,
    }
    async with aclosing(process.ask(request)) as lines:
        async for line in lines:
            if problem := line.get("problem"):
                raise ChatFailed(problem, why=f"{process.model}: {line['why']}")
            yield Piece(replies[line["sample"]], line["text"])


async def _read(process: ChatProcess, requests: Sequence[Request]) -> list[Completion]:
    """Return the probabilities that a model in a process of its own gives to labels.

    Raises:
        ChatFailed: It does not run, or stopped.
    """
    found: list[Completion] = []
    async with aclosing(process.ask({"read": [vars(request) for request in requests]})) as lines:
        async for line in lines:
            if problem := line.get("problem"):
                raise ChatFailed(problem, why=f"{process.model}: {line['why']}")
            found += [Completion(**each) for each in line["completions"]]
    return found


def _client(config: ModelConfig, url: str, key: str) -> httpx.AsyncClient:
    headers = {}
    if config.key_variable:
        secret = os.environ.get(config.key_variable, "").strip()
        if not secret:
            raise ConfigError(
                f"the environment variable {config.key_variable} is not set",
                where=f"{key}.key_variable",
                fix=f"export {config.key_variable}=… before you start",
            )
        headers["authorization"] = f"Bearer {secret}"
    try:
        return httpx.AsyncClient(
            base_url=url.rstrip("/") + "/",
            headers=headers,
            timeout=httpx.Timeout(config.seconds, connect=min(CONNECT_SECONDS, config.seconds)),
            # Kept connections would outlive the loop that they belong to.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
    except httpx.InvalidURL as error:
        raise ConfigError(f"this is no address ({error})", where=f"{key}.url", expected="http://HOST/v1") from error


async def _require_success(answer: httpx.Response, model: str) -> None:
    if answer.status_code == httpx.codes.OK:
        return
    said = (await answer.aread()).decode("utf-8", "replace")[:EXCERPT]
    raise ChatFailed("The model's server refused.", why=f"{model}: HTTP {answer.status_code} {said}")


def _piece(line: str, model: str) -> tuple[str, bool]:
    """Return the text in a line of server-sent events, and whether the reply is whole with it."""
    name, _, data = line.partition(":")
    data = data.strip()
    if name != "data" or not data:
        return "", False
    if data == "[DONE]":
        return "", True
    try:
        event = json.loads(data)
        choice = event["choices"][0] if event["choices"] else {}
        text = choice.get("delta", {}).get("content") or ""
        if not isinstance(text, str):
            raise TypeError("the content is no text")
    except (json.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ChatFailed("The model's server sent what could not be read.", why=f"{model}: {data[:EXCERPT]}") from error
    return text, choice.get("finish_reason") is not None
