"""Protocols for long texts: read in windows with running notes, then one verdict on the whole.

The verdict rests on the notes and on how the responses begin and end. Where both responses fit into one window it is
the plain question of `pairwise.v1` or `rating.v1`, with all of the text. The prompt is never cut: one that is too long
for the backend is a failure that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rewardkit.judge.contract import (
    Capability,
    Failure,
    PairTexts,
    PairVerdict,
    RatingVerdict,
    Request,
    ResponseTexts,
    Steps,
)
from rewardkit.judge.pairwise import PairwiseV1
from rewardkit.judge.prompting import anchors, conversation, pair_slots, read_prompt
from rewardkit.judge.rating import RatingV1
from rewardkit.judge.reading import Reading, WindowReader, Windows
from rewardkit.rubric import Criterion, Rubric
from rewardkit.types import Order, content_id


class WindowsV1:
    """`windows.v1`: which of two long responses is better, by the probabilities of A and B.

    Args:
        options: How the responses are read.
    """

    name = "windows.v1"
    needs: frozenset[Capability] = frozenset({"labels", "replies"})
    options_type = Windows

    def __init__(self, options: Windows | None = None) -> None:
        self.options = options or Windows()
        self._reader = WindowReader(self.options)
        self._short, self._prompt = PairwiseV1(), read_prompt(self.name)
        parts = (self._prompt.hash, self._reader.prompt_hash, self._short.prompt_hash)
        self.prompt_hash = content_id("judge prompts", *parts)

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Read both responses, and ask which is better."""
        both = [texts.response_a.text, texts.response_b.text][:: 1 if order == "ab" else -1]
        if max(map(len, both)) <= self.options.window:
            verdict = yield from self._short.compare(texts, rubric, order)
            if isinstance(verdict, Failure):
                return verdict
            return replace(verdict, details={"windows": _sides([_whole(text) for text in both])})
        slots = pair_slots(texts, rubric, order)
        asked = {name: slots[name] for name in ("rubric", "criteria", "request")}
        readings = yield from self._reader.read(both, asked)
        if isinstance(readings, Failure):
            return readings
        (answer,) = yield (self._question(readings, asked),)
        verdict = self._short.parse(answer)
        if isinstance(verdict, Failure):
            return verdict
        return replace(verdict, details={"windows": _sides([r.status() for r in readings]), "notes": _notes(readings)})

    def _question(self, readings: tuple[Reading, ...], asked: Mapping[str, str]) -> Request:
        shown = dict(asked)
        for name, reading in zip(("first", "second"), readings, strict=True):
            shown |= {name: reading.excerpt(self.options.excerpt), f"{name}_notes": reading.shown_notes()}
        system, user = self._prompt.asked(shown)
        return Request(system, user, self._prompt.sections["prefill"], self._short.labels)


class RatingWindowsV1:
    """`rating-windows.v1`: where a long response stands on one criterion, by the probabilities of 1 to 5.

    The notes are the same for all criteria: only the last question names one.

    Args:
        options: How the response is read.
    """

    name = "rating-windows.v1"
    needs: frozenset[Capability] = frozenset({"labels", "replies"})
    options_type = Windows

    def __init__(self, options: Windows | None = None) -> None:
        self.options = options or Windows()
        self._reader = WindowReader(self.options)
        self._short, self._prompt = RatingV1(), read_prompt(self.name)
        parts = (self._prompt.hash, self._reader.prompt_hash, self._short.prompt_hash)
        self.prompt_hash = content_id("judge prompts", *parts)

    def rate(self, texts: ResponseTexts, rubric: Rubric, criterion: Criterion) -> Steps[RatingVerdict | Failure]:
        """Read the response, and ask where on the scale it stands."""
        text = texts.response.text
        if len(text) <= self.options.window:
            verdict = yield from self._short.rate(texts, rubric, criterion)
            return verdict if isinstance(verdict, Failure) else replace(verdict, details={"windows": _whole(text)})
        asked = {"rubric": rubric.description.strip(), "request": conversation(texts.prompt)}
        criteria = "\n".join(f"- {each.name}: {each.said}" for each in rubric.by_weight())
        readings = yield from self._reader.read([text], {**asked, "criteria": criteria})
        if isinstance(readings, Failure):
            return readings
        (reading,) = readings
        shown = {
            **asked,
            "criterion": f"{criterion.name}: {criterion.said}",
            "anchors": anchors(criterion, rubric.scale, (1.0, 5.0)),
            "response": reading.excerpt(self.options.excerpt),
            "notes": reading.shown_notes(),
        }
        system, user = self._prompt.asked(shown)
        (answer,) = yield (Request(system, user, self._prompt.sections["prefill"], self._short.labels),)
        verdict = self._short.parse_rating(answer)
        if isinstance(verdict, Failure):
            return verdict
        return replace(verdict, details={"windows": reading.status(), "notes": list(reading.notes)})


def _sides(each: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return dict(zip(("first", "second"), each, strict=True))


def _notes(readings: tuple[Reading, ...]) -> dict[str, list[str]]:
    return dict(zip(("first", "second"), (list(reading.notes) for reading in readings), strict=True))


def _whole(text: str) -> dict[str, Any]:
    """Return the status of a text that was shown at once."""
    return {"windows": 0, "characters": len(text), "of_characters": len(text), "truncated": False}
