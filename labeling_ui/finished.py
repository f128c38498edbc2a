"""Telling somebody when a study has all its labels: one request to the researcher's own address.

It is sent again, ever more rarely, until it is taken; and once more where later items made the study
larger and that work is done too.
"""

from __future__ import annotations

import hmac
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from labeling_ui.progress import Progress, progress_of
from labeling_ui.trail import note
from rewardkit.errors import RewardkitError
from rewardkit.progress import log
from rewardkit.store.labelling_tables import events
from rewardkit.store.store import Store

SIGNATURE = "x-rewardkit-signature"
TIMEOUT = 10.0
SECONDS = 10.0
MOST_SECONDS = 600.0
FAILED = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)


@dataclass
class Finished:
    """Watches one study.

    Attributes:
        store: Where it is.
        study: Its name.
        url: Who is told.
        key: Signs what is told: HMAC-SHA256 of the body, in hexadecimal, in the header x-rewardkit-signature.
        clock: Seconds since 1970.
    """

    store: Store
    study: str
    url: str
    key: str
    clock: Callable[[], float] = time.time

    def check(self) -> bool:
        """Tell, if there is something to tell; return whether nothing is left to be told now."""
        progress = progress_of(self.store, self.study)
        if progress.items == 0 or progress.done < progress.wanted or self._told(progress):
            return True
        try:
            self._send(progress)
        except FAILED as error:
            self._note("webhook failed", wanted=progress.wanted, why=str(error)[:200])
            return False
        self._note("finished", wanted=progress.wanted)
        return True

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Check every so often while the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=(stop,), name="finished", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _watch(self, stop: threading.Event) -> None:
        wait = SECONDS
        while not stop.wait(wait):
            wait = SECONDS if self._checked() else min(2 * wait, MOST_SECONDS)

    def _checked(self) -> bool:
        try:
            return self.check()
        except RewardkitError as error:
            # A database that is away for a while: the end of the study is told when it is back.
            log(f"label: whether the study is finished cannot be told now: {error}")
            return False

    def _told(self, progress: Progress) -> bool:
        told = sa.select(events.c.details).where(events.c.study == self.study, events.c.kind == "finished")
        with self.store.reading() as connection:
            return any(said["wanted"] == progress.wanted for said in connection.execute(told).scalars())

    def _send(self, progress: Progress) -> None:
        body = json.dumps({"study": self.study, **vars(progress)}).encode()
        signature = hmac.digest(self.key.encode(), body, "sha256").hex()
        headers = {"content-type": "application/json", SIGNATURE: signature}
        with urllib.request.urlopen(urllib.request.Request(self.url, body, headers), timeout=TIMEOUT) as answer:
            answer.read()

    def _note(self, kind: str, **details: Any) -> None:
        with self.store.writing() as connection:
            note(connection, kind, study=self.study, at=self.clock(), **details)
