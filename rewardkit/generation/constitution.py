"""Constitutions: principles by which a model criticises and rewrites a response, as YAML in configs/constitutions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rewardkit.types import content_id
from rewardkit.yaml_records import find_named, read_record

FOLDER = Path("configs/constitutions")
CHECKOUT = Path(__file__).resolve().parents[2] / FOLDER
Said = Annotated[str, Field(min_length=1)]


class Principle(BaseModel):
    """One thing that a response is to be.

    Attributes:
        name: Short; kept with each revision.
        critique: What is asked about the response.
        revision: What is asked for after the critique.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$", examples=["image"])
    critique: Said
    revision: Said


class Constitution(BaseModel):
    """A file of principles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    name: Said
    principles: tuple[Principle, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Constitution:
        if len({principle.name for principle in self.principles}) < len(self.principles):
            raise ValueError("two principles have the same name")
        return self

    @property
    def content_hash(self) -> str:
        """Hash of all that it says."""
        return content_id("constitution", self.model_dump_json())

    def drawn(self, response: str, count: int) -> tuple[Principle, ...]:
        """Return the principles for one response, always the same ones.

        Args:
            response: Its id.
            count: How many at most.
        """
        drawn = sorted(self.principles, key=lambda each: content_id("principle", response, each.name))
        return tuple(drawn[:count])


def load_constitution(name: str) -> Constitution:
    """Load a constitution by name or path.

    Args:
        name: NAME of configs/constitutions/NAME.yaml (of the folder in which the command runs, else of the checkout
            that rewardkit runs from), or a path ending in .yaml or .yml.

    Raises:
        ConfigError: There is none (the nearest name is suggested), or the file is none.
    """
    path = find_named(name, (FOLDER, CHECKOUT), "constitution")
    expected = "name and principles, each with name, critique and revision"
    return read_record(path, Constitution, "constitution", expected=expected, see=str(FOLDER))
