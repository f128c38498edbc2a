"""What Prometheus is told of a server, in a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TOKENS = tuple(2.0**power for power in range(5, 16))


class Figures:
    """Counts of a server.

    Args:
        waiting: Returns the tokens that wait now.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = kept = CollectorRegistry()
        self._requests = Counter(
            "rewardkit_requests", "Requests, by path and status of the answer.", ["path", "status"], registry=kept
        )
        self._rejected = Counter("rewardkit_rejected_requests", "Refused because too much waited.", registry=kept)
        self._seconds = Histogram(
            "rewardkit_request_seconds", "From request to answer.", ["path"], buckets=SECONDS, registry=kept
        )
        self._texts = Counter("rewardkit_texts", "Texts, scored or without a reward.", ["outcome"], registry=kept)
        self._batch = Histogram("rewardkit_batch_tokens", "Of a forward pass.", buckets=TOKENS, registry=kept)
        tokens = Gauge("rewardkit_waiting_tokens", "Of requests that are not answered yet.", registry=kept)
        tokens.set_function(waiting)
        # A figure that has never moved is 0, and not absent.
        for outcome in ("scored", "failed"):
            self._texts.labels(outcome)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)
        if status == 429:
            self._rejected.inc()

    def texts(self, scored: int, failed: int) -> None:
        """Count the texts of an answered request."""
        self._texts.labels("scored").inc(scored)
        self._texts.labels("failed").inc(failed)

    def passed(self, tokens: int) -> None:
        """Count a forward pass."""
        self._batch.observe(tokens)

    def page(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)
