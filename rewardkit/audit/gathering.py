"""Records of the store → what each judge said, beside what people said of the same items.

A person's word counts as it was before they saw a judge's: an answer that was given after a judge's words
(assisted review) is left out, and the blind one before it stands.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from rewardkit.aggregation.splits import assign_units
from rewardkit.aggregation.votes import ComparisonTexts, judge_label_logit, label_value
from rewardkit.audit.cases import PairCase, RatingCase, Verdict, Vote
from rewardkit.audit_config import AuditConfig
from rewardkit.families import family_of, named
from rewardkit.types import Annotator, Label, Rating, Response, content_id

# The mark of an answer that was given after a judge's words: it names the blind one.
REVIEWED = "blind"


@dataclass
class JudgeRecords:
    """What one judge said.

    Attributes:
        pairs: The comparisons that it answered.
        ratings: The responses that it rated, by criterion.
        asked: Unit of each of its labels and ratings, and whether it says something.
    """

    pairs: list[PairCase] = field(default_factory=list)
    ratings: dict[str, list[RatingCase]] = field(default_factory=dict)
    asked: list[tuple[str, bool]] = field(default_factory=list)


@dataclass(frozen=True)
class People:
    """Who gave the labels.

    Attributes:
        annotators: By id.
        config: Groups of people, families of models and units.
    """

    annotators: Mapping[str, Annotator]
    config: AuditConfig

    def is_judge(self, annotator_id: str) -> bool:
        """Tell whether an annotator is a judge."""
        return self.annotators[annotator_id].kind == "judge"

    def vote(self, annotator_id: str, values: Sequence[float], *, aggregate: bool) -> Vote:
        """Return what a person said, repeats averaged."""
        who = self.annotators[annotator_id]
        group = named(who.name, self.config.rater_groups) or who.rater_group
        marked = aggregate or bool(who.settings.get("aggregate"))
        return Vote(annotator_id, group, math.fsum(values) / len(values), marked)


def gather_pairs(
    comparisons: Iterable[ComparisonTexts], labels: Iterable[Label], people: People, into: dict[str, JudgeRecords]
) -> None:
    """Add the comparisons that each judge of some answered.

    Args:
        comparisons: All comparisons with their texts.
        labels: All labels, every version, those of one comparison together.
        people: Who gave them.
        into: What is known of each judge that is looked at, by id; it grows.

    Raises:
        DataError: A label with status ok says nothing.
    """
    items = _items(comparisons, people.config)
    for comparison, group in groupby(labels, key=lambda label: label.comparison_id):
        known = [label for label in group if not _reviewed(label, people)]
        _asked(known, items[comparison].unit, into)
        for judge, verdicts in _verdicts(known, into).items():
            if any(verdict.current for verdict in verdicts):
                item = items[comparison]
                heard = _votes(known, people)
                case = PairCase(item.unit, item.task, item.doublings, item.writers, verdicts, heard)
                into[judge].pairs.append(case)


def gather_ratings(
    responses: Iterable[Response], ratings: Iterable[Rating], people: People, into: dict[str, JudgeRecords]
) -> None:
    """Add the responses that each judge of some rated; arguments as in `gather_pairs`."""
    by_text = people.config.by == "text"
    units = {each.id: content_id("text", each.text) if by_text else each.prompt_id for each in responses}
    known = [rating for rating in ratings if not _reviewed(rating, people)]
    old = {rating.supersedes for rating in known if rating.supersedes}
    said: dict[tuple[str, str], dict[str, dict[int, list[float]]]] = defaultdict(dict)
    for rating in known:
        _asked([rating], units[rating.response_id], into)
        if rating.status == "ok" and rating.value is not None and rating.id not in old:
            theirs = said[rating.criterion, rating.response_id].setdefault(rating.annotator_id, defaultdict(list))
            low, high = rating.scale
            theirs[rating.repeat].append((rating.value - low) / (high - low) if high > low else 0.0)
    for (criterion, response), by_annotator in sorted(said.items()):
        means = {who: tuple(map(_mean, repeats.values())) for who, repeats in sorted(by_annotator.items())}
        heard = tuple(
            people.vote(who, values, aggregate=False) for who, values in means.items() if not people.is_judge(who)
        )
        for judge in into.keys() & means.keys():
            case = RatingCase(units[response], means[judge], heard)
            into[judge].ratings.setdefault(criterion, []).append(case)


@dataclass(frozen=True)
class _Item:
    """What is kept of a comparison: its texts are not."""

    unit: str
    task: str
    doublings: float
    writers: tuple[str | None, str | None]


def _items(comparisons: Iterable[ComparisonTexts], config: AuditConfig) -> dict[str, _Item]:
    if config.by == "text":
        comparisons = list(comparisons)
        units = assign_units(comparisons, "text")
        return {each.comparison.id: _item(each, units[each.comparison.id], config) for each in comparisons}
    return {each.comparison.id: _item(each, each.comparison.prompt_id, config) for each in comparisons}


def _item(texts: ComparisonTexts, unit: str, config: AuditConfig) -> _Item:
    a, b = texts.response_a, texts.response_b
    writers = family_of(a.model, config.families), family_of(b.model, config.families)
    return _Item(unit, texts.prompt.task, math.log2(len(a.text)) - math.log2(len(b.text)), writers)


def _verdict(label: Label, chain: str, *, current: bool) -> Verdict:
    return Verdict(
        logit=judge_label_logit(label),
        value=label_value(label),
        order=label.order_shown,
        soft=label.p_a is not None,
        chain=chain,
        current=current,
        tokens=label.tokens or 0,
        votes=_drawn(label),
        probes=_probed(label),
    )


def _drawn(label: Label) -> tuple[float, ...]:
    """Return the votes that a judge's label is the mean of, in the comparison's frame; files may mean others by it."""
    votes = label.metadata.get("votes")
    if not isinstance(votes, list) or not all(isinstance(each, float) and 0.0 <= each <= 1.0 for each in votes):
        return ()
    return tuple(1.0 - each if label.order_shown == "ba" else each for each in votes)


def _probed(label: Label) -> Mapping[str, float]:
    probes = label.metadata.get("probes")
    return probes if isinstance(probes, dict) and all(isinstance(each, float) for each in probes.values()) else {}


def _reviewed(record: Label | Rating, people: People) -> bool:
    """Tell whether a person said it after a judge's words."""
    return REVIEWED in record.metadata and not people.is_judge(record.annotator_id)


