"""A local chat model in a process of its own: loaded once, asked over loopback, ended with whoever started it.

Sampling keeps the interpreter busy; in the page's process every other request would wait for it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from rewardkit.errors import ModelError
from rewardkit.extras import require_all

LONGEST_LINE = 2**20
LOST = "The model stopped in the middle."


@dataclass(frozen=True)
class ChatProcess:
    """A model that runs.

    Attributes:
        model: Its name.
        port: On loopback, where it listens.
        key: What a request has to carry: others on this machine may not use it.
    """

    model: str
    port: int
    key: str

    async def ask(self, request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield lines of `rewardkit.jobs.chat_worker`; who closes this stops the sampling.

        Args:
            request: Messages, and how replies to them are sampled.
        """
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=LONGEST_LINE)
        except OSError as error:
            yield {"problem": "The model does not run.", "why": str(error)}
            return
        try:
            writer.write(orjson.dumps({"key": self.key, **request}) + b"\n")
            await writer.drain()
            while line := await reader.readline():
                answer: dict[str, Any] = orjson.loads(line)
                if answer.get("done"):
                    return
                yield answer
            yield {"problem": LOST, "why": "its process closed the connection"}
        except (OSError, orjson.JSONDecodeError) as error:
            yield {"problem": LOST, "why": str(error)}
        finally:
            # At once, and not when what is written has been read: nobody waits for the rest.
            writer.transport.abort()


@contextmanager
def started(model: str) -> Iterator[ChatProcess]:
    """Load a model in a process of its own, which ends with the block, or with this process.

    Raises:
        ModelError: It cannot be loaded.
        MissingExtraError: A package that it needs is not installed.
    """
    require_all("judge")
    key = secrets.token_urlsafe(32)
    words = [sys.executable, "-m", "rewardkit.jobs.chat_worker", model]
    # Threads that spin while they wait would take the cores from the page.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    # In a session of its own: Ctrl-C is for the page, which ends it.
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
    ) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(key.encode() + b"\n")
            process.stdin.flush()
            yield ChatProcess(model, _port(process.stdout.readline(), model), key)
        finally:
            process.kill()


def _port(line: bytes, model: str) -> int:
    said = orjson.loads(line) if line else {"what": "its process ended while it was loaded"}
    if "port" not in said:
        raise ModelError(said.pop("what"), **{"where": model, **said})
    return int(said["port"])
