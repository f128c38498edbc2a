"""What a reward model says on the criteria that it has learned, beside what people rated on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rewardkit.audit.ratings import correlation
from rewardkit.audit.results import Level
from rewardkit.report.data import CriterionRow
from rewardkit.types import Message, PreferenceExample

if TYPE_CHECKING:
    from rewardkit.reward_model.folder import LoadedModel

Conversation = tuple[tuple[Message, ...], str]


def criteria_rows(model: LoadedModel, examples: Sequence[PreferenceExample], level: Level) -> tuple[CriterionRow, ...]:
    """Measure how the model ranks responses on each criterion against the people who rated them.

    Args:
        model: The model; nothing is measured of one that has learned no criteria.
        examples: Of the test split. A response that stands in several comparisons counts once.
        level: How intervals are made.
    """
    from rewardkit.reward_model.scoring import reward

    rated = [_rated(examples, each.name) for each in model.card.criteria]
    texts = sorted({text for by_text in rated for text in by_text}, key=str)
    if not texts:
        return tuple(CriterionRow(each.name, None, "nobody rated a test response") for each in model.card.criteria)
    rewards = reward(model, texts)
    row = {text: place for place, text in enumerate(texts) if not rewards.reasons[place]}
    found = []
    for column, (scale, by_text) in enumerate(zip(model.card.criteria, rated, strict=True)):
        known = [(rewards.criteria[row[text], column], *said) for text, said in by_text.items() if text in row]
        model_says, people, units = zip(*known, strict=True) if known else ((), (), ())
        finding = correlation(model_says, people, units, level)
        found.append(CriterionRow(scale.name, finding.estimate, finding.note))
    return tuple(found)


def _rated(examples: Sequence[PreferenceExample], criterion: str) -> dict[Conversation, tuple[float, str]]:
    """Return what people rated whole responses on a criterion, with the unit of each."""
    found: dict[Conversation, tuple[float, str]] = {}
    for example in examples:
        sides = ((example.response_a, example.ratings_a), (example.response_b, example.ratings_b))
        for text, ratings in sides:
            for rating in ratings:
                if rating.criterion == criterion and rating.n_human and rating.end is None:
                    found[example.prompt, text] = rating.value, example.preference.unit
    return found
