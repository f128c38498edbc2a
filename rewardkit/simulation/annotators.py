"""Simulated annotators: labels from a level of quality that the data set states for each response.

They exist to try the whole flow where the truth is known, and are stored as what they are
(`Annotator.simulated`). How they come to an answer, `rewardkit.simulation.personas` says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

from rewardkit.errors import ConfigError, DataError
from rewardkit.simulate_config import SimulateConfig, SimulatedAnnotatorConfig
from rewardkit.simulation.personas import Persona, strength_of
from rewardkit.types import Annotator, Comparison, Label, Order, Response

# They came later, and are stated only where they are not their defaults: an annotator's id is a hash of its settings.
LATER = ("fatigue", "spam", "seconds", "seconds_spread", "understanding", "deference", "messages")


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
    (recorded as `sampling_prob`), in one drawn order; and to every judge, in both orders. Who tires does so in
    the order of the comparisons.

    Args:
        comparisons: The comparisons with their responses.
        config: The annotators and what they are like.
        seed: Of all draws.

    Raises:
        ConfigError: Two annotators have one name.
        DataError: A response does not state its level.
    """
    _require_distinct(config.annotators)
    people = [
        _Labeller(Persona(settings, settings.name, seed), simulated_annotator(settings, seed))
        for settings in config.annotators
    ]
    yield from (each.annotator for each in people)
    humans = [each for each in people if each.persona.settings.kind == "human"]
    judges = [each for each in people if each.persona.settings.kind == "judge"]
    for item in comparisons:
        scene = _scene(item, config.level)
        yield from _human_labels(scene, humans, config.labels_per_comparison)
        for judge in judges:
            yield judge.label(scene, "ab")
            yield judge.label(scene, "ba")


def simulated_annotator(settings: SimulatedAnnotatorConfig, seed: int) -> Annotator:
    """Return the record of a simulated annotator, with its stated parameters and seed as settings.

    Another seed says other things, and is another annotator: labels of both are kept apart.
    """
    usual = {name for name in LATER if getattr(settings, name) == type(settings).model_fields[name].default}
    stated = {**settings.model_dump(exclude={"name", "kind", *usual}), "seed": seed}
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
class _Scene:
    """One comparison as an annotator meets it.

    Attributes:
        gap: Level of A less level of B.
        doublings: How many times the length of A doubles that of B (log2 of characters).
    """

    comparison_id: str
    gap: float
    doublings: float


@dataclass
class _Labeller:
    """A simulated annotator, and how much they have done."""

    persona: Persona
    annotator: Annotator
    answered: int = 0

    def uniform(self, scene: _Scene, what: str) -> float:
        return self.persona.uniform(scene.comparison_id, what)

    def label(self, scene: _Scene, order: Order, sampling_prob: float = 1.0) -> Label:
        """Return what they say in the order shown."""
        logit = self.persona.logit(scene.gap, scene.doublings, order, self.answered)
        choice = self.persona.choose(scene.comparison_id, order, logit)
        self.answered += 1
        timed = self.persona.settings.seconds is not None
        return Label.of(
            scene.comparison_id,
            self.annotator.id,
            choice=choice,
            strength=None if choice == "tie" else float(strength_of(logit)),
            order_shown=order,
            sampling_prob=sampling_prob,
            seconds=self.persona.seconds(scene.comparison_id, order) if timed else None,
        )


def _scene(item: ComparedResponses, level: str) -> _Scene:
    a, b = item.response_a, item.response_b
    doublings = math.log2(len(a.text)) - math.log2(len(b.text))
    return _Scene(item.comparison.id, level_of(a, level) - level_of(b, level), doublings)


def _human_labels(scene: _Scene, humans: Sequence[_Labeller], wanted: int) -> Iterator[Label]:
    count = min(wanted, len(humans))
    ranked = sorted(humans, key=lambda each: each.uniform(scene, "sample"))
    for each in ranked[:count]:
        order: Order = "ab" if each.uniform(scene, "order") < 0.5 else "ba"
        yield each.label(scene, order, count / len(humans))


def _require_distinct(annotators: Sequence[SimulatedAnnotatorConfig]) -> None:
    twice = [name for name, count in Counter(a.name for a in annotators).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two annotators are called {twice[0]!r}", where="simulate.annotators", expected="a name for each"
        )
