"""`listwise.v1`: which of several responses is the best, all of them shown at once.

To show a model a list and have it ordered is from Sun et al. 2023, Is ChatGPT good at search? (RankGPT,
arXiv:2304.09542), who read a permutation in words. Here the first choice is read, from the probabilities of the
letters: it says of every response how near it is to being chosen, and how uncertain that is, in one request.
"""

from __future__ import annotations

from rewardkit.judge.contract import Capability, Failure, Request, Steps
from rewardkit.judge.distributions import distribution
from rewardkit.judge.list_contract import GroupTexts, ListVerdict
from rewardkit.judge.prompting import conversation, neutralise, read_prompt
from rewardkit.rubric import Rubric
from rewardkit.types import Order

LEAST_MASS = 0.01
LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H")


class ListwiseV1:
    """The labels are letters, one for each response; each order of presentation is one request."""

    name = "listwise.v1"
    needs: frozenset[Capability] = frozenset({"labels"})
    most_responses = len(LETTERS)

    def __init__(self) -> None:
        self._prompt = read_prompt(self.name)
        self.prompt_hash = self._prompt.hash

    def rank(self, texts: GroupTexts, rubric: Rubric, order: Order) -> Steps[ListVerdict | Failure]:
        """Ask for the best, and read how probable each letter is."""
        shown = [response.text for response in texts.responses]
        if not 2 <= len(shown) <= self.most_responses:
            return Failure(f"a list of {len(shown)} responses, not of 2 to {self.most_responses}")
        letters = LETTERS[: len(shown)]
        system, user = self._prompt.asked(
            {
                "rubric": rubric.description.strip(),
                "criteria": "\n".join(f"- {c.name}: {c.said}" for c in rubric.by_weight()),
                "request": conversation(texts.prompt),
                "responses": _tagged(shown if order == "ab" else shown[::-1]),
                "letters": f"{', '.join(letters[:-1])} or {letters[-1]}",
            }
        )
        (answer,) = yield (Request(system, user, self._prompt.sections["prefill"], letters),)
        found = distribution(answer, letters, LEAST_MASS)
        if isinstance(found, Failure):
            return found
        return ListVerdict(tuple(found.probabilities[letter] for letter in letters), found.mass_outside)


def _tagged(texts: list[str]) -> str:
    """Return untrusted texts, each in the tags of its letter."""
    tags = [f"response_{letter.lower()}" for letter in LETTERS[: len(texts)]]
    parts = [f"<{tag}>\n{neutralise(text)}\n</{tag}>" for tag, text in zip(tags, texts, strict=True)]
    return "\n\n".join(parts)
