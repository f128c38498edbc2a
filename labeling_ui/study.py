"""What a study is: all that the page shows and asks, settled before it opens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labeling_ui.rendering import safe_html
from labeling_ui.wordings import ALONE, COMPARING, CONSENT, GUIDELINES
from rewardkit.errors import ConfigError
from rewardkit.label_config import LabelConfig
from rewardkit.paths import looked_in
from rewardkit.rubric import Rubric, load_rubric
from rewardkit.types import content_id


@dataclass(frozen=True)
class Page:
    """A text that annotators read and agree to.

    Attributes:
        html: Safe to show.
        version: Changes with every change of wording; labels name it.
        text: As it was written, in Markdown.
    """

    html: str
    version: str
    text: str


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        name: Under which its items and people are kept.
        config: As the researcher wrote it.
        rubric: Whose criteria are asked for; none if absent.
        guidelines: What annotators read before they work.
        consent: What they agree to.
    """

    name: str
    config: LabelConfig = field(default_factory=LabelConfig)
    rubric: Rubric | None = None
    guidelines: Page = field(default_factory=lambda: page_of(GUIDELINES["comparison"]))
    consent: Page = field(default_factory=lambda: page_of(CONSENT["comparison"]))

    @classmethod
    def of(cls, config: LabelConfig, name: str) -> Study:
        """Read what a config names.

        Args:
            config: The section `label`.
            name: The study's name where the section gives none.

        Raises:
            ConfigError: A file cannot be read, or a rating task has no rubric.
        """
        if config.task == "rating" and not config.rubric:
            raise ConfigError("ratings need a rubric", where="label.rubric", fix="name one, such as fiction")
        if config.criteria == "rate" and not config.rubric:
            raise ConfigError(
                "ratings need a rubric", where="label.rubric", fix="name one, or leave label.criteria out"
            )
        kind = "chat" if config.chat else config.task
        return cls(
            config.study or name,
            config,
            load_rubric(config.rubric) if config.rubric else None,
            page_of(_text(config.guidelines, "label.guidelines") or GUIDELINES[kind]),
            page_of(_text(config.consent, "label.consent") or CONSENT[kind]),
        )

    @property
    def version(self) -> str:
        """Of all that annotators read before they work."""
        return f"{self.consent.version}.{self.guidelines.version}"

    @property
    def agreement(self) -> dict[str, str]:
        """What is kept of somebody who agreed to all of it."""
        return {"consent": self.version, "guidelines": self.guidelines.version}

    @property
    def reasons(self) -> Sequence[str]:
        """Quick reasons that may be ticked."""
        if self.config.reasons is not None:
            return self.config.reasons
        return ALONE if self.config.task == "rating" else COMPARING

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest rating."""
        return self.rubric.scale if self.rubric else (1.0, 5.0)

    @property
    def criteria(self) -> Sequence[str]:
        """Names of the criteria that are asked for."""
        return [criterion.name for criterion in self.rubric.by_weight()] if self.rubric else []

    @property
    def rubric_version(self) -> str:
        """Version of the rubric, as ratings name it."""
        return self.rubric.version if self.rubric else ""


def page_of(text: str) -> Page:
    """Return a text of Markdown as a page."""
    return Page(safe_html(text, breaks=False), content_id("page", text)[:12], text)


def _text(path: str, key: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        fix = f"correct {key}{looked_in(path)}"
        raise ConfigError(f"there is no such file: {path}", where=key, fix=fix) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file cannot be read ({error})", where=key, fix=f"correct {key}") from error
