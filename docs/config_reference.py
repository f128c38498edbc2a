"""Writes docs/config.md: every key of a job's YAML, from the fields that validate it.

    python docs/config_reference.py

A key is described once, beside its field in rewardkit/config.py; a test holds the page to it.
"""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rewardkit.aggregation.aggregators import AGGREGATORS
from rewardkit.calibration.calibrators import CALIBRATORS
from rewardkit.config import JobConfig
from rewardkit.judge.backends import BACKENDS
from rewardkit.judge.protocols import PROTOCOLS
from rewardkit.reward_model.losses import LOSSES

# The names that come with rewardkit; third parties may register more.
NAMES = {
    "judge.backend": BACKENDS,
    "judge.protocol": [name for name, made in PROTOCOLS.items() if hasattr(made, "compare")],
    "judge.rating_protocol": [name for name, made in PROTOCOLS.items() if hasattr(made, "rate")],
    "aggregate.method": AGGREGATORS,
    "train.loss": LOSSES,
    "calibrate.method": CALIBRATORS,
}
PAGE = Path(__file__).parent / "config.md"
HEAD = """# Every key of a job's YAML

Written by `python docs/config_reference.py`. Defaults < file < `--set section.key=value`; unknown keys are
refused. [configs/](../configs) holds jobs that run.
"""


def page() -> str:
    """Return the page's text."""
    return "\n".join([HEAD, *_section("A job", JobConfig, "")])


def _section(title: str, model: type[BaseModel], path: str) -> list[str]:
    lines = [
        f"## {title}",
        "",
        _sentence(model),
        "",
        "| key | type | default | what it is |",
        "| --- | --- | --- | --- |",
    ]
    below: list[str] = []
    for name, field in model.model_fields.items():
        key = f"{path}{field.alias or name}"
        lines.append(f"| `{key}` | {_type(field.annotation)} | {_default(field)} | {_description(key, field)} |")
        for inner in _models(field.annotation):
            many = "[]" if get_origin(_bare(field.annotation)) is tuple else ""
            below += ["", *_section(f"{key}{many}", inner, f"{key}{many}.")]
    return lines + below


def _description(key: str, field: FieldInfo) -> str:
    if key in NAMES:
        return f"{field.description}: {', '.join(f'`{name}`' for name in sorted(NAMES[key]))}"
    inner = _models(field.annotation)
    return (field.description or (_sentence(inner[0]) if inner else "")).replace("|", "\\|")


def _sentence(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def _bare(annotation: Any) -> Any:
    """Return a type without its constraints and without None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        kept = [each for each in get_args(annotation) if each is not type(None)]
        return _bare(kept[0]) if len(kept) == 1 else annotation
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return [bare]
    return [model for inner in get_args(bare) for model in _models(inner)]


def _type(annotation: Any) -> str:
    bare = _bare(annotation)
    if get_origin(bare) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(bare))
    if get_origin(bare) is tuple:
        return f"list of {_type(get_args(bare)[0])}"
    if get_origin(bare) is dict:
        return "mapping"
    if get_origin(bare) in (Union, types.UnionType):
        return " or ".join(_type(each) for each in get_args(bare) if each is not type(None))
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    return names.get(bare, "section" if _models(bare) else re.sub(r"^.*\.", "", str(bare)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    if value is PydanticUndefined or value is None or isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{value}`" if value != {} else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"{PAGE}\n")
