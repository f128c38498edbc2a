"""Demonstrations: what people decided on comparisons like the one that is asked about, shown to the judge before it.

They enter after the rubric's description, so that every protocol can use them as it is. An item is never shown an
example of its own prompt or with one of its texts, and never one that is calibrated or tested on (whoever gathers the
examples sees to that: `rewardkit.jobs.guidance`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rewardkit.errors import DataError
from rewardkit.judge.neighbours import likeness, revision_of
from rewardkit.judge.prompting import conversation, neutralise, read_prompt
from rewardkit.judge_config import DemonstrationsConfig
from rewardkit.rubric import Rubric
from rewardkit.types import Prompt, Response, content_id

LEFT_OUT = " […]"


@dataclass(frozen=True)
class Example:
    """A comparison that people decided clearly.

    Attributes:
        comparison: Its id.
        prompt: What both responses answer.
        better: The text that people preferred.
        worse: The other one.
    """

    comparison: str
    prompt: Prompt
    better: str
    worse: str

    @property
    def words(self) -> str:
        """All of its texts, by which others are found to be like it."""
        return "\n".join([*(message.content for message in self.prompt.messages), self.better, self.worse])

    @property
    def texts(self) -> frozenset[str]:
        """The texts of its responses, in the form in which they are compared."""
        return frozenset(map(_plain, (self.better, self.worse)))


class Demonstrations:
    """Examples, of which each item is shown those that are most like it.

    Args:
        examples: All that may be shown, in any order.
        config: How many, how they are found, and how much of each text is shown.

    Raises:
        DataError: There is no example.
        ModelError: There is no such encoder.
    """

    def __init__(self, examples: Sequence[Example], config: DemonstrationsConfig) -> None:
        if not examples:
            raise DataError(
                "people decided no comparison clearly of which the judge may be shown the outcome",
                where="judge.demonstrations",
                expected=f"comparisons in the train split with a majority of {config.majority:g} or more",
                fix="bring more human labels, lower judge.demonstrations.majority, or leave judge.demonstrations out",
            )
        # By the hash of their content, so that a limit takes a sample, and always the same.
        self._examples = sorted(examples, key=lambda each: each.comparison)[: config.most]
        self._config, self._prompt = config, read_prompt("demonstrations.v1")
        self._last: tuple[tuple[str, ...], str] = ((), "")

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Whatever can change what a judge is shown."""
        pool = [f"{each.comparison} {content_id('text', each.better)}" for each in self._examples]
        return {
            **self._config.model_dump(mode="json"),
            "encoder": revision_of(self._config.by),
            "examples": len(pool),
            "hash": content_id("demonstrations", self._prompt.hash, *pool),
        }

    def added_to(self, rubric: Rubric, prompt: Prompt, responses: Sequence[Response]) -> Rubric:
        """Return the rubric with examples after its description, for one item; as it is where none may be shown."""
        texts = tuple(sorted(response.text for response in responses))
        # Both orders, and all criteria, are asked about one after the other.
        if self._last[0] != (prompt.id, *texts):
            self._last = ((prompt.id, *texts), self._show(prompt, texts))
        shown = self._last[1]
        if not shown:
            return rubric
        return rubric.model_copy(update={"description": f"{rubric.description.strip()}\n\n{shown}"})

    def chosen(self, prompt: Prompt, texts: Sequence[str]) -> list[Example]:
        """Return the examples that an item is shown, the one that is most like it last.

        Args:
            prompt: The item's.
            texts: Of its responses.
        """
        alike = self._alike("\n".join([*(message.content for message in prompt.messages), *texts]))
        order = sorted(range(len(self._examples)), key=lambda at: (-alike[at], at))
        own, said = frozenset(map(_plain, texts)), _said(prompt)
        allowed = (self._examples[at] for at in order if _may_be_shown(self._examples[at], prompt.id, said, own))
        return list(reversed([example for example, _ in zip(allowed, range(self._config.count), strict=False)]))

    @cached_property
    def _alike(self) -> Any:
        return likeness(self._config.by, [example.words for example in self._examples])

    def _show(self, prompt: Prompt, texts: tuple[str, ...]) -> str:
        chosen = self.chosen(prompt, texts)
        # Half of the better ones are called A, and which half is no more than the item's hash.
        first = int(content_id("demonstrations", prompt.id, *texts), 16) % 2
        shown = [self._example(example, better_first=(at + first) % 2 == 0) for at, example in enumerate(chosen)]
        return "\n\n".join([self._prompt.sections["before"], *shown]) if shown else ""

    def _example(self, example: Example, *, better_first: bool) -> str:
        both = (example.better, example.worse) if better_first else (example.worse, example.better)
        first, second = (self._excerpt(neutralise(text)) for text in both)
        slots = {"request": self._excerpt(conversation(example.prompt)), "first": first}
        return self._prompt.fill("example", {**slots, "second": second, "better": "A" if better_first else "B"})

    def _excerpt(self, text: str) -> str:
        most = self._config.characters
        return text if len(text) <= most else text[:most].rstrip() + LEFT_OUT


def _may_be_shown(example: Example, prompt_id: str, said: str, own: frozenset[str]) -> bool:
    """Tell whether an example gives nothing of an item away. Items without any request share none."""
    same_prompt = bool(said) and (example.prompt.id == prompt_id or _said(example.prompt) == said)
    return not same_prompt and not (example.texts & own)


def _said(prompt: Prompt) -> str:
    return _plain(" ".join(message.content for message in prompt.messages))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
