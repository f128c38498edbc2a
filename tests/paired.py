"""A pair of responses with its texts, as the store gives it to a judge."""

from __future__ import annotations

from dataclasses import dataclass

from rewardkit.types import Comparison, Message, Prompt, Response


@dataclass(frozen=True)
class Texts:
    """A pair; where one response is judged, it is the first."""

    comparison: Comparison
    prompt: Prompt
    response_a: Response
    response_b: Response

    @property
    def response(self):
        return self.response_a

    @property
    def responses(self):
        return (self.response_a, self.response_b)


def pair(a, b, prompt="Write the first sentence of a story about a lighthouse."):
    asked = Prompt.of((Message(role="user", content=prompt),))
    by_id = {each.id: each for each in (Response.of(asked.id, a), Response.of(asked.id, b))}
    comparison = Comparison.of(asked.id, *by_id)
    return Texts(comparison, asked, by_id[comparison.response_a], by_id[comparison.response_b])
