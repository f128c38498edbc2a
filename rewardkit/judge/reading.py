"""Reading texts that are longer than a window: part by part, with running notes.

The notes grow by what each part adds and are never written anew: a note that is cut short loses its own end, and
nothing of what stood there before. (Chang et al. 2024, BooookScore, arXiv:2310.00785, find that summaries which are
updated chunk by chunk lose coherence.) What is asked about a part depends neither on the other response nor on the
order in which both will be shown, so that notes which were bought once can be had again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field

from rewardkit.judge.contract import Completion, Failure, Request, Steps
from rewardkit.judge.prompting import neutralise, read_prompt, said
from rewardkit.passages import Passage, windows
from rewardkit.section import Count, Section

NO_NOTES = "(none yet)"
GAP = "\n\n[…]\n\n"


class Windows(Section):
    """Options of the protocols that read long texts: a window of about 1,000 tokens of English by default."""

    window: Annotated[int, Field(ge=200)] = Field(
        4000, description="longest window, in characters; texts that fit into one are shown at once"
    )
    most_windows: Count = Field(
        24, description="windows of a response that are read; what comes after them is not, and the record says so"
    )
    note_tokens: Count = Field(100, description="longest note on a window; a longer one is cut, and used as it is")
    excerpt: Count = Field(1000, description="characters of a response's beginning and of its end beside the notes")


@dataclass(frozen=True)
class Reading:
    """What was read of a text so far.

    Attributes:
        text: All of it.
        parts: Its windows.
        planned: How many of them are read.
        notes: One for each window that had one.
        read: Windows that were read.
        cut: Notes that were longer than their budget, and end in the middle.
    """

    text: str
    parts: tuple[Passage, ...]
    planned: int
    notes: tuple[str, ...] = ()
    read: int = 0
    cut: int = 0

    def status(self) -> dict[str, Any]:
        """Return how far it was read, as it is kept with the answer."""
        characters = self.parts[self.read - 1].end if self.read else 0
        return {
            "windows": self.read,
            "of_windows": len(self.parts),
            "characters": characters,
            "of_characters": len(self.text),
            "truncated": characters < len(self.text),
            "notes_cut": self.cut,
        }

    def shown_notes(self) -> str:
        """Return the notes for the judge, and where the reading ended if that is not the text's end."""
        status = self.status()
        lines = [neutralise(note) for note in self.notes]
        if self.read and status["truncated"] and self.read == self.planned:
            lines.append(f"(Read up to here: {status['characters']} of {status['of_characters']} characters.)")
        return "\n".join(lines) or NO_NOTES

    def excerpt(self, characters: int) -> str:
        """Return how the text begins and ends; all of it where that is no more.

        Args:
            characters: Of the beginning, and of the end.
        """
        whole = self.text
        if len(whole) > 2 * characters:
            whole = neutralise(whole[:characters]) + GAP + neutralise(whole[-characters:])
        return neutralise(whole)


class WindowReader:
    """Reads texts window by window.

    Args:
        options: How far, and in how many words.
    """

    def __init__(self, options: Windows) -> None:
        self.options = options
        self._prompt = read_prompt("window-notes.v1")
        self.prompt_hash = self._prompt.hash

    def read(self, texts: Sequence[str], slots: Mapping[str, str]) -> Steps[tuple[Reading, ...] | Failure]:
        """Read texts beside each other: their windows of the same number are asked about in one round.

        Args:
            texts: Of the responses.
            slots: What each question holds beside its part: rubric, criteria and request.
        """
        parts = [tuple(windows(text, self.options.window)) for text in texts]
        readings = [
            Reading(text, p, min(len(p), self.options.most_windows)) for text, p in zip(texts, parts, strict=True)
        ]
        for number in range(max(reading.planned for reading in readings)):
            places = [at for at, reading in enumerate(readings) if number < reading.planned]
            answers = yield tuple(self._question(readings[at], slots) for at in places)
            for at, answer in zip(places, answers, strict=True):
                if answer.failure:
                    return Failure(f"reading part {number + 1} of {len(parts[at])}: {answer.failure}")
                readings[at] = _noted(readings[at], answer)
        if not all(reading.notes for reading in readings):
            return Failure("the judge took no notes")
        return tuple(readings)

    def _question(self, reading: Reading, slots: Mapping[str, str]) -> Request:
        part = reading.parts[reading.read].of(reading.text)
        counted = {"number": str(reading.read + 1), "count": str(len(reading.parts))}
        shown = {"notes": reading.shown_notes(), "part": neutralise(part)}
        system, user = self._prompt.asked({**slots, **counted, **shown})
        return Request(system, user, "", (), reply_tokens=self.options.note_tokens, cut=True)


def _noted(reading: Reading, answer: Completion) -> Reading:
    note = said(answer.reply).strip()
    notes = (*reading.notes, note) if note else reading.notes
    return replace(reading, notes=notes, read=reading.read + 1, cut=reading.cut + answer.was_cut)
