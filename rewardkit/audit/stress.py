"""Stress tests with known answers: texts beside changed ones, of which it is known that they are no better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rewardkit.aggregation.orders import swap_average
from rewardkit.aggregation.votes import ComparisonTexts, judge_label_logit
from rewardkit.audit.cases import side
from rewardkit.audit.results import Finding, Level, mean, rate
from rewardkit.corruptions import Effect, corruption_named
from rewardkit.types import Label, content_id

KEY = "corruption"
"""Of a comparison's metadata: how the text that was changed was changed."""
WRITER = "stress/"
"""Begins the name of the model that wrote a changed text: two texts of one prompt may be changed into the same."""


@dataclass(frozen=True)
class StressCase:
    """A text beside the same text, changed.

    Attributes:
        unit: What it rises and falls with.
        logit: A judge's log odds that the unchanged text is the better one, orders averaged.
    """

    unit: str
    logit: float


@dataclass(frozen=True)
class StressTest:
    """One way of changing texts, and what a judge made of it.

    Attributes:
        name: Of the change.
        effect: What the change does to a text.
        said: What it is.
        unchanged: Share of texts whose unchanged form the judge prefers; its ties count half.
        pull: Mean log odds in favour of the changed text.
    """

    name: str
    effect: Effect
    said: str
    unchanged: Finding
    pull: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        findings = {"unchanged": self.unchanged.to_json(), "pull": self.pull.to_json()}
        return {"name": self.name, "effect": self.effect, "said": self.said, **findings}


def gather_stress(
    comparisons: Iterable[ComparisonTexts], labels: Iterable[Label], by_text: bool
) -> dict[str, dict[str, list[StressCase]]]:
    """Return what each judge said, by its id and the name of the change.

    Args:
        comparisons: A text and its changed form each, with the name of the change in their metadata.
        labels: Of judges, those of one comparison together.
        by_text: Whether each text is independent, and not each prompt.
    """
    items = {texts.comparison.id: _item(texts, by_text) for texts in comparisons}
    found: dict[str, dict[str, list[StressCase]]] = defaultdict(lambda: defaultdict(list))
    for comparison, group in groupby(labels, key=lambda label: label.comparison_id):
        unit, name, sign = items[comparison]
        said: dict[str, dict[Any, float]] = defaultdict(dict)
        for label in group:
            if label.status == "ok":
                said[label.annotator_id][label.order_shown] = judge_label_logit(label)
        for judge, logits in said.items():
            found[judge][name].append(StressCase(unit, sign * swap_average(logits).logit))
    return found


def stress_tests(cases: Mapping[str, Sequence[StressCase]], level: Level) -> tuple[StressTest, ...]:
    """Measure what a judge made of each way of changing texts, those that make them worse first.

    Args:
        cases: By name of the change; each name has at least one.
        level: Of the intervals.
    """
    tests = [_measured(name, found, level) for name, found in sorted(cases.items())]
    return tuple(sorted(tests, key=lambda test: test.effect != "worse"))


def _item(texts: ComparisonTexts, by_text: bool) -> tuple[str, str, int]:
    """Return a comparison's unit, how its text was changed, and 1 where response A is the unchanged one."""
    b_changed = (texts.response_b.model or "").startswith(WRITER)
    unchanged = texts.response_a if b_changed else texts.response_b
    unit = content_id("text", unchanged.text) if by_text else texts.prompt.id
    return unit, str(texts.comparison.metadata[KEY]), 1 if b_changed else -1


def _measured(name: str, cases: Sequence[StressCase], level: Level) -> StressTest:
    corruption, units = corruption_named(name), [case.unit for case in cases]
    wins = [(1 + side(case.logit)) / 2 for case in cases]
    pull = mean([-case.logit for case in cases], units, level)
    return StressTest(name, corruption.effect, corruption.said, rate(wins, units, level), pull)
