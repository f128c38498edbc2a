"""How a model is served: what the command line says of it, without anything that has to be installed."""

from __future__ import annotations

from dataclasses import dataclass

KEY = "REWARDKIT_API_KEY"
"""The environment's variable that holds the key: secrets stand in no config and on no command line."""


@dataclass(frozen=True)
class Options:
    """How a model is served.

    Attributes:
        host: Address.
        port: 0 takes any free one.
        most_waiting: Tokens that may wait.
        most_bytes: Of a request.
        drain_seconds: For those who wait when the server is told to end.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    most_waiting: int = 262_144
    most_bytes: int = 8 * 2**20
    drain_seconds: float = 30.0
