"""Prompts of judge protocols: text files whose hash goes into the annotator, and slots for untrusted texts.

A file has the sections system, user and prefill, and those of a protocol of its own. Slots are `$name`,
filled in one pass, so that a slot inside an untrusted text stays text. Untrusted texts stand between tags,
and cannot close or open one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template

from rewardkit.judge.contract import PairTexts
from rewardkit.rubric import Criterion, Rubric
from rewardkit.types import Order, Prompt, content_id

SECTIONS = ("system", "user", "prefill")
TAGS = (
    *("request", "response", "reference", *(f"response_{letter}" for letter in "abcdefgh")),
    *("system", "user", "assistant", "tool"),
    *("notes", "notes_a", "notes_b", "critic", "critic_a", "critic_b"),
    *("example", "example_request", "example_a", "example_b"),
    *("case", "case_request", "preferred_by_people", "preferred_by_judge"),
)
"""Of all prompts: what a protocol's own wording does not use, a rubric's demonstrations or another reader's may."""
THINKING, THOUGHT = "<think>", "</think>"
_THOUGHT = re.compile(rf"{THINKING}.*?(?:{THOUGHT}|\Z)", re.DOTALL)
_BEGUN = re.compile(r"</?(?:t(?:h(?:i(?:nk?)?)?)?)?\Z")
_MARK = re.compile(r"</?think>")
_OPENING = re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(TAGS)})\b)", re.IGNORECASE)
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

    def asked(self, slots: Mapping[str, str]) -> tuple[str, str]:
        """Return the system message and the user's, with their slots filled."""
        return self.fill("system", slots), self.fill("user", slots)


def read_prompt(name: str) -> PromptFile:
    """Read the wording of a protocol that this package ships."""
    text = files("rewardkit.judge").joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    found = {section: body.strip() for section, body in zip(parts[::2], parts[1::2], strict=True)}
    return PromptFile({**dict.fromkeys(SECTIONS, ""), **found}, content_id("judge prompt", text))


def neutralise(text: str) -> str:
    """Return an untrusted text in which no tag of ours is one: its "<" becomes "‹"."""
    return _OPENING.sub("‹", text).strip()


def conversation(prompt: Prompt) -> str:
    """Return what the responses answer: one message bare, several in tags of their roles.

    It is neutralised already; to do so once more would take the roles' own tags away.
    """
    if not prompt.messages:
        return "(none was given)"
    if len(prompt.messages) == 1:
        return neutralise(prompt.messages[0].content)
    return "\n".join(f"<{m.role}>\n{neutralise(m.content)}\n</{m.role}>" for m in prompt.messages)


def pair_slots(texts: PairTexts, rubric: Rubric, order: Order) -> dict[str, str]:
    """Return what fills a question about two responses; the one shown first is `first`.

    Args:
        texts: The comparison.
        rubric: What for.
        order: Which response is shown first.
    """
    first, second = texts.response_a.text, texts.response_b.text
    if order == "ba":
        first, second = second, first
    return {
        "rubric": rubric.description.strip(),
        "criteria": "\n".join(f"- {c.name}: {c.said}" for c in rubric.by_weight()),
        "request": conversation(texts.prompt),
        "first": neutralise(first),
        "second": neutralise(second),
    }


def anchors(criterion: Criterion, scale: tuple[float, float], asked: tuple[float, float]) -> str:
    """Return one line a level; the two ends where the rubric gives none.

    Args:
        criterion: What is rated.
        scale: The rubric's.
        asked: The scale on which numbers are asked for.
    """
    (low, high), (least, most) = scale, asked
    levels = sorted(criterion.anchors.items()) or [(low, "very poor"), (high, "excellent")]
    return "\n".join(f"{least + (most - least) * (at - low) / (high - low):g} = {text.strip()}" for at, text in levels)


def said(text: str) -> str:
    """Return what was said aloud so far: some models think first, between tags.

    Of those whose chat template opens the tag only the closing one is in the reply.
    """
    aloud = _THOUGHT.sub("", text).rpartition(THOUGHT)[2].lstrip()
    return "" if THINKING.startswith(aloud) else aloud


def thought(text: str) -> str:
    """Return what was thought so far, between tags: what is written on never changes what was returned before."""
    # What may yet become a tag waits.
    return "\n".join(_MARK.sub("", found) for found in _THOUGHT.findall(_BEGUN.sub("", text)))


def aloud(text: str) -> str:
    """Return all that was said, thoughts included, without the tags around them: some are cut before their end."""
    return _MARK.sub("", text).strip()
