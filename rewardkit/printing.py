"""How verbs print what they found: for people, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import typer


def print_result(result: Any, as_json: bool) -> None:
    """Write a result to standard output: as JSON, or what it says line by line.

    Args:
        result: Plain values by what they are; for JSON also a list of them.
        as_json: Whether a program reads it.
    """
    if as_json:
        typer.echo(json.dumps(result, indent=2, default=str))
        return
    for key, value in result.items():
        if value not in (None, "", {}, []):
            typer.echo(f"{key}: {_plain(value)}")


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items() if v is not None)
    return str(value)


def print_plan(planned: Iterable[Any], as_json: bool) -> None:
    """Write what would run to standard output.

    Args:
        planned: The stages.
        as_json: Whether a program reads it.
    """
    if as_json:
        print_result([vars(stage) for stage in planned], True)
        return
    from rewardkit.jobs.stages import expected

    for stage in planned:
        todo = "skip" if stage.state == "complete" else f"run ({stage.state})"
        took = f"; took {stage.seconds:.0f} s the last time" if stage.seconds is not None else ""
        typer.echo(f"{stage.stage:10} {todo:18} {stage.size}{took}{expected(stage.expected_seconds)}")
