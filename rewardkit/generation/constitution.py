"""Constitutions: principles by which a model criticises and rewrites a response, as YAML in configs/constitutions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rewardkit.complaints import complaint
from rewardkit.errors import ConfigError
from rewardkit.registry import suggestion
from rewardkit.types import content_id
from rewardkit.yaml_files import read_yaml

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
    path = Path(name) if name.endswith((".yaml", ".yml")) else _find(name)
    try:
        return Constitution.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"not a valid constitution: {f'{key}: ' if key else ''}{complaint(first)}",
            where=str(path),
            expected="name and principles, each with name, critique and revision",
            fix=f"correct {key or 'the file'}; see configs/constitutions",
        ) from error


def _find(name: str) -> Path:
    for folder in (FOLDER, CHECKOUT):
        if (path := folder / f"{name}.yaml").is_file():
            return path
    known = sorted({path.stem for folder in (FOLDER, CHECKOUT) for path in folder.glob("*.yaml")})
    raise ConfigError(
        f"no constitution is called {name!r}",
        where=str(FOLDER.absolute()),
        expected=f"{', '.join(known) or 'none is there'}, or a path ending in .yaml",
        fix=suggestion(name, dict.fromkeys(known)),
    )
