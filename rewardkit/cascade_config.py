"""The section `cascade`: judges from cheap to dear, and what they promise together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from rewardkit.judge_config import JudgeConfig
from rewardkit.section import Section

LEFT = "no judge is sure enough: people decide"
LABELLED = "no judge is sure enough: people have decided"
"""Why a cascade abstains."""
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class CascadeJudge(JudgeConfig):
    """One judge of a cascade: a section `judge` with a name and a price."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+$", examples=["small"], description="in the cascade")
    price: Annotated[float, Field(ge=0.0)] = Field(1.0, description="of one comparison, in any currency that all share")

    @model_validator(mode="after")
    def _stands_alone(self) -> CascadeJudge:
        for key in ("demonstrations", "panel"):
            if getattr(self, key):
                raise ValueError(
                    f"{key} cannot stand in a cascade: its thresholds rest on the labels that demonstrations show, and "
                    "each of its judges is one"
                )
        return self


class CascadeConfig(Section):
    """Cheap judges answer where human labels show that they may; the rest goes to dearer ones, and then to people."""

    judges: tuple[CascadeJudge, ...] = Field(min_length=1, description="from cheap to dear")
    agreement: Share = Field(0.8, description="share of what they answer in which people are to agree with them")
    delta: Share = Field(0.1, description="probability, over the draw of the human labels, that it is less")
    fit_share: Share = Field(0.35, description="of the human labels, on which confidences are fitted and not tested")
    people_price: Annotated[float, Field(ge=0.0)] = Field(0.0, description="of one comparison that people label")

    @model_validator(mode="after")
    def _names_differ(self) -> CascadeConfig:
        names = [judge.name for judge in self.judges]
        if len(set(names)) < len(names):
            raise ValueError("two judges have the same name")
        return self
