"""The researchers' views as HTML: templates that escape all they are given, with the filters that they share."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from labeling_ui.biases import Correlation
from labeling_ui.quality import Share
from labeling_ui.rendering import safe_html, safe_line

TEMPLATES = Path(__file__).parent / "templates"
NONE = "–"
FIRM = "\N{NO-BREAK SPACE}"


def view(name: str, /, **values: Any) -> str:
    """Return the HTML of a template of the researchers' page.

    Args:
        name: Of `templates/admin_NAME.html.j2`.
        values: What it shows.
    """
    return _environment().get_template(f"admin_{name}.html.j2").render(**values)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        line=lambda text: Markup(safe_line(str(text))),  # noqa: S704
        # Numbers stay in one piece: a line would lose the spaces that hold them.
        sentence=lambda text: Markup(FIRM).join(Markup(safe_line(part)) for part in text.split(FIRM)),  # noqa: S704
        text=lambda text: Markup(safe_html(str(text))),  # noqa: S704
        guide=lambda text: Markup(safe_html(text, breaks=False)),  # noqa: S704
        percent=percent,
        share=share,
        correlation=correlation,
        two=lambda value: NONE if value is None else f"{value:.2f}".replace("-", "−"),
        span=span,
        when=when,
        ago=ago,
        count=count,
        many=lambda value, word: f"{count(value)} {word if value == 1 else word + 's'}",
    )
    return found


def count(value: int) -> str:
    """Return a number of things, its thousands apart."""
    return f"{value:,}".replace(",", "\u202f")


def percent(value: float | None) -> str:
    """Return a share in percent."""
    return NONE if value is None else f"{100 * value:.0f} %"


def share(value: Share) -> str:
    """Return a share with its interval and n, for those who point at it or cannot see it drawn."""
    if not value.n:
        return "n = 0"
    low, high = value.interval
    return f"{value.hits} of {value.n}, on {_prompts(value)}; 95 % interval {100 * low:.0f} to {100 * high:.0f} %"


def correlation(value: Correlation) -> str:
    """Return a correlation with its interval and n, as `share` does a share."""
    if value.value is None:
        return f"n = {value.n}: too few, or all alike"
    low, high = value.interval
    found = f"r = {value.value:.2f} of {value.n} ratings with the logarithm of the length, on {_prompts(value)}"
    return f"{found}; 95 % interval {low:.2f} to {high:.2f}".replace("-", "−")


def _prompts(value: Share | Correlation) -> str:
    return f"{value.prompts} prompt{'s' if value.prompts > 1 else ''}"


def span(seconds: float | None) -> str:
    """Return how long something takes, as people say it."""
    if seconds is None:
        return NONE
    for size, unit, next_size in ((86400, "days", 1e12), (3600, "hours", 172800), (60, "min", 7200)):
        if size * 2 <= seconds < next_size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def when(at: float | None) -> str:
    """Return a moment, in universal time."""
    return NONE if at is None else datetime.fromtimestamp(at, UTC).strftime("%d %b %Y, %H:%M")


def ago(at: float | None) -> str:
    """Return how long ago something was."""
    if at is None:
        return "never"
    past = max(0.0, time.time() - at)
    return "just now" if past < 60 else f"{span(past)} ago"
