"""Rows of a long query in a file of their own: read in one go, and given out while nothing is held open.

For what is wanted in an order that no index has: page by page, all of it would be sorted anew for every page.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from tempfile import TemporaryFile
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

ROWS = 10_000
"""Rows in memory at a time."""


def spooled(reading: AbstractContextManager[Connection], query: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query, whose values are text and numbers; the connection is closed before the first one.

    Args:
        reading: Opens a transaction that reads.
        query: In its order.
    """
    with TemporaryFile() as file:
        with reading as connection:
            for row in connection.execute(query, execution_options={"yield_per": ROWS}):
                file.write(orjson.dumps(tuple(row)) + b"\n")
        file.seek(0)
        for line in file:
            yield tuple(orjson.loads(line))
