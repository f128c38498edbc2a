"""Which responses in the store are a job's own, and what is compared of them.

It follows from the store and the config alone, whatever run wrote them: a job that was stopped and run again forms the
comparisons that an uninterrupted one forms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rewardkit.config import JobConfig
from rewardkit.errors import DataError
from rewardkit.generate_config import GenerateConfig, RevisionsConfig
from rewardkit.jobs.stages import given
from rewardkit.store.store import Store
from rewardkit.types import Comparison, Prompt, Response

if TYPE_CHECKING:
    from rewardkit.generation.policies import Policy
    from rewardkit.generation.revising import Draft
    from rewardkit.generation.sampling import Key


@dataclass(frozen=True)
class Own:
    """What a job's policies wrote.

    Attributes:
        store: Where it is.
        config: The job's.
        prompts: Those that are answered, by id.
    """

    store: Store
    config: JobConfig
    prompts: Mapping[str, Prompt]

    @classmethod
    def of(cls, store: Store, config: JobConfig) -> Own:
        """Find the prompts that a job answers.

        Raises:
            DataError: There is none.
        """
        return cls(store, config, {prompt.id: prompt for prompt in chosen_prompts(store, given(config.generate))})

    def keys(self) -> set[Key]:
        """Return prompt and seed of all that any policy wrote for these prompts."""
        found = map(_key, self.store.responses())
        return {key for key in found if key is not None and key[0] in self.prompts}

    def responses(self, policies: Sequence[Policy]) -> Iterator[tuple[Policy, Response]]:
        """Yield the responses of some policies, each with who wrote it; no revisions."""
        from rewardkit.generation.sampling import slots

        wanted = {(slot.prompt.id, slot.seed): each for each in policies for slot in slots(each, self.prompts.values())}
        for response in self.store.responses():
            if (key := _key(response)) is not None and (policy := wanted.get(key)) is not None:
                yield policy, response

    def drafts(self, policy: Policy) -> Iterator[Draft]:
        """Yield what a policy is to revise of its responses."""
        from rewardkit.generation.constitution import load_constitution
        from rewardkit.generation.revising import drafts

        config = self._revisions
        written = ((self.prompts[each.prompt_id], each) for _, each in self.responses([policy]))
        yield from drafts(policy, written, config, load_constitution(config.constitution))

    def comparisons(self, policies: Sequence[Policy]) -> Iterator[Comparison]:
        """Yield comparisons among the responses to each prompt."""
        from rewardkit.generation.pairing import pairs_of

        # Two policies that said the same are one text to whoever reads it.
        texts: defaultdict[str, dict[str, str]] = defaultdict(dict)
        authors: defaultdict[str, set[str]] = defaultdict(set)
        for policy, response in self.responses(policies):
            authors[texts[response.prompt_id].setdefault(response.text, response.id)].add(policy.config.name)
        for prompt_id, found in texts.items():
            of_prompt = {each: frozenset(authors[each]) for each in found.values()}
            for first, second in pairs_of(of_prompt, given(self.config.generate).pairs):
                yield Comparison.of(prompt_id, first, second, source=self.config.name)

    def revised(self, policies: Sequence[Policy]) -> Iterator[Comparison]:
        """Yield comparisons of responses with their revisions; nothing in them says that a revision is better."""
        wanted = {(draft.prompt.id, draft.seed): draft for policy in policies for draft in self.drafts(policy)}
        for response in self.store.responses():
            key = _key(response)
            if key is not None and (draft := wanted.get(key)) is not None:
                metadata = {"principle": draft.principle.name}
                first, second = draft.response.id, response.id
                yield Comparison.of(key[0], first, second, source=self.config.name, metadata=metadata)

    @property
    def _revisions(self) -> RevisionsConfig:
        return given(given(self.config.generate).revisions)


def chosen_prompts(store: Store, config: GenerateConfig) -> list[Prompt]:
    """Return the prompts that are answered: the first by id, which is a hash of their content.

    Raises:
        DataError: There is none.
    """
    found = [prompt for prompt in store.prompts() if not config.tasks or prompt.task in config.tasks]
    if not found:
        there = sorted({prompt.task for prompt in store.prompts() if prompt.task})
        raise DataError(
            f"no prompt in the database has the task {', '.join(config.tasks)}"
            if config.tasks
            else "no prompt is there",
            where="generate.tasks" if config.tasks else store.where,
            expected=f"one of {', '.join(there)}" if config.tasks and there else "",
            fix="import prompts first, or correct generate.tasks",
        )
    return found[: config.limit]


def _key(response: Response) -> Key | None:
    """Return by what a text that a policy wrote is found again; None for one that nobody drew."""
    seed = response.generation.get("seed")
    return (response.prompt_id, seed) if isinstance(seed, int) else None
