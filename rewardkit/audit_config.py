"""The section `audit`: which judges are looked at, and what counts as a group of people or a family of models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from rewardkit.section import Count, Section


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class StressConfig(Section):
    """The config's judge on texts beside changed ones, of which it is known that they are no better."""

    count: Count = Field(100, description="texts of the database that are changed, at most")
    kinds: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="registered corruptions, such as shuffle or flattery; all if absent"
    )


Patterns = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class AuditConfig(Section):
    """Each judge in the database against the human labels; needs no model."""

    judges: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="names or models of judges (`gpt-4*` means all that begin so); all if absent"
    )
    rater_groups: dict[str, Patterns] = Field(
        default_factory=dict,
        description="group of people: names of annotators (`expert*`); where none fits, the group they came with",
    )
    families: dict[str, Patterns] = Field(
        default_factory=dict,
        description="family of models: names (`gpt: [gpt*, chatgpt*]`); where none fits, the name's first word",
    )
    by: Literal["prompt", "text"] = Field(
        "prompt",
        description="what intervals take as independent; text: components that share a text, for data of few prompts",
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = Field(
        None, description="of the resampling; the job's if absent"
    )
    resamples: Annotated[int, Field(ge=100)] = Field(1000, description="bootstrap samples behind an interval")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="level of the intervals")
    report: str = Field(
        "audit.html",
        pattern=r"^[^/\\]+\.html$",
        examples=["audit.html"],
        description="name of the page in the stage's folder, NAME.html",
    )
