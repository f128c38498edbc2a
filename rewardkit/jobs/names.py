"""Names in a config, looked up before the first stage runs: a typing error must not cost the hours before it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from rewardkit.config import JobConfig
from rewardkit.extras import missing
from rewardkit.registry import lookup


def check_names(config: JobConfig, skip: Collection[str] = ()) -> None:
    """Look up the names of losses, calibrators, aggregators, protocols, backends and rubrics in a config.

    The names of losses stand beside their code: without the extra `train` they are not looked up, and the
    stage asks for the extra.

    Args:
        config: The config.
        skip: Sections that are not looked at.

    Raises:
        ConfigError: One is not registered, or the rubric is none.
    """
    for section, check in CHECKS.items():
        part = getattr(config, section)
        if part is not None and section not in skip:
            check(part)


def _judges(config: Any) -> None:
    for judge in config.members():
        _judge(judge)


def _judge(config: Any) -> None:
    from rewardkit.judge import backends, protocols, votes
    from rewardkit.judge.notes import guided_rubric

    lookup(backends.GROUP, backends.BACKENDS, config.backend, where="judge.backend")
    guided_rubric(config)
    compares = protocols.pair_protocol(config.protocol, config.protocol_options)
    if config.votes is not None:
        votes.Voted(compares, config.votes)
    if config.rating_protocol is not None:
        protocols.rating_protocol(config.rating_protocol, config.rating_protocol_options)
    if config.list_protocol is not None:
        protocols.list_protocol(config.list_protocol)


def _cascade(config: Any) -> None:
    for judge in config.judges:
        _judge(judge)


def _aggregate(config: Any) -> None:
    from rewardkit.aggregation.aggregators import AGGREGATORS

    lookup("aggregators", AGGREGATORS, config.method, where="aggregate.method")


def _train(config: Any) -> None:
    if missing("train"):
        return
    from rewardkit.reward_model.losses import loss_of

    loss_of(config.loss, config.loss_options)


def _calibrate(config: Any) -> None:
    from rewardkit.calibration.calibrators import CALIBRATORS

    lookup("calibrators", CALIBRATORS, config.method, where="calibrate.method")


def _stress(config: Any) -> None:
    from rewardkit.corruptions import corruption_named

    for kind in config.kinds:
        corruption_named(kind)


def _generate(config: Any) -> None:
    from rewardkit.corruptions import corruption_named
    from rewardkit.generation.constitution import load_constitution
    from rewardkit.judge import backends

    for policy in config.policies:
        where = f"generate.policies: {policy.name}: backend"
        lookup(backends.GROUP, backends.BACKENDS, policy.backend, where=where)
    for kind in config.corruptions.kinds if config.corruptions else ():
        corruption_named(kind)
    if config.revisions is not None:
        load_constitution(config.revisions.constitution)


CHECKS: Mapping[str, Callable[[Any], None]] = {
    "judge": _judges,
    "cascade": _cascade,
    "aggregate": _aggregate,
    "train": _train,
    "calibrate": _calibrate,
    "stress": _stress,
    "generate": _generate,
}
