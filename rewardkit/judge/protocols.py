"""The judge protocols by name. A name carries its version, and a published version never changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rewardkit.errors import ConfigError
from rewardkit.judge.by_criterion import PairwiseCriteriaV1
from rewardkit.judge.contract import PairProtocol, RatingProtocol
from rewardkit.judge.pairwise import PairwiseTextV1, PairwiseV1
from rewardkit.judge.process import ProcessV1
from rewardkit.judge.rating import RatingV1, RatingV2
from rewardkit.judge.reference import PairwiseReferenceV1
from rewardkit.judge.span_critique import CritiqueSpansV1
from rewardkit.judge.ties import PairwiseV2
from rewardkit.judge.windows import RatingWindowsV1, WindowsV1
from rewardkit.registry import lookup

GROUP = "judge_protocols"
PROTOCOLS: Mapping[str, Callable[[], Any]] = {
    "critique-spans.v1": CritiqueSpansV1,
    "pairwise-criteria.v1": PairwiseCriteriaV1,
    "pairwise-reference.v1": PairwiseReferenceV1,
    "pairwise-text.v1": PairwiseTextV1,
    "pairwise.v1": PairwiseV1,
    "pairwise.v2": PairwiseV2,
    "process.v1": ProcessV1,
    "rating-windows.v1": RatingWindowsV1,
    "rating.v1": RatingV1,
    "rating.v2": RatingV2,
    "windows.v1": WindowsV1,
}


def pair_protocol(name: str) -> PairProtocol:
    """Return a registered protocol for preferences.

    Raises:
        ConfigError: None has this name, or it is one for ratings.
    """
    protocol: PairProtocol = _protocol(name, "compare", "protocol")
    return protocol


def rating_protocol(name: str) -> RatingProtocol:
    """Return a registered protocol for ratings.

    Raises:
        ConfigError: None has this name, or it is one for preferences.
    """
    protocol: RatingProtocol = _protocol(name, "rate", "rating_protocol")
    return protocol


def _protocol(name: str, method: str, key: str) -> Any:
    protocol = lookup(GROUP, PROTOCOLS, name)()
    if not hasattr(protocol, method):
        other = "ratings" if method == "compare" else "preferences"
        raise ConfigError(f"{name!r} is a protocol for {other}", where=f"judge.{key}", expected=f"one with {method}")
    return protocol
