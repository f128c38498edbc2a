"""Does the verdict follow from the thought? The judge is asked again after thoughts that were tampered with.

After the whole thought the verdict is asked for three more times: without the thought, after its first half, and after
the same words with A and B exchanged. Where the verdict stays whatever stands before it, the reasons were no reasons;
where it turns with the exchange, it was read off the thought.

References:
    Lanham et al., Measuring faithfulness in chain-of-thought reasoning (2023), arXiv:2307.13702: early answering,
    and adding mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from rewardkit.judge.contract import Capability, Completion, Failure, PairTexts, PairVerdict, Steps
from rewardkit.judge.prompting import read_prompt
from rewardkit.judge.reasoning import ReasonedV1, Thinking, think_first
from rewardkit.rubric import Rubric
from rewardkit.types import Order

NOTHING = "…"
_NOUN = r"responses?|options?|candidates?|texts?|stor(?:y|ies)|poems?|jokes?|answers?"
# A capital A that begins a sentence is an article ("A good story") unless a verb or a comma follows ("A is vivid").
_ARTICLE = re.compile(r"(?:\A|[.!?:\n]\s*|[*#-]\s+)A(?= [a-z])")
_VERB = re.compile(r" (?:is|was|has|does|had|did|and|or|but|wins?|seems?|feels?|uses?|shows?|tells?|better|worse)\b")
_ORDINALS = {"first": "second", "second": "first", "former": "latter", "latter": "former"}
_ORDINAL = re.compile(rf"(?i:\b(the) (first|second|former|latter))(?= (?:one|{_NOUN}|is|was|has|does)\b)")


class ReasonedProbeV1:
    """`reasoned-probe.v1`: as `reasoned.v1`, and what the verdict would be after other thoughts.

    `details["probes"]` holds, by what was done to the thought (none, half, exchanged), the probability of the response
    that is preferred after the whole thought. An exchange is left out where the thought names no side.

    Args:
        options: How long it may think.
    """

    name = "reasoned-probe.v1"
    needs: frozenset[Capability] = frozenset({"labels", "replies"})
    options_type = Thinking

    def __init__(self, options: Thinking | None = None) -> None:
        self._reasoned = ReasonedV1(options)
        self.options, self.prompt_hash = self._reasoned.options, self._reasoned.prompt_hash
        self._question = read_prompt(ReasonedV1.name).fill("verdict", {})

    def compare(self, texts: PairTexts, rubric: Rubric, order: Order) -> Steps[PairVerdict | Failure]:
        """Ask for a thought, for the verdict after it, and after thoughts that were tampered with."""
        asked, question = self._reasoned.render(texts, rubric, order), self._question
        thought = yield from think_first(asked, question, self.options.thought_tokens)
        verdict = thought if isinstance(thought, Failure) else self._reasoned.parse(thought.answer)
        if isinstance(thought, Failure) or isinstance(verdict, Failure):
            return verdict
        others = tampered(thought.text)
        answers = yield tuple(asked.then(text, question) for text in others.values())
        probes = self._probes(dict(zip(others, answers, strict=True)), verdict.p_first)
        return replace(verdict, rationale=thought.text, details={**thought.details, "probes": probes})

    def _probes(self, answers: Mapping[str, Completion], p_first: float) -> dict[str, float]:
        found = {name: self._reasoned.parse(answer) for name, answer in answers.items()}
        return {
            name: other.p_first if p_first >= 0.5 else 1.0 - other.p_first
            for name, other in found.items()
            if isinstance(other, PairVerdict)
        }


def tampered(thought: str) -> dict[str, str]:
    """Return other thoughts to put in a thought's place, by what was done to it."""
    words = thought.split()
    found = {"none": NOTHING, "half": " ".join(words[: max(1, len(words) // 2)])}
    turned = exchanged(thought)
    return {**found, "exchanged": turned} if turned != thought else found


def exchanged(thought: str) -> str:
    """Return a thought in which A and B have changed places, wherever a response is meant."""
    articles = {match.end() - 1 for match in _ARTICLE.finditer(thought) if not _meant(thought, match.end())}
    letters = re.sub(r"\b[AB]\b", lambda m: m[0] if m.start() in articles else _other(m[0]), thought)
    return _ORDINAL.sub(lambda found: f"{found[1]} {_ORDINALS[found[2].lower()]}", letters)


def _meant(thought: str, end: int) -> bool:
    """Tell whether a capital A at the beginning of a sentence, which ends there, is a response: a verb follows."""
    return _VERB.match(thought, end) is not None


def _other(side: str) -> str:
    return "B" if side == "A" else "A"
