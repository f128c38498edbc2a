"""Simulated annotators: labels from a level of quality that the data set states for each response.

They exist to try the whole flow where the truth is known, and are stored as what they are
(`Annotator.simulated`). Every draw is a hash of the seed, the comparison and the annotator's name, so
that neither the order of the rows nor the other annotators change what one of them says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

from rewardkit.config import SimulateConfig, SimulatedAnnotatorConfig
from rewardkit.errors import ConfigError, DataError
from rewardkit.types import Annotator, Choice, Comparison, Label, Order, Response, content_id

# |logit| from which a preference is clear (strength 2) and strong (strength 3).
STRENGTH_STEPS = (1.0, 2.5)


class ComparedResponses(Protocol):
    """A comparison with its responses, however the caller keeps them."""

    @property
    def comparison(self) -> Comparison:
        """The comparison."""

    @property
    def response_a(self) -> Response:
        """The response that the comparison calls A."""

    @property
    def response_b(self) -> Response:
        """The response that the comparison calls B."""


def form_comparisons(
    responses_by_prompt: Mapping[str, Sequence[Response]], level: str, min_difference: float, source: str = ""
) -> Iterator[Comparison]:
    """Yield all pairs of responses to one prompt whose levels differ enough and whose texts differ.

    Args:
        responses_by_prompt: The responses to each prompt, by prompt id.
        level: Key of the response's metadata that states its quality.
        min_difference: Least |difference of levels|; 0 keeps pairs of one level.
        source: The comparisons' source.

    Raises:
        DataError: A response does not state its level.
    """
    for prompt_id in sorted(responses_by_prompt):
        responses = sorted(responses_by_prompt[prompt_id], key=lambda response: response.id)
        for one, other in combinations(responses, 2):
            difference = abs(level_of(one, level) - level_of(other, level))
            if difference >= min_difference and one.text != other.text:
                yield Comparison.of(prompt_id, one.id, other.id, source=source)


def simulate_labels(
    comparisons: Iterable[ComparedResponses], config: SimulateConfig, seed: int
) -> Iterator[Annotator | Label]:
    """Yield the annotators, then their labels.

    Each comparison is shown to `labels_per_comparison` of the humans, drawn with equal probability
    (recorded as `sampling_prob`), in one drawn order; and to every judge, in both orders.

    Args:
        comparisons: The comparisons with their responses.
        config: The annotators and what they are like.
        seed: Of all draws.

    Raises:
        ConfigError: Two annotators have one name.
        DataError: A response does not state its level.
    """
    _require_distinct(config.annotators)
    people = [_Person(settings, simulated_annotator(settings, seed)) for settings in config.annotators]
    yield from (person.annotator for person in people)
    humans = [person for person in people if person.settings.kind == "human"]
    judges = [person for person in people if person.settings.kind == "judge"]
    for item in comparisons:
        scene = _scene(item, config.level, seed)
        yield from _human_labels(scene, humans, config.labels_per_comparison)
        for judge in judges:
            yield scene.label(judge, "ab")
            yield scene.label(judge, "ba")


def simulated_annotator(settings: SimulatedAnnotatorConfig, seed: int) -> Annotator:
    """Return the record of a simulated annotator, with its stated parameters and seed as settings.

    Another seed says other things, and is another annotator: labels of both are kept apart.
    """
    stated = {**settings.model_dump(exclude={"name", "kind"}), "seed": seed}
    return Annotator.of(settings.kind, settings.name, simulated=True, settings=stated)


def level_of(response: Response, key: str) -> float:
    """Return the stated level of a response.

    Raises:
        DataError: It is missing, or not a finite number.
    """
    value = response.metadata.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(
            f"metadata.{key} is {value!r}",
            where=f"response {response.id}",
            expected="a number that states the quality of the response",
            fix="state a level for every response, or name its key in simulate.level",
        )
    return float(value)


@dataclass(frozen=True)
class _Person:
    settings: SimulatedAnnotatorConfig
    annotator: Annotator


@dataclass(frozen=True)
class _Scene:
    """One comparison as an annotator meets it.

    Attributes:
        gap: Level of A less level of B.
        doublings: How many times the length of A doubles that of B (log2 of characters).
    """

    comparison_id: str
    gap: float
    doublings: float
    seed: int

    def uniform(self, name: str, what: str) -> float:
        """Draw from [0, 1): a hash, so that no other draw can move this one."""
        digest = content_id("simulation", str(self.seed), self.comparison_id, name, what)
        return int(digest[:13], 16) / 2**52

    def logit(self, settings: SimulatedAnnotatorConfig, order: Order) -> float:
        """Return the annotator's log odds of A in the order shown."""
        first = 1.0 if order == "ab" else -1.0
        bias = settings.position_bias * first + settings.length_bias * self.doublings
        return settings.reliability * self.gap + bias

    def label(self, person: _Person, order: Order, sampling_prob: float = 1.0) -> Label:
        """Return what a person says in the order shown."""
        logit = self.logit(person.settings, order)
        choice = self._choice(person.settings, order, logit)
        return Label.of(
            self.comparison_id,
            person.annotator.id,
            choice=choice,
            strength=None if choice == "tie" else _strength(logit),
            order_shown=order,
            sampling_prob=sampling_prob,
        )

    def _choice(self, settings: SimulatedAnnotatorConfig, order: Order, logit: float) -> Choice:
        at = self.uniform(settings.name, f"answer {order}")
        if self.uniform(settings.name, f"lapse {order}") < settings.lapse:
            return "a" if at < 0.5 else "b"
        if abs(logit) < settings.tie_width:
            return "tie"
        return "a" if at < 0.5 * (1 + math.tanh(0.5 * logit)) else "b"


def _scene(item: ComparedResponses, level: str, seed: int) -> _Scene:
    a, b = item.response_a, item.response_b
    doublings = math.log2(len(a.text)) - math.log2(len(b.text))
    return _Scene(item.comparison.id, level_of(a, level) - level_of(b, level), doublings, seed)


def _human_labels(scene: _Scene, humans: Sequence[_Person], wanted: int) -> Iterator[Label]:
    count = min(wanted, len(humans))
    ranked = sorted(humans, key=lambda person: scene.uniform(person.settings.name, "sample"))
    for person in ranked[:count]:
        order: Order = "ab" if scene.uniform(person.settings.name, "order") < 0.5 else "ba"
        yield scene.label(person, order, count / len(humans))


def _strength(logit: float) -> float:
    return 1.0 + sum(abs(logit) >= step for step in STRENGTH_STEPS)


def _require_distinct(annotators: Sequence[SimulatedAnnotatorConfig]) -> None:
    twice = [name for name, count in Counter(a.name for a in annotators).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two annotators are called {twice[0]!r}", where="simulate.annotators", expected="a name for each"
        )
