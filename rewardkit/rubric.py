"""Rubrics: what a judge is asked to look for, as YAML files in configs/rubrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rewardkit.checks import check_named
from rewardkit.errors import ConfigError
from rewardkit.types import Finite, content_id
from rewardkit.yaml_records import find_named, names_in, read_record

FOLDER = Path("configs/rubrics")
CHECKOUT = Path(__file__).resolve().parents[1] / FOLDER


class CheckConfig(BaseModel):
    """How code decides a criterion: the name of a check, and its settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(description="a registered check: characters, contains, lines, without, words, or a third party's")

    @model_validator(mode="after")
    def _is_there(self) -> CheckConfig:
        try:
            self.run()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    def run(self) -> Callable[[str], float]:
        """Return the check: how far a text meets it, from 0 to 1."""
        return check_named(self.name, self.model_extra or {})


class Criterion(BaseModel):
    """One thing to look for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="short name; ratings are stored under it")
    description: str = Field(min_length=1, description="what is meant, in one sentence for the judge")
    weight: Annotated[float, Field(allow_inf_nan=False)] = Field(
        1.0, description="importance; heavier criteria are named first, and negative ones count against a response"
    )
    anchors: dict[Finite, str] = Field(default_factory=dict, description="level on the scale: what it looks like")
    check: CheckConfig | None = Field(None, description="decided by code, and asked of nobody")

    @field_validator("weight")
    @classmethod
    def _counts(cls, weight: float) -> float:
        if weight == 0:
            raise ValueError("a criterion of weight 0 counts for nothing: leave it out")
        return weight

    @property
    def said(self) -> str:
        """What is meant, for whoever judges."""
        return f"{self.description.strip()}{' (This counts against a response.)' if self.weight < 0 else ''}"


class Rubric(BaseModel):
    """What makes a response good, for one kind of task."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$", description="the name that annotators carry")
    version: str = Field(min_length=1, description="changes with every change of wording")
    description: str = Field(min_length=1, description="the overall question, for the judge")
    scale: tuple[Finite, Finite] = Field((1.0, 5.0), description="lowest and highest rating")
    criteria: tuple[Criterion, ...] = Field(min_length=1, description="what to look for")

    @field_validator("criteria")
    @classmethod
    def _distinct(cls, criteria: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        names = [criterion.name for criterion in criteria]
        if len(set(names)) < len(names):
            raise ValueError("two criteria have the same name")
        return criteria

    @model_validator(mode="after")
    def _anchors_on_scale(self) -> Rubric:
        low, high = self.scale
        if low >= high:
            raise ValueError(f"the scale must rise, and goes from {low:g} to {high:g}")
        for criterion in self.criteria:
            for level in criterion.anchors:
                if not low <= level <= high:
                    raise ValueError(f"the anchor {level:g} of {criterion.name!r} is not on the scale {low:g}-{high:g}")
        if not self.by_weight():
            raise ValueError("all criteria are checked by code: nothing is left to judge")
        return self

    @property
    def content_hash(self) -> str:
        """Hash of everything that a judge may be shown of it."""
        return content_id("rubric", self.model_dump_json(exclude_defaults=True))

    def by_weight(self) -> list[Criterion]:
        """Return the criteria that people and models are asked about, heaviest first; equal ones keep their order."""
        asked = [criterion for criterion in self.criteria if criterion.check is None]
        return sorted(asked, key=lambda criterion: -abs(criterion.weight))

    def checked(self) -> list[Criterion]:
        """Return the criteria that code decides."""
        return [criterion for criterion in self.criteria if criterion.check is not None]

    def overall(self, values: Mapping[str, float | None]) -> float | None:
        """Return the weighted mean of ratings, on the rubric's scale.

        Args:
            values: By criterion; what is missing or None does not count. A criterion of negative weight counts the
                more against a response the higher it is rated.

        Returns:
            None where nothing was rated.
        """
        low, high = self.scale
        rated = [(c.weight, value) for c in self.criteria if (value := values.get(c.name)) is not None]
        whole = sum(abs(weight) for weight, _ in rated)
        if not whole:
            return None
        return sum(abs(weight) * (value if weight > 0 else low + high - value) for weight, value in rated) / whole


def load_rubric(name: str) -> Rubric:
    """Load a rubric by name or path.

    Args:
        name: NAME of configs/rubrics/NAME.yaml (of the folder in which the command runs, else of the
            checkout that rewardkit runs from), or a path ending in .yaml or .yml.

    Raises:
        ConfigError: There is none (the nearest name is suggested), or the file is no rubric.
    """
    path = find_named(name, (FOLDER, CHECKOUT), "rubric")
    return read_record(path, Rubric, "rubric", see=str(FOLDER))


def rubric_names() -> list[str]:
    """Return the names that `load_rubric` knows."""
    return names_in((FOLDER, CHECKOUT))
