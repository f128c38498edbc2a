"""What a study is: all that the page shows and asks, settled before it opens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labeling_ui.rendering import safe_html
from rewardkit.errors import ConfigError
from rewardkit.label_config import LabelConfig
from rewardkit.paths import looked_in
from rewardkit.rubric import Rubric, load_rubric
from rewardkit.types import content_id

GUIDELINES = """Read the request and both responses in full. Then say which response is better, and how much.

- Judge what is written, not what could have been meant.
- Longer is not better. Take the place of the person who asked.
- If you cannot tell which is better, say so: *equally good*, *both bad* and *cannot judge* are answers too.
"""
CONSENT = """You will read texts and say which you prefer. Your answers are kept under a pseudonym, together with
the time that you took, and are used to train and to measure models. You may stop at any time; what you have sent
by then is kept. Some texts may be unpleasant: skip what you do not want to read.
"""


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
    guidelines: Page = field(default_factory=lambda: page_of(GUIDELINES))
    consent: Page = field(default_factory=lambda: page_of(CONSENT))

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
        return cls(
            config.study or name,
            config,
            load_rubric(config.rubric) if config.rubric else None,
            page_of(_text(config.guidelines, "label.guidelines") or GUIDELINES),
            page_of(_text(config.consent, "label.consent") or CONSENT),
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
