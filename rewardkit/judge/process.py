"""`process.v1`: how a response goes, paragraph by paragraph.

One outcome says little of a long text: feedback on each step teaches more (Lightman et al. 2023, Let's verify step by
step, arXiv:2305.20050, measured on solutions of problems). Each paragraph is judged with what stands before it and
without what comes after, so that its level is what a reader has at that point. The questions on one response share the
longest prefix: all up to the paragraph that they ask about.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from rewardkit.judge.contract import (
    Capability,
    Completion,
    Failure,
    RatingVerdict,
    Request,
    ResponseTexts,
    Steps,
)
from rewardkit.judge.distributions import LabelDistribution, distribution
from rewardkit.judge.prompting import anchors, conversation, neutralise, read_prompt
from rewardkit.passages import Paragraphs, Passage, paragraphs
from rewardkit.rubric import Criterion, Rubric
from rewardkit.section import Count, Section

LEAST_MASS = 0.01
GOOD, BAD = "good", "bad"


class ByParagraph(Section):
    """Options of the protocol that goes paragraph by paragraph."""

    most_paragraphs: Count = Field(
        16, description="paragraphs that are asked about; neighbours are joined evenly where a text has more"
    )
    least_characters: Count = Field(120, description="a shorter paragraph is judged together with the next one")


class ProcessV1:
    """The rating is the mean over the paragraphs of the probability of "good"; `details` has each of them.

    Args:
        options: How many paragraphs, and how long they are at least.
    """

    name = "process.v1"
    labels = (GOOD, BAD)
    needs: frozenset[Capability] = frozenset({"labels"})
    options_type = ByParagraph

    def __init__(self, options: ByParagraph | None = None) -> None:
        self.options = options or ByParagraph()
        self._prompt = read_prompt(self.name)
        self.prompt_hash = self._prompt.hash

    def rate(self, texts: ResponseTexts, rubric: Rubric, criterion: Criterion) -> Steps[RatingVerdict | Failure]:
        """Ask about all paragraphs at the same time."""
        text = texts.response.text
        found = paragraphs(text, least=self.options.least_characters, most=self.options.most_paragraphs)
        if not found.passages:
            return Failure("the response has no paragraph")
        slots = {
            "rubric": rubric.description.strip(),
            "criterion": f"{criterion.name}: {criterion.said}",
            "anchors": anchors(criterion, rubric.scale, rubric.scale),
            "request": conversation(texts.prompt),
        }
        requests = []
        for passage in found.passages:
            system, user = self._prompt.asked({**slots, "response": neutralise(text[: passage.end])})
            requests.append(Request(system, user, self._prompt.sections["prefill"], self.labels))
        answers = yield tuple(requests)
        return _verdict(found, answers)


def _verdict(found: Paragraphs, answers: Sequence[Completion]) -> RatingVerdict | Failure:
    read: list[tuple[Passage, LabelDistribution]] = []
    for passage, answer in zip(found.passages, answers, strict=True):
        one = distribution(answer, ProcessV1.labels, LEAST_MASS)
        if isinstance(one, Failure):
            return Failure(f"paragraph {len(read) + 1} of {len(answers)}: {one.reason}")
        read.append((passage, one))
    levels = [{"start": passage.start, "end": passage.end, "level": one.probabilities[GOOD]} for passage, one in read]
    mean = sum(one.probabilities[GOOD] for _, one in read) / len(read)
    outside = sum(one.mass_outside for _, one in read) / len(read)
    details = {"paragraphs": levels, "paragraphs_found": found.found}
    return RatingVerdict(min(max(mean, 0.0), 1.0), min(outside, 1.0), details=details)
