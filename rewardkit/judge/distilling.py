"""Notes distilled from comparisons on which a judge and people disagreed: the model is asked what was overlooked.

It proposes and no more: what it writes comes from texts that nobody vouches for, and reaches a judge only if a person
approves it (`rewardkit.judge.notes`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rewardkit.errors import ConfigError
from rewardkit.judge.contract import Backend, Completion, Request
from rewardkit.judge.notes import Note, Notes, note_id
from rewardkit.judge.prompting import conversation, neutralise, read_prompt, said
from rewardkit.rubric import Rubric
from rewardkit.types import Prompt

CASES_AT_A_TIME = 4
MOST_NOTES = 3
"""Of one reply."""
REPLY_TOKENS = 200
EXCERPT = 1200
SHORTEST, LONGEST = 15, 300
_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+(.+)$")


@dataclass(frozen=True)
class Case:
    """A comparison on which the judge and people disagreed.

    Attributes:
        comparison: Its id.
        prompt: What both responses answer.
        by_people: The text that people preferred.
        by_judge: The text that the judge preferred.
    """

    comparison: str
    prompt: Prompt
    by_people: str
    by_judge: str


@dataclass(frozen=True)
class Distilled:
    """What came of asking for notes.

    Attributes:
        proposals: The notes, each with the comparisons that it came from.
        failures: Why a request had no answer, for each that had none.
        without: Replies in which there was no note.
    """

    proposals: tuple[Note, ...]
    failures: tuple[str, ...]
    without: int = 0


def questions(rubric: Rubric, notes: Notes, cases: Sequence[Case]) -> list[Request]:
    """Return what is asked: one request for every few cases.

    Args:
        rubric: The judge's, with its approved notes.
        notes: All that are there, so that none is proposed twice.
        cases: Where the judge was wrong.
    """
    prompt = read_prompt("notes.v1")
    slots = {
        "rubric": rubric.description.strip(),
        "criteria": "\n".join(f"- {each.name}: {each.said}" for each in rubric.by_weight()),
        "notes": "\n".join(f"- {neutralise(note.text)}" for note in notes.notes) or "(none)",
        "most": str(MOST_NOTES),
    }
    asked = []
    for some in _chunks(cases):
        shown = "\n\n".join(prompt.fill("case", _shown(case)) for case in some)
        system, user = prompt.asked({**slots, "cases": shown})
        asked.append(Request(system, user, "", (), reply_tokens=REPLY_TOKENS, cut=True))
    return asked


def distil(backend: Backend, requests: Sequence[Request], cases: Sequence[Case], now: datetime) -> Distilled:
    """Ask for notes.

    Args:
        backend: Who is asked.
        requests: Of `questions`, for the same cases.
        cases: Where the judge was wrong.
        now: When that is.

    Raises:
        ConfigError: The backend gives no replies in words.
        ModelError: The model cannot answer at all.
    """
    if "replies" not in backend.capabilities:
        raise ConfigError(
            f"the backend {backend.name!r} gives no replies in words, from which notes are made",
            where="judge.backend",
            fix="choose another backend, or write the notes yourself",
        )
    answers = backend.complete(requests)
    found: list[Note] = []
    without = 0
    for some, answer in zip(_chunks(cases), answers, strict=True):
        texts = read_notes(answer)
        without += not (texts or answer.failure)
        about = {
            "proposed_by": backend.model,
            "proposed_at": now,
            "comparisons": tuple(case.comparison for case in some),
        }
        found += [Note.model_validate({"id": note_id(text), "text": text, **about}) for text in texts]
    return Distilled(tuple(found), tuple(answer.failure for answer in answers if answer.failure), without)


def read_notes(answer: Completion) -> list[str]:
    """Read the notes of a reply: its bullets, but for those too short or too long to be one. A cut one is none."""
    if answer.failure:
        return []
    lines = said(answer.reply).splitlines()
    bullets = [
        " ".join(found[1].split()) for line in lines[: -1 if answer.was_cut else None] if (found := _BULLET.match(line))
    ]
    notes = [text.strip("*_ ") for text in bullets]
    return [text for text in dict.fromkeys(notes) if SHORTEST <= len(text) <= LONGEST][:MOST_NOTES]


def _chunks(cases: Sequence[Case]) -> Iterator[Sequence[Case]]:
    for start in range(0, len(cases), CASES_AT_A_TIME):
        yield cases[start : start + CASES_AT_A_TIME]


def _shown(case: Case) -> dict[str, str]:
    better, worse = neutralise(case.by_people), neutralise(case.by_judge)
    texts = {"request": conversation(case.prompt), "better": better, "worse": worse}
    return {name: _excerpt(text) for name, text in texts.items()}


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else text[:EXCERPT].rstrip() + " […]"