def _asked(records: Iterable[Label | Rating], unit: str, into: dict[str, JudgeRecords]) -> None:
    for record in records:
        if record.annotator_id in into:
            into[record.annotator_id].asked.append((unit, record.status == "ok"))


def _verdicts(labels: Sequence[Label], into: Mapping[str, JudgeRecords]) -> dict[str, tuple[Verdict, ...]]:
    """Return what each judge that is looked at said of one comparison."""
    old, chains = {label.supersedes for label in labels}, _chains(labels)
    found: dict[str, tuple[Verdict, ...]] = defaultdict(tuple)
    for label in labels:
        if label.annotator_id in into and label.status == "ok":
            found[label.annotator_id] += (_verdict(label, chains[label.id], current=label.id not in old),)
    return found


def _votes(labels: Sequence[Label], people: People) -> tuple[Vote, ...]:
    """Return what people said of one comparison, the latest version of each label."""
    old = {label.supersedes for label in labels}
    said: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        if label.status == "ok" and label.id not in old and not people.is_judge(label.annotator_id):
            said[label.annotator_id].append(label)
    return tuple(_vote(people, who, theirs) for who, theirs in sorted(said.items()))


def _vote(people: People, annotator_id: str, labels: Sequence[Label]) -> Vote:
    aggregate = any(label.metadata.get("aggregate") is True for label in labels)
    return people.vote(annotator_id, [label_value(label) for label in labels], aggregate=aggregate)


def _chains(labels: Sequence[Label]) -> dict[str, str]:
    """Return, by label, which asking it answers: one order's repeats and versions are one question asked again.

    Two labels of one repeat of which neither replaces the other are no retest: a file that holds a row twice
    keeps both only where they differ, and equal ones would be missing.
    """
    by_id = {label.id: label for label in labels}
    first: dict[tuple[str, str, str | None, int], str] = {}
    found = {}
    for label in labels:
        root = label
        while root.supersedes in by_id:
            root = by_id[root.supersedes]
        key = root.annotator_id, root.comparison_id, root.order_shown, root.repeat
        alone = first.setdefault(key, root.id) != root.id
        found[label.id] = root.id if alone else f"order {root.order_shown}"
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
