"""`rewardkit doctor`: what is installed, what is missing and how to get it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import Literal

from rewardkit import models, runs
from rewardkit.config import JobConfig
from rewardkit.errors import NoDatabaseError, RewardkitError
from rewardkit.extras import EXTRAS, missing
from rewardkit.hardware import device


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    what: str
    state: Literal["ok", "missing", "problem"]
    detail: str


def examine(config: JobConfig | None) -> list[Finding]:
    """Look at the machine; and at a job's database where a config is given."""
    findings = [Finding(name, "ok", number) for name, number in runs.versions().items()]
    findings += [_extra(name) for name in EXTRAS]
    findings += _device()
    findings += [_model(name) for name in models.ALIASES]
    if config is not None:
        findings.append(_database(config))
    return findings


def _extra(name: str) -> Finding:
    absent = missing(name)
    if not absent:
        return Finding(f"extra {name}", "ok", ", ".join(EXTRAS[name]))
    return Finding(f"extra {name}", "missing", f'pip install "rewardkit[{name}]"   (lacks {", ".join(absent)})')


def _device() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [Finding("processor", "ok", f"{platform.machine()}, {cores} cores for this process")]
    if missing("judge"):
        return found
    import torch

    kind = device().type
    named = torch.cuda.get_device_name(0) if kind == "cuda" else kind
    shown = "no accelerator: models run on the processor" if kind == "cpu" else named
    return [*found, Finding("device", "ok", shown), Finding("threads", "ok", f"torch uses {torch.get_num_threads()}")]


def _model(name: str) -> Finding:
    alias = models.ALIASES[name]
    try:
        return Finding(f"model {name}", "ok", str(models.resolve(name, fetch=False).path))
    except RewardkitError:
        packaged = models.packaged_file(alias)
    if packaged:
        return Finding(f"model {name}", "ok", f"{packaged}   (converted at its first use)")
    return Finding(f"model {name}", "missing", f"{alias.pip}   (or {alias.hub_id} from a hub)")


def _database(config: JobConfig) -> Finding:
    from rewardkit.store.store import Store

    try:
        with Store.open(config.database, create=False) as store:
            counts = ", ".join(f"{count} {kind}" for kind, count in store.counts().items())
    except NoDatabaseError:
        return Finding("database", "missing", f"{config.shown_database}: not there yet; rewardkit run CONFIG makes it")
    except RewardkitError as error:
        return Finding("database", "problem", str(error).replace("\n", ";"))
    return Finding("database", "ok", f"{config.shown_database}: {counts}")
