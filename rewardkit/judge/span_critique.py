"""`critique-spans.v1`: a judge points at passages, each with a quote and a note, then says which response is better.

A quote counts as evidence only where it is in the text: the others are kept and marked, without a place. Passages have
the form in which people's marks are stored (response, quote, sign, note, start, end); `verified` says which are a
judge's. Their offsets count characters of the response's text, people's those of the text as the page shows it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field

from rewardkit.judge.contract import Capability, Completion, Failure, PairTexts, PairVerdict, Request, Steps
from rewardkit.judge.pairwise import PairwiseV1
from rewardkit.judge.prompting import pair_slots, read_prompt, said
from rewardkit.judge.quotes import Quotable
from rewardkit.rubric import Rubric
from rewardkit.section import Count, Section
from rewardkit.types import Order

LONGEST_QUOTE, LONGEST_NOTE = 5_000, 2_000
"""In characters; what the labelling page allows."""
MOST_READINGS = 8
"""Of a line: a quote that ends neither at one of the first quotation marks nor at the last one is not looked for."""
# What may repeat never gives back what it took: a line of ten thousand stars would take a second otherwise.
_LINE = re.compile(r"^[\s*•>`-]*+(?:\d{1,2}[.)]\s*+)?+[*`]*+(A|B)\s*+([+-])[*`]*+\s*+:?+\s*+[\"“„«”](.+)$")
_CLOSING = re.compile(r"[\"”“»]\s*+[*`]*+\s*+(?:[:–—-]++\s*+|$)")


class Pointing(Section):
    """Options of the protocol that points at passages."""

    most_passages: Count = Field(3, description="passages of a response that are kept; those beyond are counted")
    reply_tokens: Count = Field(600, description="longest reply with passages; a longer one is read as far as it goes")


@dataclass(frozen=True)
class Point:
    """A passage that a judge points at.

    Attributes:
        side: The response.
        sign: Whether it speaks for the response or against it.
        readings: Quote and note, in ways in which the line can be read, for quotes hold quotation marks too. The
            longest quote comes first.
    """

    side: Literal["first", "second"]
    sign: Literal["good", "bad"]
    readings: tuple[tuple[str, str], ...]

    def found_in(self, looked_in: Quotable) -> dict[str, Any]:
        """Return the passage as it is stored; the first reading whose quote is in the text, else the shortest quote."""
        about = {"response": self.side, "sign": self.sign}
        for quote, note in self.readings:
            if (place := looked_in.find(quote)) is not None:
                where = {"start": place.start, "end": place.end, "verified": True}
                return {**about, "quote": place.of(looked_in.text), "note": note[:LONGEST_NOTE], **where}
        quote, note = self.readings[-1]
        return {**about, "quote": quote[:LONGEST_QUOTE], "note": note[:LONGEST_NOTE], "verified": False}


class CritiqueSpansV1:
    """The passages are a reply in words, one a line; the verdict is read from the probabilities of A and B.

    Args:
        options: How many passages, in how many words.
    """

    name = "critique-spans.v1"
    needs: frozenset[Capability] = frozenset({"labels", "replies"})
    options_type = Pointing

    def __init__(self, options: Pointing | None = None) -> None:
        self.options = options or Pointing()
        self._prompt, self._verdict = read_prompt(self.name), PairwiseV1()
        self.prompt_hash = self._prompt.hash

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Ask for passages, look them up, and ask which response is better."""
        system, user = self._prompt.asked({**pair_slots(texts, rubric, order), "most": str(self.options.most_passages)})
        request = Request(system, user, "", (), reply_tokens=self.options.reply_tokens, cut=True)
        (answer,) = yield (request,)
        if answer.failure:
            return Failure(answer.failure)
        (forced,) = yield (self._question(request, answer),)
        verdict = self._verdict.parse(forced)
        if isinstance(verdict, Failure):
            return verdict
        both = [texts.response_a.text, texts.response_b.text][:: 1 if order == "ab" else -1]
        spans, counts = self._spans(answer, {"first": both[0], "second": both[1]})
        return replace(verdict, rationale=said(answer.reply).strip(), spans=spans, details={"quotes": counts})

    def _question(self, request: Request, answer: Completion) -> Request:
        """Return the question whose answer is forced to be a label; a cut reply ends with its last whole line."""
        reply = said(answer.reply).strip()
        whole = reply.rpartition("\n")[0] if answer.was_cut and "\n" in reply else reply
        asked = self._prompt.sections["verdict"]
        return request.then(
            whole,
            asked,
            prefill=self._prompt.sections["prefill"],
            labels=self._verdict.labels,
            reply_tokens=0,
            cut=False,
        )

    def _spans(
        self, answer: Completion, texts: Mapping[str, str]
    ) -> tuple[tuple[Mapping[str, Any], ...], dict[str, Any]]:
        """Return the passages that are kept, and how many of them are really there."""
        taken: Counter[str] = Counter()
        both = {side: Quotable(text) for side, text in texts.items()}
        kept: list[dict[str, Any]] = []
        for point in read_points(said(answer.reply)):
            taken[point.side] += 1
            if taken[point.side] <= self.options.most_passages:
                kept.append(point.found_in(both[point.side]))
        verified = sum(span["verified"] for span in kept)
        counts = {"verified": verified, "unverified": len(kept) - verified, "beyond": taken.total() - len(kept)}
        return tuple(kept), {**counts, "cut": answer.was_cut}


def read_points(reply: str) -> Iterator[Point]:
    """Read the lines of a reply that point at a passage; whatever else it holds is passed over."""
    for line in reply.splitlines():
        if found := _LINE.match(line.rstrip()):
            side, sign, rest = found.groups()
            ends = list(_CLOSING.finditer(rest))
            ends = [*ends[: MOST_READINGS - 1], *ends[MOST_READINGS - 1 :][-1:]]
            readings = [(rest[: end.start()].strip(), rest[end.end() :].strip()) for end in reversed(ends)]
            if readings := [(quote, note) for quote, note in readings if quote]:
                shown: Literal["first", "second"] = "first" if side == "A" else "second"
                yield Point(shown, "good" if sign == "+" else "bad", tuple(readings))
