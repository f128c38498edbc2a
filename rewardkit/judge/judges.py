"""Judges: a backend, a protocol and a rubric, which together are one annotator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from rewardkit.errors import ConfigError
from rewardkit.judge.backends import open_backend
from rewardkit.judge.cache import AnswerCache
from rewardkit.judge.contract import Backend, PairProtocol, RatingProtocol
from rewardkit.judge.demonstrations import Demonstrations, Example
from rewardkit.judge.list_contract import ListProtocol
from rewardkit.judge.notes import guided_rubric
from rewardkit.judge.protocols import list_protocol, pair_protocol, rating_protocol, settings_of
from rewardkit.judge.votes import Voted
from rewardkit.judge_config import JudgeConfig
from rewardkit.rubric import Rubric
from rewardkit.types import Annotator, Prompt, Response

P = TypeVar("P", PairProtocol, RatingProtocol, ListProtocol)


@dataclass(frozen=True)
class Judge(Generic[P]):
    """A backend that answers by a protocol and a rubric.

    Attributes:
        backend: Who answers.
        protocol: How it is asked.
        rubric: What for.
        persona: Who it is to judge as, in a sentence that is added to each system message; empty for nobody.
        name: Of a judge of a panel; empty for one that is alone.
        demonstrations: Examples of what people decided, of which each item is shown some; none if absent.
    """

    backend: Backend
    protocol: P
    rubric: Rubric
    persona: str = ""
    name: str = field(default="", kw_only=True)
    demonstrations: Demonstrations | None = None

    def rubric_for(self, prompt: Prompt, *responses: Response) -> Rubric:
        """Return the rubric for one item: with examples of what people decided, where there are any."""
        shown = self.demonstrations
        return self.rubric if shown is None else shown.added_to(self.rubric, prompt, responses)

    @cached_property
    def annotator(self) -> Annotator:
        """The judge as an annotator: whatever can change its answers changes the id."""
        extra: dict[str, Any] = {"persona": self.persona} if self.persona else {}
        if self.demonstrations is not None:
            extra["demonstrations"] = self.demonstrations.settings
        return Annotator.of(
            "judge",
            "/".join(filter(None, (self.backend.model, self.protocol.name, self.rubric.name, self.name))),
            model=self.backend.model,
            revision=self.backend.revision,
            protocol=self.protocol.name,
            prompt_hash=self.protocol.prompt_hash,
            settings={
                **self.backend.settings,
                "backend": self.backend.name,
                "rubric_version": self.rubric.version,
                "rubric_hash": self.rubric.content_hash,
                **settings_of(self.protocol),
                **extra,
            },
        )


@dataclass(frozen=True)
class Judges:
    """The judges that a config asks for, on one backend.

    Attributes:
        pairs: The one that compares.
        ratings: The one that rates; None if the config names no rating protocol.
        lists: The one that is shown whole groups; None if the config names no list protocol.
    """

    pairs: Judge[PairProtocol]
    ratings: Judge[RatingProtocol] | None
    lists: Judge[ListProtocol] | None = None

    @property
    def annotators(self) -> list[str]:
        """Ids of all of them."""
        return [each.annotator.id for each in (self.pairs, self.ratings, self.lists) if each]


def open_judges(config: JudgeConfig, cache: AnswerCache | None = None, *, examples: Sequence[Example] = ()) -> Judges:
    """Build what a config names; cheap checks first, the model last.

    Args:
        config: The config.
        cache: Where answers are kept that are worth it; nowhere if absent.
        examples: What people decided, for the demonstrations that the config asks for.

    Raises:
        DataError: Demonstrations are asked for, and there is no example.
        ConfigError: An unknown backend, protocol or rubric, or a backend that cannot tell what the protocol needs.
        ModelError: The model cannot be used.
        MissingExtraError: A package of the extra `judge` is not installed.
    """
    rubric, compares = guided_rubric(config), pair_protocol(config.protocol, config.protocol_options)
    rates = rating_protocol(config.rating_protocol, config.rating_protocol_options) if config.rating_protocol else None
    ranks = list_protocol(config.list_protocol) if config.list_protocol else None
    shown = Demonstrations(examples, config.demonstrations) if config.demonstrations else None
    compares = Voted(compares, config.votes) if config.votes else compares
    backend = open_backend(config, cache)
    _require_capability(backend, compares)
    if rates:
        _require_capability(backend, rates)
    if ranks:
        _require_capability(backend, ranks)
    ratings = Judge(backend, rates, rubric, config.persona, shown, name=config.name) if rates else None
    lists = Judge(backend, ranks, rubric, config.persona, shown, name=config.name) if ranks else None
    return Judges(Judge(backend, compares, rubric, config.persona, shown, name=config.name), ratings, lists)


def _require_capability(backend: Backend, protocol: PairProtocol | RatingProtocol | ListProtocol) -> None:
    words = {"labels": "probabilities of labels", "replies": "replies in words"}
    for need in sorted(protocol.needs - backend.capabilities):
        raise ConfigError(
            f"the backend {backend.name!r} gives no {words[need]}, which {protocol.name} needs",
            where="judge.backend",
            fix="choose another backend or protocol",
        )
