"""An address of a server's own, taken before anybody is told of it or waits for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from rewardkit.errors import ConfigError


@contextmanager
def listening(host: str, port: int, *, fix: str) -> Iterator[socket.socket]:
    """Take an address.

    Args:
        host: Address.
        port: 0 takes any free one.
        fix: How another one is chosen, for the error.

    Raises:
        ConfigError: The address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
            # With SO_REUSEADDR two may bind: the one that listens has it.
            bound.listen()
        except OSError as error:
            raise ConfigError(f"cannot listen there ({error})", where=f"{host}:{port}", fix=fix) from error
        yield bound
