"""Prompts of judge protocols: text files whose hash goes into the annotator, and slots for untrusted texts.

A file has the sections system, user and prefill. Slots are `$name`, filled in one pass, so that a slot
inside an untrusted text stays text. Untrusted texts stand between tags, and cannot close or open one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from rewardkit.types import Prompt, content_id

SECTIONS = ("system", "user", "prefill")
TAGS = ("request", "response", "response_a", "response_b", "system", "user", "assistant", "tool")
_TAG = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(TAGS)})\b)", re.IGNORECASE)
_HEADING = re.compile(r"^=== (\w+) ===$", re.MULTILINE)


@dataclass(frozen=True)
class PromptFile:
    """A protocol's wording.

    Attributes:
        sections: Section name: text.
        hash: Hash of the file's text.
    """

    sections: Mapping[str, str]
    hash: str

    def fill(self, section: str, slots: Mapping[str, str]) -> str:
        """Return a section with its slots filled."""
        return Template(self.sections[section]).substitute(slots)


def read_prompt(name: str) -> PromptFile:
    """Read the wording of a protocol that this package ships."""
    text = files("rewardkit.judge").joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    found = {section: body.strip() for section, body in zip(parts[::2], parts[1::2], strict=True)}
    return PromptFile({section: found.get(section, "") for section in SECTIONS}, content_id("judge prompt", text))


def neutralise(text: str) -> str:
    """Return an untrusted text in which no tag of ours is one: its "<" becomes "‹"."""
    return _TAG.sub("‹", text).strip()


def conversation(prompt: Prompt) -> str:
    """Return what the responses answer as untrusted text: one message bare, several in tags of their roles."""
    if not prompt.messages:
        return "(none was given)"
    if len(prompt.messages) == 1:
        return neutralise(prompt.messages[0].content)
    return "\n".join(f"<{m.role}>\n{neutralise(m.content)}\n</{m.role}>" for m in prompt.messages)
