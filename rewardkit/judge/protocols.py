"""The judge protocols by name. A name carries its version, and a published version never changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from rewardkit.complaints import complaint
from rewardkit.errors import ConfigError
from rewardkit.judge.by_criterion import PairwiseCriteriaV1
from rewardkit.judge.contract import PairProtocol, RatingProtocol
from rewardkit.judge.debate import DebateTextV1, DebateV1
from rewardkit.judge.list_contract import ListProtocol
from rewardkit.judge.listwise import ListwiseV1
from rewardkit.judge.pairwise import PairwiseRequestV1, PairwiseTextV1, PairwiseV1
from rewardkit.judge.probing import ReasonedProbeV1
from rewardkit.judge.process import ProcessV1
from rewardkit.judge.rating import RatingV1, RatingV2
from rewardkit.judge.reasoning import RatingReasonedV1, ReasonedV1
from rewardkit.judge.reference import PairwiseReferenceV1
from rewardkit.judge.span_critique import CritiqueSpansV1
from rewardkit.judge.structured import PairwiseJsonV1, RatingJsonV1
from rewardkit.judge.ties import PairwiseV2
from rewardkit.judge.windows import RatingWindowsV1, WindowsV1
from rewardkit.registry import lookup, suggestion

GROUP = "judge_protocols"
PROTOCOLS: Mapping[str, Callable[..., Any]] = {
    "critique-spans.v1": CritiqueSpansV1,
    "debate-text.v1": DebateTextV1,
    "debate.v1": DebateV1,
    "listwise.v1": ListwiseV1,
    "pairwise-criteria.v1": PairwiseCriteriaV1,
    "pairwise-json.v1": PairwiseJsonV1,
    "pairwise-reference.v1": PairwiseReferenceV1,
    "pairwise-request.v1": PairwiseRequestV1,
    "pairwise-text.v1": PairwiseTextV1,
    "pairwise.v1": PairwiseV1,
    "pairwise.v2": PairwiseV2,
    "process.v1": ProcessV1,
    "rating-json.v1": RatingJsonV1,
    "rating-reasoned.v1": RatingReasonedV1,
    "rating-windows.v1": RatingWindowsV1,
    "rating.v1": RatingV1,
    "rating.v2": RatingV2,
    "reasoned-probe.v1": ReasonedProbeV1,
    "reasoned.v1": ReasonedV1,
    "windows.v1": WindowsV1,
}
KINDS = {"compare": "preferences", "rate": "ratings", "rank": "lists"}
"""What a protocol is for, by the method that it has."""


def pair_protocol(name: str, options: Mapping[str, Any] | None = None) -> PairProtocol:
    """Return a registered protocol for preferences.

    Args:
        name: Its name.
        options: Its own, by name.

    Raises:
        ConfigError: None has this name, it is for something else, or it has no such option.
    """
    protocol: PairProtocol = _protocol(name, "compare", "protocol", options or {})
    return protocol


def rating_protocol(name: str, options: Mapping[str, Any] | None = None) -> RatingProtocol:
    """Return a registered protocol for ratings.

    Args:
        name: Its name.
        options: Its own, by name.

    Raises:
        ConfigError: None has this name, it is for something else, or it has no such option.
    """
    protocol: RatingProtocol = _protocol(name, "rate", "rating_protocol", options or {})
    return protocol


def list_protocol(name: str) -> ListProtocol:
    """Return a registered protocol for lists.

    Raises:
        ConfigError: None has this name, or it is for something else.
    """
    protocol: ListProtocol = _protocol(name, "rank", "list_protocol", {})
    return protocol


def settings_of(protocol: PairProtocol | RatingProtocol | ListProtocol) -> Mapping[str, Any]:
    """Return what else than its prompts decides what a protocol asks: all its options, those by default too."""
    options, settings = getattr(protocol, "options", None), getattr(protocol, "settings", {})
    return {**settings, **({} if options is None else {"protocol_options": options.model_dump(mode="json")})}


def _protocol(name: str, method: str, key: str, options: Mapping[str, Any]) -> Any:
    make = lookup(GROUP, PROTOCOLS, name, where=f"judge.{key}")
    accepts = getattr(make, "options_type", None)
    protocol = make() if accepts is None else make(_options(accepts, key, options))
    if not hasattr(protocol, method):
        other = next((kind for has, kind in KINDS.items() if hasattr(protocol, has)), "nothing known")
        raise ConfigError(f"{name!r} is a protocol for {other}", where=f"judge.{key}", expected=f"one with {method}")
    if accepts is None and options:
        raise ConfigError(f"{name!r} has no options", where=f"judge.{key}_options", fix="leave them out")
    return protocol


def _options(accepts: type[BaseModel], key: str, options: Mapping[str, Any]) -> BaseModel:
    try:
        return accepts.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        wrong = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{wrong}: {complaint(first)}",
            where=f"judge.{key}_options",
            expected=", ".join(accepts.model_fields),
            fix=suggestion(wrong, accepts.model_fields),
        ) from error
