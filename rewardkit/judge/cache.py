"""Answers that were bought, kept beside the workspace's database, so that none is bought twice.

An answer is written the moment it comes, before it becomes a label: a process that is killed loses none. It is found
again by a hash of all that can change it (`answer_key`). Failures are never kept. What was paid, for failures too, is
noted from before a request is sent until a label or rating that tells of it is committed. Batches that a provider works
on are noted here too, by what they ask, so that whoever comes back waits for them and does not send them again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeAlias, runtime_checkable

from rewardkit.errors import StoreError
from rewardkit.judge.contract import Completion, Request
from rewardkit.runs import make_folder
from rewardkit.types import content_id

FILE = "judge-cache.db"
FORMAT = "1"
"""Of what is kept; part of every key."""
KEPT = ("logprobs", "bounds", "reply", "tokens", "reply_tokens", "served", "was_cut")
LOCK_SECONDS = 60.0
# What is committed outlives the process. Losing the last answers to a power cut is worth a thousandth of the time.
# Checkpoints wait for the disk, and whoever asks would wait with them: 64 MB of answers between two.
PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA wal_autocheckpoint=16384")
TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS batches (key TEXT NOT NULL, batch TEXT NOT NULL, PRIMARY KEY (key, batch))"
    " WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS unlabelled (key TEXT PRIMARY KEY, payer TEXT NOT NULL, cost REAL NOT NULL)"
    " WITHOUT ROWID",
)
NOTE = "INSERT INTO unlabelled VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET cost = cost + excluded.cost"
NOTHING = 1e-12
"""What is left of a cost that was taken away again is no money."""

Bill: TypeAlias = tuple[str, str, float]
"""Key of a question, who pays, and how much."""


@runtime_checkable
class Caching(Protocol):
    """A backend whose answers are worth keeping.

    Attributes:
        cache: Where they are kept; None where they are not.
    """

    cache: AnswerCache | None


def answer_key(provider: str, url: str, body: Mapping[str, Any], request: Request) -> str:
    """Hash everything that can change an answer.

    Args:
        provider: How the server is spoken to.
        url: Where it is.
        body: What is sent: model, messages, parameters, schema.
        request: The question; its labels and whether it may be cut decide how the answer is read.
    """
    # A seed is part of the key where a server takes none, too: votes are drawn one by one.
    reading = [request.labels, request.prefill, request.cut, request.seed, request.schema, request.reply_tokens]
    return content_id("answer", FORMAT, provider, url.rstrip("/"), json.dumps([body, reading], sort_keys=True))


def payer(model: str, revision: str) -> str:
    """Return the name under which it is noted what a model's answers cost.

    Args:
        model: Its name.
        revision: Where it is.
    """
    return f"{model} at {revision}"


class AnswerCache:
    """Answers by key, in one file.

    Args:
        place: The file, which is made when the first answer is looked for; None keeps all in memory.

    Attributes:
        hits: How many answers were found.
    """

    def __init__(self, place: Path | None = None) -> None:
        self._place, self._lock = place, Lock()
        self._opened: sqlite3.Connection | None = None
        # Keys whose cost was told already, or is about to be; accounts by the id of the record that tells of them.
        self._told: set[str] = set()
        self._owed: dict[str, Sequence[tuple[str, float]]] = {}
        self.hits = 0

    def find(self, key: str) -> Completion | None:
        """Return the answer to a question that was answered before.

        Its cost is what was paid for it and no label tells of yet; nothing is paid now.
        """
        found = "SELECT answer, cost FROM answers LEFT JOIN unlabelled USING (key) WHERE key = ?"
        with self._connection() as connection:
            row = connection.execute(found, (key,)).fetchone()
            if row is None:
                return None
            self.hits += 1
            cost = 0.0 if key in self._told else row[1] or 0.0
            if cost:
                self._told.add(key)
            return Completion(**json.loads(row[0]), attempts=0, cost=cost, key=key if cost else "")

    def holds(self, key: str) -> bool:
        """Tell whether there is an answer, without taking it."""
        with self._connection() as connection:
            return connection.execute("SELECT 1 FROM answers WHERE key = ?", (key,)).fetchone() is not None

    def keep(self, answers: Mapping[str, Completion]) -> None:
        """Write answers, by key; failures are left out."""
        rows = [(key, _plain(answer)) for key, answer in answers.items() if not answer.failure]
        if rows:
            with self._connection() as connection, connection:
                connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)

    def sent(self, batch: str, keys: Iterable[str]) -> None:
        """Note that a provider works on a batch.

        Args:
            batch: Its id.
            keys: Of the questions in it.
        """
        with self._connection() as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO batches VALUES (?, ?)", [(key, batch) for key in keys])

    def batch_of(self, key: str) -> str | None:
        """Return the batch in which a question was sent and whose results nobody has taken yet."""
        with self._connection() as connection:
            row = connection.execute("SELECT batch FROM batches WHERE key = ? LIMIT 1", (key,)).fetchone()
            return None if row is None else str(row[0])

    def taken(
        self, batch: str, keys: Iterable[str], answers: Mapping[str, Completion], bills: Sequence[Bill] = ()
    ) -> None:
        """Write a batch's answers and what they cost, and forget that these questions wait for it: all or nothing.

        Args:
            batch: Its id.
            keys: Of the questions that have an answer now, or failed; others may still be asked about.
            answers: By key.
            bills: What was paid for them.
        """
        rows = [(key, _plain(answer)) for key, answer in answers.items() if not answer.failure]
        with self._connection() as connection, connection:
            connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
            connection.executemany(NOTE, [bill for bill in bills if bill[-1]])
            self._told.update(key for key, *_ in bills)
            connection.executemany("DELETE FROM batches WHERE key = ? AND batch = ?", [(key, batch) for key in keys])

    def forget(self, batch: str) -> None:
        """Forget a batch of which no answer will come: whoever asks again sends it anew."""
        with self._connection() as connection, connection:
            connection.execute("DELETE FROM batches WHERE batch = ?", (batch,))

    def pay(self, key: str, payer: str, amount: float) -> None:
        """Note what is paid for a question, or was noted too much of it (below 0), before a label tells of it."""
        with self._connection() as connection, connection:
            self._told.add(key)
            connection.execute(NOTE, (key, payer, amount))
            connection.execute("DELETE FROM unlabelled WHERE key = ? AND cost < ?", (key, NOTHING))

    def unlabelled(self, payer: str) -> float:
        """Return what was paid in a payer's name and no label or rating tells of."""
        with self._connection() as connection:
            row = connection.execute("SELECT TOTAL(cost) FROM unlabelled WHERE payer = ?", (payer,)).fetchone()
            return float(row[0])

    def told_by(self, record: str, accounts: Sequence[tuple[str, float]]) -> None:
        """Take note of which costs a record tells, by key; they stay noted until it is committed."""
        self._owed[record] = accounts

    def committed(self, records: Iterable[str]) -> None:
        """Forget costs of which committed records tell. A kill before that leaves them noted: too much, never less."""
        accounts = [account for record in records for account in self._owed.pop(record, ())]
        if accounts:
            with self._connection() as connection, connection:
                less = "UPDATE unlabelled SET cost = cost - ? WHERE key = ?"
                connection.executemany(less, [(cost, key) for key, cost in accounts])
                none = "DELETE FROM unlabelled WHERE key = ? AND cost < ?"
                connection.executemany(none, [(key, NOTHING) for key, _ in accounts])
                self._told.difference_update(key for key, _ in accounts)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to one thread at a time.

        Raises:
            StoreError: The file cannot be opened, read or written.
        """
        with self._lock:
            try:
                if self._opened is None:
                    self._opened = self._open()
                yield self._opened
            except sqlite3.Error as error:
                raise StoreError(
                    f"the judges' kept answers cannot be used ({error})",
                    where=str(self._place),
                    fix="make room, or give the right to write; a damaged file may be deleted",
                ) from error

    def _open(self) -> sqlite3.Connection:
        if self._place is not None:
            make_folder(self._place.parent)
        # One lock lets the threads in, one after the other.
        opened = sqlite3.connect(self._place or ":memory:", timeout=LOCK_SECONDS, check_same_thread=False)
        try:
            for statement in (*PRAGMAS, *TABLES):
                opened.execute(statement).close()
        except sqlite3.Error:
            opened.close()
            raise
        return opened


def _plain(answer: Completion) -> str:
    return json.dumps({name: value for name in KEPT if (value := getattr(answer, name))})
